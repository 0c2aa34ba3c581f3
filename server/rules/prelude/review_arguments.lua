-- Arguments that are written as literals, given to the very checks that would refuse them when the rule runs: names of
-- timers, media, buttons, steps of an outreach, words to look for. What is computed is not judged.

local host, use = ...
local support, effects, limits, identities = use "support", use "effects", use "effect_arguments", use "identities"
local values, facts, event_types = use "values", use "facts", use "event_types"
local tokens, has_own = use "source_tokens", use("source_check").has_own
local problem, is, value_of = support.problem, tokens.is, tokens.value_of

local review_arguments = {}

-- What `check` says of what it is given; nil when it is well.
local function wrong_of(check, ...)
    local is_well, wrong = pcall(check, ...)
    return not is_well and string.gsub(tostring(wrong), "^[^ ]*:%d+: ", "") or nil
end

-- The same of something written; nil also when it is computed, or not there.
local function wrong_literal(check, what, written)
    if not written then
        return nil
    end
    local is_literal, value = value_of(written)
    return is_literal and value ~= nil and wrong_of(check, what, value) or nil
end

-- The same of a text, or a table; what is of another type has been told already, by review_types.
local function wrong_name(check, what, written)
    return written and written.text and wrong_literal(check, what, written) or nil
end

local function wrong_table(check, what, written)
    return written and written.table and wrong_literal(check, what, written) or nil
end

-- Are these all arguments or items there are? A call or `...` at the end may stand for more of them.
local function is_complete(written)
    local last = written[#written]
    return not last or last.literal or last.table or last.is_nil or last.is_name
end

-- Which of the fields are surely given: a value that is computed may be nil.
local function given_of(fields, names)
    local surely, perhaps = {}, false
    for _, name in ipairs(names) do
        local field = fields[name]
        if field and (field.literal or field.table) then
            surely[name] = true
        elseif field and not field.is_nil then
            perhaps = true
        end
    end
    return surely, perhaps
end

-- `options` has one of the fields `names`; what is computed may be the one, or none.
local function wrong_choice(what, options, names)
    if options.is_open or #options.items > 0 then
        return nil
    end
    local surely, perhaps = given_of(options.fields, names)
    if perhaps and not next(surely) then
        return nil
    end
    return wrong_of(limits.exactly_one, what, surely, table.unpack(names))
end

-- Options of effects ----------------------------------------------------------------------------------------------------

-- A misspelt name is told by itself, and explains what is missing.
local function are_known(options, known)
    for name in next, options.fields do
        if known[name] == nil then
            return false
        end
    end
    return not options.is_open
end

-- Values without a name, and options that must be there.
function review_arguments.check_options(file, what, options, known)
    local first = options.items[1]
    if first and (first.literal or first.table) then
        problem("error", { file = file, line = first.line }, what .. " has a value without a name",
            "it has " .. table.concat(support.keys(known), ", "))
    elseif not first and are_known(options, known) then
        for _, name in ipairs(support.keys(known)) do
            local is_required = type(known[name]) == "table" and known[name].required
            if is_required and (not options.fields[name] or options.fields[name].is_nil) then
                problem("error", { file = file, line = options.line }, string.format("%s needs '%s'", what, name))
            end
        end
    end
end

local function check_media(tell, what, media)
    if are_known(media, limits.media_fields) then
        tell(wrong_choice(what .. ": media", media, { "url", "id" }), media)
        local url = media.fields.url and media.fields.url.text
        if url and not string.find(url, "^https?://") then
            tell(limits.wrong_url(what), media.fields.url)
        end
    end
end

local function check_send(tell, options)
    if not are_known(options, effects.option_fields.send) then
        return
    end
    local fields = options.fields
    local names = fields.media and { "template", "media" } or { "text", "template", "media" }
    tell(wrong_choice("send", options, names), options)
    tell(wrong_name(limits.variables_in, "send", fields.text), fields.text)
    tell(wrong_table(limits.variables_of, "send", fields.vars), fields.vars)
    tell(wrong_table(limits.buttons_of, "send", fields.buttons), fields.buttons)
    if fields.media and fields.media.table then
        check_media(tell, "send", fields.media.table)
    end
end

local function check_step(tell, what, step)
    if not are_known(step, effects.option_fields.step) then
        return
    end
    local fields = step.fields
    local names = { "template", "text", (fields.note or not fields.assign) and "note" or "assign" }
    tell(wrong_choice(what, step, names), step)
    tell(wrong_name(limits.variables_in, what, fields.text), fields.text)
    tell(wrong_table(limits.variables_of, what, fields.vars), fields.vars)
    tell(wrong_table(limits.buttons_of, what, fields.buttons), fields.buttons)
end

local function check_steps(tell, steps)
    local last = 0 -- nil when it is not known
    if not steps.is_open and is_complete(steps.items) then
        tell(wrong_of(limits.check_step_count, #steps.items), steps)
    end
    for position, item in ipairs(steps.items) do
        local what, step = "outreach: step " .. position, item.table
        if item.literal then
            tell(wrong_of(support.check_effect, what, item.literal.value, {}), item)
        end
        local after = step and not step.is_open and step.fields.after
        if step then
            check_step(tell, what, step)
        end
        if after then
            local is_literal, value = value_of(after)
            local due = is_literal and support.duration_ms(value) or nil
            if due and last and due < last then
                tell(limits.due_too_early(what), after)
            end
            last = due
        elseif not step or step.is_open then
            last = nil
        end
    end
end

-- Calls of effects ------------------------------------------------------------------------------------------------------

-- Effects whose first argument must be there, and what is said when it is not.
local function wrong_first(method, kind)
    return function() support.argument(method, kind[1], kind[2], nil) end
end
local needs_first = {
    note = wrong_first("note", { "text", "text" }), survey = wrong_first("survey", { "name", "text" }),
    prioritize = wrong_first("prioritize", { "priority", effects.option_fields.open_conversation.priority }),
    identify = wrong_first("identify", { "identity", "text" }), prefer = wrong_first("prefer", { "channel", "name" }),
    webhook = wrong_first("webhook", { "endpoint", "text" }), emit = wrong_first("emit", { "name", "text" }),
    snooze = wrong_first("snooze", { "duration", "duration" }), after = wrong_first("after", { "delay", "duration" }),
    tag = function() support.fault("%s", limits.no_tag("tag")) end, untag = function() support.fault("%s", limits.no_tag("untag")) end,
    cancel = function() limits.timer_name("cancel", nil) end, set = function() limits.key("set", nil) end,
    send = function() support.fault("send takes a text or a table, not nothing") end,
    outreach = function() support.check_effect("outreach", nil, {}) end,
}

for _, method in ipairs { "has_tag", "identity", "can_reach" } do
    needs_first[method] = function() facts.asked(method) end
end

local checks = {}

function checks.send(tell, arguments)
    local first = arguments[1]
    if first.table then
        check_send(tell, first.table)
    elseif first.text then
        tell(support.wrong_value("send", "text", "text", first.text) or wrong_of(limits.message_text, "send", first.text, {}), first)
    end
end

local function check_tags(method)
    return function(tell, arguments)
        for _, argument in ipairs(arguments) do
            tell(wrong_literal(limits.tags_of, method, argument), argument)
        end
    end
end
checks.tag, checks.untag = check_tags("tag"), check_tags("untag")

-- What is computed is a text; behind it, gsub leaves a number.
local function check_asked(method)
    return function(tell, arguments)
        local is_literal, first = value_of(arguments[1])
        local more = arguments[2] and arguments[2].text
        tell(wrong_of(facts.asked, method, is_literal and first or "x", more), arguments[1])
    end
end
checks.has_tag, checks.identity, checks.can_reach = check_asked("has_tag"), check_asked("identity"), check_asked("can_reach")

function checks.set(tell, arguments, owner)
    local key, value = arguments[1], arguments[2]
    tell(wrong_name(limits.key, "set", key), key)
    if owner == "contact" and key.text and value then
        tell(wrong_literal(function(_, given) limits.contact_value(key.text, given) end, "set", value), value)
    end
end

function checks.after(tell, arguments)
    if not arguments[2] and is_complete(arguments) then
        tell(wrong_of(limits.timer_name, "after", nil), arguments[1])
    else
        tell(wrong_name(limits.timer_name, "after", arguments[2]), arguments[2])
    end
end

function checks.cancel(tell, arguments)
    tell(wrong_name(limits.timer_name, "cancel", arguments[1]), arguments[1])
end

function checks.emit(tell, arguments)
    local options = arguments[3] and arguments[3].table
    local contact = options and options.fields.contact
    tell(wrong_name(limits.event_name, "emit", arguments[1]), arguments[1])
    tell(wrong_literal(limits.check_body, "emit", arguments[2]), arguments[2])
    tell(wrong_literal(identities.contact, "emit", contact), contact)
end

function checks.webhook(tell, arguments)
    tell(wrong_literal(limits.check_body, "webhook", arguments[2]), arguments[2])
end

function checks.outreach(tell, arguments)
    local options = arguments[1].table
    if not options or not are_known(options, effects.option_fields.outreach) or #options.items > 0 then
        return
    end
    local fields = options.fields
    tell(fields.goal and wrong_choice("outreach", options, { "goal", "goals" }) or nil, options)
    tell(wrong_table(limits.variables_of, "outreach", fields.vars), fields.vars)
    if fields.goals and fields.goals.table and not fields.goals.table.is_open and is_complete(fields.goals.table.items) then
        tell(wrong_of(limits.check_goal_count, #fields.goals.table.items), fields.goals)
    end
    if fields.steps and fields.steps.table then
        check_steps(tell, fields.steps.table)
    end
end

function checks.history(tell, arguments)
    tell(arguments[1] and wrong_literal(facts.limit_of, "history", arguments[1]), arguments[1])
end

function checks.conversations(tell, arguments)
    tell(arguments[1] and wrong_literal(facts.limit_of, "conversations", arguments[1]), arguments[1])
end

-- A call of an effect or a reading method by its name; `owner` is "contact" or "conversation" when it is surely one.
function review_arguments.check(file, method, arguments, line, owner)
    local function tell(wrong, written)
        if wrong then
            problem("error", { file = file, line = written and written.line or line }, wrong)
        end
    end
    local first = arguments[1]
    if needs_first[method] and (not first or first.is_nil) then
        tell(wrong_of(needs_first[method]), first)
    elseif checks[method] then
        checks[method](tell, arguments, owner)
    end
end

-- Calls of helpers ------------------------------------------------------------------------------------------------------

-- What stands for arguments that are computed, or that are judged elsewhere (false: it need not be there).
local stand_ins = {
    money = { 100, "usd" }, duration = { "1h" }, seconds = { 1 }, minutes = { 1 }, hours = { 1 }, days = { 1 },
    date = { "%F", 0, false }, local_time = { 0, false }, has = { "text", "word" }, is = { "text", "word" },
}
local is_text_first = { has = true, is = true }
local judged_elsewhere = { date = { [1] = true, [3] = true }, local_time = { [2] = true } }

-- has(e.message, "refund"): is the first argument a part of the event, which is a table?
local function is_part(list, argument)
    return argument and argument.to == argument.from + 2 and is(list[argument.from], "e") and is(list[argument.from + 1], ".")
        and event_types.part_fields[list[argument.to].text] ~= nil
end

-- money(19.5, "usd"), duration("4 hous"), has(text, ""): the helper `list[at]`, called with literals.
function review_arguments.check_helper(file, list, at)
    local name = list[at].text
    local instead = stand_ins[name]
    local arguments = instead and tokens.arguments(list, at)
    if not arguments or is(list[at - 1], "function") then
        return
    end
    local given, count = {}, #arguments
    for place, argument in ipairs(arguments) do
        local is_literal, value = value_of(argument)
        local elsewhere = judged_elsewhere[name] and judged_elsewhere[name][place]
        if is_literal and not elsewhere then
            given[place] = value
        elseif place == 1 and is_text_first[name] and is_part(list, argument) then
            given[place] = {}
        else
            given[place] = instead[place] or instead[#instead] or nil
        end
    end
    if not is_complete(arguments) then
        for place = count + 1, #instead do
            given[place], count = instead[place] or nil, place
        end
    end
    local wrong = wrong_of(values[name], table.unpack(given, 1, count))
    if wrong and not has_own(list, name) then
        problem("error", { file = file, line = list[at].line }, wrong)
    end
end

return review_arguments
