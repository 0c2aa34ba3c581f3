-- The event as a rule sees it: its fields, its contact and its conversation, read-only, times as seconds since 1970.

local host, use = ...
local support, event_types, effects = use "support", use "event_types", use "effects"
local fault, did_you_mean, unwrap, type_word = support.fault, support.did_you_mean, support.unwrap, support.type_word

local facts = {}

-- What happens on a read of a field that is not there: nil, or an error when the name is nearly a known one.
local function near_miss(what, fields, methods, meant)
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
        if meant and meant[key] then
            fault("%s has no '%s'; write c%s", what, key, meant[key])
        end
        local hint = did_you_mean(key, choices)
        if hint ~= "" then
            fault("%s has no field '%s'%s", what, key, hint)
        end
        return nil
    end
end

-- A message of the history is a row of the table `message`.
local row_missing = near_miss("a message of the history", {
    "id", "created_at", "occurred_at", "conversation_id", "contact_id", "direction", "source", "identity", "kind", "text",
    "content", "author", "provider_message_id", "reply_to", "event_id", "outreach_id", "survey_id", "state", "reason",
    "error_code", "queued_at", "sent_at", "delivered_at", "read_at", "failed_at", "edited_at", "deleted_at",
})
local message_row = { __index = function(_, key) return row_missing(key) end }

-- Methods that read ---------------------------------------------------------------------------------------------------

-- How many messages or conversations are read.
function facts.limit_of(what, value)
    if value == nil then
        return 20
    end
    local limit = type(value) == "number" and math.tointeger(value)
    if not limit or limit < 1 or limit > 200 then
        fault("%s takes a number from 1 to 200", what)
    end
    return limit
end

-- What methods that read ask for, and how they are called.
local asked_for = {
    has_tag = { "tag", "c:has_tag(\"vip\")" }, identity = { "kind", "e.contact:identity(\"email\")" },
    can_reach = { "channel", "e.contact:can_reach(\"telegram\")" },
}

-- The one text that such a method is given. nil is a text that is not there, as of a body without the field, and finds nothing.
function facts.asked(what, ...)
    local name, example = table.unpack(asked_for[what])
    local count, text, more = select("#", ...), ...
    if count == 0 then
        fault("%s needs the %s, as in %s", what, name, example)
    elseif text ~= nil and type(text) ~= "string" then
        fault("%s: '%s' is a text, not %s; it is called as %s", what, name, type_word(text), example)
    elseif type(more) == "string" then
        fault("%s asks for one %s; for more call it once for each", what, name)
    end
    return text
end

-- What a method was called on; a text or so, when it was not called with a colon.
local function of(self)
    return type(self) == "table" and self or unwrap(self)
end

local function add_reading_methods()
    local conversation = effects.conversation_methods

    -- The last `limit` messages, oldest first.
    function conversation:history(limit)
        local id = of(self).id
        if not id then
            return {}
        end
        local list = host.history(id, facts.limit_of("history", limit)) or {}
        for _, message in ipairs(list) do
            host.with_times(message)
            setmetatable(message, message_row)
        end
        return list
    end

    function conversation:has_tag(...)
        local tag = facts.asked("has_tag", ...)
        for _, known in ipairs(of(self).tags or {}) do
            if known == tag then
                return true
            end
        end
        return false
    end

    local contact = effects.contact_methods

    -- The last `limit` conversations, newest first, each with the methods of e.conversation.
    function contact:conversations(limit)
        local id = of(self).id
        local list = id and host.conversations_of(id, facts.limit_of("conversations", limit)) or {}
        for position, item in ipairs(list) do
            list[position] = facts.conversation_view(item, item.id)
        end
        return list
    end

    -- The first handle of a kind: e.contact:identity("email") is "ada@example.com", or nil.
    function contact:identity(...)
        local kind = facts.asked("identity", ...)
        for _, identity in ipairs(of(self).identities or {}) do
            if kind and string.sub(identity, 1, #kind + 1) == kind .. ":" then
                return string.sub(identity, #kind + 2)
            end
        end
        return nil
    end

    -- Is there an address on this channel that messages can go to?
    function contact:can_reach(...)
        local channel = facts.asked("can_reach", ...)
        for _, known in ipairs(of(self).channels or {}) do
            if known == channel then
                return true
            end
        end
        return false
    end

    -- Has the contact asked not to get messages about this topic?
    function contact:has_opted_out(topic)
        for _, known in ipairs(of(self).opted_out or {}) do
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
        or "e." .. part, fields, methods or nil, part == "conversation" and effects.meant)
end

local refusals = support.refusals
local kinds = {}
for part in next, event_types.part_fields do
    kinds[part] = host.document_kind(nil, part_missing[part], refusals["e." .. part])
end
kinds.contact = host.document_kind(effects.contact_methods, part_missing.contact, refusals["the contact"], "contact")
kinds.conversation = host.document_kind(effects.conversation_methods, part_missing.conversation,
    refusals["a conversation"], "conversation")

-- `handle` is what effects call the conversation: "@", "#1" or its id.
function facts.conversation_view(row, handle)
    host.with_times(row)
    if row.channel == nil and type(row.identity) == "string" then
        row.channel = string.match(row.identity, "^(%a+):")
    end
    row.tags = row.tags or host.array {}
    row.attributes = row.attributes or {}
    local view = host.freeze(row)
    effects.handles[view] = handle
    return support.decorate(view, effects.conversation_methods, "a conversation", part_missing.conversation)
end
effects.conversation_view = facts.conversation_view

-- The rows of the contact's open and latest conversations.
function effects.conversation_rows()
    return host.conversations(kinds.conversation)
end

-- The event -----------------------------------------------------------------------------------------------------------

local known_fields = support.set_of(event_types.fields)
local conversation_list

-- Fields of the event that are not simply its own, and the kinds of those that are rows.
local made = {
    channel = function()
        return host.fact("channel") or host.event_field("channel") or host.event_field("source")
    end,
    contact = function()
        return host.contact(kinds.contact)
    end,
    conversation = function()
        local view = host.conversation(kinds.conversation)
        if view then
            effects.handles[view] = "@"
        end
        return view
    end,
    conversations = function()
        if not conversation_list then
            conversation_list = host.conversations(kinds.conversation)
            for _, view in ipairs(conversation_list) do
                effects.handles[view] = view.id
            end
            conversation_list = host.freeze(conversation_list)
        end
        return conversation_list
    end,
    survey = function()
        return host.fact("survey", kinds.survey) or host.event_field("survey", kinds.survey)
    end,
    settled = function()
        return host.fact("settled", kinds.settled)
    end,
    outreach = function()
        return host.fact("outreach", kinds.outreach) or host.event_field("outreach", kinds.outreach)
    end,
}
for part, kind in next, kinds do
    made[part] = made[part] or kind
end

local event_methods = {}

-- What the provider sent: a table when it is JSON, else the text; nil when it is not kept.
function event_methods.raw(e)
    return (host.raw(e.id))
end

local function missing_field(key)
    if not known_fields[key] then
        local name = type(key) == "string" and "'e." .. key .. "'" or support.shown(key)
        fault("unknown field %s%s", name, event_types.meant(key))
    end
end

local renew
facts.event, renew = host.event(made, event_methods, missing_field, refusals["the event"])
effects.event = facts.event

-- Another event is shown, or other facts.
function facts.renew()
    conversation_list = nil
    renew()
end

return facts
