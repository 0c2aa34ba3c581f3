-- The events that rules can name, and the fields that each part of an event has.

local host, use = ...
local support = use "support"

local event_types = {}

event_types.names = {
    "message.received", "message.edited", "message.deleted", "message.reaction", "message.button", "message.status",
    "message.sent_elsewhere",
    "conversation.opened", "conversation.reopened", "conversation.assigned", "conversation.tagged",
    "conversation.prioritized", "conversation.snoozed", "conversation.resolved",
    "contact.created", "contact.merged", "contact.split", "contact.opted_out", "contact.opted_in", "contact.identity_changed",
    "payment.failed", "payment.action_required", "payment.succeeded", "payment.refunded", "payment.disputed",
    "subscription.created", "subscription.updated", "subscription.canceled",
    "order.completed", "survey.answered", "survey.expired", "outreach.recovered", "outreach.exhausted",
    "template.status", "window.closing",
}

local families = { "timer", "cron", "custom", "webhook" }

-- Fields of the event itself. `when` and `run` may ask for any of these; another name is a mistake.
event_types.fields = {
    "id", "type", "source", "provider", "provider_type", "key", "occurred_at", "received_at", "channel",
    "contact", "conversation", "conversations", "contact_id", "conversation_id",
    "message", "status", "payment", "subscription", "order", "template", "body", "survey", "outreach", "timer", "cron",
    "cause", "window", "raw", "topic", "account", "provider_reason", "agent", "settled",
}

-- Fields of the parts: asking for another one gives nil, unless its name is nearly one of these.
event_types.part_fields = {
    message = { "id", "kind", "text", "media", "location", "contacts", "order", "button", "buttons", "reply_to",
                "referral", "emoji", "forwarded", "thread", "chat", "edited", "author", "products", "payload",
                "attachment", "metadata", "quick_replies", "direction", "flow", "error", "removed", "album",
                "callback_query_id", "command", "command_arguments" },
    status = { "message_id", "state", "echo", "error", "pricing", "recipient", "participant", "up_to" },
    payment = { "id", "amount", "currency", "reason", "attempt", "next_attempt", "url", "invoice", "customer",
                "subscription", "status", "description", "metadata", "method", "code", "message", "due_at", "number",
                "billing_reason", "card_brand", "secondary", "custom", "collection_method", "session", "reference",
                "dunning_status", "will_retry", "order", "dispute", "intent", "mandate", "modification", "refund" },
    subscription = { "id", "status", "previous_status", "cancel_at_period_end", "customer", "plan", "metadata",
                     "cancel_at", "canceled_at", "ended_at", "current_period_start", "current_period_end", "trial_end",
                     "next_billing_at", "url", "reason", "feedback", "currency", "invoice", "mandate" },
    order = { "id", "amount", "currency", "customer", "reference", "payment_status", "metadata", "items", "url",
              "invoice", "subscription", "status", "payment", "mode" },
    template = { "name", "language", "status", "reason", "detail", "category" },
    survey = { "id", "name", "conversation_id", "contact_id", "episode", "state", "score", "scale", "comment",
               "asked_at", "answered_at", "commented_at", "expires_at" },
    outreach = { "id", "topic", "reference", "goal", "goals", "state", "step", "steps", "vars", "started_at",
                 "reached_at", "other_references", "payment", "ended_by", "event_id", "next_attempt_at", "ended_at", "rule", "conversation_id", "contact_id" },
    timer = { "id", "name", "data", "unless", "due_at", "armed_at", "rule", "rule_set" },
    cause = { "event", "rule", "depth" },
    settled = { "type", "occurred_at", "event" },
    contact = { "id", "name", "language", "timezone", "preferred_channel", "attributes", "opted_out", "opted_out_at",
                "identities", "channels", "username", "recipient", "created_at", "updated_at", "parent_user_id",
                "phones" },
    conversation = { "id", "contact_id", "source", "channel", "identity", "topic", "reference", "state", "priority",
                     "assignee", "tags", "attributes", "opened_at", "updated_at", "last_inbound_at",
                     "last_outbound_at", "first_reply_at", "snoozed_until", "resolved_at", "episode", "previous_id",
                     "is_new" },
}

local known = support.set_of(event_types.names)

-- Is `name` an event type, or a pattern such as "payment.*" or "timer.*"? Returns nil, or what is wrong with it.
function event_types.wrong(name)
    if known[name] then
        return nil
    end
    for _, family in ipairs(families) do
        local rest = string.match(name, "^" .. family .. "%.(.+)$")
        if rest then
            if rest == "*" or string.find(rest, "^[%w_][%w_.:-]*$") then
                return nil
            end
            return string.format("'%s' is not an event type: after '%s.' comes a name of letters, digits, '_', '-', '.'",
                name, family)
        end
        if name == family then
            return string.format("'%s' is not an event type; write '%s.NAME' or '%s.*'", name, family, family)
        end
    end
    local prefix = string.match(name, "^([%w_]+)%.%*$")
    if prefix then
        for _, other in ipairs(event_types.names) do
            if string.sub(other, 1, #prefix + 1) == prefix .. "." then
                return nil
            end
        end
    end
    for _, other in ipairs(event_types.names) do
        if string.sub(other, 1, #name + 1) == name .. "." then
            return string.format("'%s' is not an event type; write '%s' or '%s.*'", name, other, name)
        end
    end
    local choices = { table.unpack(event_types.names) }
    if prefix then
        for _, other in ipairs(event_types.names) do
            choices[#choices + 1] = string.gsub(other, "%..*$", ".*")
        end
    end
    for _, family in ipairs(families) do
        -- "custum.refund" is meant to be custom.refund.
        local rest = string.match(name, "^[^.]*(%..+)$")
        if rest then
            choices[#choices + 1] = family .. rest
        end
    end
    local hint = support.did_you_mean(name, choices)
    if hint == "" and not string.find(name, ".", 1, true) then
        local custom = "custom." .. name
        hint = string.format("; an event of your own is '%s'", custom)
    end
    return string.format("unknown event type '%s'%s", name, hint)
end

-- What is said of a field that events do not have: the part that has it, else the name that is nearly the same.
local parts_in_order = { "message", "contact", "conversation", "payment", "survey", "subscription", "order" }
function event_types.meant(key)
    local found = {}
    for _, part in ipairs(parts_in_order) do
        for _, field in ipairs(event_types.part_fields[part]) do
            if field == key and #found < 2 then
                found[#found + 1] = string.format("'e.%s.%s'", part, key)
            end
        end
    end
    if #found > 0 then
        return string.format("; did you mean %s?", table.concat(found, " or "))
    end
    return support.did_you_mean(key, event_types.fields)
end

return event_types
