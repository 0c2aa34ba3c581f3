-- Mistakes that can be seen in the source without running it: templates, surveys, endpoints, calendars and data that
-- are named but not there, variables that a template will miss, effects and event fields that do not exist.
--
-- Conservative: only what is written as a literal, in a call that can be nothing else, is judged.

local host, use = ...
local support, event_types, declarations, effects = use "support", use "event_types", use "declarations", use "effects"
local source_tokens = use "source_tokens"
local problem, did_you_mean = support.problem, support.did_you_mean
local is, read_table = source_tokens.is, source_tokens.read_table

local source_check = {}

-- Checks --------------------------------------------------------------------------------------------------------------

local function check_declared(file, value, kind)
    if value and value.text and declarations.lacks(kind, value.text) then
        problem("error", { file = file, line = value.line }, declarations.undeclared(kind, value.text))
        return nil
    end
    return value and value.text and declarations.declared[kind][value.text]
end

local function check_variables(file, line, name, template, container)
    local vars = container.fields.vars
    if not template or not template.variables or container.is_open or #container.items > 0 then
        return
    end
    local given = vars and vars.table
    if vars and not given or given and (given.is_open or #given.items > 0) then
        return
    end
    local missing = {}
    for _, variable in ipairs(template.variables) do
        local value = given and given.fields[variable]
        if not value or value.is_nil then
            missing[#missing + 1] = "'" .. variable .. "'"
        end
    end
    if #missing > 0 then
        local near = given and did_you_mean(string.sub(missing[1], 2, -2), support.keys(given.fields)) or ""
        problem("error", { file = file, line = line },
            string.format("the template '%s' needs the variable%s %s, which 'vars' does not give%s", name,
                #missing > 1 and "s" or "", table.concat(missing, ", "), #missing == 1 and near or ""))
    end
end

local function check_send(file, options)
    local template = check_declared(file, options.fields.template, "template")
    if template then
        check_variables(file, options.fields.template.line, options.fields.template.text, template, options)
    end
end

local function check_outreach(file, options)
    local steps = options.fields.steps and options.fields.steps.table
    for _, item in ipairs(steps and steps.items or {}) do
        local value = item.table and item.table.fields.template
        local template = check_declared(file, value, "template")
        if template and not item.table.fields.vars then
            check_variables(file, value.line, value.text, template, options)
        end
    end
    local goals = options.fields.goals and options.fields.goals.table
    for _, goal in ipairs(goals and goals.items or { options.fields.goal }) do
        local wrong = goal.text and event_types.wrong(goal.text)
        if wrong then
            problem("error", { file = file, line = goal.line }, "outreach: goal: " .. wrong)
        end
    end
end

-- date("%F", now(), "Europe/Zurich") and local_time(now(), e.contact.timezone or "Europe/Zurich").
local zone_position = { date = 3, local_time = 2 }

local function check_zone(file, list, at)
    local arguments = source_tokens.arguments(list, at)
    local argument = arguments and arguments[zone_position[list[at].text]]
    local last = argument and list[argument.to]
    local is_literal = last and last.kind == "text" and last.text and (argument.from == argument.to
        or is(list[argument.to - 1], "or"))
    if is_literal and not host.zone(last.text) then
        problem("error", { file = file, line = last.line }, string.format("%s: %s", list[at].text, support.no_zone(last.text)))
    end
end

-- Is the name at `at` one of those that a `local`, a `for` or a function declares?
local function is_declared(list, at)
    while is(list[at - 1], ",") and list[at - 2] and list[at - 2].kind == "name" do
        at = at - 2
    end
    local before = list[at - 1]
    return is(before, "local") or is(before, "for") or is(before, "function") or is(before, "(")
        and (is(list[at - 2], "function") or is(list[at - 3], "function") or is(list[at - 5], "function"))
end

-- Has the file a function or variable of its own by that name?
function source_check.has_own(list, name)
    for at, token in ipairs(list) do
        if token.kind == "name" and token.text == name and is_declared(list, at) then
            return true
        end
    end
    return false
end

local event_fields = support.set_of(event_types.fields)

-- One file of rules. `data_names` is a set.
function source_check.file(file, source, data_names)
    local list = source_tokens.read(source)
    for at, token in ipairs(list) do
        local before, after = list[at - 1], list[at + 1]
        local is_member = is(before, ".") or is(before, ":")
        if token.kind == "name" then
            -- The argument: f{…}, f({…}), f"…" or f("…"). What follows a text in parentheses does not matter.
            local argument = is(after, "(") and list[at + 2] or after
            local literal = argument and argument.kind == "text" and argument.text
                and (argument == after or is(list[at + 3], ")") or is(list[at + 3], ",")) and argument or nil
            local options = argument and is(argument, "{") and read_table(list, argument == after and at + 1
                or at + 2) or nil
            if is(before, ":") then
                if token.text == "send" and options then
                    check_send(file, options)
                elseif token.text == "outreach" and options then
                    check_outreach(file, options)
                elseif token.text == "survey" and literal then
                    check_declared(file, literal, "survey")
                elseif token.text == "webhook" and literal then
                    check_declared(file, literal, "endpoint")
                end
                local owner = list[at - 2]
                if is(owner, "fx") and not is(list[at - 3], ".") and not effects.fx_methods[token.text] then
                    problem("error", { file = file, line = token.line },
                        effects.fx_lacks(token.text))
                end
            elseif not is_member and not is(before, "function") then
                if token.text == "data" and literal and not data_names[literal.text] then
                    problem("error", { file = file, line = token.line }, string.format("there is no data '%s'%s",
                        literal.text,
                        did_you_mean(literal.text, support.keys(data_names))))
                elseif zone_position[token.text] and not source_check.has_own(list, token.text) then
                    check_zone(file, list, at)
                elseif token.text == "calendar" and literal then
                    local behind = list[at + (argument == after and 2 or 4)]
                    if not is(behind, "{") and not (is(behind, "(") and is(list[at + 5], "{")) then
                        check_declared(file, literal, "calendar")
                    end
                elseif token.text == "e" and is(after, ".") and list[at + 2] and list[at + 2].kind == "name"
                    and not event_fields[list[at + 2].text] then
                    local field = list[at + 2].text
                    local hint = did_you_mean(field, event_types.fields)
                    if hint ~= "" and event_types.meant(field) == hint then
                        problem("warning", { file = file, line = token.line }, string.format("unknown field 'e.%s'%s",
                            field, hint))
                    end
                end
            end
        end
    end
end

return source_check
