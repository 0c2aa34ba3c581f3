-- Texts that are not always there, and what texts and lists of other languages can do, and those of Lua cannot. Both fail when the
-- first picture comes, or the first person without a name, and no test has thought of them.

local _, use = ...
local support, tokens = use "support", use "source_tokens"
local has_own = use("source_check").has_own
local problem, is = support.problem, tokens.is

local review_texts = {}

local libraries = { string = string, table = table, math = math, utf8 = utf8 }

-- What other languages have, by how it is called without capitals and '_'.
local find_word = "has(text, \"word\") looks for whole words, text:find(\"part\", 1, true) for a part"
local instead = {
    split = "for word in text:gmatch(\"[^,]+\") do … end takes a text apart", trim = "text:match(\"^%s*(.-)%s*$\") trims a text",
    strip = "text:match(\"^%s*(.-)%s*$\") trims a text", contains = find_word, includes = find_word, indexof = find_word,
    startswith = "text:sub(1, 3) == \"abc\" compares the beginning", endswith = "text:sub(-3) == \"abc\" compares the end",
    replace = "text:gsub(\"from\", \"to\") replaces", tolower = "text:lower()", tolowercase = "text:lower()", toupper = "text:upper()",
    touppercase = "text:upper()", length = "#text", size = "#text", substring = "text:sub(from, to)", substr = "text:sub(from, to)",
}
local instead_of_lists = {
    contains = "is(text, list) looks for a text in a list", includes = "is(text, list) looks for a text in a list",
    indexof = "is(text, list) looks for a text in a list", getn = "#list", length = "#list", size = "#list", push = "table.insert(list, value)",
    append = "table.insert(list, value)", join = "table.concat(list, \", \")",
}

local function plain(name)
    return string.lower((string.gsub(name, "_", "")))
end

-- string.split(…), table.contains(…)
function review_texts.check_library(file, list, at)
    local library, member = libraries[list[at].text], list[at + 2]
    if library and is(list[at + 1], ".") and member and member.kind == "name" and library[member.text] == nil
        and not has_own(list, list[at].text) then
        local hints = library == table and instead_of_lists or library == string and instead or {}
        local near = support.did_you_mean(member.text, support.keys(library))
        problem("error", { file = file, line = member.line }, string.format("Lua has no %s.%s%s", list[at].text, member.text,
            hints[plain(member.text)] and "" or near), hints[plain(member.text)])
    end
end

-- e.message.text:contains(…), where `list[at]` is `text`.
function review_texts.check_method(file, list, at)
    local member = list[at + 2]
    if is(list[at], "text") and is(list[at - 1], ".") and is(list[at - 2], "message") and is(list[at + 1], ":") and member
        and string[member.text] == nil then
        problem("error", { file = file, line = member.line }, string.format("a text has no method '%s'%s", member.text,
            instead[plain(member.text)] and "" or support.did_you_mean(member.text, support.keys(string))), instead[plain(member.text)])
    end
end

-- What may be nil ----------------------------------------------------------------------------------------------------------

-- Is the field, token `at`, used as if it were there?
local function is_called_on(list, at)
    return is(list[at + 1], ":")
end
local function is_joined(list, at)
    return is(list[at + 1], "..") or is(list[at - 5], "..")
end

-- By the part: the field, how it is used unguarded, what also tells of care, and what is said.
local absent = {
    message = {
        field = "text", is_used = is_called_on, cares = { "kind", "media", "button", "location", "contacts" },
        said = "is nil when somebody sends a picture", hint = "has(%s, …) takes nil as well; else write %s and …",
    },
    contact = {
        field = "name", is_used = is_joined, cares = {}, said = "is nil for who has told no name", hint = "write (%s or \"there\")",
    },
}
-- Messages of these have a text, or not.
local has_any_message = support.set_of { "message.received", "message.edited", "message.sent_elsewhere", "message.*" }

-- The line of the first use of `event.PART.FIELD` in the function, nil when there is none; false when something in it tells
-- of care: any other mention of such a field may be a test of it.
local function first_use(list, made, part, what)
    local line, event = nil, made.params[1]
    for at = made.from, made.to do
        local token = list[at]
        if token.kind == "name" and is(list[at - 1], ".") then
            for _, name in ipairs(what.cares) do
                if token.text == name then
                    return false
                end
            end
            if token.text == what.field then
                local is_it = is(list[at - 2], part) and is(list[at - 3], ".") and is(list[at - 4], event)
                if not is_it or not what.is_used(list, at) then
                    return false
                end
                line = line or token.line
            end
        elseif is(token, "pcall") then
            return false
        end
    end
    return line
end

-- A rule with these functions, as source_functions gives them; either may be nil. Care in one of them serves for both.
function review_texts.check_rule(file, list, types, when, run)
    local bodies = {}
    for _, made in ipairs { when or run, when and run or nil } do
        bodies[#bodies + 1] = made.params[1] and made or nil
    end
    for _, part in ipairs { "message", "contact" } do
        local what, line, event = absent[part], nil, nil
        local may_lack = part ~= "message"
        for _, type in ipairs(types) do
            may_lack = may_lack or has_any_message[type] == true
        end
        for _, made in ipairs(bodies) do
            local found = first_use(list, made, part, what)
            if found == false then
                may_lack = false
            elseif found then
                line, event = line or found, event or made.params[1]
            end
        end
        if line and may_lack then
            local whole = string.format("%s.%s.%s", event, part, what.field)
            problem("warning", { file = file, line = line }, string.format("'%s' %s", whole, what.said),
                (string.gsub(what.hint, "%%s", whole)))
        end
    end
end

return review_texts
