-- Arguments that several effects share, and what is said of wrong ones.

local host, use = ...
local support, event_types, declarations, templates = use "support", use "event_types", use "declarations",
    use "templates"
local fault, check_effect, argument, type_word = support.fault, support.check_effect, support.argument,
    support.type_word
local unwrap = support.unwrap

local arguments = {}

-- The most arguments of the effects that could be taken to have more. What is written beyond them would be lost without a
-- word: `c:send("hello", { name = "Ada" })` would send the name of a template as the text.
arguments.most = {
    send = 1, note = 1, assign = 1, prioritize = 1, snooze = 1, survey = 1, cancel = 1, resolve = 0, identify = 1, opt_out = 1, opt_in = 1,
    prefer = 1,
}

local instead = {
    send = "it takes one text or one table; with variables write send { template = \"NAME\", vars = { … } }",
    resolve = "it takes nothing; what colleagues shall read is said with note(…)",
}

function arguments.too_many(what)
    return string.format("%s: %s", what, instead[what] or "it takes one thing; for more call it once for each")
end

function arguments.need_declared(what, kind, name)
    local declared = declarations.declared[kind][name]
    if not declared then
        fault("%s: %s", what, declarations.undeclared(kind, name))
    end
    return declared
end

-- The values of variables as texts. nil values are simply not there.
function arguments.variables_of(what, value)
    value = unwrap(value)
    if value == nil then
        return {}
    elseif type(value) ~= "table" then
        fault("%s: 'vars' is a table such as { name = \"Ada\" }, not %s", what, type_word(value))
    end
    local result = {}
    for _, key in ipairs(support.keys(value)) do
        local item = value[key]
        if type(key) ~= "string" then
            fault("%s: 'vars' has a value without a name", what)
        elseif type(item) == "number" or type(item) == "boolean" then
            item = tostring(item)
        elseif type(item) ~= "string" then
            fault("%s: the variable '%s' is a text, not %s", what, key, type_word(item))
        end
        result[key] = item
    end
    return result
end

-- What is said of variables that a template needs and `variables` does not have; nil when it has all.
function arguments.template_lacks(template_name, template, variables)
    local missing = {}
    for _, name in ipairs(template.variables) do
        if variables[name] == nil then
            missing[#missing + 1] = "'" .. name .. "'"
        end
    end
    if #missing > 0 then
        return string.format("the template '%s' needs the variable%s %s, which %s nil", template_name,
            #missing > 1 and "s" or "", table.concat(missing, ", "), #missing > 1 and "are" or "is")
    end
end

local max_text_bytes = 16384

-- The variables of a text that a rule gives itself, which is neither too long nor malformed.
function arguments.variables_in(what, text)
    if #text > max_text_bytes then
        fault("%s: the text has %d bytes; at most %d are allowed", what, #text, max_text_bytes)
    end
    local names, wrong = templates.placeholders(text)
    if wrong then
        fault("%s: the text: %s", what, wrong)
    end
    return names
end

-- Fills {{name}} in such a text; nil and what is said of it when a variable is missing.
function arguments.try_message_text(what, text, variables)
    local names = arguments.variables_in(what, text)
    for _, name in ipairs(names) do
        if variables[name] == nil then
            return nil, string.format("the text has {{%s}}, and 'vars' has no '%s'", name, name)
        end
    end
    return (string.gsub(text, "{{%s*([%a_][%w_]*)%s*}}", variables))
end

function arguments.message_text(what, text, variables)
    local filled, lacks = arguments.try_message_text(what, text, variables)
    if not filled then
        fault("%s: %s", what, lacks)
    end
    return filled
end

function arguments.exactly_one(what, options, ...)
    local found
    for _, key in ipairs { ... } do
        if options[key] ~= nil then
            if found then
                fault("%s has '%s' and '%s'; it takes one of them", what, found, key)
            end
            found = key
        end
    end
    if not found then
        fault("%s needs one of '%s'", what, table.concat({ ... }, "', '"))
    end
    return found
end

arguments.media_fields = {
    kind = { type = { "image", "video", "audio", "document", "sticker" }, required = true }, url = "text", id = "text",
    caption = "text", file_name = "text",
}

function arguments.wrong_url(what)
    return what .. ": media.url does not start with https://"
end

function arguments.media_of(what, value)
    local media = check_effect(what .. ": media", value, arguments.media_fields)
    arguments.exactly_one(what .. ": media", media, "url", "id")
    if media.url and not string.find(media.url, "^https?://") then
        fault("%s", arguments.wrong_url(what))
    end
    return media
end

function arguments.buttons_of(what, value)
    if value == nil then
        return nil
    end
    local list = templates.buttons(value, function(text) fault("%s: %s", what, text) end)
    return #list > 0 and list or nil
end

function arguments.unless_of(what, value)
    local list = argument(what, "unless", "words", value, true)
    for _, name in ipairs(list or {}) do
        if name ~= "reply" then
            local wrong = event_types.wrong(name)
            if wrong then
                fault("%s: unless: %s (or \"reply\")", what, wrong)
            end
        end
    end
    return list
end

-- The name of an attribute.
function arguments.key(what, key)
    if type(key) ~= "string" or not string.find(key, "^[%a_][%w_.-]*$") or #key > 64 then
        fault("%s: the name is a text of letters, digits, '_', '-' and '.', not %s; write it like %s(\"plan\", \"pro\")", what,
            support.shown(key), what)
    end
    return key
end

function arguments.is_timer_name(name)
    return type(name) == "string" and string.find(name, "^[%w_][%w_.-]*$") ~= nil and #name <= 64
end

function arguments.timer_name(what, name)
    if name == nil then
        fault(what == "after" and "after needs a name, as in after(\"4h\", \"nudge\"), for the event timer.nudge"
            or "cancel needs the timer's name")
    end
    if not arguments.is_timer_name(name) then
        fault("%s: the timer's name is a text of letters, digits, '_', '-' and '.', not %s", what, support.shown(name))
    end
    return name
end

-- The value of what is the contact's own; any other attribute takes everything.
function arguments.contact_value(key, value)
    if key == "name" or key == "language" or key == "timezone" then
        value = argument("set", key, "name", value, true)
    end
    if key == "timezone" and value and not host.zone(value) then
        fault("set: %s", support.no_zone(value))
    end
    return value
end

-- What goes to another system, or into an event.
function arguments.check_body(what, body)
    if body ~= nil and type(unwrap(body)) ~= "table" then
        fault("%s: the body is a table, not %s", what, type_word(body))
    end
end

local max_goals, max_steps = 10, 20

function arguments.check_goal_count(count)
    if count == 0 or count > max_goals then
        fault("outreach has %d goals; it takes 1 to %d", count, max_goals)
    end
end

function arguments.check_step_count(count)
    if count == 0 or count > max_steps then
        fault("outreach has %d steps; it takes 1 to %d", count, max_steps)
    end
end

function arguments.due_too_early(what)
    return what .. " is due before the one above it; 'after' counts from the start of the outreach"
end

-- The event "custom.NAME" by its name, with or without "custom.".
function arguments.event_name(what, name)
    name = (string.gsub(argument(what, "name", "text", name), "^custom%.", ""))
    if not string.find(name, "^[%w_][%w_.-]*$") or #name > 64 then
        fault("%s: '%s' is not a name; use letters, digits, '_', '-' and '.'", what, name)
    end
    return name
end

local max_tag_bytes = 64

function arguments.no_tag(what)
    return string.format("%s needs a tag", what)
end

function arguments.tags_of(what, value)
    local list = argument(what, "tag", "words", value)
    for _, tag in ipairs(list) do
        if #tag > max_tag_bytes then
            fault("%s: a tag has at most %d bytes", what, max_tag_bytes)
        end
    end
    return list
end

return arguments
