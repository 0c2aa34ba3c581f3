-- What a rule reads of its event, against what events of its types have: fields that no event has, parts that these
-- types never have, fields and methods that a part does not have.

local host, use = ...
local support, event_types, effects, tokens = use "support", use "event_types", use "effects", use "source_tokens"
local words, slips, conditions = use "review_words", use "review_slips", use "review_conditions"
local facts = use "facts" -- adds the methods that read
local problem, did_you_mean, is = support.problem, support.did_you_mean, tokens.is

local review_fields = {}

local event_fields = support.set_of(event_types.fields)

-- Parts that only some types of events have. Any other field may be there on any event.
local payments = { "payment.", "subscription.", "order." }
local part_of_types = {
    message = { "message." }, status = { "message.status" }, payment = payments, subscription = payments,
    order = payments, template = { "template.status" }, cron = { "cron." },
    timer = { "timer.", "window.closing", "survey.expired" },
}

local part_fields, methods_of = {}, {
    contact = effects.contact_methods, conversation = effects.conversation_methods,
}
for part, fields in next, event_types.part_fields do
    part_fields[part] = support.set_of(fields)
end

local function begins_with(text, start)
    return string.sub(text, 1, #start) == start
end

-- May an event of this type, or of one that the pattern "payment.*" stands for, have the part?
local function may_have(part, pattern)
    if part == "message" and pattern == "message.status" then
        return false
    end
    local stem = string.match(pattern, "^(.*)%*$")
    for _, type in ipairs(part_of_types[part]) do
        if begins_with(pattern, type) or stem and begins_with(type, stem) then
            return true
        end
    end
    return false
end

local function names_of(part)
    local list = { table.unpack(event_types.part_fields[part]) }
    for _, name in ipairs(support.keys(methods_of[part] or {})) do
        list[#list + 1] = name
    end
    return list
end

local reading = support.set_of { "history", "has_tag", "conversations", "identity", "can_reach", "has_opted_out" }

-- Is the method, token `at`, called without its object? `shown` are the words of the object: c.tag(c, "x") is right.
local function lacks_object(list, at, shown)
    local after = list[at + 1]
    if not after or not (after.kind == "text" or is(after, "(") or is(after, "{")) then
        return false
    end
    for position, word in ipairs(shown) do
        if not is(list[at + 1 + position], word) then
            return true
        end
    end
    local behind = list[at + 2 + #shown]
    return not is(after, "(") or not (is(behind, ",") or is(behind, ")"))
end

-- What other tools call fields of ours.
local synonyms = {
    message = { body = "text", content = "text", type = "kind", image = "media", file = "media", from = "e.contact" },
    contact = {
        phone = "e.contact:identity(\"phone\")", email = "e.contact:identity(\"email\")", lang = "language", locale = "language",
        tags = "e.conversation.tags",
    },
    conversation = { labels = "tags", agent = "assignee", subject = "topic" },
    payment = { error = "reason", customer_id = "customer", attempts = "attempt" },
}

-- `shown.NAME` or `shown:NAME(…)`, where `shown` is such a part and NAME the token `place`.
local function check_member(file, list, part, shown, place, decides)
    local sign, member = list[place - 1], list[place]
    local at = { file = file, line = member.line }
    local methods = methods_of[part]
    if methods and methods[member.text] then
        local parts = { string.match(shown, "^([^.]+)(%.?)(.*)$") }
        if is(sign, ".") and lacks_object(list, place, parts[2] == "" and { shown } or parts) then
            problem("error", at, string.format("%s.%s: call it with a colon, as in %s:%s(…)", shown, member.text, shown,
                member.text))
        elseif decides and is(sign, ":") and not reading[member.text] then
            problem("error", at, string.format("%s:%s(…) is an effect: 'when' only decides, 'run' does it", shown, member.text))
        end
        return
    end
    local meant = part == "conversation" and effects.meant[member.text]
    if meant and is(sign, ":") then
        problem("error", at, string.format("'%s' has no method '%s'; write %s%s", shown, member.text, shown, meant))
        return
    end
    local other = part == "contact" and "conversation" or part == "conversation" and "contact" or nil
    if other and is(sign, ":") and methods_of[other][member.text] then
        problem("error", at, string.format("'%s' has no method '%s'; it is for the %s: e.%s:%s(…)", shown, member.text, other, other,
            member.text))
        return
    end
    local synonym = is(sign, ".") and synonyms[part] and synonyms[part][member.text]
    if synonym and not part_fields[part][member.text] then
        problem("warning", at, string.format("'%s' has no field '%s'; did you mean %s?", shown, member.text,
            string.find(synonym, "[.:]") and synonym or "'" .. synonym .. "'"),
            part == "contact" and string.format("what rules have set is in %s.attributes", shown) or nil)
        return
    end
    local near = did_you_mean(member.text, is(sign, ":") and support.keys(methods or {}) or names_of(part))
    if is(sign, ":") then
        if methods then
            problem("error", at, string.format("'%s' has no method '%s'%s", shown, member.text, near),
                "its methods are " .. table.concat(support.keys(methods), ", "))
        end
        return
    end
    if part_fields[part][member.text] then
        return
    end
    -- A name that is nearly right is an error also when the rule runs; any other field is nil.
    local hint = "its fields are " .. table.concat(event_types.part_fields[part], ", ")
    if part == "contact" or part == "conversation" then
        hint = string.format("what rules have set is in %s.attributes", shown)
    end
    problem(near ~= "" and "error" or "warning", at,
        string.format("'%s' has no field '%s'%s", shown, member.text, near), near == "" and hint or nil)
end

-- Is `name` made anew, or assigned to, between the tokens? Then it is not always what it was.
local function is_rebound(list, from, to, name, allowed)
    for at = from, to do
        if list[at].kind == "name" and list[at].text == name and at ~= allowed then
            local before, after = list[at - 1], list[at + 1]
            if is(before, "local") or is(before, "for") or is(before, "function") then
                return true
            end
            -- In a list of names: local a, e = …; for i, e in …; function(a, e); a, e = ….
            local first = at
            while is(list[first - 1], ",") and list[first - 2] and list[first - 2].kind == "name" do
                first = first - 2
            end
            local opener = list[first - 1]
            if is(opener, "local") or is(opener, "for") then
                return true
            elseif is(opener, "(") and (is(list[first - 2], "function") or is(list[first - 3], "function")) then
                return true
            end
            if not is(before, ".") and not is(before, ":") and (is(after, "=") or is(after, ",") and
                is(list[at - 1], "end")) and not is(before, "{") and not is(before, ",") and not is(before, ";") then
                return true
            end
        end
    end
    return false
end

-- Does a statement end before this token? Only what surely begins another one counts.
local statement_words = support.set_of {
    "local", "return", "if", "for", "while", "repeat", "do", "end", "else", "elseif", "until", "break", "goto",
    "function",
}
local function begins_statement(token)
    return token == nil or token.kind == "name" or is(token, ";")
        or token.kind == "word" and statement_words[token.text] == true
end

-- `local c = e.conversation` or `local c = fx:open_conversation{…}`: {c = {part, at}}.
local function aliases_of(list, from, to, event, fx)
    local found = {}
    for at = from, to do
        if is(list[at], "local") and list[at + 1].kind == "name" and is(list[at + 2], "=") then
            local name, value = list[at + 1].text, list[at + 3]
            local part
            if is(value, event) and is(list[at + 4], ".") and part_fields[list[at + 5].text]
                and begins_statement(list[at + 6]) then
                part = list[at + 5].text
            elseif fx and is(value, fx) and is(list[at + 4], ":") and is(list[at + 5], "open_conversation") then
                local call = tokens.arguments(list, at + 5)
                if call and begins_statement(list[call.last + 1]) then
                    part = "conversation"
                end
            end
            if part and not is_rebound(list, from, to, name, at + 1) then
                found[name] = { part = part, at = at + 1 }
            end
        end
    end
    return found
end

-- One function of a rule: `from` and `to` are the tokens of its body, `event` and `fx` its parameters, `types` what the
-- rule listens to.
function review_fields.check(file, list, from, to, event, fx, types)
    if not event or is_rebound(list, from, to, event, nil) then
        return
    end
    local aliases, when_from = aliases_of(list, from, to, event, fx), not fx and from or nil
    for at = from, to do
        local token, sign, member = list[at], list[at + 1], list[at + 2]
        local reads = token.kind == "name" and member and member.kind == "name" and (is(sign, ".") or is(sign, ":"))
            and not is(list[at - 1], ".") and not is(list[at - 1], ":")
        local alias = reads and aliases[token.text]
        if alias and at > alias.at then
            check_member(file, list, alias.part, token.text, at + 2, not fx)
            slips.check_assignment(file, list, alias.part, at + 2)
            words.check(file, list, alias.part, token.text, at, at + 2)
            conditions.check(file, list, alias.part, token.text, at, at + 2, when_from)
        elseif reads and fx and token.text == fx and is(sign, ".") and effects.fx_methods[member.text]
            and lacks_object(list, at + 2, { fx }) then
            problem("error", { file = file, line = member.line }, string.format("fx.%s: call it with a colon, as in fx:%s(…)",
                member.text, member.text))
        elseif reads and token.text == event and is(sign, ".") then
            local field = member.text
            if not event_fields[field] then
                problem("error", { file = file, line = member.line }, string.format("unknown field 'e.%s'%s", field,
                    event_types.meant(field)), "the fields of events are in rules/README.md")
            elseif part_of_types[field] then
                local possible = false
                for _, pattern in ipairs(types) do
                    possible = possible or may_have(field, pattern)
                end
                if not possible then
                    problem("warning", { file = file, line = member.line },
                        string.format("'e.%s' is never there: the rule listens to %s", field,
                            table.concat(types, ", ")),
                        string.format("events with '%s' are %s", field,
                            (string.gsub(table.concat(part_of_types[field], "*, ") .. "*", "([%a]%.[%a]+)%*", "%1"))))
                end
            end
            words.check(file, list, "event", event, at, at + 2)
            conditions.check(file, list, "event", event, at, at + 2, when_from)
            local next_sign, next_member = list[at + 3], list[at + 4]
            if part_fields[field] and next_member and next_member.kind == "name"
                and (is(next_sign, ".") or is(next_sign, ":")) then
                check_member(file, list, field, "e." .. field, at + 4, not fx)
                slips.check_assignment(file, list, field, at + 4)
                words.check(file, list, field, "e." .. field, at, at + 4)
                conditions.check(file, list, field, "e." .. field, at, at + 4, when_from)
            end
        end
    end
end

return review_fields
