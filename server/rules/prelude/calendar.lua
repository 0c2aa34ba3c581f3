-- calendar("NAME"): opening hours with time zones, holidays and special days.

local host, use = ...
local support, values = use "support", use "values"
local fault, type_word, unwrap = support.fault, support.type_word, support.unwrap

local calendar = {}

-- "2027-12-25", or "12-25" for each year, of a day that there is.
function calendar.is_date(text)
    local year, month, day = string.match(type(text) == "string" and text or "", "^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
    if not year then
        year, month, day = "2000", string.match(type(text) == "string" and text or "", "^(%d%d)%-(%d%d)$") -- a leap year
    end
    if not month then
        return false
    end
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    local same_year, same_month, same_day = values.civil_from_days(values.days_from_civil(year, month, day))
    return month <= 12 and same_year == year and same_month == month and same_day == day
end

local weekdays = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" }
local weekday_number = {}
for number, name in ipairs(weekdays) do
    weekday_number[name] = number
end
for number, name in ipairs { "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday" } do
    weekday_number[name] = number
end

-- "09:00" as minutes; "24:00" is the end of the day.
local function minutes_of(text)
    local hour, minute = string.match(text, "^(%d%d?):(%d%d)$")
    hour, minute = tonumber(hour), tonumber(minute)
    if not hour or minute > 59 or hour > 24 or (hour == 24 and minute > 0) then
        return nil
    end
    return hour * 60 + minute
end

-- "09:00-12:00" or a list of such texts as {{540, 720}, …}; or nil and what is wrong.
local function intervals_of(value)
    value = unwrap(value)
    if type(value) == "string" then
        value = value == "closed" and {} or { value }
    end
    if type(value) ~= "table" then
        return nil, "hours are a text such as \"09:00-17:00\" or a list of them, not " .. type_word(value)
    end
    local list = {}
    for _, text in ipairs(value) do
        local from, to
        if type(text) == "string" then
            local left, right = string.match(text, "^%s*([%d:]+)%s*%-%s*([%d:]+)%s*$")
            from, to = left and minutes_of(left), right and minutes_of(right)
        end
        if not from or not to or from == to or from == 1440 then
            return nil, string.format("%s are not hours; write them like \"09:00-17:00\"", support.shown(text))
        end
        if to < from then
            to = to + 1440 -- over midnight
        end
        list[#list + 1] = { from, to }
    end
    table.sort(list, function(a, b) return a[1] < b[1] end)
    for position = 2, #list do
        if list[position][1] < list[position - 1][2] then
            return nil, "the hours of a day overlap"
        end
    end
    return list
end

-- "mon", "monday", "mon-fri" or "sat,sun" as a list of numbers, or nil.
local function days_of(key)
    local list = {}
    for part in string.gmatch(string.lower(key), "[^,%s]+") do
        local from, to = string.match(part, "^(%a+)%-(%a+)$")
        from, to = weekday_number[from or part], weekday_number[to or part]
        if not from or not to then
            return nil
        end
        local day = from
        while true do
            list[#list + 1] = day
            if day == to then
                break
            end
            day = day % 7 + 1
        end
    end
    return #list > 0 and list or nil
end

-- Checks a declaration; `complain(key, text)` for each thing wrong. Returns the calendar's inside.
function calendar.compile(name, options, complain)
    local made = { name = name, days = {}, special = {}, zone_name = options.timezone or "UTC" }
    for day = 1, 7 do
        made.days[day] = {}
    end
    if not host.zone(made.zone_name) then
        complain("timezone", string.format("calendar '%s': %s", name, support.no_zone(made.zone_name)))
        made.zone_name = "UTC"
    end
    made.zone = host.zone(made.zone_name)

    local seen = {}
    for _, key in ipairs(support.keys(unwrap(options.hours or {}))) do
        local days = type(key) == "string" and days_of(key)
        local list, wrong = intervals_of(unwrap(options.hours)[key])
        if not days then
            complain("hours", string.format("calendar '%s': %s is not a day; write \"mon\" or \"mon-fri\"", name,
                support.shown(key)))
        elseif not list then
            complain("hours", string.format("calendar '%s': %s", name, wrong))
        else
            for _, day in ipairs(days) do
                if seen[day] then
                    complain("hours", string.format("calendar '%s': the hours of '%s' are given twice", name,
                        weekdays[day]))
                end
                seen[day] = true
                made.days[day] = list
            end
        end
    end

    local function special_day(date, list, key)
        if not calendar.is_date(date) then
            complain(key,
                string.format("calendar '%s': %s is not a date; write \"2027-12-25\", or \"12-25\" for each year",
                name, support.shown(date)))
        else
            made.special[date] = list
        end
    end
    for _, date in ipairs(unwrap(options.holidays or {})) do
        special_day(date, {}, "holidays")
    end
    for _, date in ipairs(support.keys(unwrap(options.special or {}))) do
        local list, wrong = intervals_of(unwrap(options.special)[date])
        if not list then
            complain("special", string.format("calendar '%s': %s", name, wrong))
        else
            special_day(date, list, "special")
        end
    end
    return made
end

-- When the clocks of the zone show that. What they show twice is the first time; what they skip is the moment of the
-- change, so that later hours never come before earlier ones.
local function moment_of(zone, shown)
    local at = host.zone_to_utc(zone, shown)
    local offset = host.zone_offset(zone, at)
    local before, change = shown - offset, at
    while change - before > 1 do -- only where the clocks skip it are the two apart
        local middle = (before + change) // 2
        if host.zone_offset(zone, middle) == offset then
            change = middle
        else
            before = middle
        end
    end
    return change
end

-- The open intervals that begin on a day (days since 1970), as moments in UTC.
local function openings(made, days)
    local year, month, day = values.civil_from_days(days)
    local list = made.special[string.format("%04d-%02d-%02d", year, month, day)]
        or made.special[string.format("%02d-%02d", month, day)]
        or made.days[(days + 3) % 7 + 1]
    local result = {}
    for position, interval in ipairs(list) do
        local from = moment_of(made.zone, days * 86400 + interval[1] * 60)
        local to = moment_of(made.zone, days * 86400 + interval[2] * 60)
        result[position] = { from, to }
    end
    return result
end

local max_days = 400

-- Calls visit(from, to) for each time of being open that ends after `at`, in order and without overlaps, until it returns
-- true. False when it has not within about a year, and the moment up to which that is known.
local function each_opening(made, at, visit)
    local today = (math.floor(at) + host.zone_offset(made.zone, math.floor(at))) // 86400
    local open_until = -math.huge
    for days = today - 1, today + max_days do
        for _, interval in ipairs(openings(made, days)) do
            -- Hours over midnight may run into those of the next day, and hours inside of an hour that the clock skips
            -- do not exist.
            local from, to = math.max(interval[1], open_until), interval[2]
            if from < to then
                open_until = to
                if to > at and visit(from, to) then
                    return true
                end
            end
        end
    end
    return false, math.max(host.zone_to_utc(made.zone, (today + max_days + 1) * 86400), open_until)
end

local function need_time(made, what, at)
    if type(at) ~= "number" or at ~= at or at < 0 or at > 253402300799 then
        fault("calendar '%s': %s takes a time such as now(), not %s", made.name, what,
            type(at) == "number" and tostring(at) or type_word(at))
    end
    return at
end

local methods = {}

-- Is it open at that time?
function methods.open(made, at)
    need_time(made, "open", at)
    local is_open = false
    each_opening(made, at, function(from)
        is_open = from <= at
        return true
    end)
    return is_open
end

-- The time itself when it is open then, else when it opens next; nil when it never does.
function methods.next_open(made, at)
    need_time(made, "next_open", at)
    local result
    each_opening(made, at, function(from)
        result = math.max(from, at)
        return true
    end)
    return result
end

-- When it closes next (in the opening hours of `at`, or in the next ones); nil when it never opens, or never closes.
function methods.next_close(made, at)
    need_time(made, "next_close", at)
    local result
    local found, known_until = each_opening(made, at, function(from, to)
        if result and from > result then
            return true
        end
        result = to
    end)
    if not found and result and result >= known_until then
        return nil
    end
    return result
end

-- The time at which so much open time has passed: calendar("support"):add(now(), "4h").
function methods.add(made, at, duration)
    need_time(made, "add", at)
    local ms, wrong = support.duration_ms(duration)
    if wrong then
        fault("calendar '%s': add: %s", made.name, wrong)
    end
    local rest, result = ms / 1000, nil
    local from_time = at
    local guard = 0
    while not result do
        guard = guard + 1
        local last
        local found = each_opening(made, from_time, function(from, to)
            from = math.max(from, from_time)
            last = to
            if rest <= to - from then
                result = from + rest
                return true
            end
            rest = rest - (to - from)
        end)
        if not found then
            if not last or guard > 20 then
                fault("calendar '%s': add: it is not open long enough for that", made.name)
            end
            from_time = last
        end
    end
    return math.tointeger(result) or result
end

-- How many seconds it is open between two times.
function methods.between(made, first, last)
    need_time(made, "between", first)
    need_time(made, "between", last)
    local total, at = 0, first
    while at < last do
        local _, further = each_opening(made, at, function(from, to)
            if from >= last then
                return true
            end
            total = total + math.max(0, math.min(to, last) - math.max(from, at))
            return to >= last
        end)
        at = further or last
    end
    return total
end

calendar.methods = methods

return calendar
