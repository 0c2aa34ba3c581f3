-- Variables in functions that nobody has declared, and variables of the file that a rule would change. What stands in the
-- file itself has run when it was loaded; a function runs when the first customer writes.

local host, use = ...
local support, tokens = use "support", use "source_tokens"
local problem, did_you_mean, is = support.problem, support.did_you_mean, tokens.is

local review_names = {}

-- What the sandbox has besides the globals of rule files (server/io/vm_sandbox.c).
local of_sandbox = {
    "array", "assert", "error", "ipairs", "log", "math", "next", "pairs", "pcall", "print", "random", "require", "select", "string",
    "table", "tonumber", "tostring", "type", "utf8", "_VERSION",
}

-- Those of Lua that are not there, and what is.
local absent = {
    os = "now() gives the time, date(\"%F %R\", now(), \"Europe/Zurich\") shows one", io = "a rule reads and writes no files",
    unpack = "it is table.unpack()", _G = "variables are declared with `local`", load = "use require() for a library",
    loadstring = "use require() for a library", dofile = "use require() for a library", xpcall = "use pcall()",
    setmetatable = "tables are plain here", getmetatable = "tables are plain here", rawget = "index the table",
    rawset = "index the table", debug = "log(…) shows a value in a test", coroutine = "a rule runs to its end in one go",
    sleep = "c:after(delay, name) makes an event later", wait = "c:after(delay, name) makes an event later",
    e = "a rule's function gets it: function(e, fx)", fx = "'run' gets it behind the event: function(e, fx)",
    null = "Lua says nil", None = "Lua says nil", undefined = "Lua says nil", this = "the event is e", test = "tests are in NAME_test.lua",
}

local closing = support.set_of { ")", "}", "]", "end" }

-- Walks over the tokens with the scopes that are open: {kind, names, is_rule}. `kind` is what opened it.
local Walk = {}
Walk.__index = Walk

function Walk:open(kind)
    local above = self.scopes[#self.scopes]
    local scope = { kind = kind, names = {}, is_rule = above.is_rule, in_function = above.in_function }
    self.scopes[#self.scopes + 1] = scope
    return scope
end

function Walk:close()
    if #self.scopes > 1 then
        self.scopes[#self.scopes] = nil
    end
end

function Walk:top()
    return self.scopes[#self.scopes]
end

function Walk:declare(name)
    self:top().names[name] = true
end

-- The scope that has the name, or nil.
function Walk:find(name)
    for position = #self.scopes, 1, -1 do
        if self.scopes[position].names[name] then
            return self.scopes[position]
        end
    end
    return nil
end

-- Declares the names of a list that begins at `at`; returns the first token behind it. Attributes are passed over.
function Walk:declare_list(at)
    local list = self.list
    while list[at] do
        if list[at].kind == "name" then
            self:declare(list[at].text)
            at = at + 1
        elseif is(list[at], "<") then
            at = at + 3
        elseif is(list[at], ",") or is(list[at], "...") then
            at = at + 1
        else
            break
        end
    end
    return at
end

-- The word "function" at `at`: its name is used or declared, its parameters are its own. Returns the token behind them.
function Walk:enter_function(at)
    local list = self.list
    local is_rule = is(list[at - 1], "=") and (is(list[at - 2], "run") or is(list[at - 2], "when"))
    local position, has_self = at + 1, false
    if list[position] and list[position].kind == "name" then
        if is(list[at - 1], "local") then
            self:declare(list[position].text)
        else
            self:use(position, is(list[position + 1], "("))
        end
        while not is(list[position], "(") do
            has_self = has_self or is(list[position], ":")
            position = position + 1
        end
    end
    local scope = self:open("function")
    scope.in_function = true
    scope.is_rule = scope.is_rule or is_rule
    if has_self then
        self:declare("self")
    end
    position = self:declare_list(position + 1)
    return position + 1
end

-- The name at `at` is read, or assigned to.
function Walk:use(at, is_assigned)
    local token = self.list[at]
    local name = token.text
    local scope, place = self:find(name), { file = self.file, line = token.line }
    if scope then
        if is_assigned and scope.kind == "file" and self:top().is_rule then
            problem("error", place, string.format("the rule changes '%s', a variable outside of its functions", name),
                "nothing is kept from one event to the next: keep it with c:set(…) or e.contact:set(…)")
        end
    elseif self.known[name] or not (self:top().in_function or self.is_unread) then
        return -- what a file itself uses was found when it was run to its end
    elseif is_assigned then
        problem("error", place, string.format("assignment to the undeclared variable '%s'", name),
            string.format("write `local %s`", name))
    else
        local hint = absent[name]
        if not hint then
            local near = did_you_mean(name, self.names)
            hint = near ~= "" and string.gsub(near, "^; ", "") or "variables are declared with `local`"
        end
        problem("error", place, string.format("'%s' is not defined", name), hint)
    end
end

-- Is the name at `at` a key of a table constructor?
function Walk:is_key(at)
    local before = self.list[at - 1]
    return self:top().kind == "{" and is(self.list[at + 1], "=") and (is(before, "{") or is(before, ",") or is(before, ";"))
end

function Walk:word(at)
    local token, top = self.list[at], self:top()
    if is(token, "function") then
        return self:enter_function(at)
    elseif is(token, "local") then
        return is(self.list[at + 1], "function") and at + 1 or self:declare_list(at + 1)
    elseif is(token, "for") then
        self:open("loop")
        return self:declare_list(at + 1)
    elseif is(token, "while") then
        self:open("loop")
    elseif is(token, "do") then
        if top.kind == "loop" then
            top.kind = "do" -- the body of that loop
        else
            self:open("do")
        end
    elseif is(token, "if") or is(token, "repeat") then
        self:open(token.text)
    elseif is(token, "until") then
        -- Its condition sees what the body declared: kept in the scope around it, which hides too little rather than too much.
        self:close()
        for name in pairs(top.names) do
            self:declare(name)
        end
    elseif is(token, "goto") then
        return at + 2
    elseif is(token, "end") then
        self:close()
    end
    return at + 1
end

function Walk:step(at)
    local token, before = self.list[at], self.list[at - 1]
    if token.kind == "word" then
        return self:word(at)
    elseif token.kind == "sign" then
        if token.text == "(" or token.text == "{" or token.text == "[" then
            self:open(token.text)
        elseif closing[token.text] then
            self:close()
        elseif token.text == "::" then
            return at + 3
        end
    elseif token.kind == "name" and not is(before, ".") and not is(before, ":") and not self:is_key(at) then
        local opener = self:top().kind
        self:use(at, is(self.list[at + 1], "=") and opener ~= "{" and opener ~= "(" and opener ~= "[")
    end
    return at + 1
end

-- One file: its tokens, the global names that rule files have, and whether it could not be run to its end.
function review_names.check(file, list, globals, is_unread)
    local names = { table.unpack(of_sandbox) }
    for _, name in ipairs(support.keys(globals)) do
        names[#names + 1] = name
    end
    local walk = setmetatable({
        file = file, list = list, is_unread = is_unread, names = names, known = support.set_of(names),
        scopes = { { kind = "file", names = {}, is_rule = false, in_function = false } },
    }, Walk)
    local at = 1
    while list[at] do
        at = walk:step(at)
    end
end

return review_names
