/* Documents that scripts read without a copy: what they see, what they cannot do, and views that outlive their event.
 */
#include "io/vm_document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "io/vm_json.h"

static const char text[] =
    "{\"name\": \"Ada\", \"none\": null, \"seen\": \"at noon\", \"tags\": [\"vip\", null, {\"deep\": [1, 2.5, true]}],"
    " \"empty\": {}, \"id\": 9007199254740993}";

static void push_loud_text(lua_State *L, const char *key, const json_t *value)
{
    lua_pushfstring(L, "%s=%s!", key, json_string_value(value));
}

static int missing(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && strcmp(lua_tostring(L, 1), "nmae") == 0)
        return luaL_error(L, "no such field");
    lua_pushliteral(L, "missed");
    return 1;
}

static int refuse(lua_State *L)
{
    return luaL_error(L, "the row refuses '%s'", lua_tostring(L, 2));
}

static int method(lua_State *L)
{
    lua_getfield(L, 1, "name");
    return 1;
}

/* Gives the globals `row`, of a kind, and `plain`. */
static int push_both(lua_State *L)
{
    static const struct vm_document_reader reader = { .push_text = push_loud_text };
    json_t *const *json = lua_touserdata(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, method);
    lua_setfield(L, -2, "hello");
    lua_pushcfunction(L, missing);
    lua_pushcfunction(L, refuse);
    vm_document_push_kind(L, 2, 3, 4, &reader);
    vm_document_push(L, *json, 5);
    lua_pushinteger(L, 7);
    vm_document_set(L, -2, "added");
    vm_document_push(L, *json, 0);
    return 2;
}

static struct vm *open_vm(json_t **json)
{
    assert_int_equal(json_parse(bytes_of(text), json, NULL), ERR_NONE);
    return vm_new((size_t)8 * 1024 * 1024, NULL);
}

/* Leaves a function on the stack, and its arguments: the views. */
static void load(struct vm *vm, json_t *json, const char *script)
{
    char chunk[600];
    snprintf(chunk, sizeof(chunk), "local row, plain = ... %s", script);
    assert_int_equal(vm_load(vm, "t.lua", bytes_of(chunk), NULL), ERR_NONE);
    assert_int_equal(vm_protect(vm, push_both, &json, 2, NULL), ERR_NONE);
}

static const char *call(struct vm *vm)
{
    static char result[1024];
    struct vm_outcome outcome;
    if (vm_call(vm, 2, 1, NULL, &outcome) != VM_DONE)
        return strcpy(result, outcome.error);
    snprintf(result, sizeof(result), "%s", vm_push_text_of(vm_lua(vm), -1, NULL));
    lua_settop(vm_lua(vm), 0);
    return result;
}

static void fields(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        const char *expected;
    } cases[] = {
        { "return plain.name .. plain.tags[1] .. plain.tags[3].deep[2]", "Adavip2.5" },
        { "return plain.none == nil and plain.nothing == nil and plain.tags[2] == nil and plain.tags[9] == nil",
          "true" },
        { "return plain.tags[0] == nil and plain.tags[-1] == nil and plain.tags[1.5] == nil and plain[1] == nil",
          "true" },
        { "return plain.tags['1'] == nil and plain.tags[1.0]", "vip" },
        { "return plain.id", "9007199254740993" },
        { "return plain.tags == plain.tags and plain.tags[3].deep == plain.tags[3].deep and plain.empty == plain.empty",
          "true" },
        { "return type(plain) .. type(plain.tags) .. #plain.tags[3].deep .. #plain.empty", "tabletable30" },
        { "return row.name .. row.seen .. row.tags[1]", "name=Ada!seen=at noon!vip" },
        { "return row:hello() .. row.added .. row.elsewhere .. row[1]", "name=Ada!7missedmissed" },
        { "return row.nmae", "no such field" },
        { "local o = '' for k in pairs(row) do o = o .. k .. ' ' end return o", "added empty id name seen tags " },
        { "local o = '' for i, v in ipairs(plain.tags[3].deep) do o = o .. i .. tostring(v) end return o",
          "1122.53true" },
        { "return (next(plain)) .. select('#', table.unpack(plain.tags[3].deep))", "empty3" },
        { "plain.name = 'x'", "read-only" },
        { "plain.tags[1] = 'x'", "read-only" },
        { "table.insert(plain.tags[3].deep, 1)", "read-only" },
        { "row.name = 'x'", "the row refuses 'name'" },
        { "row.tags[1] = 'x'", "read-only" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *json;
        struct vm *vm = open_vm(&json);
        /* Views of which nothing was read yet, and such that were read as a whole. */
        for (int round = 0; round < 2; round++) {
            char script[500];
            snprintf(script, sizeof(script), "%s %s", round ? "pairs(plain) pairs(row)" : "", cases[i].script);
            load(vm, json, script);
            const char *result = call(vm);
            if (!strstr(result, cases[i].expected))
                fail_msg("%s: %s", script, result);
        }
        vm_free(vm);
        json_decref(json);
    }
}

static json_t *layers[2];

static const json_t *layer(lua_State *L, size_t number)
{
    (void)L;
    return number < 2 ? layers[number] : NULL;
}

/* The view of a document with two layers, as both arguments. */
static int push_layered(lua_State *L)
{
    static const struct vm_document_reader reader = { .push_text = push_loud_text, .layer = layer };
    json_t *const *json = lua_touserdata(L, 1);
    lua_pushcfunction(L, missing);
    lua_pushnil(L);
    vm_document_push_kind(L, 3, 2, 3, &reader);
    vm_document_push(L, *json, 4);
    lua_pushvalue(L, -1);
    return 2;
}

static void what_a_document_lacks_comes_from_its_layers(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "return row.name .. row.seen", "name=Ada!seen=at noon!" },
        { "return row.none .. row.town .. row.more[2]", "filledParis5" },
        { "return row.more == row.more and row.elsewhere", "missed" },
        { "local o = '' for k, v in pairs(row) do o = o .. k .. ' ' end return o",
          "empty id last more name none seen tags town " },
        { "local o = '' for k, v in pairs(row) do o = o .. k .. ' ' end return o .. row.town .. row.none",
          "town Parisfilled" },
    };
    layers[0] = json_pack("{s:s, s:s, s:n, s:[i,i]}", "name", "Grace", "town", "Paris", "last", "more", 4, 5);
    layers[1] = json_pack("{s:s, s:s, s:s}", "none", "filled", "town", "Rome", "last", "one");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *json;
        struct vm *vm = open_vm(&json);
        char chunk[300];
        snprintf(chunk, sizeof(chunk), "local row = ... %s", cases[i][0]);
        assert_int_equal(vm_load(vm, "t.lua", bytes_of(chunk), NULL), ERR_NONE);
        assert_int_equal(vm_protect(vm, push_layered, &json, 2, NULL), ERR_NONE);
        const char *result = call(vm);
        if (!strstr(result, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], result);
        vm_free(vm);
        json_decref(json);
    }
    json_decref(layers[0]);
    json_decref(layers[1]);
}

static void documents_come_back(void **state)
{
    (void)state;
    json_t *json, *back, *expected;
    struct vm *vm = open_vm(&json);
    load(vm, json, "local t = plain.tags return { plain = plain, again = t }");
    assert_int_equal(vm_call(vm, 2, 1, NULL, NULL), VM_DONE);
    assert_int_equal(vm_json_take(vm_lua(vm), -1, NULL, &back, NULL), ERR_NONE);
    expected = json_deep_copy(json);
    json_object_del(expected, "none");
    assert_true(json_equal(json_object_get(back, "plain"), expected));
    assert_true(json_equal(json_object_get(back, "again"), json_object_get(json, "tags")));
    json_decref(back);
    json_decref(expected);
    vm_free(vm);
    json_decref(json);
}

static void views_that_outlive_their_document(void **state)
{
    (void)state;
    static const char *const scripts[] = { "return plain.name", "return row.name", "return next(plain)",
                                           "return #plain", "for k in pairs(row) do end" };
    json_t *json;
    struct vm *vm = open_vm(&json);
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        load(vm, json, scripts[i]);
        vm_documents_end(vm);
        assert_non_null(strstr(call(vm), "an event that is over"));
    }
    /* What is kept of a document is no more than views of its parts. */
    load(vm, json, "pairs(plain) return plain");
    assert_int_equal(vm_call(vm, 2, 1, NULL, NULL), VM_DONE);
    vm_documents_end(vm);
    json_decref(json);
    assert_int_equal(vm_json_take(vm_lua(vm), -1, NULL, &json, NULL), ERR_INVALID);
    vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(what_a_document_lacks_comes_from_its_layers),
        cmocka_unit_test(documents_come_back),
        cmocka_unit_test(views_that_outlive_their_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
