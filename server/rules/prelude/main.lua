-- Where the C side enters: the globals of rule files, the end of loading, and one run of a rule.

local host, use = ...
local support, values, calendar = use "support", use "values", use "calendar"
local declarations, effects, facts, source_check = use "declarations", use "effects", use "facts", use "source_check"
local tester, unread = use "tester", use "unread"
local fault, type_word, did_you_mean = support.fault, support.type_word, support.did_you_mean

local main = {}
local loading = true
local data_tables = {}
local broken_data = {} -- names of those that did not load
local tests = {}

-- Globals -------------------------------------------------------------------------------------------------------------

local globals = {}
main.globals = globals

local function only_while_loading(name, declare)
    return function(...)
        if not loading then
            fault("%s declares something, which is done while the file is loaded and not while a rule runs", name)
        end
        return declare(...)
    end
end

globals.rule = only_while_loading("rule", declarations.rule)
for _, kind in ipairs { "template", "survey", "endpoint", "cron" } do
    globals[kind] = only_while_loading(kind, declarations.global(kind))
end
globals.env = only_while_loading("env", declarations.reference("env"))
globals.file = only_while_loading("file", declarations.reference("file"))

-- calendar "NAME" { … } declares one, calendar("NAME") is the declared one.
local calendar_uses = {}
local calendar_methods = {}

local function compiled_calendar(name)
    local declared = declarations.declared.calendar[name]
    if not declared or not declared.compiled then
        fault("%s", declarations.undeclared("calendar", name))
    end
    return declared.compiled
end

for key, method in next, calendar.methods do
    calendar_methods[key] = function(self, ...)
        local data = support.unwrap(self)
        if type(data) ~= "table" or not data.name then
            fault("%s: call it with a colon, as in calendar(\"NAME\"):%s(…)", key, key)
        end
        return method(compiled_calendar(data.name), ...)
    end
end

local function calendar_missing(key)
    fault("a calendar has no %s%s", support.shown(key), did_you_mean(key, support.keys(calendar_methods)))
end

function globals.calendar(name)
    if type(name) ~= "string" then
        fault("calendar takes a name, not %s", type_word(name))
    end
    if not loading then
        compiled_calendar(name)
        return support.view({ name = name }, calendar_methods, "a calendar", calendar_missing)
    end
    local file, line = host.where()
    local at = { file = file, line = line }
    calendar_uses[at] = name
    return support.view({ name = name }, calendar_methods, "a calendar", calendar_missing, function(_, options)
        calendar_uses[at] = nil -- it was a declaration, not a use
        declarations.declare("calendar", name, at)(options)
    end)
end

function globals.data(name)
    if type(name) ~= "string" then
        fault("data takes a name, not %s", type_word(name))
    end
    local value = data_tables[name]
    if not value and broken_data[name] then
        fault("the data '%s' did not load: its own file says why", name)
    elseif not value then
        fault("there is no data '%s'%s", name, did_you_mean(name, support.keys(data_tables)))
    end
    return value
end

function globals.now()
    return host.now()
end

globals.test = only_while_loading("test", function(name, run)
    local file, line = host.where()
    local at = { file = file, line = line }
    if type(name) ~= "string" or type(run) ~= "function" then
        support.problem("error", at, "test takes a name and a function, as in test(\"greets\", function(t) … end)")
        return
    end
    for _, other in ipairs(tests) do
        if other.name == name and other.file == file then
            support.problem("error", at, string.format("the test '%s' is declared twice in this file", name))
        end
    end
    tests[#tests + 1] = { name = name, run = run, file = file, line = line }
end)


local helpers = { "money", "duration", "seconds", "minutes", "hours", "days", "date", "local_time", "has", "is" }
for _, name in ipairs(helpers) do
    globals[name] = values[name]
end

-- Loading -------------------------------------------------------------------------------------------------------------

-- What a file of rules/data returned, frozen by the sandbox.
function main.add_data(name, value, file)
    if type(value) ~= "table" then
        support.problem("error", { file = file, line = 1 }, string.format("a file in data returns a table, this one %s",
            value == nil and "nothing" or type_word(value)))
        value = {}
    end
    data_tables[name] = value
end

-- `source` is the file that was being loaded when this went wrong, here or in a library: {file, text, compiles}, and
-- `data`, the name that rules have for it.
function main.add_problem(at, text, hint, source)
    unread.add(source.file, source.compiles, source.text)
    if source.data then
        broken_data[source.data] = true
    end
    if not source.compiles and not hint then
        hint = use("syntax_hints").find(source.text, at.line, text)
    end
    support.problem("error", at, text, hint)
end

-- The end of loading. `sources` is a list of {file, text} of the rule files. Returns the description of all there is.
function main.finish(sources)
    loading = false
    declarations.finish()
    local data_names = {}
    for _, names in ipairs { data_tables, broken_data } do
        for name in next, names do
            data_names[name] = true
        end
    end
    for _, source in ipairs(sources) do
        if unread.compiles(source.file) then
            source_check.file(source.file, source.text, data_names)
        end
    end
    for at, name in next, calendar_uses do
        if declarations.lacks("calendar", name) then
            support.problem("error", at, declarations.undeclared("calendar", name))
        end
    end

    local rules = declarations.rules
    table.sort(rules, function(a, b)
        if a.priority ~= b.priority then
            return a.priority > b.priority
        end
        return a.name < b.name
    end)
    local description = { rules = host.array {}, tests = host.array {}, declarations = {}, problems = host.array {} }
    for position, rule in ipairs(rules) do
        description.rules[position] = {
            name = rule.name, doc = rule.doc or "", file = rule.file, line = rule.line, priority = rule.priority,
            on = rule.on, budget = rule.budget, has_when = rule.when ~= nil,
        }
    end
    for position, test in ipairs(tests) do
        description.tests[position] = { name = test.name, file = test.file, line = test.line }
    end
    for kind, all in next, declarations.declared do
        description.declarations[kind] = {}
        for name, item in next, all do
            description.declarations[kind][name] = item.data
        end
    end
    for position, item in ipairs(support.problems()) do
        description.problems[position] = item
    end
    table.sort(description.problems, function(a, b)
        if a.file ~= b.file then
            return (a.file or "") < (b.file or "")
        end
        return (a.line or 0) < (b.line or 0)
    end)
    return description
end

-- The second look, and the names of everything that rule files can use. Not part of loading: nothing that runs needs it.
function main.review(sources, senders)
    return use("review").run(sources, globals, senders)
end

function main.test_calls(sources)
    return use("review_tests").calls(sources)
end

function main.api()
    return use("review").api(globals)
end

-- The functions that are kept, for sealing: `run` of the first rule, its `when` or nil, `run` of the second rule, …
function main.functions()
    local list = {}
    for position, rule in ipairs(declarations.rules) do
        list[2 * position - 1] = rule.run
        list[2 * position] = rule.when
    end
    return list
end

-- Running -------------------------------------------------------------------------------------------------------------

-- Runs rule number `index`. Returns "ran" with the effects (nil: none) and whether to stop, or "skipped" with the line of `when`.
-- Anything wrong is an error. `is_new` false: the event and the facts of the run before, which came to its end.
function main.run(index, is_new)
    local rule = declarations.rules[index]
    local run = effects.begin(rule)
    if is_new then
        facts.renew()
    end
    local e, when = facts.event, rule.when
    if when and not when(e) then
        local line = rule.when_line
        if not line then
            line = host.line_of(when)
            rule.when_line = line
        end
        return "skipped", line
    end
    run.mode = "run"
    rule.run(e, effects.fx)
    if run.over then
        -- The rule caught the error of its spent budget.
        error(run.over, 0)
    end
    return "ran", run.list, run.stop
end

main.is_over = effects.is_over

function main.run_test(index)
    tests[index].run(tester.t)
end

return main
