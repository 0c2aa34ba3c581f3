-- What luacheck knows in the rules: what their sandbox has, and nothing else. tests/unit/rules/luacheck_test.c compares
-- the names below with the sandbox.

stds.rules = {
  read_globals = {
    -- Lua's own
    "assert", "error", "ipairs", "next", "pairs", "pcall", "print", "require", "select", "tonumber", "tostring", "type",
    math = {
      fields = {
        "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max", "maxinteger",
        "min", "mininteger", "modf", "pi", "rad", "random", "sin", "sqrt", "tan", "tointeger", "type", "ult",
      },
    },
    string = {
      fields = {
        "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper",
      },
    },
    table = { fields = { "concat", "insert", "move", "pack", "remove", "sort", "unpack" } },
    utf8 = { fields = { "char", "charpattern", "codepoint", "codes", "len", "offset" } },
    -- what a file declares
    "calendar", "cron", "endpoint", "env", "file", "rule", "survey", "template", "test",
    -- help
    "array", "data", "date", "days", "duration", "has", "hours", "is", "local_time", "log", "minutes", "money", "now",
    "random", "seconds",
  },
}

std = "rules"
max_line_length = 120
files["rules/templates.lua"].max_line_length = false -- a text to a customer is one line, however long
exclude_files = { "rules/types" } -- annotations for editors
ignore = { "212/e", "212/fx" } -- a rule names what it is given, needed or not
