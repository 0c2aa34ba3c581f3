/* JSON to Lua and back: what comes back goes again, and comes back the same. */
#include "io/vm_json.h"

#include "fuzz.h"

static json_t *through(struct vm *vm, const json_t *json)
{
    json_t *back = NULL;
    struct error e = { 0 };
    int top = lua_gettop(vm_lua(vm));
    if (vm_json_push_protected(vm, json, &e) != ERR_NONE) {
        MUST_HOLD(e.text[0] && lua_gettop(vm_lua(vm)) == top);
        return NULL;
    }
    if (vm_json_take(vm_lua(vm), -1, NULL, &back, &e) != ERR_NONE)
        MUST_HOLD(e.text[0] && !back);
    lua_settop(vm_lua(vm), top);
    return back;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct vm *vm;
    if (!vm)
        vm = vm_new((size_t)16 * 1024 * 1024, NULL);
    json_t *json = NULL;
    if (json_parse((struct bytes){ (const char *)data, size }, &json, NULL) != ERR_NONE)
        return 0;
    json_t *first = through(vm, json);
    json_t *second = first ? through(vm, first) : NULL;
    if (first) {
        MUST_HOLD(second && json_equal(first, second));
        char *text = json_dump(first);
        json_t *again = NULL;
        MUST_HOLD(text_is_utf8(bytes_of(text)) && json_parse(bytes_of(text), &again, NULL) == ERR_NONE);
        json_decref(again);
        free(text);
    }
    json_decref(second);
    json_decref(first);
    json_decref(json);
    lua_gc(vm_lua(vm), LUA_GCSTEP, 0);
    return 0;
}
