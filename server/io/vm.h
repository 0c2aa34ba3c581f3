/* A sandboxed Lua 5.4 state: text chunks in their own environments, run under a budget.
 *
 * Owned by one thread. What a script can do is what vm_sandbox.c allows: no files, no network, no clock, no bytecode,
 * no metatables, no coroutines. What it can use up is bounded: instructions, wall time and memory; C functions that can
 * run long charge the same budget (vm_charge). A script that catches the error of a spent budget fails again at its
 * next instruction, so a budget cannot be swallowed.
 *
 * lua.h is for the vm files of io, for rules, config and the test runner in domain. C functions that Lua calls hold
 * nothing that needs releasing (lua_error() jumps), raise with luaL_error(), and reach the host by vm_of(L) and
 * vm_host_arg(). Outside of vm_call() and vm_protect(), use only calls that cannot raise.
 */
#ifndef IO_VM_H
#define IO_VM_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

/* One text value is at most this long, however it is made; longer ones fail like memory that is used up. */
#define VM_MAX_TEXT_BYTES ((size_t)1024 * 1024)
/* Larger source files are refused. */
#define VM_MAX_SOURCE_BYTES ((size_t)512 * 1024)

struct vm;

struct vm_host {
    /* print(): one line without its end; `file` and `line` say who printed. NULL drops it. Bounded for each call. */
    void (*print)(const char *file, int line, struct bytes text, void *arg);
    /* require(name): the text of a library and the file name for its messages, valid until the vm is freed.
     * False: there is none. NULL: no libraries. Names were checked to be [a-z0-9_]+. */
    bool (*find_library)(const char *name, struct bytes *ret_text, const char **ret_file, void *arg);
    /* A name that nobody defined was read, in this line; `nearest` is one that it may mean, or NULL. Scripts go on
     * then, with a function that takes anything and returns itself. NULL: reading it raises. */
    void (*undefined)(const char *name, const char *nearest, int line, void *arg);
    void *arg;
};

/* Of one call; 0 means none. The memory ceiling is the state's. */
struct vm_budget {
    uint64_t max_instructions;
    msec_t max_wall_ms; /* of the processor's time: a pause of the whole process does not count */
};

enum vm_verdict {
    VM_DONE,
    VM_FAILED, /* an error in the script, or one that a host function raised */
    VM_OVER_INSTRUCTIONS,
    VM_OVER_TIME,
    VM_OVER_MEMORY,
};

struct vm_outcome {
    enum vm_verdict verdict;
    uint64_t instructions; /* counted in steps of 100, plus what C functions charged */
    int64_t micros;
    char file[128]; /* where it failed: the innermost line of a script; "" and 0 when unknown */
    int line;
    char error[512];      /* "file:line: text"; empty when done */
    char traceback[1024]; /* "file:line: in function 'name'" lines, innermost first; empty when done */
};

/* A state with the sandbox's globals. `max_memory_bytes` is the ceiling of the whole state (at least 1 MiB). `host` is
 * copied and may be NULL. Never NULL. */
struct vm *vm_new(size_t max_memory_bytes, const struct vm_host *host);
void vm_free(struct vm *vm);        /* NULL is fine */
void vm_wipe_memory(struct vm *vm); /* from now on memory is overwritten when it is freed: scripts that hold secrets */

lua_State *vm_lua(struct vm *vm);
struct vm *vm_of(lua_State *L);  /* in a C function that Lua called */
void *vm_host_arg(lua_State *L); /* vm_host.arg */

/* Makes `function` a global of all environments, read-only to scripts; `arg` is its first upvalue as light userdata
 * (lua_touserdata(L, lua_upvalueindex(1))). For the time before scripts are loaded. */
void vm_add_function(struct vm *vm, const char *name, lua_CFunction function, void *arg);
/* The same for the value on top of the stack, which is popped; tables are made read-only (vm_freeze). */
void vm_add_value(struct vm *vm, const char *name);

/* Explains a name that is deliberately missing: reading the global fails with "'NAME' is not available here" and this
 * hint. `hint` is a constant. Undefined names always fail, with a suggestion of the nearest one. */
void vm_add_absent(struct vm *vm, const char *name, const char *hint);

/* Compiles text (never bytecode) as the chunk `file` in a fresh environment, and pushes the function on vm_lua()'s
 * stack. ERR_INVALID with "file:line: text" on syntax errors; nothing is pushed then. */
err_t vm_load(struct vm *vm, const char *file, struct bytes text, struct error *reterr) MUST_CHECK;

/* Calls the function below `arguments` values on top of vm_lua()'s stack, pops all that, and pushes exactly `results`
 * values when the verdict is VM_DONE, nothing otherwise. May be nested from host functions (print, C functions): an
 * inner call runs within the rest of the outer budget. `budget` may be NULL. Never raises. */
enum vm_verdict vm_call(struct vm *vm, int arguments, int results, const struct vm_budget *budget,
                        struct vm_outcome *ret_outcome);

/* Runs host code that uses the Lua API and may raise, without a budget: `body` finds `arg` by lua_touserdata(L, 1).
 * On success `results` values are pushed. ERR_LIMIT when memory ran out, ERR_INVALID for other errors. */
err_t vm_protect(struct vm *vm, lua_CFunction body, void *arg, int results, struct error *reterr) MUST_CHECK;

/* For C functions that can run long: takes `units` (about one per 10 ns of work) from the budget of the running call,
 * and raises when it is spent. */
void vm_charge(lua_State *L, uint64_t units);

/* Sets the state of random() and math.random(). The host does this before each call, for repeatable runs. */
void vm_seed(struct vm *vm, uint64_t seed);
/* The next number of that sequence. */
uint64_t vm_random(struct vm *vm);

/* Replaces the table at the top of the stack by a read-only view of it, nested tables included. Writing through it
 * raises an error; pairs, ipairs, # and the table functions read through it. Other values are left alone. Raises when
 * memory runs out. Values seen before (cycles) become the same view. */
void vm_freeze(lua_State *L);
/* When the value at `index` is a view, pushes the table behind it and returns true (for readers in C). */
bool vm_push_frozen_content(lua_State *L, int index);

/* For a view whose content is made when it is asked for: the function on top of the stack, which is popped, is called
 * once before the table behind the view below it is read as a whole (pairs, conversion to JSON). Single fields are the
 * business of the view's __index. Raises when memory runs out. */
void vm_fill_later(lua_State *L);

/* Makes the function on top of the stack, or those in the table there (it stays), pure and returns a number for
 * vm_restore(): tables that it and the functions it uses can reach through local variables outside of them become
 * read-only views, and what those variables hold is remembered. Without it a script could keep state, and memory, from
 * one call to the next, and runs would differ between threads. For each function that the host keeps, once, after its
 * file was loaded. Raises like vm_freeze, so call it from a C function that Lua called or in vm_protect(). */
int vm_seal(lua_State *L);
/* After each call of a sealed function: sets its outside variables back to what they were. True when the call had
 * changed one; its name is then written to `ret_name` (may be NULL). */
bool vm_restore(struct vm *vm, int sealed, char *ret_name, size_t name_size);

/* Pushes a table with Lua's own base, string, table, math and utf8 libraries, for parts of the program that are written
 * in Lua. Scripts never get it; the sandbox stays as it is. Raises when memory runs out. */
void vm_push_trusted_libraries(lua_State *L);

/* A luaL_tolstring() that gives the same text on every run: no addresses. Pushes the text. */
const char *vm_push_text_of(lua_State *L, int index, size_t *ret_length);

/* The line of the script that called the running C function; `ret_file` (may be NULL) gets its file, cut to `size`: for
 * effects and declarations that remember where they were asked for. 0 and "" when no script is running. */
int vm_caller(lua_State *L, char *ret_file, size_t size);

size_t vm_memory_bytes(const struct vm *vm);
/* True when what stays in memory between calls has grown so far that other scripts suffer: replace the state. */
bool vm_is_worn(struct vm *vm);
/* Declares what is in memory now as the normal amount for vm_is_worn(); after loading. */
void vm_settle(struct vm *vm);

#endif
