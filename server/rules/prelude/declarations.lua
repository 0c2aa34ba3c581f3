-- rule, template, survey, calendar, endpoint and cron: what files declare, checked field by field. A mistake is a
-- problem of loading and does not stop the file, so that one run finds them all.

local host, use = ...
local support, event_types, calendar, templates = use "support", use "event_types", use "calendar", use "templates"
local problem, did_you_mean, type_word, unwrap = support.problem, support.did_you_mean, support.type_word,
    support.unwrap
local unread = use "unread"

local declarations = {}

local rules, rule_by_name = {}, {}
-- By kind, then by name: {data = what the host gets, file, line, …}.
local declared = { template = {}, survey = {}, calendar = {}, endpoint = {}, cron = {} }
-- `template "x"` whose table has not come yet.
local waiting = {}

declarations.rules = rules
declarations.declared = declared

local function here()
    local file, line = host.where()
    return { file = file, line = line }
end

-- A complaint about one key points at the line of the key.
local function complainer(at)
    return function(key, text, hint)
        local line = at.line
        if type(key) == "string" and at.file then
            line = host.key_line(at.file, at.line, key) or line
        end
        problem("error", { file = at.file, line = line }, text, hint)
    end
end

-- Rules ---------------------------------------------------------------------------------------------------------------

local rule_fields = {
    name = { type = "text", required = true }, doc = "text", on = { type = "words", required = true },
    when = "function", run = { type = "function", required = true }, priority = "integer", enabled = "boolean",
    budget = "table",
}
support.also_called(rule_fields, {
    event = "on", events = "on", trigger = "on", triggers = "on", type = "on", condition = "when", conditions = "when", filter = "when",
    ["if"] = "when", match = "when", action = "run", actions = "run", handler = "run", handle = "run", ["do"] = "run", ["then"] = "run",
    callback = "run", execute = "run", effects = "run", id = "name", title = "name", description = "doc", order = "priority",
    active = "enabled", limits = "budget",
})

local budget_fields = { sends_per_hour = "integer", sends_per_minute = "integer", sends_per_contact_per_day = "integer" }

-- How much the rule may send; what goes beyond is held.
local function check_budget(made, complain)
    local what = string.format("rule '%s': budget", made.name or "?")
    local budget = support.check(what, support.unwrap(made.budget), budget_fields, complain)
    for _, key in ipairs(support.keys(budget)) do
        if budget[key] < 0 or budget[key] > 1000000000 then
            complain(key, string.format("%s: '%s' is a number of messages; 0 is any number", what, key))
        end
    end
    made.budget = budget
end

function declarations.rule(options)
    local at = here()
    local complain = complainer(at)
    if type(options) ~= "table" then
        complain(nil, "rule takes a table, as in rule{ name = …, on = …, run = … }, not " .. type_word(options))
        return
    end
    local made = support.check("rule", options, rule_fields, complain)
    made.file, made.line = at.file, at.line
    made.priority = made.priority or 0
    if made.priority < -1000000 or made.priority > 1000000 then
        complain("priority", "rule: 'priority' is between -1000000 and 1000000")
        made.priority = 0
    end
    if made.budget then
        check_budget(made, complain)
    end
    if made.name then
        if not string.find(made.name, "^[%w][%w_.-]*$") or #made.name > 64 then
            complain("name",
                string.format("rule: the name '%s' may have letters, digits, '-', '_' and '.', at most 64", made.name))
        end
        local other = rule_by_name[made.name]
        if other then
            complain("name", string.format("rule '%s' is declared twice; the other one is at %s:%d", made.name,
                other.file, other.line))
            return
        end
        rule_by_name[made.name] = made
    end
    for _, name in ipairs(made.on or {}) do
        local wrong = event_types.wrong(name)
        if wrong then
            complain("on", string.format("rule '%s': %s", made.name or "?", wrong))
        end
    end
    if made.on and #made.on == 0 then
        complain("on", string.format("rule '%s': 'on' names no event", made.name or "?"))
    end
    if made.enabled ~= false and made.name and made.on and made.run then
        rules[#rules + 1] = made
    end
end

-- Surveys -------------------------------------------------------------------------------------------------------------

local survey_fields = {
    question = { type = "any", required = true }, scale = "integer", labels = "any", thanks = "any",
    ask_comment = "any",
    expires = "duration", comment_within = "duration", cooldown = "duration", template = "text", words = "table",
    doc = "text",
}

support.also_called(survey_fields, {
    text = "question", options = "labels", choices = "labels", buttons = "labels", comment = "ask_comment", timeout = "expires",
})

-- A survey asks by itself, so nobody gives it variables: what it knows is the contact's name.
local function check_survey_text(what, key, text, complain)
    local names, wrong = templates.placeholders(text)
    if wrong then
        complain(key, string.format("%s: '%s': %s", what, key, wrong))
    end
    for _, name in ipairs(names) do
        if name ~= "name" then
            complain(key, string.format("%s: '%s' has {{%s}}; the only variable of a survey is {{name}}, the contact's", what, key, name))
        end
    end
end

local function declare_survey(name, options, at)
    local complain = complainer(at)
    local what = string.format("survey '%s'", name)
    local given = support.check(what, options, survey_fields, complain)
    local made = {
        name = name, file = at.file, line = at.line, scale = given.scale or 5, template = given.template,
        expires_ms = given.expires or 72 * 3600000, comment_ms = given.comment_within or 24 * 3600000,
        cooldown_ms = given.cooldown or 0, doc = given.doc,
    }
    if made.scale < 2 or made.scale > 10 then
        complain("scale", what .. ": 'scale' is between 2 and 10")
        made.scale = 5
    end
    for _, key in ipairs { "question", "thanks", "ask_comment" } do
        local value = unwrap(given[key])
        if type(value) == "table" then
            local copy = {}
            for _, language in ipairs(support.keys(value)) do
                if not templates.is_language(language) then
                    complain(key, string.format("%s: %s is not a language; write \"en\" or \"pt-BR\"", what,
                        support.shown(language)))
                elseif type(value[language]) ~= "string" then
                    complain(key, string.format("%s: %s in '%s' is a text, not %s", what, key, language,
                        type_word(value[language])))
                else
                    copy[language] = value[language]
                    check_survey_text(what, key, value[language], complain)
                end
            end
            made[key] = copy
        elseif value ~= nil and type(value) ~= "string" then
            complain(key, string.format("%s: '%s' is a text, or a table of texts by language, not %s", what, key,
                type_word(value)))
        else
            made[key] = value
            if value then
                check_survey_text(what, key, value, complain)
            end
        end
    end
    local labels = unwrap(given.labels)
    if labels ~= nil and type(labels) ~= "table" then
        complain("labels", what .. ": 'labels' is a list of texts, not " .. type_word(labels))
    elseif labels ~= nil then
        local function check_list(list, where)
            list = unwrap(list)
            local copy = {}
            for position, label in ipairs(type(list) == "table" and list or {}) do
                copy[position] = label
                if type(label) ~= "string" then
                    complain("labels", string.format("%s: label %d%s is %s", what, position, where, type_word(label)))
                end
            end
            if #copy ~= made.scale then
                complain("labels", string.format("%s has %s%s for a scale of %d", what,
                    support.counted(#copy, "label"), where, made.scale))
            end
            return copy
        end
        if #labels > 0 then
            made.labels = check_list(labels, "")
        else
            made.labels = {}
            for _, language in ipairs(support.keys(labels)) do
                if not templates.is_language(language) then
                    complain("labels", string.format("%s: %s is not a language; write \"en\" or \"pt-BR\"", what,
                        support.shown(language)))
                else
                    made.labels[language] = check_list(labels[language], " in '" .. language .. "'")
                end
            end
        end
    end
    if given.words then
        made.words = {}
        for _, word in ipairs(support.keys(unwrap(given.words))) do
            local score = unwrap(given.words)[word]
            if type(word) ~= "string" or not math.tointeger(score) or score < 1 or score > made.scale then
                complain("words",
                    string.format("%s: 'words' gives each word a score from 1 to %d, as in { great = 5 }", what,
                        made.scale))
            else
                made.words[word] = math.tointeger(score)
            end
        end
    end
    return { data = made, file = at.file, line = at.line }
end

-- Endpoints, calendars, crons -----------------------------------------------------------------------------------------

local endpoint_fields = {
    url = { type = "any", required = true }, secret = "any", secrets = "any", timeout = "duration", doc = "text",
}

support.also_called(endpoint_fields, { uri = "url", href = "url", address = "url", key = "secret", token = "secret" })

-- A text, or what env "NAME" or file "PATH" stands for. Only declarations can read these, never a rule.
local function resolve(what, value, complain)
    if type(value) == "string" then
        return value
    end
    local secret = declarations.secret_references[value]
    if not secret then
        complain(nil, string.format("%s is a text, env \"NAME\" or file \"PATH\", not %s", what, type_word(value)))
        return nil
    end
    local text = host.secret(secret.kind, secret.name)
    if text == nil then
        text = secret.default
    end
    if text == nil then
        problem("warning", secret.at, string.format("%s: %s '%s' is not there", what,
            secret.kind == "env" and "the environment variable" or "the file", secret.name),
            string.format('set it where answerd serve runs, or give a default: %s("%s", "")', secret.kind, secret.name))
    end
    return text
end

declarations.secret_references = setmetatable({}, { __mode = "k" })

-- env "NAME" and file "PATH": references to settings of the machine, for endpoints.
function declarations.reference(kind)
    return function(name, default)
        local at = here()
        if type(name) ~= "string" or name == "" then
            problem("error", at, string.format("%s takes a name, as in %s \"NAME\"", kind, kind))
            name = "?"
        end
        local reference = support.view({}, nil, kind .. " \"" .. name .. "\"")
        declarations.secret_references[reference] = { kind = kind, name = name, default = default, at = at }
        return reference
    end
end

local function declare_endpoint(name, options, at)
    local complain = complainer(at)
    local what = string.format("endpoint '%s'", name)
    local given = support.check(what, options, endpoint_fields, complain)
    local made = {
        name = name, file = at.file, line = at.line, timeout_ms = given.timeout or 10000, secrets = host.array {},
        doc = given.doc,
    }
    made.url = given.url ~= nil and resolve(what .. ": 'url'", given.url, complain) or ""
    if made.url ~= "" and not string.find(made.url, "^https?://[^%s/]+") then
        complain("url", what .. ": 'url' starts with https:// or http://")
    end
    local secrets = given.secrets
    if given.secret ~= nil then
        if secrets ~= nil then
            complain("secret", what .. " has both 'secret' and 'secrets'")
        end
        secrets = { given.secret }
    end
    if type(secrets) == "string" or declarations.secret_references[secrets] then
        secrets = { secrets }
    end
    if secrets ~= nil and type(unwrap(secrets)) ~= "table" then
        complain("secrets", what .. ": 'secrets' is a list of texts, not " .. type_word(secrets))
        secrets = nil
    end
    if given.secret == nil and given.secrets == nil then
        problem("warning", at, what .. " has no 'secret': its calls cannot be signed, and none will leave",
            string.format('add secret = env("%s_SECRET", ""); make one with: echo whsec_$(openssl rand -base64 32)',
                (string.gsub(string.upper(name), "[^A-Z0-9]", "_"))))
    end
    for _, value in ipairs(unwrap(secrets) or {}) do
        local secret = resolve(what .. ": a secret", value, complain)
        if secret and secret ~= "" then
            if not host.is_webhook_secret(secret) then
                complain("secret", what .. ": a secret is 'whsec_' and base64 of 24 to 64 bytes",
                    "make one with: echo whsec_$(openssl rand -base64 32)")
            end
            made.secrets[#made.secrets + 1] = secret
        end
    end
    if made.timeout_ms < 100 or made.timeout_ms > 60000 then
        complain("timeout", what .. ": 'timeout' is between \"100ms\" and \"60s\"")
    end
    return { data = made, file = at.file, line = at.line }
end

local calendar_fields = {
    timezone = { type = "text", required = true }, hours = { type = "table", required = true }, holidays = "words",
    special = "table", doc = "text",
}

support.also_called(calendar_fields, { tz = "timezone", time_zone = "timezone", open = "hours", days = "hours", closed = "holidays" })

local function declare_calendar(name, options, at)
    local complain = complainer(at)
    local what = string.format("calendar '%s'", name)
    local given = support.check(what, options, calendar_fields, complain)
    local made = calendar.compile(name, given, complain)
    local data = { name = name, file = at.file, line = at.line, timezone = made.zone_name, doc = given.doc }
    -- The days in the form that the C side and the documentation show: minutes of the day.
    data.days = host.array {}
    for day, list in ipairs(made.days) do
        data.days[day] = host.array {}
        for position, interval in ipairs(list) do
            data.days[day][position] = { interval[1], interval[2] }
        end
    end
    data.special = {}
    for date, list in next, made.special do
        data.special[date] = host.array {}
        for position, interval in ipairs(list) do
            data.special[date][position] = { interval[1], interval[2] }
        end
    end
    return { data = data, file = at.file, line = at.line, compiled = made }
end

local cron_fields = {
    schedule = "text", every = "duration", timezone = "text", missed = { "skip", "run_once", "once" }, doc = "text",
}

support.also_called(cron_fields, { cron = "schedule", at = "schedule", time = "schedule", interval = "every", tz = "timezone", time_zone = "timezone" })

local function declare_cron(name, options, at)
    local complain = complainer(at)
    local what = string.format("cron '%s'", name)
    local given = support.check(what, options, cron_fields, complain)
    if (given.schedule ~= nil) == (given.every ~= nil) then
        complain(nil, what .. " needs either 'schedule' or 'every'")
        return
    end
    local schedule = { cron = given.schedule, every_ms = given.every }
    if given.schedule then
        schedule.timezone = given.timezone or "UTC"
    elseif given.timezone then
        complain("timezone", what .. ": 'timezone' goes with 'schedule', not with 'every'")
    end
    if schedule.timezone and not host.zone(schedule.timezone) then
        complain("timezone", what .. ": " .. support.no_zone(schedule.timezone))
        return
    end
    local wrong = host.schedule_wrong(schedule)
    if wrong then
        complain(given.schedule and "schedule" or "every", what .. ": " .. wrong)
        return
    end
    return {
        data = {
            name = name, file = at.file, line = at.line, schedule = schedule,
            missed = given.missed == "once" and "run_once" or given.missed or "skip",
            doc = given.doc,
        },
        file = at.file, line = at.line,
    }
end

local function declare_template(name, options, at)
    return templates.declare(name, options, at, complainer(at))
end

local name_pattern = "^[%w][%w_.-]*$"

local makers = {
    template = declare_template, survey = declare_survey, endpoint = declare_endpoint, calendar = declare_calendar,
    cron = declare_cron,
}

-- `KIND "NAME" { … }`: the first call returns what takes the table.
function declarations.declare(kind, name, at)
    return function(options)
        waiting[at] = nil
        if type(options) ~= "table" then
            problem("error", at, string.format("%s %s takes a table, not %s", kind, support.shown(name),
                type_word(options)))
            return
        end
        if type(name) ~= "string" or not string.find(name, name_pattern) or #name > 64 then
            problem("error", at, string.format("a %s needs a name of letters, digits, '-', '_' and '.', not %s",
                kind, support.shown(name)))
            return
        end
        local other = declared[kind][name]
        if other then
            problem("error", at, string.format("%s '%s' is declared twice; the other one is at %s:%d", kind, name,
                other.file, other.line))
            return
        end
        -- Also a declaration with mistakes counts as declared: its users are not to blame.
        declared[kind][name] = makers[kind](name, options, at)
            or { file = at.file, line = at.line, broken = true, variables = {} }
    end
end

-- The global of a kind.
function declarations.global(kind)
    return function(name, extra)
        local at = here()
        if extra ~= nil then
            problem("error", at, string.format("write %s \"NAME\" { … }, without a comma", kind))
            return
        end
        waiting[at] = { kind = kind, name = name }
        return declarations.declare(kind, name, at)
    end
end

-- The names of a kind, sorted.
function declarations.names(kind)
    return support.keys(declared[kind])
end

-- Is nothing of that name declared, in whatever file?
function declarations.lacks(kind, name)
    return not declared[kind][name] and not unread.may_declare(kind, name)
end

-- "there is no template 'x'; did you mean 'y'?"
function declarations.undeclared(kind, name)
    return string.format("there is no %s %s%s", kind, support.shown(name), did_you_mean(name, declarations.names(kind)))
end

-- What can only be known when all files have been read.
function declarations.finish()
    for at, what in next, waiting do
        problem("error", at, string.format("%s %s has no table after it", what.kind, support.shown(what.name)))
    end
    for _, name in ipairs(declarations.names("survey")) do
        local survey = declared.survey[name]
        local template = survey.data and survey.data.template
        if template and declarations.lacks("template", template) then
            problem("error", survey,
                string.format("survey '%s': %s", name, declarations.undeclared("template", template)))
        end
    end
    for _, rule in ipairs(rules) do
        for _, name in ipairs(rule.on) do
            local cron = string.match(name, "^cron%.(.+)$")
            if cron and cron ~= "*" and declarations.lacks("cron", cron) then
                problem("error", { file = rule.file, line = host.key_line(rule.file, rule.line, "on") or rule.line },
                    string.format("rule '%s': %s", rule.name, declarations.undeclared("cron", cron)),
                    string.format("declare it: cron \"%s\" { schedule = \"0 9 * * mon-fri\", timezone = \"UTC\" }",
                        cron))
            end
        end
    end
end

return declarations
