-- Handles of people as rules write them: "email:Ada@Example.com", { whatsapp = "+1 555 0100" }.

local host, use = ...
local support = use "support"
local fault, argument, type_word, unwrap = support.fault, support.argument, support.type_word, support.unwrap

local identities = {}

local max_kind_bytes, max_handle_bytes = 31, 200

-- A kind of handles as it is known; nil when it cannot be one.
local function kind_of(text)
    return string.find(text, "^%a[%w_]*$") and #text <= max_kind_bytes and string.lower(text) or nil
end

local function no_identity(what, text)
    fault("%s: '%s' is not an identity; write \"email:ada@example.com\" or \"whatsapp:15550100\"", what, text)
end

-- "email:Ada@Example.com" as "email:ada@example.com". What the API refuses as a handle comes back as it was written, with what
-- is wrong with it: people type it, and who mistypes a number must not bring the rule to rest for all others.
function identities.read(what, text)
    local given, value = string.match(text, "^([^:]*):(.*%S.*)$")
    local kind = given and kind_of(given) or no_identity(what, text)
    if #value > max_handle_bytes then
        fault("%s: a handle has at most %d bytes", what, max_handle_bytes)
    end
    local known, wrong = host.read_handle(kind, value)
    return kind .. ":" .. (known or value), wrong
end

-- The same of a text that the author wrote out, where a wrong handle is a mistake.
function identities.check(what, text)
    local identity, wrong = identities.read(what, text)
    if wrong then
        local kind, value = string.match(identity, "^([^:]*):(.*)$")
        fault("%s: '%s' is not a handle of the kind %s: %s", what, value, kind, wrong)
    end
end

-- "email:…", a list of such texts, or { email = …, whatsapp = …, name = …, language = … }. They are made from what others
-- send: a handle of the table that is empty is none, and somebody without any is nobody, which is no mistake of the rule.
-- Nor is what people type into forms ("079 123 45 67" as a phone number): it names nobody, and the second result says so,
-- in a list.
function identities.contact(what, value)
    value = unwrap(value)
    local result, left_out = { identities = {} }, host.array {}
    if type(value) == "string" then
        value = { value }
    elseif type(value) ~= "table" then
        fault("%s: 'contact' is an identity such as \"email:ada@example.com\" or a table, not %s", what,
            type_word(value))
    end
    for _, item in ipairs(value) do
        local identity, wrong = identities.read(what, argument(what, "contact", "text", item))
        if wrong then
            left_out[#left_out + 1] = string.format("'%s' is left out: %s", identity, wrong)
        else
            result.identities[#result.identities + 1] = identity
        end
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
            if type(item) ~= "string" or string.find(item, "%S") then
                item = argument(what, "contact." .. key, "text", item)
                if key == "name" or key == "language" then
                    result[key] = item
                else
                    local kind = kind_of(key) or no_identity(what, key .. ":" .. item)
                    local known, wrong = host.read_handle(kind, item)
                    if known then
                        kinds[#kinds + 1] = { key = key, identity = kind .. ":" .. known }
                    else
                        left_out[#left_out + 1] = string.format("contact.%s is left out: %s", key, wrong)
                    end
                end
            end
        end
    end
    table.sort(kinds, function(a, b)
        local left, right = rank[a.key] or 99, rank[b.key] or 99
        return left < right or (left == right and a.key < b.key)
    end)
    for _, item in ipairs(kinds) do
        result.identities[#result.identities + 1] = item.identity
    end
    return result, #left_out > 0 and left_out or nil
end

return identities
