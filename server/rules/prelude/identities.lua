-- Handles of people as rules write them: "email:Ada@Example.com", { whatsapp = "+1 555 0100" }.

local host, use = ...
local support = use "support"
local fault, argument, type_word, unwrap = support.fault, support.argument, support.type_word, support.unwrap

local identities = {}

local identity_cleaners = {
    email = function(text) return string.lower((string.gsub(text, "%s+", ""))) end,
    phone = function(text) return (string.gsub(text, "[^%d]", "")) end,
    whatsapp = function(text)
        -- A business-scoped user id ("US.1349…") stays as it is; a number is its digits.
        if string.find(text, "%a") then
            return text
        end
        return (string.gsub(text, "[^%d]", ""))
    end,
}

local function cleaned(kind, value)
    return identity_cleaners[kind] and identity_cleaners[kind](value) or value
end

-- "email:Ada@Example.com" as "email:ada@example.com".
function identities.one(what, text)
    local kind, value = string.match(text, "^([%a][%w_]*):(.+)$")
    if not kind then
        fault("%s: '%s' is not an identity; write \"email:ada@example.com\" or \"whatsapp:15550100\"", what, text)
    end
    kind = string.lower(kind)
    value = cleaned(kind, value)
    if value == "" or #value > 200 then
        fault("%s: '%s' is not an identity", what, text)
    end
    return kind .. ":" .. value
end

-- "email:…", a list of such texts, or { email = …, whatsapp = …, name = …, language = … }. Tables are made from what other
-- systems send: a handle that is empty there is none, and somebody without any is nobody, which is no mistake of the rule.
function identities.contact(what, value)
    value = unwrap(value)
    local result = { identities = {} }
    if type(value) == "string" then
        value = { value }
    elseif type(value) ~= "table" then
        fault("%s: 'contact' is an identity such as \"email:ada@example.com\" or a table, not %s", what,
            type_word(value))
    end
    for _, item in ipairs(value) do
        result.identities[#result.identities + 1] = identities.one(what, argument(what, "contact", "text", item))
    end
    -- What names a person best comes first: the first identity decides whose turn it is.
    local rank = {}
    for position, kind in ipairs(host.personal_handles) do
        rank[kind] = position
    end
    local kinds = {}
    for _, key in ipairs(support.keys(value)) do
        if type(key) == "string" then
            local item = value[key]
            if type(item) == "number" and math.tointeger(item) then
                item = tostring(math.tointeger(item))
            end
            if item ~= "" then
                item = argument(what, "contact." .. key, "text", item)
                if key == "name" or key == "language" then
                    result[key] = item
                elseif string.find(cleaned(string.lower(key), item), "%S") then
                    kinds[#kinds + 1] = { key = key, value = item }
                end
            end
        end
    end
    table.sort(kinds, function(a, b)
        local left, right = rank[a.key] or 99, rank[b.key] or 99
        return left < right or (left == right and a.key < b.key)
    end)
    for _, item in ipairs(kinds) do
        result.identities[#result.identities + 1] = identities.one(what, item.key .. ":" .. item.value)
    end
    return result
end

return identities
