-- What a test's function gets as `t`. The verbs are the host's; here is looked at how they are called: an option that no
-- verb knows would else be taken for one that does not matter, and the test would pass without testing anything.

local host, use = ...
local support, event_types = use "support", use "event_types"
local fault, did_you_mean = support.fault, support.did_you_mean

local tester = {}

local function words(text)
    local list = {}
    for word in string.gmatch(text, "%S+") do
        list[#list + 1] = word
    end
    return list
end

local function joined(...)
    local all = {}
    for _, list in ipairs { ... } do
        table.move(list, 1, #list, #all + 1, all)
    end
    return all
end

local parts = event_types.part_fields
local handles = "whatsapp telegram messenger instagram stripe phone email identities"
local person = words(handles .. " name language timezone username recipient former_identities contact_id identity")
local message_columns = words [[id created_at occurred_at conversation_id contact_id direction source channel identity kind text
    content author provider_message_id reply_to event_id outreach_id survey_id state reason error_code queued_at sent_at
    delivered_at read_at failed_at edited_at deleted_at contains of count]]

-- The options of each verb's table; of verbs with a text before it, those of the second argument.
local options = {
    contact = words(handles .. " name language timezone prefer preferred_channel opted_out attributes window"),
    message = joined(parts.message, words "from channel"),
    edit = words "id text from channel",
    delete = words "id from channel",
    tap = words "button from",
    event = joined(event_types.fields, words "contact source"),
    status = words "code reason of",
    window = words "of",
    provider = words "code reason channel count",
    expect_sent = words [[text contains kind author channel to recipient topic rule reply_to template language vars media survey
        step approved approved_name parameters buttons]],
    expect_held = words "reason",
    expect_conversation = joined(parts.conversation, words "contains of count"),
    expect_survey = joined(parts.survey, words "message_id rule of count"),
    expect_outreach = joined(parts.outreach, words "of count"),
    expect_timer = joined(parts.timer, words [[lane contact_id conversation_id outreach_id survey_id cause_event depth
        counts_from of count]]),
    expect_contact = joined(parts.contact, words "lane merged_into settled of count"),
    expect_note = message_columns,
    expect_message = message_columns,
    expect_webhook = words "endpoint type body timestamp",
    expect_event = joined(event_types.fields, words "lane survey_id outreach_id count"),
    expect_error = words "rule contains",
}

local function check_keys(what, given, known, hint)
    local set = support.set_of(known)
    for _, key in ipairs(support.keys(support.unwrap(given))) do
        if type(key) == "string" and not set[key] then
            local near = did_you_mean(key, known)
            fault("%s has no '%s'%s", what, key, near ~= "" and near or "; " .. (hint or "it has " .. table.concat(known, ", ")))
        end
    end
end

-- A field of the event itself that belongs into one of its tables.
local function check_place(kind, fields)
    local family = string.match(kind, "^(%a+)%.")
    local is_own = family == "custom" or family == "webhook"
    for _, key in ipairs(support.keys(fields)) do
        local is_known = type(key) ~= "string" or support.set_of(options.event)[key]
        if not is_known and is_own and did_you_mean(key, options.event) ~= "; did you mean 'body'?" then
            fault("t:event has no '%s'; write body = { %s = … }", key, key)
        elseif not is_known and parts[family] and support.set_of(parts[family])[key] then
            fault("t:event has no '%s'; write %s = { %s = … }", key, family, key)
        end
    end
end

local states = words "sent delivered read played failed"

local checks = {}

-- Types and fields as rules see them; what else is in a part, no rule would find.
function checks.event(kind, fields)
    local wrong = type(kind) == "string" and (string.find(kind, "*", 1, true) and "one event has no '*'"
        or kind ~= "agent.action" and event_types.wrong(kind))
    if wrong then
        fault("t:event: %s", wrong)
    elseif type(fields) ~= "table" or type(kind) ~= "string" then
        return
    end
    check_place(kind, fields)
    for part, known in pairs(parts) do
        if type(fields[part]) == "table" and part ~= "contact" then
            check_keys("t:event: '" .. part .. "'", fields[part], known)
        end
    end
    if type(fields.contact) == "table" then
        check_keys("t:event: 'contact'", fields.contact, person)
    end
end

function checks.status(state)
    if type(state) == "string" and not support.set_of(states)[state] then
        local near = did_you_mean(state, states)
        fault("t:status: '%s' is no state%s", state, near ~= "" and near or "; there are " .. table.concat(states, ", "))
    end
end

local hints = {
    event = "what a custom event or a webhook brings is in body = { … }",
    expect_event = "what a custom event or a webhook brings is in body = { … }",
}

local function check_arguments(verb, first, second)
    local known = options[verb]
    local check = checks[verb]
    if check then
        check(first, second)
    end
    for _, argument in ipairs { first or false, second or false } do
        if known and type(argument) == "table" then
            check_keys("t:" .. verb, argument, known, hints[verb])
        end
    end
end

-- t:VERB(…) goes to the host, whatever the verb.
tester.t = setmetatable({}, {
    __index = function(self, verb)
        return function(caller, ...)
            if caller ~= self then
                fault("t.%s: call it with a colon, as in t:%s(…)", verb, verb)
            end
            check_arguments(verb, ...)
            return host.verb(verb, ...)
        end
    end,
    __metatable = false,
})

return tester
