-- Templates: texts with {{variables}} in several languages, and their names at providers that approve them.

local host, use = ...
local support = use "support"
local problem, did_you_mean, type_word, unwrap = support.problem, support.did_you_mean, support.type_word,
    support.unwrap

local templates = {}

-- The names in {{…}} of a text, in order, and what is malformed.
local function placeholders(text)
    local list, seen, wrong = {}, {}, nil
    local position = 1
    while true do
        local open = string.find(text, "{{", position, true)
        if not open then
            break
        end
        local close = string.find(text, "}}", open, true)
        if not close then
            return list, "'{{' has no '}}'"
        end
        local name = string.match(string.sub(text, open + 2, close - 1), "^%s*([%a_][%w_]*)%s*$")
        if not name then
            wrong = string.format("'%s' is not a variable; write {{name}}", string.sub(text, open, close + 1))
        elseif not seen[name] then
            seen[name] = true
            list[#list + 1] = name
        end
        position = close + 2
    end
    return list, wrong
end
templates.placeholders = placeholders

-- Is it the name of a language, as "en" or "pt-BR"?
function templates.is_language(key)
    return type(key) == "string" and string.find(key, "^%a%a%a?$") ~= nil
        or type(key) == "string" and string.find(key, "^%a%a%a?[-_]%w+$") ~= nil
end

-- Buttons as rules write them: "Yes", {id=, text=} or {text=, url=}. Returns a list of plain tables.
function templates.buttons(value, complain)
    value = unwrap(value)
    local list, ids = {}, {}
    if type(value) ~= "table" then
        complain("'buttons' is a list, not " .. type_word(value))
        return list
    end
    for _, key in ipairs(support.keys(value)) do
        if math.type(key) ~= "integer" then
            complain(string.format("'buttons' is a list; it has the key %s", support.shown(key)))
            return list
        end
    end
    for position, button in ipairs(value) do
        button = unwrap(button)
        if type(button) == "string" then
            button = { id = button, text = button }
        elseif type(button) ~= "table" then
            complain(string.format("button %d is a text or a table, not %s", position, type_word(button)))
            button = { id = "?", text = "?" }
        end
        local made = support.check("button " .. position, button, { id = "text", text = { type = "text",
            required = true }, url = "text" },
            function(_, text) complain(text) end)
        if made.id and made.url then
            complain(string.format("button %d has an 'id' or a 'url', not both", position))
        end
        if made.text and not made.id and not made.url then
            made.id = made.text
        end
        if made.url and not string.find(made.url, "^https?://") and not string.find(made.url, "^{{") then
            complain(string.format("button %d: the url does not start with https://", position))
        end
        if made.id then
            if #made.id > 200 then
                complain(string.format("button %d: the id is longer than 200 bytes", position))
            elseif ids[made.id] then
                complain(string.format("two buttons have the id '%s'", made.id))
            end
            ids[made.id] = true
        end
        list[position] = made
    end
    if #list > 10 then
        complain("there are more than 10 buttons")
    end
    return list
end

-- A text, or a table of texts by language, as a table by language.
local function by_language(value, default_language)
    value = unwrap(value)
    if type(value) == "table" and #value == 0 and next(value) ~= nil then
        return value
    end
    return { [default_language] = value }
end

local template_fields = {
    text = "any", languages = "table", buttons = "any", default_language = "text", variables = "words",
    category = { "utility", "marketing", "authentication" }, topic = "text", on_unknown = { "hold", "resend",
        "give_up" },
    whatsapp = "table", doc = "text",
}
support.also_called(template_fields, { body = "text", message = "text", content = "text", params = "variables", vars = "variables" })
local language_fields = { text = { type = "text", required = true }, buttons = "any" }
local whatsapp_fields = { name = { type = "text", required = true }, language = "any", parameters = "any",
    header = "any", buttons = "table", text = "any" }
local approved_button_fields = {
    index = "integer", kind = { "quick_reply", "url", "copy_code", "flow", "catalog", "mpm" }, value = "text",
    data = "table", sections = "table",
}

-- Our variables in the order of the approved template's {{1}}, {{2}}, …: { "name", "amount" }; or, where its parameters have
-- names, by those: { first_name = "name" }. Returns the variables, and the names in the same order or nil.
local function approved_parameters(what, value, complain)
    value = unwrap(value)
    if type(value) == "string" then
        return { value }
    elseif type(value) ~= "table" then
        complain("parameters", string.format("%s: parameters are a list of variables, not %s", what, type_word(value)))
        return {}
    end
    local names = #value == 0 and next(value) ~= nil and support.keys(value) or nil
    local variables = {}
    for _, key in ipairs(names or support.keys(value)) do
        local variable = value[key]
        if type(variable) ~= "string" then
            complain("parameters", string.format("%s: the parameter %s is the name of a variable, not %s", what,
                support.shown(key), type_word(variable)))
        elseif not names and type(key) ~= "number" then
            complain("parameters", string.format("%s: parameters have names or an order, and '%s' has a name beside others "
                .. "that have none", what, key))
        else
            variables[#variables + 1] = variable
        end
    end
    return variables, names
end

-- The text as the provider approved it, when it is written down: it must ask for as many parameters as it is given.
local function check_approved_text(made, language, text, parameters, names_given, complain)
    local what = string.format("template '%s': whatsapp.text%s", made.name, language and " in '" .. language .. "'"
        or "")
    if type(text) ~= "string" then
        complain("text", string.format("%s is a text, not %s", what, type_word(text)))
        return
    end
    local numbers, names, highest = {}, {}, 0
    for inner in string.gmatch(text, "{{%s*([%w_]+)%s*}}") do
        local number = tonumber(inner)
        if number then
            numbers[number], highest = true, math.max(highest, number)
        else
            names[inner] = true
        end
    end
    local wanted = #support.keys(names)
    for number = 1, highest do
        if not numbers[number] then
            complain("text", string.format("%s has {{%d}} and not {{%d}}", what, highest, number))
            return
        end
        wanted = wanted + 1
    end
    for _, name in ipairs(support.keys(names)) do
        if not names_given then
            complain("parameters", string.format("%s has the name {{%s}}, and the parameters are given in an order", what, name),
                string.format("write parameters = { %s = \"…\" }, with the variable that it stands for", name))
            return
        elseif not support.set_of(names_given)[name] then
            complain("parameters", string.format("%s has {{%s}}, which is not among the parameters%s", what, name,
                did_you_mean(name, names_given)))
            return
        end
    end
    if wanted ~= #parameters then
        complain("parameters", string.format("%s has %s, and %d %s given: %s", what,
            support.counted(wanted, "parameter"), #parameters, #parameters == 1 and "is" or "are",
            #parameters > 0 and table.concat(parameters, ", ") or "none"),
            "the provider refuses a message with another number of parameters than the approved template has")
    end
end

-- The buttons of the approved template, when they do not follow from those of the text.
local function approved_buttons(made, buttons, complain)
    local what = string.format("template '%s': whatsapp.buttons", made.name)
    local list = {}
    for position, button in ipairs(unwrap(buttons)) do
        if type(unwrap(button)) ~= "table" then
            complain("buttons", string.format("%s: button %d is a table, not %s", what, position, type_word(button)))
        else
            local place = string.format("%s: button %d", what, position)
            local made_button = support.plain(support.check(place, button, approved_button_fields, complain), place)
            made_button.index = made_button.index or position - 1
            made_button.kind = made_button.kind or "quick_reply"
            if made_button.kind == "mpm" and not made_button.sections then
                complain("buttons", place .. " has no 'sections'")
            end
            list[#list + 1] = made_button
        end
    end
    return list
end

local function whatsapp_part(made, value, variables, complain)
    local part = support.check("template '" .. made.name .. "': whatsapp", value, whatsapp_fields, complain)
    local languages = unwrap(part.language)
    if languages == nil then
        languages = {}
        for language in next, made.languages do
            languages[language] = (string.gsub(language, "-", "_"))
        end
    elseif type(languages) == "string" then
        local all = {}
        for language in next, made.languages do
            all[language] = languages
        end
        languages = all
    elseif type(languages) ~= "table" then
        complain("language", string.format("template '%s': whatsapp.language is a text or a table by language",
            made.name))
        languages = {}
    end
    part.language = {}
    for _, key in ipairs(support.keys(languages)) do
        if not made.languages[key] then
            complain("language", string.format("template '%s': whatsapp.language names %s, which has no text",
                made.name, support.shown(key)))
        elseif type(languages[key]) ~= "string" then
            complain("language", string.format("template '%s': whatsapp.language.%s is a text such as \"en_US\"",
                made.name, key))
        else
            part.language[key] = languages[key]
        end
    end
    if part.parameters == nil then
        -- Without a list, the parameters are the variables as the text has them.
        part.parameters = { table.unpack(variables) }
    else
        part.parameters, part.parameter_names = approved_parameters("template '" .. made.name .. "': whatsapp",
            part.parameters, complain)
    end
    for _, name in ipairs(part.parameters) do
        if not support.set_of(variables)[name] then
            complain("parameters",
                string.format("template '%s': the whatsapp parameter '%s' is not one of its variables%s",
                made.name, name, did_you_mean(name, variables)))
        end
    end
    local approved = unwrap(part.text)
    if type(approved) == "table" then
        for _, language in ipairs(support.keys(approved)) do
            check_approved_text(made, language, approved[language], part.parameters, part.parameter_names, complain)
        end
    elseif approved ~= nil then
        check_approved_text(made, nil, approved, part.parameters, part.parameter_names, complain)
    end
    part.text = nil -- for this check alone
    if part.header ~= nil then
        local header = unwrap(part.header)
        if type(header) == "string" then
            header = { text = header }
        end
        if type(header) ~= "table" then
            complain("header", string.format("template '%s': whatsapp.header is a text or a table", made.name))
            header = nil
        end
        part.header = header and support.plain(header, "whatsapp.header")
    end
    if part.buttons ~= nil then
        part.buttons = approved_buttons(made, part.buttons, complain)
    end
    return part
end

-- Checks the declaration at `at`; `complain(key, text)` for each thing wrong. Returns what is kept of it, or nil.
function templates.declare(name, options, at, complain)
    local what = string.format("template '%s'", name)
    local given = support.check(what, options, template_fields, complain)
    local made = {
        name = name, file = at.file, line = at.line, category = given.category or "utility", topic = given.topic,
        on_unknown = given.on_unknown or "hold", languages = {}, doc = given.doc,
    }

    local texts = given.languages
    if texts and given.text ~= nil then
        complain("text", what .. " has both 'text' and 'languages'")
    elseif not texts and given.text == nil then
        complain(nil, what .. " has no 'text'")
        return
    elseif not texts then
        texts = by_language(given.text, given.default_language or "en")
    end
    texts = unwrap(texts)
    local languages = support.keys(texts)
    for _, language in ipairs(languages) do
        local variant = unwrap(texts[language])
        if not templates.is_language(language) then
            complain("languages", string.format("%s: %s is not a language; write \"en\" or \"pt-BR\"", what,
                support.shown(language)))
        else
            if type(variant) == "string" then
                variant = { text = variant }
            elseif type(variant) ~= "table" then
                complain("languages", string.format("%s: the text in '%s' is %s", what, language, type_word(variant)))
                variant = { text = "?" }
            end
            local checked = support.check(what .. " in '" .. language .. "'", variant, language_fields, complain)
            if checked.text and #checked.text > 4096 then
                complain("text", string.format("%s: the text in '%s' is longer than 4096 bytes", what, language))
            end
            local buttons = checked.buttons
            if buttons == nil and given.buttons ~= nil then
                local all = unwrap(given.buttons)
                buttons = type(all) == "table" and #all == 0 and all[language] or all
            end
            if buttons ~= nil then
                buttons = templates.buttons(buttons, function(text) complain("buttons", what .. ": " .. text) end)
                buttons = #buttons > 0 and buttons or nil
            end
            made.languages[language] = { text = checked.text or "?", buttons = buttons }
        end
    end
    languages = support.keys(made.languages)
    if #languages == 0 then
        return
    end
    made.default_language = given.default_language or (made.languages.en and "en") or languages[1]
    if not made.languages[made.default_language] then
        complain("default_language", string.format("%s: there is no text in its default language '%s'", what,
            made.default_language))
        made.default_language = languages[1]
    end

    -- The variables: those of the texts, which must be the same in all languages.
    local order, first_set
    for position, language in ipairs({ made.default_language, table.unpack(languages) }) do
        local variant = made.languages[language]
        local all = variant.text
        for _, button in ipairs(variant.buttons or {}) do
            all = all .. button.text .. (button.url or "")
        end
        local list, wrong = placeholders(all)
        if wrong then
            complain("text", string.format("%s in '%s': %s", what, language, wrong))
        end
        if position == 1 then
            order, first_set = list, support.set_of(list)
        else
            local set = support.set_of(list)
            for _, variable in ipairs(list) do
                if not first_set[variable] then
                    complain(nil, string.format("%s: the text in '%s' has {{%s}}, the one in '%s' has not", what,
                        language,
                        variable, made.default_language))
                end
            end
            for _, variable in ipairs(order) do
                if not set[variable] then
                    complain(nil, string.format("%s: the text in '%s' lacks {{%s}}, which the one in '%s' has", what,
                        language,
                        variable, made.default_language))
                end
            end
        end
    end
    if given.variables then
        local listed = support.set_of(given.variables)
        for _, variable in ipairs(order) do
            if not listed[variable] then
                complain("variables", string.format("%s: {{%s}} is not in 'variables'%s", what, variable,
                    did_you_mean(variable, given.variables)))
            end
        end
        for _, variable in ipairs(given.variables) do
            if not first_set[variable] then
                problem("warning", at, string.format("%s: the variable '%s' is in no text", what, variable))
            end
        end
        made.variables = given.variables
    else
        made.variables = order
    end
    if given.whatsapp then
        made.whatsapp = whatsapp_part(made, given.whatsapp, made.variables, complain)
    end
    return { data = made, file = at.file, line = at.line, variables = made.variables }
end

return templates
