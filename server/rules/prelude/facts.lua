-- The event as a rule sees it: its fields, its contact and its conversation, read-only, times as seconds since 1970.

local host, use = ...
local support, event_types, effects, values = use "support", use "event_types", use "effects", use "values"
local fault, did_you_mean, view, unwrap = support.fault, support.did_you_mean, support.view, support.unwrap

local facts = {}

-- Does a field of this name hold a time? Remembered, for there are few names and many events.
local is_time = support.set_of {
    "next_attempt", "cancel_at", "current_period_start", "current_period_end", "trial_end", "snoozed_until", "up_to",
}
setmetatable(is_time, {
    __index = function(_, key)
        return type(key) == "string" and string.sub(key, -3) == "_at"
    end,
})

-- Turns the ISO texts of a row's time fields into numbers, in place.
local function with_times(row)
    for key, value in next, row do
        if type(value) == "string" and is_time[key] then
            row[key] = host.parse_time(value) or value
        end
    end
    return row
end

-- What happens on a read of a field that is not there: nil, or an error when the name is nearly a known one.
local function near_miss(what, fields, methods)
    local known = support.set_of(fields)
    local choices = { table.unpack(fields) }
    for name in next, methods or {} do
        choices[#choices + 1] = name
    end
    table.sort(choices)
    return function(key)
        if known[key] or type(key) ~= "string" or #key < 3 then
            return nil
        end
        local hint = did_you_mean(key, choices)
        if hint ~= "" then
            fault("%s has no field '%s'%s", what, key, hint)
        end
        return nil
    end
end

-- Methods that read ---------------------------------------------------------------------------------------------------

local function limit_of(what, value)
    if value == nil then
        return 20
    end
    local limit = type(value) == "number" and math.tointeger(value)
    if not limit or limit < 1 or limit > 200 then
        fault("%s takes a number from 1 to 200", what)
    end
    return limit
end

local function add_reading_methods()
    local conversation = effects.conversation_methods

    -- The last `limit` messages, oldest first.
    function conversation:history(limit)
        local row = unwrap(self)
        if not row.id then
            return {}
        end
        local list = host.history(row.id, limit_of("history", limit)) or {}
        for _, message in ipairs(list) do
            with_times(message)
        end
        return list
    end

    function conversation:has_tag(tag)
        for _, known in ipairs(unwrap(unwrap(self).tags) or {}) do
            if known == tag then
                return true
            end
        end
        return false
    end

    local contact = effects.contact_methods

    -- The last `limit` conversations, newest first, each with the methods of e.conversation.
    function contact:conversations(limit)
        local row = unwrap(self)
        local list = row.id and host.conversations(row.id, limit_of("conversations", limit)) or {}
        for position, item in ipairs(list) do
            list[position] = facts.conversation_view(item, item.id)
        end
        return list
    end

    -- The first handle of a kind: e.contact:identity("email") is "ada@example.com", or nil.
    function contact:identity(kind)
        for _, identity in ipairs(unwrap(unwrap(self).identities) or {}) do
            if type(kind) == "string" and string.sub(identity, 1, #kind + 1) == kind .. ":" then
                return string.sub(identity, #kind + 2)
            end
        end
        return nil
    end

    -- Is there an address on this channel that messages can go to?
    function contact:can_reach(channel)
        for _, known in ipairs(unwrap(unwrap(self).channels) or {}) do
            if known == channel then
                return true
            end
        end
        return false
    end

    -- Has the contact asked not to get messages about this topic?
    function contact:has_opted_out(topic)
        for _, known in ipairs(unwrap(unwrap(self).opted_out) or {}) do
            if known == "all" or known == topic then
                return true
            end
        end
        return false
    end
end
add_reading_methods()

-- Views ---------------------------------------------------------------------------------------------------------------

local part_missing = {}
for part, fields in next, event_types.part_fields do
    local methods = part == "contact" and effects.contact_methods or part == "conversation"
        and effects.conversation_methods
    part_missing[part] = near_miss(part == "contact" and "the contact" or part == "conversation" and "a conversation"
        or "e." .. part, fields, methods or nil)
end

-- What a conversation shows besides the columns of its row. In place.
local function complete_conversation(row)
    with_times(row)
    if row.channel == nil and type(row.identity) == "string" then
        row.channel = string.match(row.identity, "^(%a+):")
    end
    row.tags = row.tags or host.array {}
    row.attributes = row.attributes or {}
    return row
end

-- `handle` is what effects call the conversation: "@", "#1" or its id.
local function decorate_conversation(view, handle)
    effects.handles[view] = handle
    return support.decorate(view, effects.conversation_methods, "a conversation", part_missing.conversation)
end

function facts.conversation_view(row, handle)
    return decorate_conversation(host.freeze(complete_conversation(row)), handle)
end
effects.conversation_view = facts.conversation_view

-- The contact's record, and what the provider says now that the record does not have. Nil when there is neither.
local function complete_contact(row, given)
    if not row and not (given and given.identities and #given.identities > 0) then
        return nil
    end
    local data = with_times(row or {})
    for key, value in next, given or {} do
        if data[key] == nil then
            data[key] = value
        end
    end
    data.attributes = data.attributes or {}
    data.opted_out = data.opted_out or host.array {}
    data.identities = data.identities or host.array {}
    data.channels = data.channels or host.array {}
    return data
end

local known_fields = support.set_of(event_types.fields)

-- The rows of the contact's open and latest conversations, read when they are asked for.
function facts.conversation_rows()
    local rows
    return function()
        rows = rows or host.fact("conversations") or {}
        return rows
    end
end

local function conversation_views()
    local list = host.fact("conversations") or {}
    for position, row in ipairs(list) do
        list[position] = facts.conversation_view(row, row.id)
    end
    return host.freeze(list)
end

local event_methods = {}

-- What the provider sent: a table when it is JSON, else the text; nil when it is not kept.
function event_methods.raw(e)
    return host.raw(e.id)
end

local part_names = {}
for part in next, event_types.part_fields do
    if part ~= "contact" and part ~= "conversation" then
        part_names[part] = "e." .. part
    end
end

-- Fields of the event that are not simply its own.
local made = {
    channel = function()
        return host.fact("channel") or host.event_field("channel") or host.event_field("source")
    end,
    contact = function()
        return complete_contact(host.fact("contact"), host.event_field("contact"))
    end,
    conversation = function()
        local row = host.fact("conversation")
        return row and complete_conversation(row)
    end,
    survey = function()
        return host.fact("survey") or host.event_field("survey")
    end,
    settled = function()
        return host.fact("settled")
    end,
    outreach = function()
        return host.fact("outreach") or host.event_field("outreach")
    end,
}

-- One field as rules see it; nil when the event does not have it.
local function read_field(key)
    local make = made[key]
    local value = nil
    if make then
        value = make()
    else
        value = host.event_field(key)
    end
    if type(value) == "string" and is_time[key] then
        return host.parse_time(value) or value
    elseif type(value) ~= "table" then
        return value
    elseif part_names[key] then
        with_times(value)
        return support.decorate_content(host.freeze(value), value, nil, part_names[key], part_missing[key])
    elseif key == "contact" then
        return support.decorate_content(host.freeze(value), value, effects.contact_methods, "the contact",
            part_missing.contact)
    elseif key == "conversation" then
        return decorate_conversation(host.freeze(value), "@")
    end
    return host.freeze(value)
end

-- The event for one run. Rules read few of its fields, so each is made when it is asked for the first time.
function facts.event()
    local data, conversations = {}, nil
    local view = host.freeze(data)
    local function field(key)
        local value = data[key]
        if value == nil and key ~= "conversations" then
            value = read_field(key)
            data[key] = value
        end
        return value
    end
    local meta = host.metatable(view)
    meta.__index = function(_, key)
        local value = data[key]
        if value ~= nil then
            return value
        elseif event_methods[key] then
            return event_methods[key]
        elseif key == "conversations" then
            conversations = conversations or conversation_views()
            return conversations
        elseif type(key) == "string" then
            value = field(key)
            if value ~= nil or known_fields[key] then
                return value
            end
        end
        fault("unknown field 'e.%s'%s", tostring(key), did_you_mean(key, event_types.fields))
    end
    meta.__newindex = support.refusals["the event"]
    host.fill_later(view, function()
        for _, key in ipairs(host.event_names()) do
            field(key)
        end
        for key in next, made do
            field(key)
        end
    end)
    return view
end

return facts
