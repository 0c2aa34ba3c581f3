-- Conditions that always hold: fields that are lists, which are there also when they are empty, and methods that are not called.
-- `if e.contact.opted_out then` asks nothing. What may be meant otherwise, as a default or as an argument, is left alone.

local _, use = ...
local support, effects, tokens = use "support", use "effects", use "source_tokens"
local problem, is = support.problem, tokens.is

local review_conditions = {}

-- Fields that are always there, and what is asked instead.
local always_there = {
    conversation = { tags = "c:has_tag(…), or #%s > 0", attributes = "%s.NAME" },
    contact = {
        attributes = "%s.NAME", identities = "e.contact:identity(…)", channels = "e.contact:can_reach(…)",
        opted_out = "e.contact:has_opted_out(…), or #%s > 0",
    },
    event = { conversations = "#%s > 0" },
}
local methods_of = { contact = effects.contact_methods, conversation = effects.conversation_methods }

local begins_condition = support.set_of { "if", "elseif", "while" }
local ends_condition = support.set_of { "then", "do" }
-- What joins values to a condition, and compares, counts and adds within it.
local within = support.set_of {
    "and", "or", "not", ".", ":", "==", "~=", "<", ">", "<=", ">=", "#", "+", "-", "*", "/", "%", "..", "nil", "true", "false",
}

local function is_word(token, words)
    return token ~= nil and token.kind ~= "text" and words[token.text] == true
end

-- The token before the whole of what is in brackets and ends at token `at`.
local function before_brackets(list, at)
    local depth = 0
    while list[at] do
        if list[at].kind ~= "text" and tokens.closers[list[at].text] then
            depth = depth + 1
        elseif list[at].kind ~= "text" and tokens.openers[list[at].text] then
            depth = depth - 1
            if depth == 0 then
                return at - 1
            end
        end
        at = at - 1
    end
    return 0
end

-- The word that begins the condition which token `at` is a part of: its place, nil when it is none, or part of a bracket.
local function beginning(list, at)
    while list[at] do
        local token = list[at]
        if is_word(token, begins_condition) or is(token, "return") then
            return at
        elseif is(token, ")") or is(token, "]") or is(token, "}") then
            at = before_brackets(list, at)
        elseif token.kind == "text" or token.kind == "name" or is_word(token, within) or tonumber(token.text) then
            at = at - 1
        elseif is(token, "(") and is_word(list[at - 1], begins_condition) then
            return at - 1 -- if (…) then
        else
            return nil
        end
    end
    return nil
end

-- `return` ends a `when` itself, rather than a function inside of it, or one that gives the field to somebody.
local function is_own_return(list, from, at)
    for place = from, at do
        if is(list[place], "function") then
            return false
        end
    end
    return true
end

-- Is the field asked for again, as in `c.attributes and c.attributes.plan`? That is care, and does no harm.
local function is_used_again(list, at, name)
    while list[at] and not is_word(list[at], ends_condition) and not is(list[at], "end") do
        if is(list[at], name) and (is(list[at - 1], ".") or is(list[at - 1], ":")) then
            return true
        end
        at = at + 1
    end
    return false
end

-- Do the tokens from `first` to `last` stand alone in a condition? `when_from` is the beginning of a `when`, nil in a `run`.
local function is_asked(list, first, last, when_from)
    local before, behind = list[first - 1], list[last + 1]
    if not (is(before, "not") or is(before, "and") or is(before, "or") or is(before, "(") or is(before, "return")
        or is_word(before, begins_condition)) then
        return false
    elseif not (is_word(behind, ends_condition) or is(behind, "and") or is(behind, "or") or is(behind, "end")
        or is(behind, ")") and is_word(list[last + 2], ends_condition)) then
        return false
    end
    local start = beginning(list, first - 1)
    if not start or is(list[start], "return") and not (when_from and is_own_return(list, when_from, start)) then
        return false
    end
    return not is_used_again(list, last + 1, list[last].text)
end

-- `shown.NAME`, where `shown` is a part of the event or the event, begins with token `first`, and NAME is the token `place`.
function review_conditions.check(file, list, part, shown, first, place, when_from)
    local name, whole = list[place].text, shown .. "." .. list[place].text
    local write = always_there[part] and always_there[part][name]
    local is_method = methods_of[part] and methods_of[part][name] and is(list[place - 1], ".")
    if not (write or is_method) or not is_asked(list, first, place, when_from) then
        return
    end
    local at = { file = file, line = list[place].line }
    if is_method then
        problem("warning", at, string.format("'%s' is a method, which is always there; call it, as in %s:%s(…)", whole, shown, name))
    else
        problem("warning", at, string.format("'%s' is a table, which is true also when it is empty; write %s", whole,
            (string.gsub(write, "%%s", whole))))
    end
end

return review_conditions
