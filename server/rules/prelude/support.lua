-- What all parts of the prelude share: errors that point at the author's line, checks of option tables, read-only
-- views. Trusted code: it has the whole standard library and `host` (server/rules/host.c).

local host = ...

local support = {}

-- Problems of loading --------------------------------------------------------------------------------------------

local problems = {}
local max_problems = 200

-- One problem of loading. `at` is {file=, line=}; nil means the line that is running.
function support.problem(severity, at, text, hint)
    if #problems >= max_problems then
        return
    end
    local file, line
    if at then
        file, line = at.file, at.line
    else
        file, line = host.where()
    end
    -- The same thing said twice about one line helps nobody.
    for _, known in ipairs(problems) do
        if known.file == file and known.line == line and known.text == text then
            return
        end
    end
    problems[#problems + 1] = { severity = severity, file = file, line = line, text = text, hint = hint }
end

function support.problems()
    return problems
end

-- Errors of running ------------------------------------------------------------------------------------------------

-- Raises an error at the author's line.
function support.fault(format, ...)
    local text = select("#", ...) > 0 and string.format(format, ...) or format
    local file, line = host.where()
    if file then
        text = string.format("%s:%d: %s", file, line, text)
    end
    error(text, 0)
end
local fault = support.fault

-- "; did you mean 'x'?" or "".
function support.did_you_mean(word, known)
    local near = type(word) == "string" and host.nearest(word, known)
    return near and string.format("; did you mean '%s'?", near) or ""
end
local did_you_mean = support.did_you_mean

-- What is said of a name that is no time zone.
function support.no_zone(name)
    local near = host.nearest_zone(name)
    return string.format("there is no time zone '%s'; %s", name,
        near and "did you mean '" .. near .. "'?" or "write it like \"Europe/Zurich\" or \"UTC\"")
end

-- A number with its word: "1 rule", "2 rules".
function support.counted(number, thing)
    return string.format("%d %s%s", number, thing, number == 1 and "" or "s")
end

function support.keys(object)
    local list = {}
    for key in next, object do
        list[#list + 1] = key
    end
    table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
    return list
end
local keys = support.keys

function support.set_of(list)
    local set = {}
    for _, value in ipairs(list) do
        set[value] = true
    end
    return set
end

local type_words = {
    string = "a text", number = "a number", boolean = "true or false", table = "a table", ["function"] = "a function",
    ["nil"] = "nothing", userdata = "an object",
}
function support.type_word(value)
    return type_words[type(value)] or type(value)
end
local type_word = support.type_word

-- What an author wrote where a name was due, for an error: the same on every machine, so that no table shows its address.
function support.shown(value)
    if type(value) == "string" or type(value) == "number" or type(value) == "boolean" then
        return "'" .. tostring(value) .. "'"
    end
    return type_word(value)
end
local shown = support.shown

-- Read-only views ---------------------------------------------------------------------------------------------------

-- What is behind a view, of ours or of the sandbox; any other value is returned as it is.
function support.unwrap(value)
    while type(value) == "table" do
        local data = host.frozen_content(value)
        if data == nil then
            break
        end
        value = data
    end
    return value
end

-- Gives a read-only view of the sandbox `methods`, and better errors: a field that neither has is nil, but for a name
-- that is surely meant otherwise: then `missing(key)` may raise an error. `call` makes the view callable.
function support.decorate(view, methods, what, missing, call)
    return support.decorate_content(view, host.frozen_content(view), methods, what, missing, call)
end

-- How writes to a view are refused, by what it is called; there are few of them, and many views.
local refusals = setmetatable({}, {
    __index = function(cache, what)
        local function refuse(_, key)
            local instead = ""
            if what == "the contact" then
                instead = string.format("; write e.contact:set(\"%s\", …)", tostring(key))
            elseif what == "a conversation" then
                instead = "; c:tag(…), c:assign(…), c:prioritize(…), c:set(…) change one"
            end
            fault("%s cannot be changed: %s was assigned to%s", what, shown(key), instead)
        end
        cache[what] = refuse
        return refuse
    end,
})

support.refusals = refusals

-- The same where the table behind the view is at hand.
function support.decorate_content(view, data, methods, what, missing, call)
    local meta = host.metatable(view)
    meta.__index = function(_, key)
        local value = data[key]
        if value == nil and methods then
            value = methods[key]
        end
        if value == nil and missing then
            return missing(key)
        end
        return value
    end
    meta.__newindex = refusals[what]
    meta.__call = call
    return view
end

-- A table that shows `data` and cannot be changed, tables inside included.
function support.view(data, methods, what, missing, call)
    return support.decorate(host.freeze(data), methods, what, missing, call)
end

-- A deep copy that is JSON: no functions, no cycles, keys all text or all 1..n. `what` is named in errors.
function support.plain(value, what, depth)
    depth = depth or 1
    value = support.unwrap(value)
    local kind = type(value)
    if kind == "string" or kind == "boolean" or kind == "nil" then
        return value
    elseif kind == "number" then
        if value ~= value or value == math.huge or value == -math.huge then
            fault("%s holds a number that JSON cannot hold (%s)", what, tostring(value))
        end
        return value
    elseif kind ~= "table" then
        fault("%s holds %s, which cannot be stored", what, type_word(value))
    elseif depth > 16 then
        fault("%s is nested more than 16 levels deep", what)
    end
    local copy, count = {}, #value
    if host.is_array(value) then
        copy = host.array(copy)
    end
    for key, item in next, value do
        if math.type(key) == "integer" then
            if key < 1 or key > count then
                fault("%s has a list with holes in it", what)
            end
        elseif type(key) ~= "string" then
            fault("%s has %s as a key", what, type_word(key))
        elseif count > 0 then
            fault("%s mixes a list with named values ('%s')", what, key)
        end
        copy[key] = support.plain(item, what, depth + 1)
    end
    return copy
end

-- Option tables -------------------------------------------------------------------------------------------------------

-- A duration of options: "1h30m" or a number of seconds. Returns milliseconds, or nil and why not.
function support.duration_ms(value)
    if type(value) == "number" then
        if value ~= value or value < 0 or value > 3650 * 86400 then
            return nil, "a duration is between 0 and ten years"
        end
        return math.floor(value * 1000 + 0.5)
    elseif type(value) == "string" then
        local ms = host.duration(value)
        if ms and ms > 3650 * 86400000 then
            return nil, "a duration is between 0 and ten years"
        end
        if ms then
            return ms
        end
        return nil, string.format("'%s' is not a duration; write it like \"30s\", \"24h\" or \"1h30m\"", value)
    end
    return nil, "a duration is a text like \"24h\" or a number of seconds, not " .. type_word(value)
end

-- Topics, references, assignees: keys of indexes, which hold no long texts.
support.max_name_bytes = 255

-- Checks one value against a field's type. Returns the value as it is to be stored, or nil and what is wrong.
-- Types: "text", "name" (a text that is stored as a key), "words" (a text or a list of texts; becomes a list), "number", "integer", "boolean", "function",
-- "duration" (becomes milliseconds), "table", "any", or a list of allowed texts.
local function convert(kind, value)
    if type(kind) == "table" then
        if type(value) == "string" then
            for _, allowed in ipairs(kind) do
                if allowed == value then
                    return value
                end
            end
            return nil, string.format("is '%s', which is not one of %s%s", value, table.concat(kind, ", "),
                did_you_mean(value, kind))
        end
        return nil, string.format("is one of %s, not %s", table.concat(kind, ", "), type_word(value))
    elseif kind == "text" then
        if type(value) ~= "string" then
            return nil, "is a text, not " .. type_word(value)
        elseif not string.find(value, "%S") then
            return nil, "is an empty text"
        end
        return value
    elseif kind == "name" then
        if type(value) ~= "string" then
            return nil, "is a text, not " .. type_word(value)
        elseif not string.find(value, "%S") then
            return nil, "is an empty text"
        elseif #value > support.max_name_bytes then
            return nil, string.format("has %d bytes; at most %d are allowed", #value, support.max_name_bytes)
        end
        return value
    elseif kind == "words" then
        if type(value) == "string" then
            value = { value }
        end
        value = support.unwrap(value)
        if type(value) ~= "table" then
            return nil, "is a text or a list of texts, not " .. type_word(value)
        end
        local list = {}
        for key in next, value do
            if math.type(key) ~= "integer" then
                return nil, "is a text or a list of texts; it has the key " .. shown(key)
            end
        end
        for position, item in ipairs(value) do
            if type(item) ~= "string" or not string.find(item, "%S") then
                return nil, "is a text or a list of texts; number " .. position .. " is " ..
                    (type(item) == "string" and "an empty text" or type_word(item))
            end
            list[position] = item
        end
        return list
    elseif kind == "integer" then
        if type(value) ~= "number" or not math.tointeger(value) then
            return nil, "is a whole number, not " .. (type(value) == "number" and tostring(value) or type_word(value))
        end
        return math.tointeger(value)
    elseif kind == "number" or kind == "boolean" or kind == "function" or kind == "table" then
        if type(value) ~= kind then
            return nil, "is " .. type_words[kind] .. ", not " .. type_word(value)
        end
        return value
    elseif kind == "duration" then
        local ms, wrong = support.duration_ms(value)
        return ms, wrong and ": " .. wrong
    end
    return value
end

-- The names of the required ones among `fields`, sorted; worked out once for each table of fields.
local required_of = setmetatable({}, {
    __mode = "k",
    __index = function(cache, fields)
        local list = {}
        for _, key in ipairs(keys(fields)) do
            if type(fields[key]) == "table" and fields[key].required then
                list[#list + 1] = key
            end
        end
        cache[fields] = list
        return list
    end,
})

local function type_of(field)
    return type(field) == "table" and (field.type or field) or field
end

-- What is said of a value that is not of the type `kind`; nil when it is.
local function wrong_value(what, name, kind, value)
    local _, wrong = convert(kind, value)
    return wrong and string.format("%s: '%s'%s%s", what, name, string.sub(wrong, 1, 1) == ":" and "" or " ", wrong)
end
support.wrong_value = wrong_value

-- What other tools call a field, by the table of fields: no spelling leads from 'trigger' to 'on'.
local words_for = setmetatable({}, { __mode = "k" })

function support.also_called(fields, words)
    words_for[fields] = words
    return fields
end

-- What is to be written for a field that `fields` does not have, behind what is said of it; "" when nobody knows.
function support.instead(key, fields)
    local meant = words_for[fields] and words_for[fields][key]
    return meant and string.format("; write '%s'", meant) or did_you_mean(key, keys(fields))
end

-- Checks `options` against `fields` ({name = {type = …, required = true}} or {name = type}) and returns a new table
-- of converted values. `complain(key, text)` is called for each thing that is wrong, in a fixed order; it may raise.
function support.check(what, options, fields, complain)
    options = support.unwrap(options)
    local result, all_well, meant = {}, true, {}
    for key, value in next, options do
        local field, wrong = fields[key], nil
        if field ~= nil then
            result[key], wrong = convert(type_of(field), value)
        end
        all_well = all_well and field ~= nil and not wrong
    end
    if not all_well then
        for _, key in ipairs(keys(options)) do
            local field = fields[key]
            if field == nil and type(key) == "number" then
                complain(nil, string.format("%s has a value without a name", what))
            elseif field == nil then
                meant[words_for[fields] and words_for[fields][key] or key] = true
                complain(key, string.format("%s has no %s%s", what, shown(key), support.instead(key, fields)))
            else
                local wrong = wrong_value(what, key, type_of(field), options[key])
                if wrong then
                    complain(key, wrong)
                end
            end
        end
    end
    for _, key in ipairs(required_of[fields]) do
        if options[key] == nil and not meant[key] then
            complain(nil, string.format("%s needs '%s'", what, key))
        end
    end
    return result
end

-- The same for an effect: the first thing wrong is an error at the author's line.
function support.check_effect(what, options, fields)
    if type(options) ~= "table" then
        fault("%s takes a table, as in %s{ … }, not %s", what, what, type_word(options))
    end
    return support.check(what, options, fields, function(_, text) fault("%s", text) end)
end

-- One argument of an effect.
function support.argument(what, name, kind, value, optional)
    if value == nil and optional then
        return nil
    end
    local result, wrong = convert(kind, value)
    if wrong then
        fault("%s", wrong_value(what, name, kind, value))
    end
    return result
end

return support
