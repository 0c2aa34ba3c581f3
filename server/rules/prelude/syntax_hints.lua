-- What to do about a syntax error of Lua, for the mistakes that people make who write other languages as well.
--
-- A hint is no guess: each is a way to mend the source, which is tried, and told when the error goes away by it.

local _, use = ...
local tokens = use "source_tokens"

local syntax_hints = {}

-- The source in hand --------------------------------------------------------------------------------------------------

-- {source, lines, line, text, near}: `text` is Lua's message, `near` the word that it stumbled over, nil at the end of the file.
local function case_of(source, line, text)
    local lines = {}
    source = string.gsub(source, "^\u{FEFF}", "") -- a byte order mark, which is passed over
    for one in string.gmatch(source .. "\n", "(.-)\r?\n") do
        lines[#lines + 1] = one
    end
    return { source = source, lines = lines, line = line, text = text, near = string.match(text, " near '(.*)'$") }
end

local function says(case, part)
    return string.find(case.text, part, 1, true) ~= nil
end

-- Does the source compile when `mended` stands in place of line `number`, or fail further down?
local function helps(case, number, mended)
    local lines = { table.unpack(case.lines) }
    lines[number] = mended
    local chunk, wrong = load(table.concat(lines, "\n"), "=x", "t")
    return chunk ~= nil or (tonumber(string.match(wrong, "^x:(%d+):")) or 0) > case.line
end

-- The last line above `number` that has code.
local function line_above(case, number)
    for above = number - 1, 1, -1 do
        if not string.find(case.lines[above], "^%s*$") and not string.find(case.lines[above], "^%s*%-%-") then
            return above
        end
    end
    return nil
end

-- Each place where `near` stands in the line of the error.
local function places(case)
    local list, from = {}, 1
    while case.near and case.near ~= "" do
        local at = string.find(case.lines[case.line] or "", case.near, from, true)
        if not at then
            break
        end
        list[#list + 1], from = at, at + 1
    end
    return list
end

-- Is `what` missing before the word that Lua stumbled over? Returns "before 'x'", or "at the end of line 3".
local function missing_before(case, what)
    local line = case.lines[case.line]
    for _, at in ipairs(places(case)) do
        if helps(case, case.line, string.sub(line, 1, at - 1) .. " " .. what .. " " .. string.sub(line, at)) then
            local above = not string.find(string.sub(line, 1, at - 1), "%S") and line_above(case, case.line)
            return above and string.format("at the end of line %d", above) or string.format("before '%s'", case.near), above
        end
    end
    return nil
end

-- Words and signs of other languages --------------------------------------------------------------------------------------

local typographic = {
    { "\u{201C}", '"', "typographic quotes; a text stands between \" and \"" },
    { "\u{201D}", '"', "typographic quotes; a text stands between \" and \"" },
    { "\u{201E}", '"', "typographic quotes; a text stands between \" and \"" },
    { "\u{2018}", "'", "typographic quotes; a text stands between ' and '" },
    { "\u{2019}", "'", "typographic quotes; a text stands between ' and '" },
    { "\u{2013}", "-", "a typographic dash; minus is -" },
    { "\u{2014}", "-", "a typographic dash; minus is -" },
    { "\u{A0}", " ", "a space that is none for Lua (U+00A0): type it again" },
    { "\u{200B}", "", "an invisible character (U+200B): delete it" },
}

local function characters(case)
    local line, what = case.lines[case.line], nil
    for _, sign in ipairs(typographic) do
        local count
        line, count = string.gsub(line, sign[1], sign[2])
        what = what or count > 0 and sign[3] or nil
    end
    return what and helps(case, case.line, line) and "the line has " .. what or nil
end

-- Patterns, what stands for them in Lua, and what is said.
local operators = {
    { "!=", "~=", "`~=` for !=" },
    { "!%s*([%a_(])", " not %1", "`not` for !" },
    { "&&", " and ", "`and` for &&" },
    { "||", " or ", "`or` for ||" },
    { "%f[%w_]elif%f[^%w_]", "elseif", "`elseif` for elif" },
    { "%f[%w_]elsif%f[^%w_]", "elseif", "`elseif` for elsif" },
    { "%f[%w_]let%s+([%a_])", "local %1", "`local` for let" },
    { "%f[%w_]const%s+([%a_])", "local %1", "`local` for const" },
    { "%f[%w_]var%s+([%a_])", "local %1", "`local` for var" },
    { "^(%s*)//", "%1--", "`--` before a comment" },
    { "(%s)//", "%1--", "`--` before a comment" },
    { "^(%s*)#", "%1--", "`--` before a comment" },
    { "%[([^%]]-)%]", "{%1}", "a list in braces, as in { \"a\", \"b\" }" },
    { "(%S+)%s*%?%s*([^:]+):", "%1 and %2 or ", "`condition and this or that` for ? :" },
}

local function other_operators(case)
    local line, said = case.lines[case.line], {}
    for _, operator in ipairs(operators) do
        local mended = string.gsub(line, operator[1], operator[2])
        if mended ~= line then
            if helps(case, case.line, mended) then
                said[#said + 1] = operator[3]
                return "Lua writes " .. table.concat(said, ", ")
            elseif #said < 3 and string.find(operator[1], "^[!&|]") then
                line, said[#said + 1] = mended, operator[3] -- perhaps one of several
            end
        end
    end
    return nil
end

-- x += 1, x++ and x--, which is a comment to Lua.
local function counting(case)
    local line = case.lines[case.line]
    for _, place in ipairs { "[%a_][%w_%.]*", "[%a_][%w_%.]*%b[]" } do
        for _, operator in ipairs { "+", "-", "*", "/", "%", ".." } do
            local sign = string.gsub(operator, "%p", "%%%0")
            local name = string.match(line, "(" .. place .. ")%s*" .. sign .. "=")
            local mended = string.gsub(line, "(" .. place .. ")%s*(" .. sign .. ")=", "%1 = %1 %2 ")
            if name and helps(case, case.line, mended) then
                return string.format("Lua has no %s=: write %s = %s %s …", operator, name, name, operator)
            end
        end
        local name = string.match(line, "(" .. place .. ")%+%+")
        if name and helps(case, case.line, (string.gsub(line, "(" .. place .. ")%+%+", "%1 = %1 + 1"))) then
            return string.format("Lua has no ++: write %s = %s + 1", name, name)
        end
    end
    for _, number in ipairs { case.line, line_above(case, case.line) } do
        local name = string.match(case.lines[number], "^%s*([%a_][%w_%.]*)%s*%-%-%s*;?%s*$")
        if name and helps(case, number, name .. " = 0") then
            return string.format("`--` begins a comment: write %s = %s - 1 in line %d", name, name, number)
        elseif string.find(case.lines[number], "^%s*continue%s*;?%s*$") and helps(case, number, "") then
            return string.format("Lua has no `continue` (line %d): put what follows into an `if … end`", number)
        end
    end
    return nil
end

local function braces(case)
    if case.near ~= "{" then
        return nil
    end
    local line = case.lines[case.line]
    if string.find(line, "function[^{]*%)%s*{") then
        return "the body of a function has no braces: function(e, fx) … end"
    elseif string.find(line, "^%s*if%f[^%w_]") or string.find(line, "%f[%w_]elseif%f[^%w_]") then
        return "what an `if` decides has no braces: if … then … end"
    elseif string.find(line, "^%s*for%f[^%w_]") or string.find(line, "^%s*while%f[^%w_]") then
        return "the body of a loop has no braces: … do … end"
    end
    return nil
end

-- { name: "x" } and { "name": "x" }.
local function colons(case)
    local line = case.lines[case.line]
    for _, mend in ipairs { { "[\"']([^\"']+)[\"']%s*:%s*", "[\"%1\"] = " }, { "([%a_][%w_]*)%s*:%s*", "%1 = " } } do
        local mended = string.gsub(line, mend[1], mend[2])
        if mended ~= line and helps(case, case.line, mended) then
            return "a field of a table is written name = value"
        end
    end
    return nil
end

-- Texts ---------------------------------------------------------------------------------------------------------------------

local function texts(case)
    local line = case.lines[case.line]
    local mended = string.gsub(line, "(%a)'(%a)", "%1\\'%2")
    if mended ~= line and helps(case, case.line, mended) then
        return "the ' in the text ends it: put the text between \" and \""
    elseif says(case, "unfinished string") then
        return "a text ends in the line where it begins, with the quote that it begins with; longer ones stand between [[ and ]]"
    elseif says(case, "invalid escape sequence") then
        return "in a text \\ begins a special character: write \\\\ for one, and % in patterns (\"%d+\")"
    end
    return nil
end

-- Blocks ----------------------------------------------------------------------------------------------------------------------

local function conditions(case)
    local word = string.match(case.text, "^'(%a+)' expected near")
    if word ~= "then" and word ~= "do" then
        return nil
    end
    local line = case.lines[case.line]
    if case.near == "=" and helps(case, case.line, (string.gsub(line, "([^=~<>])=([^=])", "%1==%2"))) then
        return "`==` compares; `=` gives a variable its value"
    end
    local place = missing_before(case, word)
    return place and string.format("`%s` is missing %s", word, place) or nil
end

-- The opener that has no `end`, going by how the lines are indented: its word, its line, and the line that should have been
-- preceded by the `end`.
local function unclosed(case)
    local stack = {}
    local line_of_last = 0
    for _, token in ipairs(tokens.read(case.source)) do
        local is_first = token.line ~= line_of_last
        line_of_last = token.line
        local indent = #string.match(case.lines[token.line] or "", "^%s*")
        if token.kind == "word" and (token.text == "function" or token.text == "if" or token.text == "do") then
            stack[#stack + 1] = { text = token.text, line = token.line, indent = indent }
        elseif token.kind == "word" and token.text == "end" then
            local top = stack[#stack]
            if is_first and top and indent < top.indent then
                return top, token.line
            end
            stack[#stack] = nil
        end
    end
    return nil
end

local function is_missing_end(case)
    return says(case, "'end' expected") or says(case, "unexpected symbol") and (case.near == "}" or case.near == ")" or case.near == ",")
end

local function ends(case)
    if not is_missing_end(case) then
        return nil
    end
    for number = 1, case.line do
        local mended = string.gsub(case.lines[number], "%f[%w_]else%s+if%f[^%w_]", "elseif")
        if mended ~= case.lines[number] and helps(case, number, mended) then
            return string.format("`else if` in line %d begins an `if` with an `end` of its own: write `elseif`", number)
        end
    end
    local above = line_above(case, case.line)
    if above and string.find(case.lines[above], "^%s*return%f[^%w_]") and helps(case, above, "do " .. case.lines[above] .. " end") then
        return string.format("nothing can follow the `return` of line %d in its block: take it out, or put it into an `if … end`", above)
    end
    local opener, before = unclosed(case)
    if opener and helps(case, before, "end " .. case.lines[before]) then
        return string.format("going by the indentation, the `%s` of line %d lacks its `end` before line %d", opener.text,
            opener.line, before)
    end
    local place = missing_before(case, "end")
    if place then
        return string.format("an `end` is missing %s", place)
    elseif not case.near and helps(case, #case.lines, case.lines[#case.lines] .. "\nend") then
        return "an `end` is missing: each function, if, for and while has one"
    end
    return nil
end

local function too_many(case)
    local line = case.lines[case.line]
    if case.near ~= "end" and case.near ~= ")" and case.near ~= "}" or says(case, "'end' expected") then
        return nil
    end
    for _, at in ipairs(places(case)) do
        if helps(case, case.line, string.sub(line, 1, at - 1) .. string.sub(line, at + #case.near)) then
            return string.format("there is one `%s` too many, here or above", case.near)
        end
    end
    return nil
end

-- Tables and calls --------------------------------------------------------------------------------------------------------------

-- The first line below `number` that is indented no more than that one.
local function line_out_of(case, number)
    local indent = #string.match(case.lines[number], "^%s*")
    for below = number + 1, #case.lines do
        local from = string.find(case.lines[below], "%S")
        if from and from - 1 <= indent then
            return below
        end
    end
    return nil
end

local function separators(case)
    local closer = string.match(case.text, "^'([})])' expected")
    if not closer then
        return nil
    end
    local place, above = missing_before(case, ",")
    if place then
        local line, at = case.lines[case.line], places(case)[1]
        local is_field = string.find(line, "^%s*=", at + #case.near)
        local has_text = string.find(case.near, "^[\"']") or string.find(string.sub(line, 1, at - 1), "[\"']%s*$")
        return string.format("a comma is missing %s%s", place,
            has_text and not is_field and not above and ", or .. to join two texts" or "")
    end
    local opener, number = string.match(case.text, "to close '(.)' at line (%d+)")
    number = tonumber(number)
    local before = number and line_out_of(case, number)
    if before and helps(case, before, closer .. " " .. case.lines[before]) then
        return string.format("going by the indentation, the `%s` of line %d lacks its `%s` before line %d", opener, number,
            closer, before)
    end
    place = missing_before(case, closer)
    return place and string.format("a `%s` is missing %s", closer, place) or nil
end

-- Statements ------------------------------------------------------------------------------------------------------------------

-- `when = function(e) e.payment.amount > 5 end`: what is no statement is perhaps the result.
local function results(case)
    if not says(case, "syntax error near") then
        return nil
    end
    local line = case.lines[case.line]
    for _, mended in ipairs { (string.gsub(line, "(function%s*%b())", "%1 return ")), (string.gsub(line, "^%s*", "%0return ")) } do
        if mended ~= line and helps(case, case.line, mended) then
            return "this is no statement; what a function gives back follows `return`: function(e) return … end"
        end
    end
    return nil
end

-- fx:stop without its ().
local function calls(case)
    if not says(case, "function arguments expected") then
        return nil
    end
    for _, number in ipairs { case.line, line_above(case, case.line) } do
        local line = case.lines[number]
        for from, call, to in string.gmatch(line, "()([%a_][%w_]*:[%a_][%w_]*)()") do
            if from and helps(case, number, string.sub(line, 1, to - 1) .. "()" .. string.sub(line, to)) then
                return string.format("a call has parentheses, also around nothing: %s()", call)
            end
        end
    end
    return nil
end

-- { do = function(e, fx) … end } and { end = 5 }: words of Lua where the name of a field is due.
local meant_fields = { ["do"] = "run", ["then"] = "run", ["if"] = "when" }
local function field_names(case)
    local line = case.lines[case.line]
    for _, at in ipairs(places(case)) do
        local before, behind = string.sub(line, 1, at - 1), string.sub(line, at + #case.near)
        local meant = meant_fields[case.near]
        if string.find(behind, "^%s*=[^=]") and helps(case, case.line, before .. "[\"" .. case.near .. "\"]" .. behind) then
            return meant and string.find(behind, "^%s*=%s*function")
                and string.format("'%s' is a word of Lua; a rule says %s = function", case.near, meant)
                or string.format("'%s' is a word of Lua; as the name of a field write [\"%s\"] = …", case.near, case.near)
        end
    end
    return nil
end

-- The whole ---------------------------------------------------------------------------------------------------------------------

local ways = { characters, texts, counting, braces, colons, conditions, other_operators, field_names, ends, separators, too_many, results, calls }

-- What to do about the error of a source that does not compile; nil when that is not known.
function syntax_hints.find(source, line, text)
    local case = case_of(source, line, text)
    if not case.lines[line] then
        return nil
    end
    for _, way in ipairs(ways) do
        local hint = way(case)
        if hint then
            return hint
        end
    end
    return nil
end

return syntax_hints
