/* The functions that the prelude calls. */
#include "rules/rule_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/vm_json.h"
#include "rules/schedule.h"

#define MAX_LOG_LINES 50
/* More than the time zone database has names, so that a rule that asks for all of them takes none from another. */
#define MAX_ZONES 2000
#define ZONE_READ_COST 2000      /* instructions that take as long as opening a file */
#define ZONE_NEAREST_COST 100000 /* each name of the database is compared */
#define MAX_SECRET_BYTES 65536

static struct rule_set *set_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static struct bytes text_argument(lua_State *L, int index)
{
    struct bytes text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

void rule_context_done(struct rule_set *set, struct rule_context *context)
{
    set->context = NULL;
    json_decref(context->held);
    json_decref(context->log);
    context->held = context->log = NULL;
}

/* Pushes a document that the context holds meanwhile, because pushing may raise. NULL pushes nil. */
static int push_held(lua_State *L, struct rule_context *context, json_t *json)
{
    if (json == NULL) {
        lua_pushnil(L);
        return 1;
    }
    json_decref(context->held);
    context->held = json;
    vm_json_push(L, json);
    context->held = NULL;
    json_decref(json);
    return 1;
}

static struct rule_context *context_of(lua_State *L)
{
    struct rule_context *context = set_of(L)->context;
    if (context == NULL) {
        luaL_error(L, "there is no event while files are loaded");
    }
    return context;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

/* where(): file and line of the author's code that is running; nothing when there is none. */
static int host_where(lua_State *L)
{
    char file[256];
    int line = vm_caller(L, file, sizeof(file));
    if (line <= 0) {
        return 0;
    }
    lua_pushstring(L, file);
    lua_pushinteger(L, line);
    return 2;
}

static int host_line_of(lua_State *L)
{
    lua_Debug info;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_getinfo(L, ">S", &info);
    lua_pushinteger(L, info.linedefined);
    return 1;
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Is `key =` (and not `key ==`) at this place? */
static bool is_key_at(const char *at, const char *line_start, struct bytes key)
{
    if (strncmp(at, key.ptr, key.len) != 0 || (at > line_start && is_name_character(at[-1]))) {
        return false;
    }
    const char *behind = at + key.len;
    while (*behind == ' ' || *behind == '\t') {
        behind++;
    }
    return *behind == '=' && behind[1] != '=';
}

/* key_line(file, line, key): the line of `key =` in the declaration that begins at `line`; nil when it is not found. */
static int host_key_line(lua_State *L)
{
    const struct rule_source *source = rule_sources_find(set_of(L)->sources, luaL_checkstring(L, 1));
    lua_Integer first = luaL_checkinteger(L, 2);
    struct bytes key = text_argument(L, 3);
    if (source == NULL || key.len == 0) {
        return 0;
    }
    const char *line_start = source->text;
    for (lua_Integer line = 1; line_start != NULL && line < first + 200; line++) {
        const char *end = strchr(line_start, '\n');
        /* A line that begins with a closing brace ends the declaration. */
        if (line > first && *line_start == '}') {
            return 0;
        }
        for (const char *at = line_start; line >= first && *at != '\0' && at != end; at++) {
            if (is_key_at(at, line_start, key)) {
                lua_pushinteger(L, line);
                return 1;
            }
        }
        line_start = end != NULL ? end + 1 : NULL;
    }
    return 0;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

/* nearest(word, list): the entry that was most likely meant, or nil. */
static int host_nearest(lua_State *L)
{
    const char *known[257];
    size_t count = 0;
    const char *word = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer length = luaL_len(L, 2);
    for (lua_Integer i = 1; i <= length && count < ARRAY_LEN(known) - 1; i++) {
        lua_rawgeti(L, 2, i);
        if (lua_type(L, -1) == LUA_TSTRING) {
            known[count++] = lua_tostring(L, -1); /* stays valid: the list holds it */
        }
        lua_pop(L, 1);
    }
    known[count] = NULL;
    const char *nearest = text_nearest(word, known);
    if (nearest == NULL || strcmp(nearest, word) == 0) {
        return 0;
    }
    lua_pushstring(L, nearest);
    return 1;
}

/* secret("env" | "file", name): its text, or nil. */
static int host_secret(lua_State *L)
{
    const char *kind = luaL_checkstring(L, 1);
    const char *name = luaL_checkstring(L, 2);
    if (strcmp(kind, "env") == 0) {
        lua_pushstring(L, getenv(name)); /* NULL gives nil */
        return 1;
    }
    FILE *file = fopen(name, "rbe");
    if (file == NULL) {
        return 0;
    }
    char *text = memory_new(MAX_SECRET_BYTES);
    size_t length = fread(text, 1, MAX_SECRET_BYTES - 1, file);
    fclose(file);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL) {
        length--;
    }
    text[length] = '\0';
    /* Through the context of the loading, because pushing may raise. */
    struct rule_set *set = set_of(L);
    json_t *value = json_stringn(text, length);
    free(text);
    if (set->context == NULL || value == NULL) {
        json_decref(value);
        return 0;
    }
    return push_held(L, set->context, value);
}

/* Standard Webhooks: "whsec_" and the base64 of 24 to 64 bytes. */
static int host_is_webhook_secret(lua_State *L)
{
    struct bytes text = text_argument(L, 1);
    struct bytes prefix = BYTES_LITERAL("whsec_");
    bool ok = bytes_start_with(text, prefix) && text.len < 256;
    if (ok) {
        struct buf key;
        buf_init(&key, 256);
        ok = text_decode_base64((struct bytes){ text.ptr + prefix.len, text.len - prefix.len }, &key) &&
             key.len >= 24 && key.len <= 64;
        buf_done(&key);
    }
    lua_pushboolean(L, ok);
    return 1;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static int host_now(lua_State *L)
{
    struct rule_context *context = context_of(L);
    rule_host_push_seconds(L, context->test != NULL ? context->test->now(context->test->arg) : context->now);
    return 1;
}

static int host_duration(lua_State *L)
{
    int64_t ms;
    if (!text_to_duration(text_argument(L, 1), &ms)) {
        return 0;
    }
    lua_pushinteger(L, ms);
    return 1;
}

/* parse_time(ISO text): seconds, or nil. */
static int host_parse_time(lua_State *L)
{
    msec_t at;
    if (!clock_parse_iso(text_argument(L, 1), &at)) {
        return 0;
    }
    rule_host_push_seconds(L, at);
    return 1;
}

/* iso(seconds): the text that documents carry. */
static int host_iso(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    if (!(seconds >= 0 && seconds < 253402300800.0)) {
        return luaL_error(L, "the time is not between 1970 and 9999");
    }
    char text[64];
    struct buf iso;
    buf_init(&iso, sizeof(text));
    clock_add_iso(&iso, (msec_t)(seconds * 1000 + 0.5));
    snprintf(text, sizeof(text), "%s", iso.ptr);
    buf_done(&iso);
    lua_pushstring(L, text);
    return 1;
}

static struct zone *known_zone(const struct rule_set *set, const char *name)
{
    for (size_t i = 0; i < set->zone_count; i++) {
        if (strcmp(set->zones[i].name, name) == 0) {
            return set->zones[i].zone;
        }
    }
    return NULL;
}

/* Names of no zone are not remembered: there is no end of them. */
struct zone *rule_host_zone(struct rule_set *set, const char *name)
{
    struct zone *zone = known_zone(set, name);
    if (zone != NULL || set->zone_count >= MAX_ZONES || zone_read(name, &zone, NULL) != ERR_NONE) {
        return zone;
    }
    set->zones = memory_resize(set->zones, (set->zone_count + 1) * sizeof(*set->zones));
    set->zones[set->zone_count++] = (struct zone_entry){ memory_text(name), zone };
    return zone;
}

/* zone(name): a light handle for the two functions below, or nil. */
static int host_zone(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING) {
        return 0;
    }
    struct rule_set *set = set_of(L);
    struct zone *zone = known_zone(set, lua_tostring(L, 1));
    if (zone == NULL) {
        vm_charge(L, ZONE_READ_COST);
        zone = rule_host_zone(set, lua_tostring(L, 1));
    }
    if (zone == NULL) {
        return 0;
    }
    lua_pushlightuserdata(L, zone);
    return 1;
}

/* nearest_zone(name): the name that is meant, or nil. */
static int host_nearest_zone(lua_State *L)
{
    char nearest[ZONE_NAME_BYTES];
    vm_charge(L, ZONE_NEAREST_COST);
    if (!zone_nearest(luaL_checkstring(L, 1), nearest)) {
        return 0;
    }
    lua_pushstring(L, nearest);
    return 1;
}

static int host_zone_offset(lua_State *L)
{
    lua_pushinteger(L, zone_offset(lua_touserdata(L, 1), luaL_checkinteger(L, 2)));
    return 1;
}

static int host_zone_to_utc(lua_State *L)
{
    lua_pushinteger(L, zone_to_utc(lua_touserdata(L, 1), luaL_checkinteger(L, 2)));
    return 1;
}

/* schedule_wrong(schedule): why it cannot be, or nil. */
static int host_schedule_wrong(lua_State *L)
{
    json_t *schedule;
    struct error e;
    if (vm_json_take(L, 1, NULL, &schedule, &e) == ERR_NONE) {
        err_t err = schedule_check(schedule, &e);
        json_decref(schedule);
        if (err == ERR_NONE) {
            return 0;
        }
    }
    lua_pushstring(L, e.text);
    return 1;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static int host_array(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    vm_json_mark_array(L, 1);
    lua_settop(L, 1);
    return 1;
}

static int host_is_array(lua_State *L)
{
    bool same = false;
    if (lua_type(L, 1) == LUA_TTABLE && lua_getmetatable(L, 1)) {
        lua_createtable(L, 0, 0);
        vm_json_mark_array(L, -1);
        same = lua_getmetatable(L, -1) && lua_rawequal(L, -1, -3);
    }
    lua_pushboolean(L, same);
    return 1;
}

static int host_freeze(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    vm_freeze(L);
    return 1;
}

static int host_frozen_content(lua_State *L)
{
    return vm_push_frozen_content(L, 1) ? 1 : 0;
}

static int host_metatable(lua_State *L)
{
    return lua_getmetatable(L, 1) ? 1 : 0;
}

/* --- facts -------------------------------------------------------------------------------------------------------- */

static int host_history(lua_State *L)
{
    struct rule_context *context = context_of(L);
    lua_Integer id = luaL_checkinteger(L, 1), limit = luaL_checkinteger(L, 2);
    if (context->reader == NULL || context->reader->history == NULL) {
        return 0;
    }
    vm_charge(L, 1000);
    return push_held(L, context, context->reader->history(context->reader->arg, id, (size_t)limit));
}

static int host_conversations(lua_State *L)
{
    struct rule_context *context = context_of(L);
    lua_Integer id = luaL_checkinteger(L, 1), limit = luaL_checkinteger(L, 2);
    if (context->reader == NULL || context->reader->conversations == NULL) {
        return 0;
    }
    vm_charge(L, 1000);
    return push_held(L, context, context->reader->conversations(context->reader->arg, id, (size_t)limit));
}

static int host_raw(lua_State *L)
{
    struct rule_context *context = context_of(L);
    lua_Integer id = luaL_optinteger(L, 1, 0);
    if (id == 0 || context->reader == NULL || context->reader->raw == NULL) {
        return 0;
    }
    struct bytes raw = context->reader->raw(context->reader->arg, id);
    if (raw.len == 0) {
        return 0;
    }
    vm_charge(L, 1000 + raw.len / 4);
    json_t *json;
    if (json_parse(raw, &json, NULL) == ERR_NONE) {
        return push_held(L, context, json);
    }
    lua_pushlstring(L, raw.ptr, raw.len);
    return 1;
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

void rule_host_print(const char *file, int line, struct bytes text, void *arg)
{
    struct rule_set *set = arg;
    struct rule_context *context = set->context;
    if (context == NULL) {
        return;
    }
    if (context->log == NULL) {
        context->log = json_array();
    }
    if (json_array_size(context->log) >= MAX_LOG_LINES) {
        return;
    }
    json_t *entry = json_object();
    json_put_str(entry, "file", file);
    json_put_int(entry, "line", line);
    json_put_bytes(entry, "text", text);
    json_array_append_new(context->log, entry);
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

/* The arguments from 2 on as an array; trailing nils are dropped. */
static json_t *take_arguments(lua_State *L, struct error *reterr)
{
    int last = lua_gettop(L);
    while (last > 1 && lua_isnil(L, last)) {
        last--;
    }
    json_t *arguments = json_array();
    for (int i = 2; i <= last; i++) {
        json_t *value;
        if (vm_json_take(L, i, NULL, &value, reterr) != ERR_NONE) {
            json_decref(arguments);
            return NULL;
        }
        json_array_append_new(arguments, value);
    }
    return arguments;
}

/* verb(name, ...): what t:NAME(...) does. */
static int host_verb(lua_State *L)
{
    struct rule_context *context = context_of(L);
    const char *verb = luaL_checkstring(L, 1);
    if (context->test == NULL) {
        return luaL_error(L, "t:%s() is for tests", verb);
    }
    char file[256];
    int line = vm_caller(L, file, sizeof(file));
    json_t *result = NULL;
    context->test_error.code = ERR_NONE;
    json_t *arguments = take_arguments(L, &context->test_error);
    if (arguments != NULL) {
        result = context->test->verb(context->test->arg, verb, arguments, file, line, &context->test_error);
        json_decref(arguments);
    } else {
        char text[256];
        snprintf(text, sizeof(text), "%.250s", context->test_error.text);
        fail(&context->test_error, ERR_INVALID, "%s:%d: t:%s: %s", file, line, verb, text);
    }
    if (context->test_error.code != ERR_NONE) {
        json_decref(result);
        return luaL_error(L, "%s", context->test_error.text);
    }
    return push_held(L, context, result);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static const luaL_Reg host_functions[] = {
    { "where", host_where },
    { "line_of", host_line_of },
    { "key_line", host_key_line },
    { "nearest", host_nearest },
    { "find_word", rule_host_find_word },
    { "read_handle", rule_host_read_handle },
    { "secret", host_secret },
    { "is_webhook_secret", host_is_webhook_secret },
    { "now", host_now },
    { "duration", host_duration },
    { "parse_time", host_parse_time },
    { "iso", host_iso },
    { "zone", host_zone },
    { "nearest_zone", host_nearest_zone },
    { "zone_offset", host_zone_offset },
    { "zone_to_utc", host_zone_to_utc },
    { "schedule_wrong", host_schedule_wrong },
    { "array", host_array },
    { "is_array", host_is_array },
    { "freeze", host_freeze },
    { "frozen_content", host_frozen_content },
    { "metatable", host_metatable },
    { "history", host_history },
    { "conversations_of", host_conversations },
    { "raw", host_raw },
    { "verb", host_verb },
    { NULL, NULL },
};

void rule_host_push(lua_State *L, struct rule_set *set)
{
    lua_createtable(L, 0, 48);
    lua_pushlightuserdata(L, set);
    luaL_setfuncs(L, host_functions, 1);
    lua_pushlightuserdata(L, set);
    luaL_setfuncs(L, rule_host_facts, 1);
    lua_pushinteger(L, (lua_Integer)set->limits.max_effects);
    lua_setfield(L, -2, "max_effects");
    rule_host_push_kinds(L);
}
