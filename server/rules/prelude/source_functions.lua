-- The functions of a Lua source that compiles, found by reading it: bodies, and which function a call of the same file, or
-- of a library, runs.

local _, use = ...
local tokens = use "source_tokens"
local is = tokens.is

local source_functions = {}

-- The function whose word "function" is token `at`: {params, from, to}, the tokens of its body; or nil.
function source_functions.read(list, at)
    if not is(list[at], "function") then
        return nil
    end
    local made, position = { params = {} }, at + 1
    while not is(list[position], "(") do
        position = position + 1
    end
    position = position + 1
    while not is(list[position], ")") do
        if list[position].kind == "name" then
            made.params[#made.params + 1] = list[position].text
        end
        position = position + 1
    end
    made.from = position + 1
    local depth = 0
    for last = made.from, #list do
        local token = list[last]
        if token.kind ~= "text" and tokens.openers[token.text] then
            depth = depth + 1
        elseif token.kind ~= "text" and tokens.closers[token.text] then
            if depth == 0 then
                made.to = last - 1
                return made
            end
            depth = depth - 1
        end
    end
    return nil
end

local function is_declared_in(list, at)
    local position = at
    while is(list[position], ",") or list[position] and list[position].kind == "name" do
        position = position - 1
    end
    return is(list[position], "local") or is(list[position], "for")
end

local function is_parameter(list, at)
    local position = at
    while is(list[position], ",") or list[position] and list[position].kind == "name" do
        position = position - 1
    end
    if not is(list[position], "(") then
        return false
    end
    position = position - 1
    while is(list[position], ".") or is(list[position], ":") or list[position] and list[position].kind == "name" do
        position = position - 1
    end
    return is(list[position], "function")
end

-- Where it is written what `NAME`, or `OWNER.NAME`, stands for: the token behind its '=', or the word "function"; nil when it
-- may stand for more than one thing.
local function made_once(list, name, owner)
    local found, count = nil, 0
    for at, token in ipairs(list) do
        local first = owner and at - 2 or at
        local before, after = list[first - 1], list[at + 1]
        local is_meant = token.kind == "name" and token.text == name and not is(before, ".") and not is(before, ":")
            and (not owner or is(list[at - 1], ".") and is(list[first], owner))
        if is_meant then
            if is(before, "function") and is(after, "(") then
                found, count = first - 1, count + 1
            elseif is(after, "=") and (owner or not (is(before, "{") or is(before, ",")) or is_declared_in(list, at - 1)) then
                -- Of `local a, b = f, g` one would have to count.
                found, count = not is(before, ",") and at + 2 or nil, count + 1
            elseif not owner and not (is(after, "(") or is(after, ".") or is(after, ":"))
                and (is_declared_in(list, at - 1) or is_parameter(list, at - 1)) then
                count = count + 1 -- of a list of variables, of a loop, or of another function
            end
        end
    end
    return count == 1 and found or nil
end

-- The function that `NAME(…)` runs, or `OWNER.NAME(…)`; nil when the name may stand for more than one thing.
function source_functions.named(list, name, owner)
    local at = made_once(list, name, owner)
    return at and source_functions.read(list, at) or nil
end

-- What `require "LIBRARY"` or `require("LIBRARY").MEMBER`, written at token `at`, stands for: the two names, of which the
-- second may be nil, and its last token; nil when something else is written there.
function source_functions.required_at(list, at)
    local last = is(list[at + 1], "(") and at + 3 or at + 1
    local argument = list[is(list[at + 1], "(") and at + 2 or at + 1]
    if not is(list[at], "require") or not argument or argument.kind ~= "text"
        or last == at + 3 and not is(list[last], ")") then
        return nil
    elseif is(list[last + 1], ".") then
        return argument.text, list[last + 2].text, last + 2
    end
    return argument.text, nil, last
end

-- The library, and perhaps its member, that `local NAME = require "…"` reads; nil when NAME is something else, or something
-- else, too.
function source_functions.required(list, name)
    local at = made_once(list, name)
    local library, member, last
    if at then
        library, member, last = source_functions.required_at(list, at)
    end
    local behind = last and list[last + 1]
    local goes_on = behind and (behind.kind == "text" or behind.kind == "sign" and behind.text ~= ";" or is(behind, "and")
        or is(behind, "or"))
    if goes_on then
        return nil
    end
    return library, member
end

local function field_function(list, at, member)
    local value = tokens.read_table(list, at).fields[member]
    if not value then
        return nil
    elseif is(list[value.from], "function") then
        return source_functions.read(list, value.from)
    end
    return value.from == value.to and list[value.from].kind == "name"
        and source_functions.named(list, list[value.from].text) or nil
end

-- The function `member` of what a library gives back, a table or the name of one; without `member` the function that it
-- gives back itself.
function source_functions.exported(list, member)
    local at
    for position, token in ipairs(list) do
        at = is(token, "return") and position + 1 or at -- the last one is that of the file
    end
    local given = at and list[at]
    if not given or list[at + 1] and not is(given, "{") and not is(given, "function") and not is(list[at + 1], ";") then
        return nil
    elseif is(given, "function") then
        return not member and source_functions.read(list, at) or nil
    elseif is(given, "{") then
        return member and field_function(list, at, member)
    elseif given.kind ~= "name" then
        return nil
    elseif not member then
        return source_functions.named(list, given.text)
    end
    local found = source_functions.named(list, member, given.text)
    local made = not found and made_once(list, given.text)
    return found or made and is(list[made], "{") and field_function(list, made, member) or nil
end

return source_functions
