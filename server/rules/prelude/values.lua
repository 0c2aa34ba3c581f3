-- The helpers for values that rules call: money, durations, dates, words in a text.

local host, use = ...
local support = use "support"
local fault, type_word = support.fault, support.type_word

local values = {}

-- Money ---------------------------------------------------------------------------------------------------------------

-- Digits after the point that differ from two: ISO 4217 and Telegram's stars, the same as in channel/payment.c. Codes that
-- are not in the lists, such as those of crypto currencies, count hundredths there and here.
local digits = {}
for code in string.gmatch("BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF XTR", "%a+") do
    digits[code] = 0
end
for code in string.gmatch("BHD IQD JOD KWD LYD OMR TND", "%a+") do
    digits[code] = 3
end
local signs = {
    USD = "$", EUR = "€", GBP = "£", JPY = "¥", INR = "₹", KRW = "₩", ILS = "₪", NGN = "₦", PHP = "₱", VND = "₫",
    BRL = "R$", CAD = "CA$", AUD = "A$", NZD = "NZ$", HKD = "HK$", SGD = "S$", MXN = "MX$", TRY = "₺", UAH = "₴",
}

-- money(1900, "usd") is "$19.00"; money(1900, "chf") is "19.00 CHF". Any code that a provider may send is taken.
function values.money(amount, currency)
    local whole = type(amount) == "number" and math.tointeger(amount)
    if not whole then
        fault("money: the amount is a whole number of the currency's smallest unit, not %s",
            type(amount) == "number" and tostring(amount) or type_word(amount))
    end
    if type(currency) ~= "string" or currency == "" then
        fault("money: the currency is a code such as \"usd\", not %s", support.shown(currency))
    end
    local code = string.upper(currency)
    local places = digits[code] or 2
    local text = string.gsub(tostring(whole), "^-", "")
    text = string.rep("0", places + 1 - #text) .. text
    local units = string.sub(text, 1, #text - places)
    local grouped = string.gsub(string.reverse((string.gsub(string.reverse(units), "(%d%d%d)", "%1,"))), "^,", "")
    if places > 0 then
        grouped = grouped .. "." .. string.sub(text, -places)
    end
    local minus = whole < 0 and "-" or ""
    if signs[code] then
        return minus .. signs[code] .. grouped
    end
    return minus .. grouped .. " " .. code
end

-- Durations -----------------------------------------------------------------------------------------------------------

-- duration("1h30m") is 5400, the number of seconds.
function values.duration(text)
    local ms, wrong = support.duration_ms(text)
    if wrong then
        fault("duration: %s", wrong)
    end
    return ms % 1000 == 0 and ms // 1000 or ms / 1000
end

local function unit(name, seconds)
    return function(count)
        if type(count) ~= "number" then
            fault("%s: a number is needed, not %s", name, type_word(count))
        end
        return count * seconds
    end
end
values.seconds = unit("seconds", 1)
values.minutes = unit("minutes", 60)
values.hours = unit("hours", 3600)
values.days = unit("days", 86400)

-- Dates ---------------------------------------------------------------------------------------------------------------

local month_names = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                      "November", "December" }
local day_names = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }

-- Days since 1970-01-01 of a date in the Gregorian calendar, and back (years are counted from March, so that the leap
-- day is the last one).
function values.days_from_civil(year, month, day)
    if month <= 2 then
        year = year - 1
    end
    local era = year // 400
    local year_of_era = year - era * 400
    local day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
end

function values.civil_from_days(days)
    days = days + 719468
    local era = days // 146097
    local day_of_era = days - era * 146097
    local year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    local day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    local shifted = (5 * day_of_year + 2) // 153
    local month = shifted < 10 and shifted + 3 or shifted - 9
    local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
    return year, month, day_of_year - (153 * shifted + 2) // 5 + 1
end

local function need_zone(what, name)
    local zone = host.zone(name)
    if not zone and type(name) ~= "string" then
        fault("%s: a time zone is a text such as \"Europe/Zurich\" or \"UTC\", not %s", what, type_word(name))
    elseif not zone then
        fault("%s: %s", what, support.no_zone(name))
    end
    return zone
end

-- The parts of a point in time in a time zone: {year, month, day, hour, min, sec, weekday = 1 (Sunday) … 7}.
local function parts_of(what, at, zone_name)
    if type(at) ~= "number" or at ~= at or at < -62135596800 or at > 253402300799 then
        fault("%s: a time is a number of seconds since 1970 as now() gives it, not %s", what,
            type(at) == "number" and tostring(at) or type_word(at))
    end
    local zone = need_zone(what, zone_name or "UTC")
    local offset = host.zone_offset(zone, math.floor(at))
    local seconds = math.floor(at) + offset
    local days = seconds // 86400
    local year, month, day = values.civil_from_days(days)
    local rest = seconds - days * 86400
    return {
        year = year, month = month, day = day, hour = rest // 3600, min = rest % 3600 // 60, sec = rest % 60,
        weekday = (days + 4) % 7 + 1, offset = offset,
    }
end

local formats = {
    Y = function(p) return string.format("%04d", p.year) end,
    y = function(p) return string.format("%02d", p.year % 100) end,
    m = function(p) return string.format("%02d", p.month) end,
    d = function(p) return string.format("%02d", p.day) end,
    e = function(p) return tostring(p.day) end,
    H = function(p) return string.format("%02d", p.hour) end,
    I = function(p) return string.format("%02d", (p.hour + 11) % 12 + 1) end,
    M = function(p) return string.format("%02d", p.min) end,
    S = function(p) return string.format("%02d", p.sec) end,
    p = function(p) return p.hour < 12 and "am" or "pm" end,
    A = function(p) return day_names[p.weekday] end,
    a = function(p) return string.sub(day_names[p.weekday], 1, 3) end,
    B = function(p) return month_names[p.month] end,
    b = function(p) return string.sub(month_names[p.month], 1, 3) end,
    F = function(p) return string.format("%04d-%02d-%02d", p.year, p.month, p.day) end,
    R = function(p) return string.format("%02d:%02d", p.hour, p.min) end,
    z = function(p)
        local minutes = math.abs(p.offset) // 60
        return string.format("%s%02d%02d", p.offset < 0 and "-" or "+", minutes // 60, minutes % 60)
    end,
    ["%"] = function() return "%" end,
}

-- What is wrong with a format; nil when nothing is.
function values.wrong_format(format)
    for letter in string.gmatch(format, "%%(.?)") do
        if not formats[letter] then
            return string.format("the format has '%%%s', which means nothing", letter)
        end
    end
end

-- date("%e %B %Y", e.payment.next_attempt, "Europe/Zurich") is "3 March 2027".
function values.date(format, at, zone_name)
    if type(format) ~= "string" then
        fault("date: the first argument is a format such as \"%%Y-%%m-%%d\", not %s", type_word(format))
    end
    local parts = parts_of("date", at, zone_name)
    local wrong = values.wrong_format(format)
    if wrong then
        fault("date: %s", wrong)
    end
    return (string.gsub(format, "%%(.?)", function(letter) return formats[letter](parts) end))
end

-- local_time(now(), "Europe/Zurich").hour
function values.local_time(at, zone_name)
    return parts_of("local_time", at, zone_name)
end

-- Words ---------------------------------------------------------------------------------------------------------------

-- The first of the words, texts or lists of texts, that is found in the text; nil when there is no text.
local function find(what, whole, text, ...)
    if text ~= nil and type(text) ~= "string" then
        fault("%s: the first argument is a text, not %s", what, type_word(text))
    end
    local word, is_wrong, wrong = host.find_word(whole, text, ...)
    if is_wrong and wrong == nil then
        fault("%s: there is no word to look for", what)
    elseif is_wrong then
        fault("%s: words are texts or lists of texts, not %s", what, wrong == "" and "an empty text" or type_word(wrong))
    end
    return word
end

-- has(text, "refund", "money back"): the first of the words (or phrases) that occurs in the text as a whole word,
-- whatever its case; nil when none does, or when there is no text.
function values.has(text, ...)
    return find("has", false, text, ...)
end

-- is(text, "stop"): the text is nothing but one of the words, whatever its case and the punctuation around it.
function values.is(text, ...)
    return find("is", true, text, ...)
end

return values
