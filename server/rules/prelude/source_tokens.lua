-- The words of a Lua source that compiles: tokens, and the table constructors and calls among them. For checks that look
-- at rules without running them.

local host, use = ...
local support = use "support"

local source_tokens = {}

-- Tokens --------------------------------------------------------------------------------------------------------------

local keywords = support.set_of {
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
}

-- The tokens of a source that compiles: {kind = "name" | "word" | "text" | "number" | "sign", text, line}. The text of
-- a literal with escapes in it is nil.
function source_tokens.read(source)
    local list, position, line = {}, 1, 1
    local function add(kind, text)
        list[#list + 1] = { kind = kind, text = text, line = line }
    end
    local function skip(last)
        local _, count = string.gsub(string.sub(source, position, last), "\n", "")
        line, position = line + count, last + 1
    end
    local length = #source
    while position <= length do
        local _, last = string.find(source, "^%s+", position)
        if last then
            skip(last)
        elseif string.find(source, "^%-%-", position) then
            local equals = string.match(source, "^%-%-%[(=*)%[", position)
            local _, close = nil, nil
            if equals then
                _, close = string.find(source, "]" .. equals .. "]", position, true)
            else
                close = string.find(source, "\n", position, true)
            end
            skip(close or length)
        else
            local equals = string.match(source, "^%[(=*)%[", position)
            local first = string.sub(source, position, position)
            if equals then
                local open = position + #equals + 2
                local from, to = string.find(source, "]" .. equals .. "]", open, true)
                from, to = from or length, to or length
                add("text", (string.gsub(string.sub(source, open, from - 1), "^\n", "")))
                skip(to)
            elseif first == '"' or first == "'" then
                local at, plain = position + 1, true
                while at <= length do
                    local c = string.sub(source, at, at)
                    if c == "\\" then
                        plain, at = false, at + 2
                    elseif c == first then
                        break
                    else
                        at = at + 1
                    end
                end
                local text = nil
                if plain then
                    text = string.sub(source, position + 1, at - 1)
                end
                add("text", text)
                skip(math.min(at, length))
            else
                local _, to = string.find(source, "^[%a_][%w_]*", position)
                if to then
                    local text = string.sub(source, position, to)
                    add(keywords[text] and "word" or "name", text)
                else
                    _, to = string.find(source, "^%.?%d[%w.]*", position)
                    if to then
                        add("number", string.sub(source, position, to))
                    else
                        local sign = string.match(source, "^%.%.%.?", position)
                            or string.match(source, "^[=~<>]=", position)
                            or string.match(source, "^::", position) or first
                        to = position + #sign - 1
                        add("sign", sign)
                    end
                end
                position = to + 1
            end
        end
    end
    return list
end

local function is(token, text)
    return token ~= nil and token.kind ~= "text" and token.text == text
end
source_tokens.is = is

local openers = support.set_of { "(", "{", "[", "function", "if", "do", "repeat" }
local closers = support.set_of { ")", "}", "]", "end", "until" }

-- What tokens that are one literal stand for, {value = 5}; nil for anything else, nil itself and tables among it. Of a text
-- with escapes only the type is known, and it is hidden.
local function literal_of(list, from, to)
    local first, is_negative = list[from], is(list[from], "-")
    if from ~= to and not (is_negative and from + 1 == to and list[to].kind == "number") then
        return nil
    elseif is_negative or first.kind == "number" then
        local number = tonumber(list[to].text)
        return number and { value = is_negative and -number or number }
    elseif first.kind == "text" then
        return { value = first.text or "?", is_hidden = first.text == nil }
    elseif is(first, "true") or is(first, "false") then
        return { value = first.text == "true" }
    end
    return nil
end

-- The table constructor that begins at `start` ("{"): {fields = {name = {line, text, literal, table, from, to}}, items,
-- is_open, last}. `from` and `to` are the tokens of the value; `is_open` says that it has keys that only
-- running it would tell.
local function read_table(list, start)
    local made = { fields = {}, items = {}, is_open = false, line = list[start].line }
    local at = start + 1
    while list[at] and not is(list[at], "}") do
        local name
        if list[at].kind == "name" and is(list[at + 1], "=") then
            name, at = list[at].text, at + 2
        elseif is(list[at], "[") then
            local key = list[at + 1]
            if key.kind == "text" and key.text and is(list[at + 2], "]") and is(list[at + 3], "=") then
                name, at = list[at + 1].text, at + 4
            else
                made.is_open = true
            end
        end
        local from, depth = at, 0
        while list[at] and not (depth == 0 and (is(list[at], ",") or is(list[at], ";") or is(list[at], "}"))) do
            local token = list[at]
            if token.kind ~= "text" and openers[token.text] then
                depth = depth + 1
            elseif token.kind ~= "text" and closers[token.text] then
                depth = depth - 1
            end
            at = at + 1
        end
        local value = {
            line = list[from] and list[from].line or made.line, from = from, to = at - 1,
            literal = literal_of(list, from, at - 1),
        }
        if at - from == 1 then
            value.text = list[from].kind == "text" and list[from].text or nil
            value.is_nil = is(list[from], "nil")
            value.is_name = list[from].kind == "name"
        elseif is(list[from], "{") then
            local inner = read_table(list, from)
            if inner.last == at - 1 then
                value.table = inner
            end
        end
        if name then
            made.fields[name] = value
        else
            made.items[#made.items + 1] = value
        end
        if is(list[at], ",") or is(list[at], ";") then
            at = at + 1
        end
    end
    made.last = at
    return made
end
source_tokens.read_table = read_table

-- The arguments of the call whose name is token `at`, as {{from, to, text, literal, table}, …}: f(a, b), f"…" and f{…}. Nil when it
-- is no call. `to` of the last one comes before the end of the call, which is `last`.
function source_tokens.arguments(list, at)
    local first = list[at + 1]
    if first == nil then
        return nil
    elseif first.kind == "text" then
        return { { from = at + 1, to = at + 1, text = first.text, literal = literal_of(list, at + 1, at + 1) }, last = at + 1 }
    elseif is(first, "{") then
        local made = read_table(list, at + 1)
        return { { from = at + 1, to = made.last, table = made }, last = made.last }
    elseif not is(first, "(") then
        return nil
    end
    local arguments, from, depth, position = {}, at + 2, 0, at + 2
    while list[position] do
        local token = list[position]
        if depth == 0 and (is(token, ",") or is(token, ")")) then
            if position > from then
                local argument = { from = from, to = position - 1, literal = literal_of(list, from, position - 1) }
                if position - from == 1 and list[from].kind == "text" then
                    argument.text = list[from].text
                elseif is(list[from], "{") then
                    local made = read_table(list, from)
                    argument.table = made.last == position - 1 and made or nil
                end
                argument.is_nil = position - from == 1 and is(list[from], "nil")
                argument.is_name = list[position - 1].kind == "name"
                arguments[#arguments + 1] = argument
            end
            from = position + 1
            if is(token, ")") then
                break
            end
        elseif token.kind ~= "text" and openers[token.text] then
            depth = depth + 1
        elseif token.kind ~= "text" and closers[token.text] then
            depth = depth - 1
        end
        position = position + 1
    end
    arguments.last = position
    return arguments
end

-- What an argument or a field, as the functions above give it, stands for: true and the value when all of it is literal.
local function value_of(written)
    if written.is_nil then
        return true, nil
    elseif written.literal then
        return not written.literal.is_hidden, written.literal.value
    elseif not written.table or written.table.is_open then
        return false
    end
    local made = {}
    for place, item in ipairs(written.table.items) do
        local is_literal, value = value_of(item)
        if not is_literal or value == nil then
            return false
        end
        made[place] = value
    end
    for name, field in next, written.table.fields do
        local is_literal, value = value_of(field)
        if not is_literal then
            return false
        end
        made[name] = value
    end
    return true, made
end
source_tokens.value_of = value_of

source_tokens.openers = openers
source_tokens.closers = closers

return source_tokens
