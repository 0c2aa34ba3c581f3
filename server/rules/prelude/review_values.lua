-- Values that are written as literals in calls of effects: durations, event types, names, texts with variables. What they
-- would fail for when the rule runs is told before.

local host, use = ...
local support, event_types, templates, identities = use "support", use "event_types", use "templates", use "identities"
local problem, is = support.problem, use("source_tokens").is

local limits, declarations, did_you_mean = use "effect_arguments", use "declarations", support.did_you_mean
local wrong_format, has_own = use("values").wrong_format, use("source_check").has_own
local effects = use "effects"
local handles = use "review_handles"
local known = effects.option_fields.outreach

local review_values = {}

local function check_duration(file, what, value, line)
    local text = value and value.text
    local _, wrong = nil, nil
    if text then
        _, wrong = support.duration_ms(text)
    end
    if wrong then
        problem("error", { file = file, line = value.line or line }, string.format("%s: %s", what, wrong))
    end
end

-- A literal of a field that takes one of a few words.
function review_values.check_choice(file, what, value, field)
    local choices = type(field) == "table" and (type(field.type) == "table" and field.type or field) or {}
    if not value or not value.text or #choices == 0 then
        return
    end
    for _, choice in ipairs(choices) do
        if choice == value.text then
            return
        end
    end
    problem("error", { file = file, line = value.line }, string.format("%s is '%s', which is not one of %s%s", what,
        value.text, table.concat(choices, ", "), did_you_mean(value.text, choices)))
end

-- No language of that name is found, and the default one is taken.
local function check_language(file, what, value)
    if value and value.text and not templates.is_language(value.text) then
        problem("warning", { file = file, line = value.line },
            string.format("%s: '%s' is not a language; write \"en\" or \"pt-BR\"", what, value.text))
    end
end

local function check_unless(file, value)
    if not value then
        return
    end
    for _, item in ipairs(value.table and value.table.items or { value }) do
        local wrong = item.text and item.text ~= "reply" and event_types.wrong(item.text)
        if wrong then
            problem("error", { file = file, line = item.line }, string.format("unless: %s (or \"reply\")", wrong))
        end
    end
end

-- {{name}} in a text that a rule gives itself, which 'vars' does not have.
local function check_text(file, what, options, outer)
    local text, vars = options.fields.text, options.fields.vars
    local given = vars and vars.table or nil
    if not text or not text.text or vars and not given or options.is_open or outer and outer.is_open then
        return
    end
    local also = outer and outer.fields.vars
    if also and not also.table then
        return
    end
    for _, one in ipairs { given or false, also and also.table or false } do
        if one and (one.is_open or #one.items > 0) then
            return
        end
    end
    for _, name in ipairs((templates.placeholders(text.text))) do
        if not (given and given.fields[name]) and not (also and also.table.fields[name]) then
            problem("error", { file = file, line = text.line },
                string.format("%s: the text has {{%s}}, and 'vars' has no '%s'", what, name, name))
        end
    end
end

local function check_steps(file, options)
    local steps = options.fields.steps and options.fields.steps.table
    for position, item in ipairs(steps and steps.items or {}) do
        if item.table then
            local what = "outreach: step " .. position
            check_duration(file, what, item.table.fields.after, item.line)
            check_text(file, what, item.table, options)
            local channel = item.table.fields.channel
            if channel and channel.text and channel.text ~= "other" then
                handles.check_channel(file, what, channel.text, channel.line)
            end
        end
    end
end

local checks = {}

function checks.after(file, arguments, line)
    check_duration(file, "after", arguments[1], line)
    check_unless(file, arguments[3] and arguments[3].table and arguments[3].table.fields.unless)
end

function checks.snooze(file, arguments, line)
    check_duration(file, "snooze", arguments[1], line)
end

function checks.open_conversation(file, arguments)
    local options = arguments[1] and arguments[1].table
    local channel = options and options.fields.channel
    check_duration(file, "open_conversation: reopen", options and options.fields.reopen)
    if channel and channel.text then
        handles.check_channel(file, "open_conversation", channel.text, channel.line)
    end
end

function checks.send(file, arguments)
    local first = arguments[1]
    if first and first.table then
        check_text(file, "send", first.table)
        check_language(file, "send", first.table.fields.language)
    elseif first and first.text and declarations.declared.template[first.text] then
        problem("warning", { file = file, line = first.line },
            string.format("send: \"%s\" is sent as a text, and is the name of a template", first.text),
            string.format("the template itself is sent by send { template = \"%s\" }", first.text))
    end
end

function checks.prioritize(file, arguments)
    review_values.check_choice(file, "prioritize: 'priority'", arguments[1], effects.option_fields.open_conversation.priority)
end

function checks.assign(file, arguments, line, of_conversation)
    if of_conversation and #arguments == 0 then
        problem("warning", { file = file, line = line }, "assign: without an assignee it takes the conversation back from who has it",
            "write assign(nil) when that is meant")
    end
end

-- What is a conversation's own is not set as an attribute, although it can be.
local own = { priority = "prioritize(…)", assignee = "assign(…)", tags = "tag(…)", state = "resolve() or snooze(…)" }

function checks.set(file, arguments, line, of_conversation)
    local key = arguments[1] and arguments[1].text
    if key and #arguments == 1 then
        problem("warning", { file = file, line = line }, string.format("set: \"%s\" is given no value, which takes it away", key),
            string.format("write set(\"%s\", true), or set(\"%s\", nil) to take it away", key, key))
    elseif of_conversation and key and own[key] then
        problem("warning", { file = file, line = line },
            string.format("set: \"%s\" becomes an attribute; the conversation's own '%s' stays as it is", key, key),
            string.format("the conversation's own is changed by %s", own[key]))
    elseif not of_conversation and key == "language" then
        check_language(file, "set", arguments[2])
    end
end

-- `text` is an identity as a whole. When the rule runs, a wrong one is refused; one that is written out is a mistake.
local function check_identity(file, what, text, line)
    local is_well, wrong = pcall(identities.check, what, text)
    if not is_well then
        problem("error", { file = file, line = line }, (string.gsub(tostring(wrong), "^[^ ]*:%d+: ", "")))
    end
end

function checks.identify(file, arguments, line)
    local text = arguments[1] and arguments[1].text
    if text then
        check_identity(file, "identify", text, line)
        handles.check_handle(file, "identify", string.match(text, "^([%a][%w_]*):"), line)
    end
end

function checks.identity(file, arguments, line)
    local kind = arguments[1] and arguments[1].text
    if kind then
        handles.check_handle(file, "identity", kind, line)
    end
end

function checks.prefer(file, arguments, line)
    local channel = arguments[1] and arguments[1].text
    if channel then
        handles.check_channel(file, "prefer", channel, line)
    end
end

function checks.can_reach(file, arguments, line)
    local channel = arguments[1] and arguments[1].text
    if channel then
        handles.check_reachable(file, channel, line)
    end
end

-- What names the person that an event is emitted for: "email:…", or fields of these kinds.
function checks.emit(file, arguments)
    local options = arguments[3] and arguments[3].table
    local contact = options and options.fields.contact
    for _, name in ipairs(support.keys(contact and contact.table and contact.table.fields or {})) do
        local field = contact.table.fields[name]
        if name ~= "name" and name ~= "language" then
            handles.check_handle(file, "emit: contact", name, field.line)
            if field.text and string.find(field.text, "%S") then
                check_identity(file, "emit: contact", name .. ":" .. field.text, field.line)
            end
        end
    end
    for _, item in ipairs(contact and (contact.table and contact.table.items or { contact }) or {}) do
        handles.check_handle(file, "emit: contact", string.match(item.text or "", "^([%a][%w_]*):"), item.line)
        if item.text then
            check_identity(file, "emit", item.text, item.line)
        end
    end
end

function checks.outreach(file, arguments)
    local options = arguments[1] and arguments[1].table
    if not options then
        return
    end
    check_steps(file, options)
    check_duration(file, "outreach: grace", options.fields.grace)
    local is_read = not options.is_open and #options.items == 0
    for name in pairs(options.fields) do
        is_read = is_read and known[name] ~= nil -- else it is a misspelt one
    end
    if is_read and not options.fields.goal and not options.fields.goals then
        problem("error", { file = file, line = options.line }, "outreach needs one of 'goal', 'goals'",
            "name the event that ends it, as in goal = \"payment.succeeded\"")
    end
end

-- What the method, token `at`, is called on for certain: "conversation" or "contact", which is that of the event, a variable
-- made of it, or a conversation that is opened; nil when one cannot tell.
local owners = { conversation = "conversation", open_conversation = "conversation", contact = "contact" }

function review_values.owner_of(list, at)
    local owner = list[at - 2]
    if not owner or owner.kind ~= "name" then
        return nil
    elseif is(list[at - 3], ".") then
        return owners[owner.text]
    end
    for place = 1, at - 5 do
        local value = list[place + 5]
        if is(list[place], "local") and is(list[place + 1], owner.text) and is(list[place + 2], "=") then
            return value and value.kind == "name" and owners[value.text] or nil
        end
    end
    return nil
end

-- date("%Q", now())
function review_values.check_date(file, list, at)
    local format = is(list[at], "date") and is(list[at + 1], "(") and list[at + 2]
    local wrong = format and format.kind == "text" and format.text and wrong_format(format.text)
    if wrong and not has_own(list, "date") then
        problem("error", { file = file, line = format.line }, "date: " .. wrong)
    end
end

-- A call of an effect by its name, with the arguments as they are written. `of_conversation`: it is surely one of those.
function review_values.check(file, method, arguments, line, of_conversation)
    local most = limits.most[method]
    if most and #arguments > most then
        problem("error", { file = file, line = line }, limits.too_many(method))
    end
    local check = checks[method]
    if check then
        for _, argument in ipairs(arguments) do
            argument.line = argument.line or line
        end
        check(file, arguments, line, of_conversation)
    end
end

-- calendar("office").open(…)
function review_values.check_calendar(file, list, at, methods)
    local last = is(list[at + 1], "(") and at + 3 or at + 1
    local sign, member = list[last + 1], list[last + 2]
    if is(list[at], "calendar") and is(sign, ".") and member and methods[member.text] and is(list[last + 3], "(") then
        problem("error", { file = file, line = member.line },
            string.format("calendar(…).%s: call it with a colon, as in calendar(…):%s(…)", member.text, member.text))
    end
end

return review_values
