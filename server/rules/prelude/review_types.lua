-- Literals of a type that an effect does not take: c:tag(5), c:send { text = true }. What would fail when the rule runs is
-- told before.

local _, use = ...
local support, effects = use "support", use "effects"
local problem, type_word = support.problem, support.type_word

local review_types = {}

-- What the arguments of an effect are called and of which type they are; the last may be repeated.
local arguments_of = {
    note = { { "text", "text" } }, tag = { { "tag", "words" }, is_repeated = true }, untag = { { "tag", "words" }, is_repeated = true },
    assign = { { "assignee", "name" } }, prioritize = { { "priority", effects.option_fields.open_conversation.priority } },
    survey = { { "name", "text" } }, after = { { "delay", "duration" }, { "name", "text" } }, cancel = { { "name", "text" } },
    identify = { { "identity", "text" } }, opt_out = { { "topic", "name" } }, opt_in = { { "topic", "name" } },
    set = { { "name", "text" } }, prefer = { { "channel", "name" } }, webhook = { { "endpoint", "text" } }, emit = { { "name", "text" } },
}

-- Effects whose argument at this place is a table of options.
local options_at = { open_conversation = 1, outreach = 1, after = 3, webhook = 3, emit = 3 }

-- Text literals of these types are judged with their values, by review_values.
local function has_own_words(kind, value)
    return type(value) == "string" and (type(kind) == "table" or kind == "duration")
end

-- The value of an option's or an argument's literal, as source_tokens has it: {value = …}, or nil.
local function literal_of(written)
    return written and (written.table and { value = {} } or written.literal)
end

-- `field`: of option_fields.
function review_types.check_option(file, what, name, written, field)
    local literal, kind = literal_of(written), type(field) == "table" and (field.type or field) or field
    if literal and not has_own_words(kind, literal.value) then
        local wrong = support.wrong_value(what, name, kind, literal.value)
        if wrong then
            problem("error", { file = file, line = written.line }, wrong)
        end
    end
end

local function wrong_snooze(value)
    if type(value) == "number" then
        return effects.wrong_time(value)
    end
    return type(value) ~= "string" and support.wrong_value("snooze", "duration", "duration", value) or nil
end

local function wrong_send(value)
    return type(value) ~= "string" and type(value) ~= "table"
        and string.format("send takes a text or a table, not %s", type_word(value)) or nil
end

-- A call of an effect by its name; `line` is the one of the name.
function review_types.check(file, method, arguments, line)
    local known, options = arguments_of[method] or {}, options_at[method]
    for place, written in ipairs(arguments) do
        local literal, argument = literal_of(written), known[place] or known.is_repeated and known[#known]
        local wrong
        if literal and method == "send" and place == 1 then
            wrong = wrong_send(literal.value)
        elseif literal and method == "snooze" and place == 1 then
            wrong = wrong_snooze(literal.value)
        elseif literal and place == options and type(literal.value) ~= "table" then
            wrong = string.format("%s takes a table, as in %s{ … }, not %s", method, method, type_word(literal.value))
        elseif literal and argument and not has_own_words(argument[2], literal.value) then
            wrong = support.wrong_value(method, argument[1], argument[2], literal.value)
        end
        if wrong then
            problem("error", { file = file, line = written.line or line }, wrong)
        end
    end
end

return review_types
