-- The second look at a set, for `answerd check`: what would go wrong when it runs, what can never run, and what nobody
-- uses. Conservative: what only running it would tell is not judged. Of a set that does not load it finds what has nothing
-- to do with what is wrong already.

local host, use = ...
local support, declarations, effects, event_types = use "support", use "declarations", use "effects", use "event_types"
local tokens, functions, fields = use "source_tokens", use "source_functions", use "review_fields"
local flow, calendar = use "review_flow", use "calendar"
local names, values, unread = use "review_names", use "review_values", use "unread"
local types, literals = use "review_types", use "review_arguments"
local handles, slips, texts = use "review_handles", use "review_slips", use "review_texts"
local is_timer_name = use("effect_arguments").is_timer_name
local problem, is = support.problem, tokens.is

local review = {}

-- Functions of rules --------------------------------------------------------------------------------------------------

local function function_of(list, value)
    if not value then
        return nil
    elseif is(list[value.from], "function") then
        return functions.read(list, value.from)
    elseif value.from == value.to and list[value.from].kind == "name" then
        return functions.named(list, list[value.from].text)
    end
    return nil
end

-- What the sources say --------------------------------------------------------------------------------------------------

-- What all files use: names in literals, timers, and so on.
local function new_uses()
    return {
        texts = {}, parts = {}, data = {}, libraries = {}, timers = {}, canceled = {}, any_data = false, any_library = false,
        any_timer = false, survey = false, outreach = false, own_methods = {},
    }
end

local function is_literal(token)
    return token ~= nil and (token.kind == "text" or token.kind == "number" or is(token, "true") or is(token, "false")
        or is(token, "nil"))
end

local kinds = support.set_of { "template", "survey", "endpoint", "calendar", "cron" }

local function note_uses(file, list, uses)
    for at, token in ipairs(list) do
        local before, after = list[at - 1], list[at + 1]
        if token.kind == "text" then
            -- `template "NAME" {` declares it and is no use of it.
            local owner = is(before, "(") and list[at - 2] or before
            local follows = is(before, "(") and list[at + 2] or after
            local declares = owner and owner.kind == "name" and kinds[owner.text] and is(follows, "{")
            if token.text and not declares then
                uses.texts[token.text] = true
            end
            if token.text and #token.text > 1 and (is(before, "..") or is(after, "..")) then
                uses.parts[token.text] = true
            end
        elseif token.kind == "name" then
            local arguments = tokens.arguments(list, at)
            local first = arguments and arguments[1]
            if is(before, ":") and arguments then
                if token.text == "after" then
                    local name = arguments[2] and arguments[2].text
                    if is_timer_name(name) then
                        uses.timers[name] = uses.timers[name] or { file = file, line = token.line }
                    else
                        uses.any_timer = true
                    end
                elseif token.text == "cancel" and first and is_timer_name(first.text) then
                    uses.canceled[first.text] = uses.canceled[first.text] or { file = file, line = token.line }
                end
                uses.survey = uses.survey or token.text == "survey"
                uses.outreach = uses.outreach or token.text == "outreach"
            elseif not is(before, ".") and arguments and not is(before, "function") then
                if token.text == "data" then
                    uses.data[first and first.text or ""] = true
                    uses.any_data = uses.any_data or not (first and first.text)
                elseif token.text == "require" then
                    uses.libraries[first and first.text or ""] = true
                    uses.any_library = uses.any_library or not (first and first.text)
                end
            elseif not arguments then
                -- `local get = data` and the like: used in ways that cannot be followed.
                uses.any_data = uses.any_data or token.text == "data" and not is(after, "=") and not is(before, ".")
                uses.any_library = uses.any_library or token.text == "require"
                uses.texts[token.text] = true
            end
            -- A method of the author's own may be called like one of ours; an option that is a literal is none.
            local is_made = is(after, "=") and not is_literal(list[at + 2]) or (is(before, ".") or is(before, ":"))
                and (is(list[at - 3], "function"))
            if is_made then
                uses.own_methods[token.text] = true
            end
        end
    end
end

-- Options of effects ----------------------------------------------------------------------------------------------------

local function check_options(file, what, given, known)
    if given then
        literals.check_options(file, what, given, known)
    end
    for _, name in ipairs(support.keys(given and given.fields or {})) do
        if known[name] == nil then
            problem("error", { file = file, line = given.fields[name].line },
                string.format("%s has no '%s'%s", what, name, support.instead(name, known)),
                "it has " .. table.concat(support.keys(known), ", "))
        else
            values.check_choice(file, what .. ": '" .. name .. "'", given.fields[name], known[name])
            types.check_option(file, what, name, given.fields[name], known[name])
        end
    end
end

local options = effects.option_fields

local function check_call(file, method, arguments)
    local first = arguments[1] and arguments[1].table
    if method == "send" and first then
        check_options(file, "send", first, options.send)
        check_options(file, "send: media", first.fields.media and first.fields.media.table, options.media)
    elseif method == "open_conversation" and first then
        check_options(file, "open_conversation", first, options.open_conversation)
    elseif method == "outreach" and first then
        check_options(file, "outreach", first, options.outreach)
        local steps = first.fields.steps and first.fields.steps.table
        for position, item in ipairs(steps and steps.items or {}) do
            check_options(file, "outreach: step " .. position, item.table, options.step)
        end
    elseif method == "after" or method == "webhook" or method == "emit" then
        check_options(file, method, arguments[3] and arguments[3].table, options[method])
    end
end

local function check_calls(file, list, uses)
    for at, token in ipairs(list) do
        if token.kind == "name" and is(list[at - 1], ":") and not is(list[at - 3], "function") then
            local arguments, owner = tokens.arguments(list, at), values.owner_of(list, at)
            if arguments and (owner or is(list[at - 2], "fx") or not uses.own_methods[token.text]) then
                check_call(file, token.text, arguments)
                types.check(file, token.text, arguments, token.line)
                values.check(file, token.text, arguments, token.line, owner == "conversation")
                literals.check(file, token.text, arguments, token.line, owner)
            end
        elseif token.kind == "name" and not is(list[at - 1], ".") then
            values.check_calendar(file, list, at, calendar.methods)
            slips.check_calendar(file, list, at, calendar.methods)
            slips.check_time(file, list, at)
            values.check_date(file, list, at)
            literals.check_helper(file, list, at)
            texts.check_library(file, list, at)
        elseif token.kind == "name" then
            texts.check_method(file, list, at)
        elseif token.kind == "text" then
            slips.check_sum(file, list, at)
            slips.check_alternative(file, list, at)
            slips.check_order(file, list, at)
        end
    end
end

-- Rules -----------------------------------------------------------------------------------------------------------------

-- The event comes first, and what a rule asks for is asked in 'run' alone.
local function check_parameters(file, line, what, made)
    if made.params[1] == "fx" then
        problem("error", { file = file, line = line }, string.format("'%s' gets the event first: function(e%s)", what,
            what == "run" and ", fx" or ""))
    elseif what == "when" and made.params[2] == "fx" then
        problem("error", { file = file, line = line }, "'when' gets the event alone: effects are for 'run'")
    end
end

-- A condition without a `return` is nil for every event.
local function check_returns(file, line, rule, list, when)
    for at = when.from, when.to do
        if is(list[at], "return") then
            return
        end
    end
    problem("warning", { file = file, line = line },
        string.format("rule '%s' never runs: its 'when' gives nothing back", rule.name), "write `return` before the condition")
end

-- What the rule listens to; anything when that is not known, because it was not declared or names no events.
local function types_of(rule)
    for _, type in ipairs(rule and rule.on or {}) do
        if event_types.wrong(type) then
            return { "*" }
        end
    end
    return rule and rule.on or { "*" }
end

-- The events of a rule in a file that did not come to it.
local function check_written_events(file, written)
    local name, on = written.name and written.name.text or "?", written.on
    for _, value in ipairs(on and (on.table and on.table.items or { on }) or {}) do
        local wrong = value.text and event_types.wrong(value.text)
        if wrong then
            problem("error", { file = file, line = on.line }, string.format("rule '%s': %s", name, wrong))
        end
    end
end

local function check_rules(source, libraries, is_sound)
    local file, list = source.file, source.tokens
    for at, token in ipairs(list) do
        local open = is(list[at + 1], "(") and at + 2 or at + 1
        if is(token, "rule") and token.kind == "name" and not is(list[at - 1], ".") and is(list[open], "{") then
            local written = tokens.read_table(list, open).fields
            local rule
            for _, known in ipairs(declarations.rules) do
                if written.name and known.name == written.name.text and known.file == file then
                    rule = known
                end
            end
            local when, run = function_of(list, written.when), function_of(list, written.run)
            if not rule and unread.has(file) then
                check_written_events(file, written)
            end
            local is_judged = rule or not is_sound -- one of a sound set that is not declared is switched off
            if rule and not rule.when and written.when and not when and not written.when.is_nil then
                problem("warning", { file = file, line = written.when.line },
                    string.format("rule '%s' runs on every event: its 'when' gave nothing when the file was read", rule.name),
                    "a condition is a function: when = function(e) return … end")
            end
            if is_judged and when then
                check_parameters(file, written.when.line, "when", when)
                fields.check(file, list, when.from, when.to, when.params[1], nil, types_of(rule))
            end
            if rule and when then
                check_returns(file, written.when.line, rule, list, when)
                rule.decides_nothing = flow.decides_nothing(list, when.from, when.to, when.params[1] or "e")
            end
            if is_judged and run then
                check_parameters(file, written.run.line, "run", run)
                fields.check(file, list, run.from, run.to, run.params[1], run.params[2], types_of(rule))
            end
            if is_judged and (when or not written.when) then
                texts.check_rule(file, list, types_of(rule), when, run)
            end
            if rule and run then
                rule.certain = flow.certain(source, run, libraries)
            end
        end
    end
end

-- What nobody uses --------------------------------------------------------------------------------------------------------

local function is_named(name, uses)
    if uses.texts[name] then
        return true
    end
    for part in next, uses.parts do
        if string.sub(name, 1, #part) == part or string.sub(name, -#part) == part then
            return true
        end
    end
    return false
end

local function check_unused(sources, uses)
    for _, source in ipairs(sources) do
        local at = { file = source.file, line = 1 }
        if source.kind == "data" and not uses.any_data and not uses.data[source.name] then
            problem("warning", at, string.format("the data '%s' is not used", source.name),
                string.format("a rule reads it with data(\"%s\")", source.name))
        elseif source.kind == "library" and not uses.any_library and not uses.libraries[source.name] then
            problem("warning", at, string.format("the library '%s' is not used", source.name),
                string.format("a rule reads it with require(\"%s\")", source.name))
        end
    end
    local hints = {
        template = "people may still send it through the API; otherwise remove it",
        survey = "people may still ask it through the API; otherwise remove it",
    }
    for _, kind in ipairs { "template", "survey", "endpoint", "calendar" } do
        for _, name in ipairs(declarations.names(kind)) do
            local declared = declarations.declared[kind][name]
            if not is_named(name, uses) then
                problem("warning", { file = declared.file, line = declared.line },
                    string.format("the %s '%s' is not used by any rule", kind, name), hints[kind])
            end
        end
    end
    for _, name in ipairs(declarations.names("cron")) do
        local heard = false
        for _, rule in ipairs(declarations.rules) do
            for _, type in ipairs(rule.on) do
                heard = heard or type == "cron." .. name or type == "cron.*"
            end
        end
        if not heard then
            local declared = declarations.declared.cron[name]
            problem("warning", { file = declared.file, line = declared.line },
                string.format("no rule listens to 'cron.%s'", name))
        end
    end
end

-- The whole ---------------------------------------------------------------------------------------------------------------

-- `sources` is a list of {kind = "rules" | "library" | "data", name, file, text}; `senders` are the kinds of the sources of the
-- configuration that send, by name, or nil. Returns what was found, in the form of the problems of loading.
function review.run(sources, globals, senders)
    handles.begin(senders)
    local all, uses = support.problems(), new_uses()
    local kept, is_sound = {}, true
    for position = #all, 1, -1 do
        is_sound = is_sound and all[position].severity ~= "error"
        kept[position], all[position] = all[position], nil
    end
    local libraries = {}
    for _, source in ipairs(sources) do
        if source.kind == "library" then
            libraries[source.name] = source
        end
        source.tokens = unread.compiles(source.file) and tokens.read(source.text) or {}
        note_uses(source.file, source.tokens, uses)
    end
    for _, source in ipairs(sources) do
        if source.kind ~= "data" then
            check_calls(source.file, source.tokens, uses)
            names.check(source.file, source.tokens, globals, unread.has(source.file))
            check_rules(source, libraries, is_sound)
        end
    end
    if not unread.is_any() then -- what the other files do, and whom they wait for, is known
        flow.check(declarations.rules, uses)
        check_unused(sources, uses)
    end
    local found = host.array {}
    for position, item in ipairs(all) do
        found[position], all[position] = item, nil
    end
    for position, item in ipairs(kept) do
        all[position] = item
    end
    table.sort(found, function(a, b)
        if a.file ~= b.file then
            return a.file < b.file
        elseif a.line ~= b.line then
            return a.line < b.line
        end
        return a.text < b.text
    end)
    return found
end

-- All names that rule files can use, for comparing documentation and annotations with it.
function review.api(globals)
    local made = { globals = support.keys(globals), fields = {}, options = {} }
    made.fx = support.keys(effects.fx_methods)
    made.contact = support.keys(effects.contact_methods)
    made.conversation = support.keys(effects.conversation_methods)
    made.calendar = support.keys(calendar.methods)
    made.fields.event = support.keys(support.set_of(event_types.fields))
    for part, list in next, event_types.part_fields do
        made.fields[part] = support.keys(support.set_of(list))
    end
    for what, list in next, options do
        made.options[what] = support.keys(list)
    end
    return made
end

return review
