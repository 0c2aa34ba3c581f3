-- fx, and the handles of contacts and conversations: what a rule asks for. Every method checks its arguments and
-- appends one effect to the list of the running rule; nothing else happens here.

local host, use = ...
local support, event_types = use "support", use "event_types"
local identities, arguments = use "identities", use "effect_arguments"
local fault, check_effect, argument, type_word = support.fault, support.check_effect, support.argument,
    support.type_word
local unwrap, did_you_mean, plain, shown = support.unwrap, support.did_you_mean, support.plain, support.shown

local need_declared, variables_of, template_lacks = arguments.need_declared, arguments.variables_of,
    arguments.template_lacks
local try_message_text, message_text = arguments.try_message_text, arguments.message_text
local exactly_one, media_of, buttons_of, unless_of = arguments.exactly_one, arguments.media_of, arguments.buttons_of,
    arguments.unless_of

local effects = {}

-- The run in progress.
local current

-- What effects call a conversation, by its view.
effects.handles = setmetatable({}, { __mode = "k" })
local handles = effects.handles

local function running(what)
    if not current or current.mode ~= "run" then
        fault("%s: effects are for the 'run' function of a rule", what)
    end
    return current
end

local function append(run, effect)
    local file, line = host.where()
    local list = run.list
    if not list then
        list = host.array {}
        run.list = list
    end
    if #list >= host.max_effects then
        -- Kept with its place: the rule may catch the error.
        run.over = string.format("%s:%d: more than %s in one call", file or run.rule.file, line or run.rule.line,
            support.counted(host.max_effects, "effect"))
        error(run.over, 0)
    end
    effect.line = line or run.rule.line
    list[#list + 1] = effect
end

-- One table for all runs: {mode, rule, list, opened, opened_count, over, stop}.
local the_run = { mode = "run" }

-- Most rules say no to most events in their `when`, which leaves nothing behind that the next rule could see.
function effects.begin(rule)
    local run = the_run
    if run.mode == "run" then
        run.list, run.opened, run.opened_count, run.over, run.stop = nil, nil, 0, nil, nil
        run.mode = "when"
    end
    run.rule = rule
    current = run
    return run
end

-- Did the run ask for more effects than it may?
function effects.is_over()
    return current ~= nil and current.over ~= nil
end

local function handle_of(conversation, what)
    local handle = handles[conversation]
    if not handle then
        fault("%s: call it with a colon on a conversation, as in c:%s(…)", what, what)
    end
    return handle
end

-- Conversations -------------------------------------------------------------------------------------------------------

local conversation = {}
effects.conversation_methods = conversation

-- Words of other tools, and ours.
effects.meant = {
    close = ":resolve()", reply = ":send(…)", send_message = ":send(…)", message = ":send(…)", send_template = ":send { template = … }",
    comment = ":note(…)", add_note = ":note(…)", private_note = ":note(…)", add_tag = ":tag(…)", add_label = ":tag(…)", label = ":tag(…)",
    set_tag = ":tag(…)", remove_tag = ":untag(…)", remove_label = ":untag(…)", set_priority = ":prioritize(…)", unassign = ":assign(nil)",
    assign_to = ":assign(…)", wait = ":after(delay, name)", delay = ":after(delay, name)", schedule = ":after(delay, name)",
    timer = ":after(delay, name)",
}

local send_fields = {
    text = "text", template = "text", media = "table", vars = "table", buttons = "table", language = "name",
    on_unknown = { "resend", "give_up", "hold" }, quiet = { "respect", "ignore" }, reply_to = "text",
}

support.also_called(send_fields, {
    body = "text", message = "text", content = "text", variables = "vars", params = "vars", parameters = "vars", data = "vars",
    lang = "language", locale = "language", attachment = "media", image = "media",
})

function conversation:send(options, more)
    local run = running("send")
    local handle = handle_of(self, "send")
    if type(unwrap(more)) == "table" then -- gsub gives a number behind its text
        fault("%s", arguments.too_many("send"))
    end
    if type(options) == "string" then
        options = { text = options }
    elseif type(unwrap(options)) ~= "table" then
        fault("send takes a text or a table, not %s%s", type_word(options),
            options == nil and ": say what stands for what is missing, as in (name or \"there\")" or "")
    end
    local given = check_effect("send", options, send_fields)
    local main_text = not given.media and given.text or nil -- beside media it is the caption
    local what = exactly_one("send", { text = main_text, template = given.template, media = given.media },
        "text", "template", "media")
    local variables = variables_of("send", given.vars)
    local effect = {
        ["do"] = "send", conversation = handle, language = given.language, on_unknown = given.on_unknown,
        quiet = given.quiet, reply_to = given.reply_to, buttons = buttons_of("send", given.buttons),
    }
    if what == "template" then
        local template = need_declared("send", "template", given.template)
        local lacks = template_lacks(given.template, template, variables)
        if lacks then
            fault("send: %s", lacks)
        end
        effect.template, effect.vars = given.template, variables
    elseif what == "media" then
        effect.media = media_of("send", given.media)
        if given.text then
            if effect.media.caption then
                fault("send: the media has a caption; give it or 'text', not both")
            end
            effect.media.caption = message_text("send", given.text, variables)
        end
    else
        effect.text = message_text("send", given.text, variables)
    end
    append(run, effect)
end

function conversation:note(text)
    local run = running("note")
    local handle = handle_of(self, "note")
    append(run, { ["do"] = "note", conversation = handle, text = argument("note", "text", "text", text) })
end

local function tagging(name)
    return function(self, ...)
        local run = running(name)
        local handle = handle_of(self, name)
        local count = select("#", ...)
        if count == 0 then
            fault("%s", arguments.no_tag(name))
        end
        for position = 1, count do
            for _, tag in ipairs(arguments.tags_of(name, (select(position, ...)))) do
                append(run, { ["do"] = name, conversation = handle, tag = tag })
            end
        end
    end
end
conversation.tag = tagging("tag")
conversation.untag = tagging("untag")

-- assign(nil) takes the conversation back from whoever had it.
function conversation:assign(assignee)
    local run = running("assign")
    local handle = handle_of(self, "assign")
    assignee = argument("assign", "assignee", "name", assignee, true)
    append(run, { ["do"] = "assign", conversation = handle, assignee = assignee })
end

local priorities = { "low", "normal", "high", "urgent" }

function conversation:prioritize(priority)
    local run = running("prioritize")
    local handle = handle_of(self, "prioritize")
    append(run, {
        ["do"] = "prioritize", conversation = handle, priority = argument("prioritize", "priority", priorities, priority),
    })
end

function conversation:set(key, value)
    local run = running("set")
    local handle = handle_of(self, "set")
    value = plain(value, "set: the value")
    append(run, { ["do"] = "set", conversation = handle, key = arguments.key("set", key), value = value })
end

-- What is said of a number that is no time; nil when it is one.
function effects.wrong_time(value)
    if value ~= value or value < 1000000000 or value > 32503680000 then
        return "snooze: a number is a time such as now() + hours(4); for a duration write \"4h\""
    end
    return nil
end

-- snooze("4h"), or snooze(time).
function conversation:snooze(value)
    local run = running("snooze")
    local handle = handle_of(self, "snooze")
    if type(value) == "number" then
        local wrong = effects.wrong_time(value)
        if wrong then
            fault("%s", wrong)
        end
        append(run, { ["do"] = "snooze", conversation = handle, ["until"] = host.iso(value) })
    else
        local for_ms = argument("snooze", "duration", "duration", value)
        append(run, { ["do"] = "snooze", conversation = handle, for_ms = for_ms })
    end
end

function conversation:resolve()
    local run = running("resolve")
    append(run, { ["do"] = "resolve", conversation = handle_of(self, "resolve") })
end

function conversation:survey(name)
    local run = running("survey")
    local handle = handle_of(self, "survey")
    name = argument("survey", "name", "text", name)
    need_declared("survey", "survey", name)
    append(run, { ["do"] = "survey", conversation = handle, survey = name })
end

local after_fields = support.also_called({ unless = "any", data = "table" }, {
    cancel_on = "unless", stop_on = "unless", ["until"] = "unless", payload = "data", body = "data",
})

-- after("4h", "nudge", { unless = "reply", data = {…} }): the event timer.nudge in four hours.
function conversation:after(delay, name, options)
    local run = running("after")
    local handle = handle_of(self, "after")
    local given = check_effect("after", options or {}, after_fields)
    append(run, {
        ["do"] = "after", conversation = handle, delay_ms = argument("after", "delay", "duration", delay),
        name = arguments.timer_name("after", name), unless = unless_of("after", given.unless),
        data = plain(given.data, "after: data"),
    })
end

function conversation:cancel(name)
    local run = running("cancel")
    local handle = handle_of(self, "cancel")
    append(run, { ["do"] = "cancel", conversation = handle, name = arguments.timer_name("cancel", name) })
end

-- Contacts ------------------------------------------------------------------------------------------------------------

local contact = {}
effects.contact_methods = contact

-- "name", "language" and "timezone" are the contact's own; any other key is an attribute.
function contact:set(key, value)
    local run = running("set")
    value = arguments.contact_value(key, value)
    append(run, { ["do"] = "contact_set", key = arguments.key("set", key), value = plain(value, "set: the value") })
end

function contact:identify(identity)
    local run = running("identify")
    -- One that is wrong is refused where effects are carried out, and the trace says why.
    identity = identities.read("identify", argument("identify", "identity", "text", identity))
    append(run, { ["do"] = "identify", identity = identity })
end

function contact:opt_out(topic)
    local run = running("opt_out")
    append(run, { ["do"] = "opt_out", topic = argument("opt_out", "topic", "name", topic, true) or "all" })
end

function contact:opt_in(topic)
    local run = running("opt_in")
    append(run, { ["do"] = "opt_in", topic = argument("opt_in", "topic", "name", topic, true) or "all" })
end

function contact:prefer(channel)
    local run = running("prefer")
    append(run, { ["do"] = "prefer", channel = argument("prefer", "channel", "name", channel) })
end

-- fx ------------------------------------------------------------------------------------------------------------------

local fx = {}
effects.fx_methods = fx

local function need_contact(what)
    if not effects.event.contact then
        fault("%s: the event has no contact; emit an event for one with fx:emit(name, body, { contact = … })", what)
    end
end

local open_fields = {
    topic = "name", channel = "name", reference = "name", tags = "words", priority = priorities, reopen = "duration",
}

-- The conversation that the desk will continue for these options, and whether it must be opened again for that.
local function continued(run, topic, reference, reopen_ms)
    local best
    for _, row in ipairs(effects.conversation_rows()) do
        if (row.topic or "support") == topic and (row.reference or "") == reference then
            if row.state ~= "resolved" then
                return row
            end
            local resolved_at = row.resolved_at
            if reopen_ms and resolved_at and resolved_at * 1000 + reopen_ms >= host.now() * 1000
                and (not best or resolved_at > best.at) then
                best = { row = row, at = resolved_at }
            end
        end
    end
    return best and best.row
end

-- What the desk makes of a conversation that is open already: the tags that it lacks are added, the priority only rises.
local function join(data, given)
    local tags = host.array { table.unpack(data.tags or {}) }
    local has, ranks = support.set_of(tags), {}
    for _, tag in ipairs(given.tags or {}) do
        if not has[tag] then
            has[tag] = true
            tags[#tags + 1] = tag
        end
    end
    for rank, name in ipairs(priorities) do
        ranks[name] = rank
    end
    data.tags = tags
    if given.priority and ranks[given.priority] > (ranks[data.priority or "normal"] or 0) then
        data.priority = given.priority
    end
end

function fx:open_conversation(options)
    local run = running("open_conversation")
    need_contact("open_conversation")
    if type(options) == "string" then
        fault("open_conversation takes a table, as in open_conversation { topic = \"%s\" }", options)
    end
    local given = check_effect("open_conversation", options or {}, open_fields)
    local topic, reference = given.topic or "support", given.reference or ""
    local key = topic .. "\0" .. reference
    run.opened = run.opened or {}
    local known = run.opened[key]
    run.opened_count = run.opened_count + 1
    local handle = "#" .. run.opened_count
    append(run, {
        ["do"] = "open_conversation", handle = handle, topic = topic, channel = given.channel,
        reference = given.reference, tags = given.tags and #given.tags > 0 and given.tags or nil,
        priority = given.priority, reopen_ms = given.reopen,
    })
    local row = known or continued(run, topic, reference, given.reopen)
    local data
    if row then
        data = plain(row, "a conversation")
        data.is_new = false
        if data.state == "resolved" and given.priority then
            data.priority = given.priority
        end
        join(data, given)
    else
        data = {
            topic = topic, reference = reference, state = "open", priority = given.priority or "normal",
            is_new = true, tags = given.tags or {}, attributes = {},
        }
    end
    run.opened[key] = data
    return effects.conversation_view(data, handle)
end

local outreach_fields = {
    topic = { type = "name", required = true }, reference = "name", goal = "name", goals = "words",
    steps = { type = "table", required = true }, vars = "table", next_attempt = "any", grace = "duration",
}
local step_fields = {
    after = "duration", template = "text", text = "text", note = "text", assign = "name", channel = "name",
    quiet = { "respect", "ignore" }, language = "text", buttons = "table", vars = "table",
}

support.also_called(step_fields, {
    delay = "after", wait = "after", at = "after", message = "text", body = "text", variables = "vars", assignee = "assign", lang = "language",
})

-- The events that end it: 'goal' or the list 'goals'.
local function goals_of(given)
    exactly_one("outreach", given, "goal", "goals")
    local list = given.goals or { given.goal }
    for _, goal in ipairs(list) do
        local wrong = event_types.wrong(goal)
        if wrong then
            fault("outreach: goal: %s", wrong)
        end
    end
    arguments.check_goal_count(#list)
    return list
end

function fx:outreach(options)
    local run = running("outreach")
    need_contact("outreach")
    local given = check_effect("outreach", options, outreach_fields)
    local goals = goals_of(given)
    local variables = variables_of("outreach", given.vars)
    local steps, last = {}, 0
    local list = unwrap(given.steps)
    for position, item in ipairs(list) do
        local what = "outreach: step " .. position
        local step = check_effect(what, item, step_fields)
        local kind
        if step.note or step.assign then
            kind = "note"
            exactly_one(what, { template = step.template, text = step.text, note = step.note or step.assign },
                "template", "text", "note")
        else
            kind = exactly_one(what, step, "template", "text", "note")
        end
        local own = step.vars and variables_of(what, step.vars)
        local all = setmetatable({}, { __index = function(_, key) return own and own[key] or variables[key] end })
        -- What a later step lacks does not keep the first from the customer: that step is left out, with the reason.
        local lacks
        if kind == "template" then
            lacks = template_lacks(step.template, need_declared(what, "template", step.template), all)
        elseif kind == "text" then
            local text = step.text
            step.text, lacks = try_message_text(what, text, all)
            step.text = step.text or text
        end
        if lacks and position == 1 then
            fault("%s: %s", what, lacks)
        elseif lacks then
            lacks = string.format("step %d is left out: %s", position, lacks)
        end
        local after = step.after or last
        if after < last then
            fault("%s", arguments.due_too_early(what))
        end
        last = after
        steps[position] = {
            after_ms = after, template = step.template, text = step.text, note = step.note, assign = step.assign,
            channel = step.channel, quiet = step.quiet, language = step.language,
            buttons = buttons_of(what, step.buttons), vars = own, lacks = lacks,
        }
    end
    arguments.check_step_count(#steps)
    local next_attempt = given.next_attempt
    if next_attempt == nil and effects.event.payment then
        next_attempt = effects.event.payment.next_attempt
    end
    if next_attempt ~= nil and type(next_attempt) ~= "number" then
        fault("outreach: 'next_attempt' is a time such as e.payment.next_attempt, not %s", type_word(next_attempt))
    end
    append(run, {
        ["do"] = "outreach", topic = given.topic, reference = given.reference, goal = goals[1],
        goals = #goals > 1 and goals or nil, steps = steps, vars = variables, next_attempt = next_attempt and host.iso(next_attempt), grace_ms = given.grace,
    })
end

local webhook_fields = { type = "name" }

function fx:webhook(endpoint, body, options)
    local run = running("webhook")
    endpoint = argument("webhook", "endpoint", "text", endpoint)
    need_declared("webhook", "endpoint", endpoint)
    local given = check_effect("webhook", options or {}, webhook_fields)
    arguments.check_body("webhook", body)
    append(run, {
        ["do"] = "webhook", endpoint = endpoint,
        -- The types of Standard Webhooks have no '-', names of timers and sources may.
        type = given.type or (string.gsub(effects.event.type, "-", "_")),
        body = plain(body, "webhook: the body") or {},
    })
end

local emit_fields = { contact = "any" }
local handle_words = {}
for _, kind in ipairs(host.personal_handles) do
    handle_words[kind] = string.format("contact = { %s = … }", kind)
end
support.also_called(emit_fields, handle_words)

-- emit("ticket_resolved", { … }, { contact = { email = … } }): the event custom.ticket_resolved, handled in that
-- contact's turn. Without a contact it is about the one of this event.
function fx:emit(name, body, options)
    local run = running("emit")
    name = arguments.event_name("emit", name)
    local given = check_effect("emit", options or {}, emit_fields)
    arguments.check_body("emit", body)
    local contact, left_out
    if given.contact ~= nil then
        contact, left_out = identities.contact("emit", given.contact)
    end
    append(run, {
        ["do"] = "emit", name = name, body = plain(body, "emit: the body") or {}, contact = contact, left_out = left_out,
    })
end

-- The options of each effect, for the checks of sources.
effects.option_fields = {
    send = send_fields, media = arguments.media_fields, after = after_fields, open_conversation = open_fields,
    outreach = outreach_fields, step = step_fields, webhook = webhook_fields, emit = emit_fields,
}

-- No further rule runs on this event.
function fx:stop()
    running("stop").stop = true
end

-- What is said of a name that fx does not have: most are effects of a conversation or of the contact.
function effects.fx_lacks(key)
    if conversation[key] then
        return string.format("fx has no '%s'; it is for a conversation: e.conversation:%s(…) or fx:open_conversation{…}:%s(…)",
            key, key, key)
    elseif contact[key] then
        return string.format("fx has no '%s'; it is for the contact: e.contact:%s(…)", key, key)
    elseif effects.meant[key] then
        return string.format("fx has no '%s'; write e.conversation%s", key, effects.meant[key])
    end
    return string.format("fx has no %s%s", shown(key), did_you_mean(key, support.keys(fx)))
end

effects.fx = support.view({}, fx, "fx", function(key) fault("%s", effects.fx_lacks(key)) end)

return effects
