/* JSON documents as Lua values and back.
 *
 * Objects become tables; arrays become tables that remember to be arrays, also when empty (scripts make one with
 * `array {…}`); integers stay integers (64 bits), null becomes nil. On the way back: a table that remembers, or whose
 * keys are exactly 1..n with n > 0, is an array; an empty one is an object; whole floats up to 2^53 become integers;
 * text is cleaned to valid UTF-8 without NUL; read-only views (vm_freeze) are read through.
 */
#ifndef IO_VM_JSON_H
#define IO_VM_JSON_H

#include "io/json.h"
#include "io/vm.h"

#define VM_JSON_MAX_DEPTH 32

struct vm_json_limits {
    size_t max_values; /* objects, arrays and values together; default 10,000 */
    size_t max_bytes;  /* of all texts and keys; default 256 KiB */
};

/* Pushes the value. Raises when memory runs out, the budget of the running call is spent (each value takes one unit of
 * it) or the document is deeper than VM_JSON_MAX_DEPTH; so it is for C functions that Lua called, and bodies of
 * vm_protect(). */
void vm_json_push(lua_State *L, const json_t *json);
/* The same for host code outside of Lua: nothing is pushed when it fails. */
err_t vm_json_push_protected(struct vm *vm, const json_t *json, struct error *reterr) MUST_CHECK;

/* The value at `index` as a new reference. Never raises, so the caller may hold other things. ERR_INVALID names the
 * place and the reason ("vars.name: a function cannot be stored"), ERR_TOO_BIG is over the limits. `limits` may be
 * NULL. nil becomes null. */
err_t vm_json_take(lua_State *L, int index, const struct vm_json_limits *limits, json_t **ret_json,
                   struct error *reterr) MUST_CHECK;

/* Marks the table at `index` as an array. */
void vm_json_mark_array(lua_State *L, int index);

#endif
