#include "io/vm.h"

#include "base/buf.h"
#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"
#include "io/vm_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small, because one instruction may be a C function that takes its time (a comparison of two long texts). */
#define QUANTUM 100
#define CLOCK_EVERY_BYTES ((size_t)256 * 1024)
#define CLOCK_EVERY_UNITS 20000
#define MEASURE_AFTER_US 1000
#define BEAT_EVERY_US 100000
/* Each refused allocation makes Lua collect all garbage first; that is slow, so a script may cause only a few. */
#define MAX_DENIALS 32

static void note_place(struct vm *vm);
static void trip(struct vm *vm, enum vm_verdict reason);

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* The budget is time of a processor: a process that was stopped, or left aside by a busy machine, must not lose a
 * rule's effects for that. The thread's own clock costs a system call, so only calls that take long are measured by it.
 */
static bool over_deadline(struct vm *vm)
{
    if (vm->deadline_us == 0)
        return false;
    int64_t now_us = clock_steady_us();
    if (vm->thread_began_us == 0) {
        if (now_us - vm->began_us < MEASURE_AFTER_US)
            return false;
        vm->thread_began_us = clock_thread_us();
        vm->beat_us = vm->began_us;
    }
    if (now_us - vm->beat_us > BEAT_EVERY_US) {
        vm->beat_us = now_us;
        heartbeat_beat(); /* it goes on, and is bounded, however little of a processor it gets */
    }
    if (now_us <= vm->deadline_us)
        return false;
    int64_t left_us = vm->thread_began_us + vm->max_wall_ms * 1000 - clock_thread_us();
    if (left_us <= 0)
        return true;
    vm->deadline_us = now_us + left_us;
    return false;
}

/* Lua asks again after a full collection; only the second refusal becomes an error in the script. */
static void *deny(struct vm *vm, size_t size)
{
    vm->denials++;
    bool again = vm->denied_bytes == size;
    vm->denied_bytes = again ? 0 : size;
    if (vm->depth > 0) {
        note_place(vm); /* a memory error has no place, and no handler is called for it */
        if (again || vm->denials > MAX_DENIALS)
            trip(vm, VM_OVER_MEMORY);
    }
    return NULL;
}

static void *allocate(void *arg, void *ptr, size_t old_size, size_t size)
{
    struct vm *vm = arg;
    size_t kind = ptr ? 0 : old_size; /* of a new block: what it is for */
    size_t old = ptr ? old_size : 0;
    if (size == 0) {
        vm->memory_bytes -= old;
        if (vm->wipes)
            crypto_wipe(ptr, old);
        free(ptr);
        return NULL;
    }
    if (size > old) {
        bool long_text = kind == LUA_TSTRING && size > VM_MAX_TEXT_BYTES + 64;
        if (long_text || size - old > vm->memory_max - vm->memory_bytes)
            return deny(vm, size);
        vm->denied_bytes = 0;
        vm->since_clock += size - old;
        if (vm->depth > 0 && vm->since_clock > CLOCK_EVERY_BYTES) {
            vm->since_clock = 0;
            if (over_deadline(vm))
                trip(vm, VM_OVER_TIME);
        }
    }
    vm->memory_bytes = vm->memory_bytes - old + size;
    if (!ptr)
        return memory_block(size);
    if (!vm->wipes)
        return memory_resize(ptr, size);
    void *moved = memory_block(size);
    memcpy(moved, ptr, old < size ? old : size);
    crypto_wipe(ptr, old);
    free(ptr);
    return moved;
}

size_t vm_memory_bytes(const struct vm *vm)
{
    return vm->memory_bytes;
}

void vm_settle(struct vm *vm)
{
    lua_gc(vm->lua, LUA_GCCOLLECT);
    vm->memory_settled = vm->memory_bytes;
}

bool vm_is_worn(struct vm *vm)
{
    size_t limit = vm->memory_settled + (vm->memory_max - vm->memory_settled) / 2;
    if (vm->memory_bytes <= limit)
        return false;
    lua_gc(vm->lua, LUA_GCCOLLECT);
    return vm->memory_bytes > limit;
}

/* --- budget ----------------------------------------------------------------------------------------------------- */

int vm_caller(lua_State *L, char *ret_file, size_t size)
{
    lua_Debug ar;
    if (ret_file && size > 0)
        ret_file[0] = '\0';
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0)
            continue;
        if (ret_file)
            snprintf(ret_file, size, "%s", ar.short_src);
        return ar.currentline;
    }
    return 0;
}

static const char *trip_text(const struct vm *vm, enum vm_verdict reason, char *text, size_t size)
{
    switch (reason) {
    case VM_OVER_INSTRUCTIONS:
        snprintf(text, size, "used up its budget of %" PRIu64 " instructions", vm->max_instructions);
        break;
    case VM_OVER_TIME:
        snprintf(text, size, "ran longer than its budget of %lld ms", (long long)vm->max_wall_ms);
        break;
    default:
        snprintf(text, size, "used more memory than it may (%zu KiB in all, %zu KiB for one text)",
                 vm->memory_max / 1024, VM_MAX_TEXT_BYTES / 1024);
        break;
    }
    return text;
}

static void count_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct vm *vm = vm_of(L);
    vm->used += vm->tripped ? 1 : QUANTUM;
    if (!vm->tripped) {
        if (vm->max_instructions && vm->used > vm->max_instructions)
            trip(vm, VM_OVER_INSTRUCTIONS);
        else if (over_deadline(vm))
            trip(vm, VM_OVER_TIME);
        else
            return;
    }
    char text[160];
    luaL_error(L, "%s", trip_text(vm, vm->tripped, text, sizeof(text)));
}

static void note_place(struct vm *vm)
{
    if (!vm->tripped)
        vm->trip_line = vm_caller(vm->lua, vm->trip_file, sizeof(vm->trip_file));
}

/* From now on every single instruction raises, so that catching the error does not help the script. */
static void trip(struct vm *vm, enum vm_verdict reason)
{
    if (vm->tripped)
        return;
    note_place(vm);
    vm->tripped = reason;
    lua_sethook(vm->lua, count_hook, LUA_MASKCOUNT, 1);
}

void vm_charge(lua_State *L, uint64_t units)
{
    struct vm *vm = vm_of(L);
    if (vm->depth == 0)
        return;
    vm->used += units;
    vm->since_clock += units;
    if (vm->max_instructions && vm->used > vm->max_instructions) {
        trip(vm, VM_OVER_INSTRUCTIONS);
    } else if (vm->since_clock > CLOCK_EVERY_UNITS) {
        vm->since_clock = 0;
        if (over_deadline(vm))
            trip(vm, VM_OVER_TIME);
    }
    char text[160];
    if (vm->tripped)
        luaL_error(L, "%s", trip_text(vm, vm->tripped, text, sizeof(text)));
}

/* --- calls ------------------------------------------------------------------------------------------------------ */

/* Messages may hold what a customer wrote; they go to logs and to the database. */
static void copy_clean(char *target, size_t size, const char *prefix, struct bytes text)
{
    struct buf clean;
    if (text.len > size)
        text.len = size;
    buf_init(&clean, size * 4 + strlen(prefix));
    buf_add_text(&clean, prefix);
    text_add_clean(text, &clean);
    size_t length = clean.len < size ? clean.len : size - 1;
    while (length > 0 && length < clean.len && ((unsigned char)clean.ptr[length] & 0xC0) == 0x80)
        length--;
    if (length > 0)
        memcpy(target, clean.ptr, length);
    target[length] = '\0';
    buf_done(&clean);
}

static void add_traceback(lua_State *L, struct vm_outcome *outcome)
{
    size_t length = 0;
    lua_Debug ar;
    for (int level = 0, lines = 0; lines < 12 && lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sln", &ar) || ar.currentline <= 0)
            continue;
        if (lines++ == 0) {
            snprintf(outcome->file, sizeof(outcome->file), "%s", ar.short_src);
            outcome->line = ar.currentline;
        }
        char where[128];
        if (ar.name)
            snprintf(where, sizeof(where), "in '%s'", ar.name);
        else if (*ar.what == 'm')
            snprintf(where, sizeof(where), "in the file");
        else
            snprintf(where, sizeof(where), "in the function of line %d", ar.linedefined);
        int written = snprintf(outcome->traceback + length, sizeof(outcome->traceback) - length, "%s%s:%d: %s",
                               length ? "\n" : "", ar.short_src, ar.currentline, where);
        if (written < 0 || (size_t)written >= sizeof(outcome->traceback) - length) {
            outcome->traceback[length] = '\0';
            return;
        }
        length += (size_t)written;
    }
}

static void describe(lua_State *L, int index, struct vm_outcome *outcome)
{
    struct bytes text;
    char number[48];
    char prefix[160] = "";
    if (lua_type(L, index) == LUA_TSTRING) {
        text.ptr = lua_tolstring(L, index, &text.len);
    } else {
        snprintf(number, sizeof(number), "error with a %s instead of a text", luaL_typename(L, index));
        text = bytes_of(number);
    }
    if (outcome->line > 0) {
        snprintf(prefix, sizeof(prefix), "%s:%d: ", outcome->file, outcome->line);
        if (bytes_start_with(text, bytes_of(prefix)))
            prefix[0] = '\0';
        /* Lua gives the place itself for the line that called error(); `error(text, 2)` names another one. */
        else if (text.len > strlen(outcome->file) + 1 && bytes_start_with(text, bytes_of(outcome->file)) &&
                 text.ptr[strlen(outcome->file)] == ':')
            prefix[0] = '\0';
    }
    copy_clean(outcome->error, sizeof(outcome->error), prefix, text);
}

/* Runs where the error was raised, before the stack is unwound. Allocates nothing in Lua. */
static int on_error(lua_State *L)
{
    struct vm_outcome *outcome = vm_of(L)->outcome;
    outcome->line = 0;
    outcome->traceback[0] = '\0';
    add_traceback(L, outcome);
    describe(L, 1, outcome);
    return 1;
}

static void describe_trip(const struct vm *vm, enum vm_verdict reason, struct vm_outcome *outcome)
{
    char text[160];
    trip_text(vm, reason, text, sizeof(text));
    outcome->verdict = reason;
    if (vm->trip_line > 0) {
        snprintf(outcome->file, sizeof(outcome->file), "%s", vm->trip_file);
        outcome->line = vm->trip_line;
        snprintf(outcome->error, sizeof(outcome->error), "%s:%d: %s", vm->trip_file, vm->trip_line, text);
    } else {
        snprintf(outcome->error, sizeof(outcome->error), "%s", text);
    }
}

static void begin(struct vm *vm, const struct vm_budget *budget, int64_t now_us)
{
    vm->used = 0;
    vm->denials = 0;
    vm->denied_bytes = 0;
    vm->since_clock = 0;
    vm->printed_lines = 0;
    vm->tripped = VM_DONE;
    vm->trip_line = 0;
    vm->max_instructions = budget ? budget->max_instructions : 0;
    vm->max_wall_ms = budget ? budget->max_wall_ms : 0;
    vm->began_us = now_us;
    vm->thread_began_us = 0;
    vm->deadline_us = vm->max_wall_ms ? now_us + vm->max_wall_ms * 1000 : 0;
    lua_sethook(vm->lua, count_hook, LUA_MASKCOUNT, QUANTUM);
}

enum vm_verdict vm_call(struct vm *vm, int arguments, int results, const struct vm_budget *budget,
                        struct vm_outcome *ret_outcome)
{
    lua_State *L = vm->lua;
    struct vm_outcome ignored = { .verdict = VM_DONE };
    struct vm_outcome *outcome = ret_outcome ? ret_outcome : &ignored;
    outcome->verdict = VM_DONE;
    outcome->line = 0;
    outcome->file[0] = outcome->error[0] = outcome->traceback[0] = '\0';

    struct vm_outcome *outer = vm->outcome;
    int64_t started = clock_steady_us();
    if (vm->depth++ == 0)
        begin(vm, budget, started);
    vm->outcome = outcome;
    uint64_t used_before = vm->used;

    int function = lua_gettop(L) - arguments;
    lua_pushcfunction(L, on_error);
    lua_insert(L, function);
    int status = lua_pcall(L, arguments, results, function);
    if (status != LUA_OK) {
        outcome->verdict = VM_FAILED;
        if (vm->tripped)
            describe_trip(vm, vm->tripped, outcome);
        else if (status == LUA_ERRMEM && vm->denials > 0) /* error("not enough memory") gives this status too */
            describe_trip(vm, VM_OVER_MEMORY, outcome);
        else if (outcome->error[0] == '\0')
            describe(L, -1, outcome);
        lua_settop(L, function - 1);
    } else {
        lua_remove(L, function);
    }

    outcome->instructions = vm->used - used_before;
    outcome->micros = clock_steady_us() - started;
    vm->outcome = outer;
    if (--vm->depth == 0) {
        lua_sethook(L, NULL, 0, 0);
        vm->tripped = VM_DONE;
        vm->deadline_us = 0;
    }
    return outcome->verdict;
}

err_t vm_protect(struct vm *vm, lua_CFunction body, void *arg, int results, struct error *reterr)
{
    lua_State *L = vm->lua;
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, results, 0);
    if (status == LUA_OK)
        return ERR_NONE;
    err_t code;
    if (status == LUA_ERRMEM) {
        code = fail(reterr, ERR_LIMIT, "the Lua state used up its memory (%zu KiB)", vm->memory_max / 1024);
    } else {
        struct vm_outcome outcome = { .line = 0 };
        describe(L, -1, &outcome);
        code = fail(reterr, ERR_INVALID, "%s", outcome.error);
    }
    lua_pop(L, 1);
    return code;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

static int on_panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    log_error("error outside of a protected Lua call", "reason='%s'", text ? text : "?");
    return 0; /* Lua aborts the program */
}

static int open_sandbox(lua_State *L)
{
    vm_sandbox_open(L);
    return 0;
}

struct vm *vm_new(size_t max_memory_bytes, const struct vm_host *host)
{
    struct vm *vm = memory_new(sizeof(*vm));
    const size_t least = (size_t)1024 * 1024;
    vm->memory_max = max_memory_bytes > least ? max_memory_bytes : least;
    if (host)
        vm->host = *host;
    vm_seed(vm, 0);
    vm->lua = lua_newstate(allocate, vm);
    if (!vm->lua)
        abort();
    *(struct vm **)lua_getextraspace(vm->lua) = vm;
    lua_atpanic(vm->lua, on_panic);
    struct error e;
    if (vm_protect(vm, open_sandbox, NULL, 0, &e)) {
        log_error("the Lua sandbox cannot be built", "reason='%s'", e.text);
        abort();
    }
    vm_settle(vm);
    return vm;
}

void vm_wipe_memory(struct vm *vm)
{
    vm->wipes = true;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    lua_close(vm->lua);
    free(vm->sealed);
    free(vm->documents);
    free(vm);
}

lua_State *vm_lua(struct vm *vm)
{
    return vm->lua;
}

struct vm *vm_of(lua_State *L)
{
    return *(struct vm **)lua_getextraspace(L);
}

void *vm_host_arg(lua_State *L)
{
    return vm_of(L)->host.arg;
}

void vm_seed(struct vm *vm, uint64_t seed)
{
    vm->random_state = seed;
}

/* SplitMix64 (Steele, Lea, Flood 2014): every seed is good, and the state is one number. */
uint64_t vm_random(struct vm *vm)
{
    vm->random_state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = vm->random_state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
