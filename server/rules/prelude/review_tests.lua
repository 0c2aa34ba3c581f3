-- What the unit tests of rules call: the verbs of `t`, by file and line. For a check that looks at tests without running them.

local _, use = ...
local tokens, unread = use "source_tokens", use "unread"
local is = tokens.is

local review_tests = {}

-- The names that the functions of tests have for what they get: `t` in test("…", function(t) … end).
local function receivers_in(list)
    local names = {}
    for at, token in ipairs(list) do
        local arguments = token.kind == "name" and token.text == "test" and tokens.arguments(list, at)
        local body = arguments and arguments[2]
        if body and is(list[body.from], "function") and is(list[body.from + 1], "(") then
            local name = list[body.from + 2]
            if name and name.kind == "name" then
                names[name.text] = true
            end
        end
    end
    return names
end

-- {{file, line, name}, …} of all calls `t:NAME(…)`; `sources` is {{file, text}, …}.
function review_tests.calls(sources)
    local found = {}
    for _, source in ipairs(sources) do
        local list = unread.compiles(source.file) and tokens.read(source.text) or {}
        local receivers = receivers_in(list)
        for at, token in ipairs(list) do
            local before, verb = list[at - 1], list[at + 2]
            if token.kind == "name" and receivers[token.text] and not is(before, ".") and not is(before, ":") and
                is(list[at + 1], ":") and verb and verb.kind == "name" and tokens.arguments(list, at + 2) then
                found[#found + 1] = { file = source.file, line = verb.line, name = verb.text }
            end
        end
    end
    return found
end

return review_tests
