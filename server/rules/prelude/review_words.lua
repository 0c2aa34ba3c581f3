-- Words that a rule compares a field with, against those that the field can have: `c.state == "closed"` is never true, and
-- nothing else would ever say so.

local _, use = ...
local support, tokens, handles = use "support", use "source_tokens", use "review_handles"
local slips, templates = use "review_slips", use "templates"
local problem, did_you_mean, is = support.problem, support.did_you_mean, tokens.is

local review_words = {}

-- All words that a field of a part can have.
local words_of = {
    conversation = {
        state = { "open", "pending", "snoozed", "resolved" },
        priority = { "low", "normal", "high", "urgent" },
    },
    status = { state = { "sent", "delivered", "read", "played", "failed", "blocked" } },
    survey = { state = { "asked", "answered", "commented", "expired", "canceled" } },
    outreach = { state = { "active", "recovered", "exhausted", "canceled" } },
    message = { direction = { "in", "out", "note" } },
}

-- What people write for one of those; a word that is near to a right one needs no mention.
local meant = {
    state = { closed = "resolved", done = "resolved", solved = "resolved", paid = "recovered", error = "failed", undelivered = "failed",
              seen = "read" },
    priority = { medium = "normal" },
    direction = { inbound = "in", incoming = "in", outbound = "out", outgoing = "out" },
    kind = { photo = "image", picture = "image", voice = "audio", file = "document", contact = "contacts" },
}

-- A provider may have kinds of messages that we do not know: only what surely means another one is told.
local message_kinds = { "text", "image", "video", "audio", "document", "sticker", "location", "contacts" }

local function contains(list, text)
    for _, word in ipairs(list) do
        if word == text then
            return true
        end
    end
    return false
end

-- Is the value only the beginning of another one, as in e.message.button.id?
local function goes_on(token)
    return is(token, ".") or is(token, ":") or is(token, "[") or is(token, "(") or is(token, "{") or is(token, "..")
        or token ~= nil and token.kind == "text"
end

-- The literal that the value ending at token `last` is compared with, or that is compared with the one from `first`.
local function compared_with(list, first, last)
    local sign, before = list[last + 1], list[first - 1]
    if is(sign, "==") or is(sign, "~=") then
        local beyond = list[last + 3]
        local word = list[last + 2]
        return word and word.kind == "text" and not is(beyond, "..") and word or nil
    elseif (is(before, "==") or is(before, "~=")) and not goes_on(sign) then
        local word = list[first - 2]
        return word and word.kind == "text" and not is(list[first - 3], "..") and word or nil
    end
    return nil
end

-- c.priority >= "high": letters have another order than priorities.
local orders = support.set_of { "<", ">", "<=", ">=" }
local function check_order(file, list, part, shown, first, place)
    local sign, before = list[place + 1], list[first - 1]
    local word = sign and sign.kind == "sign" and orders[sign.text] and list[place + 2]
        or before and before.kind == "sign" and orders[before.text] and list[first - 2]
    if part == "conversation" and list[place].text == "priority" and word and word.kind == "text" then
        problem("warning", { file = file, line = word.line }, string.format("'%s.priority' is compared by its letters, and \"high\" comes before \"low\"",
            shown), string.format("name each: %s.priority == \"high\" or %s.priority == \"urgent\"", shown, shown))
    end
end

-- `shown.NAME`, where `shown` is such a part or the event, begins with token `first`, and NAME is the token `place`.
function review_words.check(file, list, part, shown, first, place)
    local name = list[place].text
    check_order(file, list, part, shown, first, place)
    local word = compared_with(list, first, place)
    if not word or not word.text then
        return
    end
    if slips.check_compared(file, part, shown, name, word.line) then
        return
    end
    if name == "channel" or name == "preferred_channel" then
        handles.check_compared(file, shown .. "." .. name, word.text, word.line)
        return
    end
    if part == "contact" and name == "language" and not templates.is_language(word.text) then
        problem("warning", { file = file, line = word.line }, string.format("'%s.language' is never '%s'; a language is \"en\" or \"pt-BR\"", shown,
            word.text))
    end
    local instead = meant[name] and meant[name][word.text]
    local words = words_of[part] and words_of[part][name]
    local at = { file = file, line = word.line }
    if words and not contains(words, word.text) then
        problem("warning", at, string.format("'%s.%s' is never '%s'%s", shown, name, word.text,
            contains(words, instead) and string.format("; did you mean '%s'?", instead) or did_you_mean(word.text, words)),
            "it is one of " .. table.concat(words, ", "))
    elseif part == "message" and name == "kind" and instead then
        problem("warning", at, string.format("'%s.kind' is never '%s'; did you mean '%s'?", shown, word.text, instead),
            "the kinds are " .. table.concat(message_kinds, ", "))
    end
end

return review_words
