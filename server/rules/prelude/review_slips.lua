-- Slips of people who write other languages as well, which Lua finds only when the line runs: texts joined by `+`, facts that
-- are assigned to, and parts that are compared as if they were texts.

local _, use = ...
local support, event_types, tokens = use "support", use "event_types", use "source_tokens"
local problem, is = support.problem, tokens.is

local review_slips = {}

-- "big " + e.payment.amount
function review_slips.check_sum(file, list, at)
    local token, before, after = list[at], list[at - 1], list[at + 1]
    local is_operand = before and before.kind ~= "name" and not is(before, "#") and not is(before, ")") and not is(before, "]")
    if token.text and not tonumber(token.text) and (is(before, "+") or is_operand and is(after, "+")) then
        problem("error", { file = file, line = token.line }, "`+` adds numbers; texts are joined by `..`")
    end
end

-- e.message.text == "a" or "b"
function review_slips.check_alternative(file, list, at)
    local first, after = list[at - 2], list[at + 1]
    local ends = after == nil or is(after, "then") or is(after, "or") or is(after, "and") or is(after, "end") or is(after, ")")
    local compares = is(list[at - 3], "==") or is(list[at - 3], "~=")
    if is(list[at - 1], "or") and first and first.kind == "text" and compares and ends then
        problem("warning", { file = file, line = list[at].line }, string.format("the text behind `or` is always true by itself%s",
            list[at].text and string.format(": write … == \"%s\" again", list[at].text) or ""))
    end
end

-- e.occurred_at < now() - "4h"
function review_slips.check_order(file, list, at)
    local token, before, after = list[at], list[at - 1], list[at + 1]
    local is_compared = false
    for _, sign in ipairs { "<", ">", "<=", ">=", "-" } do
        is_compared = is_compared or is(before, sign) or is(after, sign)
    end
    if is_compared and token.text and string.find(token.text, "^%d+[smhd]$") then
        problem("error", { file = file, line = token.line }, string.format("times are numbers: write duration(\"%s\")", token.text))
    end
end

-- local_time(now()).hours
local time_fields = { "year", "month", "day", "hour", "min", "sec", "weekday", "offset" }
local is_time_field = support.set_of(time_fields)
function review_slips.check_time(file, list, at)
    local arguments = is(list[at], "local_time") and not is(list[at - 1], ":") and tokens.arguments(list, at)
    local member = arguments and is(list[arguments.last + 1], ".") and list[arguments.last + 2]
    if member and not is_time_field[member.text] then
        problem("error", { file = file, line = member.line }, string.format("local_time(…) has no field '%s'%s", member.text,
            support.did_you_mean(member.text, time_fields)), "its fields are " .. table.concat(time_fields, ", "))
    end
end

-- calendar("office"):is_open(…)
function review_slips.check_calendar(file, list, at, methods)
    local last = is(list[at + 1], "(") and at + 3 or at + 1
    local member = list[last + 2]
    if is(list[at], "calendar") and list[last] and (list[last].kind == "text" or is(list[last], ")")) and is(list[last + 1], ":")
        and member and not methods[member.text] then
        problem("error", { file = file, line = member.line }, string.format("calendar(…) has no method '%s'%s", member.text,
            support.did_you_mean(member.text, support.keys(methods))), "its methods are " .. table.concat(support.keys(methods), ", "))
    end
end

-- How the parts that rules may change are changed.
local instead = {
    contact = "e.contact:set(\"%s\", …) changes it", conversation = "c:tag(…), c:assign(…), c:prioritize(…), c:set(\"%s\", …) change one",
}

-- Is `shown`, which begins with the name of a part of the event, assigned to? Its last name so far is token `place`.
function review_slips.check_assignment(file, list, part, place)
    local last = place
    while is(list[last + 1], ".") and list[last + 2] and list[last + 2].kind == "name" do
        last = last + 2
    end
    if is(list[last + 1], "=") then
        problem("error", { file = file, line = list[last].line }, string.format("'%s' of an event cannot be changed: '%s' is assigned to",
            part, list[last].text), instead[part] and string.format(instead[part], list[last].text) or nil)
    end
end

-- Fields that are tables, and what is compared instead.
local tables = {
    message = { button = "e.message.button.id or .text", media = "e.message.kind", location = "e.message.kind", contacts = "e.message.kind" },
    conversation = { tags = "c:has_tag(…)", attributes = "c.attributes.NAME" },
    contact = {
        attributes = "e.contact.attributes.NAME", identities = "e.contact:identity(…)", channels = "e.contact:can_reach(…)",
        opted_out = "e.contact:has_opted_out(…)",
    },
}
-- Parts, which are tables themselves.
local parts = {
    message = "e.message.text", conversation = "e.conversation.state or .topic", contact = "e.contact.name",
    payment = "e.payment.status or .reason", survey = "e.survey.name", status = "e.status.state", timer = "e.type", order = "e.order.status",
}

-- A comparison of `shown.NAME`, where NAME is the field of a part, or a part itself, with a text.
function review_slips.check_compared(file, part, shown, name, line)
    local write
    if part == "event" then
        write = event_types.part_fields[name] and parts[name]
    else
        write = tables[part] and tables[part][name]
    end
    if write then
        problem("warning", { file = file, line = line }, string.format("'%s.%s' is never a text; write %s", shown, name, write))
    end
    return write ~= nil
end

return review_slips
