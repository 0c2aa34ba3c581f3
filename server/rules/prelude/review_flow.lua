-- Which rules can never run, and which make themselves run again without end.
--
-- Works on what each rule does whatever happens: statements of its 'run', and of functions of its file and of libraries that
-- it calls, that are inside of nothing and come before any 'return', 'error' or 'assert', in a rule without a 'when' that decides anything.

local host, use = ...
local support, declarations, tokens = use "support", use "declarations", use "source_tokens"
local functions = use "source_functions"
local problem, did_you_mean, is = support.problem, support.did_you_mean, tokens.is

local review_flow = {}

local function covers(pattern, other)
    local stem = string.match(pattern, "^(.*)%*$")
    return pattern == other or stem ~= nil and string.sub(other, 1, #stem) == stem
end

local function listens_to(rule, type)
    for _, pattern in ipairs(rule.on) do
        if covers(pattern, type) then
            return pattern
        end
    end
    return nil
end

local function place_of(rule)
    return { file = rule.file, line = host.key_line(rule.file, rule.line, "on") or rule.line }
end

-- Does the condition, between these tokens, hold for every event that has a contact or a conversation? Then it guards
-- against nothing.
local plain_words = support.set_of { "return", "true", "and", "not", "nil", "~=", ".", "(", ")", ";" }
function review_flow.decides_nothing(list, from, to, event)
    if not is(list[from], "return") then
        return false
    end
    for at = from, to do
        local token = list[at]
        local is_presence = token.kind == "name" and (token.text == event
            or is(list[at - 1], ".") and is(list[at - 2], event)
                and (token.text == "contact" or token.text == "conversation" or token.text == "type"
                    or token.text == "id"))
        if token.kind == "text" or not (is_presence or plain_words[token.text] and token.text ~= "not") then
            return false
        end
    end
    return true
end

-- The first token of `a.b:c(…):d`, of which `at` is the last name: 'e' of e.conversation:tag, 'fx' of
-- fx:open_conversation { … }:tag. Nil when it is something else.
local function chain_start(list, at)
    local first = at
    while true do
        local before = list[first - 1]
        if not (is(before, ".") or is(before, ":")) then
            return list[first].kind == "name" and first or nil
        end
        first = first - 2
        local depth = 0
        while list[first] and (depth > 0 or is(list[first], ")") or is(list[first], "}")) do
            -- Back over the arguments of a call.
            if list[first].kind ~= "text" and tokens.closers[list[first].text] then
                depth = depth + 1
            elseif list[first].kind ~= "text" and tokens.openers[list[first].text] then
                depth = depth - 1
            end
            first = first - 1
        end
        if not list[first] or list[first].kind ~= "name" then
            return nil
        end
    end
end

-- May what comes before a call be the end of another statement, or the beginning of this one? Behind an operator it may be
-- a part of `a and 1 + f()`, which is not always made.
local not_operators = support.set_of { "=", ",", ";", ")", "]", "}", "::" }
local function is_always_made(list, first, from)
    local before = list[first - 1]
    return first == from or before.kind == "sign" and not_operators[before.text] ~= nil
        or before.kind ~= "sign" and not (is(before, "and") or is(before, "or") or is(before, "not"))
end

-- The arguments with the literals of the call around them: in `local function send(c, name) … end`, called with
-- send(c, "x"), `name` is "x".
local function with_literals(list, arguments, literals)
    for _, argument in ipairs(arguments) do
        local token = list[argument.from]
        local given = argument.from == argument.to and token.kind == "name" and literals[token.text]
        if given then
            argument.text, argument.table = given.text, given.table
        end
    end
    return arguments
end

local function has_param(body, name)
    for _, param in ipairs(body.params) do
        if param == name then
            return true
        end
    end
    return false
end

local max_calls_deep = 8

-- The body that `NAME(…)` or `OWNER.NAME(…)` runs, with the source that it stands in; nil when one cannot tell.
local function find_body(source, name, owner, libraries)
    local body = functions.named(source.tokens, name, owner)
    if body then
        return body, source
    end
    local required, member = functions.required(source.tokens, owner or name)
    local library = not (owner and member) and libraries[required or ""]
    body = library and functions.exported(library.tokens, owner and name or member)
    return body, library
end

-- The same for `require("LIBRARY").MEMBER(…)`, which begins at token `at`.
local function find_required(list, at, libraries)
    local required, member = functions.required_at(list, at)
    local library = libraries[required or ""]
    return library and functions.exported(library.tokens, member), library
end

-- The function of the same file or of a library that is called at token `at`, with what its parameters stand for; or nil.
-- `scope` is {source, body, fx, literals, depth, libraries} of the caller.
local function called_function(at, arguments, scope)
    local list = scope.source.tokens
    local owner = is(list[at - 1], ".") and list[at - 2].kind == "name" and not is(list[at - 3], ".")
        and list[at - 2].text or nil
    if is(list[at - 1], ".") and not owner or has_param(scope.body, owner or list[at].text)
        or scope.depth == max_calls_deep then
        return nil
    end
    local body, source
    if is(list[at], "require") and not owner then
        body, source = find_required(list, at, scope.libraries)
    else
        body, source = find_body(scope.source, list[at].text, owner, scope.libraries)
    end
    if not body then
        return nil
    end
    local called = { source = source, body = body, fx = nil, literals = {}, depth = scope.depth + 1,
        libraries = scope.libraries }
    local is_inside = source == scope.source and body.from > scope.body.from and body.to < scope.body.to
    if is_inside and not has_param(body, scope.fx) then
        called.fx = scope.fx
    end
    for position, param in ipairs(body.params) do
        local argument = arguments[position]
        local token = argument and argument.from == argument.to and list[argument.from]
        if token and token.kind == "name" and token.text == scope.fx then
            called.fx = param
        elseif argument and (argument.text or argument.table) then
            called.literals[param] = argument
        end
    end
    return called
end

-- Adds what the body of `scope` does whatever happens to `made`. Returns true when it may end the whole rule before.
local function add_certain(scope, made)
    local list = scope.source.tokens
    local from, depth, nested = scope.body.from, 0, {}
    local may_return, may_fail = false, false
    for at = from, scope.body.to do
        local token = list[at]
        local is_name = token.kind == "name" and not may_return and not may_fail
        if token.kind ~= "text" and tokens.openers[token.text] then
            depth = depth + 1
            nested[depth] = token.text
        elseif token.kind ~= "text" and tokens.closers[token.text] then
            depth = depth - 1
        elseif is(token, "return") or is(token, "goto") then
            local in_function = false
            for level = 1, depth do
                in_function = in_function or nested[level] == "function"
            end
            if depth == 0 and is(token, "goto") then
                break
            end
            -- Behind a `return` of the body itself comes nothing but what it gives back.
            may_return = may_return or depth > 0 and not in_function
        elseif (is(token, "error") or is(token, "assert")) and not is(list[at - 1], ".") and not is(list[at - 1], ":") then
            may_fail = true
        elseif depth == 0 and is_name and is(list[at - 1], ":") then
            local first = chain_start(list, at)
            local arguments = first and is_always_made(list, first, from) and tokens.arguments(list, at)
            if arguments then
                local by_fx = scope.fx ~= nil and is(list[first], scope.fx)
                if token.text == "stop" and by_fx then
                    made.stops = true
                else
                    made.effects[#made.effects + 1] = { method = token.text, file = scope.source.file, line = token.line,
                        by_fx = by_fx, arguments = with_literals(list, arguments, scope.literals) }
                end
            end
        elseif depth == 0 and is_name and not is(list[at - 1], "function") then
            local first = is(list[at - 1], ".") and at - 2 or at
            local callee = first == at and select(3, functions.required_at(list, at)) or at -- its last token
            local arguments = first >= from and is_always_made(list, first, from) and tokens.arguments(list, callee)
            local called = arguments and called_function(at, with_literals(list, arguments, scope.literals), scope)
            may_fail = called and add_certain(called, made) or may_fail
        end
    end
    return may_fail
end

-- What a rule's `run` does whatever happens, also in functions of the same file and of libraries that it calls:
-- {stops = bool, effects = {{method, arguments, file, line, by_fx}, …}}. `source` is {file, tokens}, `run` is of
-- source_functions, `libraries` holds sources by the names that `require` takes.
function review_flow.certain(source, run, libraries)
    local made = { stops = false, effects = {} }
    add_certain({ source = source, body = run, fx = run.params[2] or "fx", literals = {}, depth = 0,
        libraries = libraries }, made)
    return made
end

-- The events that a certain effect leads to each time, with how it is called.
local function result_of(effect)
    local method, arguments = effect.method, effect.arguments
    if method == "emit" and effect.by_fx and arguments[1] and arguments[1].text then
        local name = string.gsub(arguments[1].text, "^custom%.", "")
        return "custom." .. name
    elseif method == "resolve" then
        return "conversation.resolved"
    elseif method == "tag" then
        return "conversation.tagged"
    elseif method == "assign" then
        return "conversation.assigned"
    elseif method == "prioritize" then
        return "conversation.prioritized"
    elseif method == "open_conversation" and effect.by_fx then
        local options = arguments[1] and arguments[1].table
        return options and options.fields.reopen and "conversation.reopened" or "conversation.opened"
    elseif method == "opt_out" then
        return "contact.opted_out"
    elseif method == "opt_in" then
        return "contact.opted_in"
    elseif method == "snooze" then
        return "conversation.snoozed"
    elseif method == "send" then
        return "message.status"
    elseif method == "outreach" and effect.by_fx then
        return "outreach.exhausted"
    elseif method == "after" and arguments[2] and arguments[2].text then
        local options = arguments[3]
        if options and not (options.table and not options.table.fields.unless) then
            return nil -- something ends it
        end
        return "timer." .. arguments[2].text
    end
    return nil
end

local why = {
    ["conversation.resolved"] = "resolves the conversation that was just resolved",
    ["conversation.tagged"] = "tags the conversation that was just tagged",
    ["conversation.assigned"] = "assigns the conversation that was just assigned, whoever it was given to",
    ["conversation.prioritized"] = "sets the priority of the conversation that was just given one",
    ["conversation.opened"] = "opens a conversation each time one is opened",
    ["conversation.reopened"] = "opens a conversation again each time one is opened again",
    ["contact.opted_out"] = "opts out who has just opted out",
    ["contact.opted_in"] = "opts in who has just opted in",
    ["conversation.snoozed"] = "snoozes the conversation that was just snoozed, again and again",
    ["message.status"] = "answers the status of each message with another message, whose statuses come back to it",
    ["outreach.exhausted"] = "starts another outreach each time one is exhausted",
}

-- Who decides nothing runs on every event.
local function is_guarded(rule)
    return rule.when and not rule.decides_nothing
end

-- Unguarded rules that lead to their own event, alone or in a circle.
local function check_circles(rules)
    local edges = {}
    for _, rule in ipairs(rules) do
        edges[rule.name] = {}
        for _, effect in ipairs(not is_guarded(rule) and rule.certain and rule.certain.effects or {}) do
            local type = result_of(effect)
            for _, other in ipairs(type and rules or {}) do
                if not is_guarded(other) and listens_to(other, type) then
                    edges[rule.name][other.name] = edges[rule.name][other.name]
                        or { type = type, file = effect.file, line = effect.line }
                end
            end
        end
    end
    for _, rule in ipairs(rules) do
        local own = edges[rule.name][rule.name]
        if own then
            local text = why[own.type]
            if string.find(own.type, "^timer%.") then
                text = string.format("sets the timer that it listens to ('%s') each time it runs", own.type)
            elseif not text then
                text = string.format("makes the event that it listens to ('%s')", own.type)
            end
            problem("warning", { file = own.file, line = own.line },
                string.format("rule '%s' %s, without a condition", rule.name, text),
                string.find(own.type, "^timer%.")
                    and "give it a 'when', put the call inside an 'if', or give 'after' an 'unless'"
                    or "give it a 'when' that tells its own doing apart, or put the call inside an 'if'")
        end
    end
    -- Circles of several rules, each told once, at the rule whose name comes first.
    local function reaches(from, wanted, seen)
        for _, name in ipairs(support.keys(edges[from])) do
            if name == wanted then
                return { edges[from][name].type }
            elseif not seen[name] and name > wanted then
                seen[name] = true
                local path = reaches(name, wanted, seen)
                if path then
                    table.insert(path, 1, edges[from][name].type)
                    return path
                end
            end
        end
        return nil
    end
    for _, rule in ipairs(rules) do
        local path = not edges[rule.name][rule.name] and reaches(rule.name, rule.name, {})
        if path then
            problem("warning", { file = rule.file, line = rule.line },
                string.format("rule '%s' begins a circle without a condition: %s", rule.name,
                    table.concat(path, ", then ")),
                "give one of the rules a 'when' that ends it, or put the call inside an 'if'; running, it is stopped"
                    .. " after 8 events")
        end
    end
end

-- Rules behind one that always stops.
local function check_stopped(rules)
    local stopping = {}
    for _, rule in ipairs(rules) do
        local by, all = nil, #stopping > 0
        for _, pattern in ipairs(rule.on) do
            local found
            for _, other in ipairs(stopping) do
                found = found or listens_to(other, pattern) and other
            end
            all = all and found ~= nil and found ~= false
            by = by or found
        end
        if all and by then
            problem("warning", place_of(rule),
                string.format("rule '%s' never runs: '%s' comes before it, has no 'when' and always stops", rule.name,
                    by.name),
                string.format("give it a higher 'priority' than %d, or '%s' a 'when'", by.priority, by.name))
        elseif not rule.when and rule.certain and rule.certain.stops then
            stopping[#stopping + 1] = rule
        end
    end
end

-- Why no event of this type can come, or nil. `uses`: {timers = set, any_timer, outreach, surveys}.
local function impossible(type, uses)
    local timer = string.match(type, "^timer%.(.+)$")
    if timer and timer ~= "*" and timer ~= "snooze" and not uses.any_timer and not uses.timers[timer] then
        return string.format("nothing sets the timer '%s'%s", timer, did_you_mean(timer, support.keys(uses.timers))),
            string.format("set it with e.conversation:after(\"4h\", \"%s\")", timer)
    elseif string.find(type, "^survey%.") and not uses.survey then
        return "no rule asks a survey", "ask one with e.conversation:survey(\"NAME\")"
    elseif string.find(type, "^outreach%.") and not uses.outreach then
        return "no rule begins an outreach", "begin one with fx:outreach { … }"
    end
    return nil
end

local function check_possible(rules, uses)
    for _, rule in ipairs(rules) do
        for _, type in ipairs(rule.on) do
            local reason, hint = impossible(type, uses)
            if reason then
                problem("warning", place_of(rule),
                    string.format("rule '%s': '%s' never happens: %s", rule.name, type, reason), hint)
            end
        end
    end
end

-- Timers that are set and that no rule takes, and timers that are canceled and never set. Where a rule waits for one of
-- nearly this name that nothing sets, that rule is told of already.
local function check_timers(rules, uses)
    local taken, awaited = {}, {}
    for _, rule in ipairs(rules) do
        for _, type in ipairs(rule.on) do
            local timer = string.match(type, "^timer%.(.+)$")
            if timer and timer ~= "*" then
                local list = (uses.timers[timer] or timer == "snooze") and taken or awaited
                list[#list + 1] = timer
            end
        end
    end
    for name, place in next, uses.own_methods.after and {} or uses.timers do
        local is_heard = uses.texts["timer." .. name] or uses.texts["timer.*"]
        if not is_heard and did_you_mean(name, awaited) == "" then
            problem("warning", place, string.format("after: no rule listens to 'timer.%s'%s", name, did_you_mean(name, taken)),
                string.format("what shall happen then is a rule with on = \"timer.%s\"", name))
        end
    end
    for name, place in next, (uses.own_methods.cancel or uses.any_timer) and {} or uses.canceled do
        if not uses.timers[name] then
            problem("warning", place,
                string.format("cancel: nothing sets the timer '%s'%s", name, did_you_mean(name, support.keys(uses.timers))))
        end
    end
end

-- `rules` in running order, with `certain` where it is known.
function review_flow.check(rules, uses)
    check_possible(rules, uses)
    check_timers(rules, uses)
    check_stopped(rules)
    check_circles(rules)
end

return review_flow
