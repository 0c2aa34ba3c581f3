-- Names of channels, and kinds of handles, that nobody has: e.contact:prefer("telgram") is refused when it runs, and
-- e.contact:can_reach("whatsap") is never true, and nothing else would say so. A name of the author's own is left alone:
-- that of a source, and of handles that other systems give.

local host, use = ...
local support = use "support"
local problem, did_you_mean = support.problem, support.did_you_mean

local review_handles = {}

-- Kinds of channels that send, and of all handles that answerd itself gives.
local channel_kinds, handle_kinds = host.channel_kinds, host.handle_kinds
local is_channel_kind, is_handle_kind = support.set_of(channel_kinds), support.set_of(handle_kinds)

-- What people write for one of those.
local meant = {
    mail = "email", e_mail = "email", tel = "phone", mobile = "phone", sms = "phone", number = "phone", wa = "whatsapp",
    tg = "telegram", fb = "messenger", facebook = "messenger", ig = "instagram", insta = "instagram",
}

local function suggestion(word, known, is_known)
    local instead = meant[string.lower(word)]
    if is_known[string.lower(word)] then
        instead = string.lower(word)
    end
    return is_known[instead] and string.format("; did you mean '%s'?", instead) or did_you_mean(word, known)
end

-- The kinds of the sources that send, by their names; nil when the configuration is not known.
local sources

function review_handles.begin(known_sources)
    sources = known_sources
end

-- "whatsapp_de" is the name of a source, rather than a misspelt "whatsapp".
local function has_kind_in_it(word)
    for _, kind in ipairs(channel_kinds) do
        if string.find(word, kind, 1, true) then
            return true
        end
    end
    return false
end

local function name_of_kind(kind)
    for _, name in ipairs(support.keys(sources)) do
        if sources[name] == kind then
            return name
        end
    end
    return nil
end

-- `word`, at this line, is where a channel is due.
function review_handles.check_channel(file, what, word, line)
    if is_channel_kind[word] or sources and sources[word] then
        return
    end
    local known = { table.unpack(channel_kinds) }
    for _, name in ipairs(support.keys(sources or {})) do
        known[#known + 1] = name
    end
    local near = suggestion(word, known, support.set_of(known))
    if sources or near ~= "" and not has_kind_in_it(word) then
        problem("warning", { file = file, line = line }, string.format("%s: there is no channel '%s' that sends%s", what, word, near),
            "it is the name of a source of the configuration, or one of " .. table.concat(channel_kinds, ", "))
    end
end

-- A field that names a channel, as `shown`, is compared with `word`.
function review_handles.check_compared(file, shown, word, line)
    local near = not (is_handle_kind[word] or sources and sources[word] or has_kind_in_it(word))
        and suggestion(word, channel_kinds, is_channel_kind) or ""
    if near ~= "" then
        problem("warning", { file = file, line = line }, string.format("'%s' is never '%s'%s", shown, word, near))
    end
end

-- can_reach("telegram") asks for the source of that name.
function review_handles.check_reachable(file, word, line)
    if is_channel_kind[word] and sources and not sources[word] and name_of_kind(word) then
        problem("warning", { file = file, line = line }, string.format("can_reach: the source of the kind '%s' is called '%s'", word,
            name_of_kind(word)), string.format("can_reach(\"%s\") asks for the name", name_of_kind(word)))
    else
        review_handles.check_channel(file, "can_reach", word, line)
    end
end

-- `kind` is where a kind of handles is due; nil is none. Others may be the author's own.
function review_handles.check_handle(file, what, kind, line)
    local near = kind and not is_handle_kind[string.lower(kind)] and suggestion(kind, handle_kinds, is_handle_kind) or ""
    if near ~= "" then
        problem("warning", { file = file, line = line }, string.format("%s: nobody has a handle of the kind '%s'%s", what, kind, near),
            "the kinds that people have are " .. table.concat(host.personal_handles, ", "))
    end
end

return review_handles
