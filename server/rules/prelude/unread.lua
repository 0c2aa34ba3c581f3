-- Files that could not be run to their end. What else they would have declared is not known, so nobody is blamed for
-- naming it.

local unread = {}

-- file -> {compiles = bool, text = its source, nil while it is not known}
local files = {}
local count = 0

function unread.add(file, compiles, text)
    count = files[file] and count or count + 1
    files[file] = { compiles = compiles and (not files[file] or files[file].compiles), text = text }
end

function unread.is_any()
    return count > 0
end

function unread.has(file)
    return files[file] ~= nil
end

function unread.compiles(file)
    return not files[file] or files[file].compiles
end

-- Declares it by a name that only running it would tell: template(name) { … }, or `local make = template`.
local function is_open(text, kind)
    return string.find(text, "%f[%w_]" .. kind .. "%s*%(%s*[^\"'%s]") ~= nil
        or string.find(text, "%f[%w_]" .. kind .. "%s*%(%s*[\"'][^\"']*[\"']%s*%.%.") ~= nil
        or string.find(text, "=%s*" .. kind .. "%f[^%w_]") ~= nil
end

-- May one of these files declare the template, survey, … of that name?
function unread.may_declare(kind, name)
    for _, file in next, files do
        if not file.text or is_open(file.text, kind)
            or string.find(file.text, "%f[%w_]" .. kind .. "%s*%(?%s*[\"']" .. string.gsub(name, "%p", "%%%0") .. "[\"']") then
            return true
        end
    end
    return false
end

return unread
