/* Compiler attributes and small helpers that every layer uses. */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Lets the compiler check a printf-like function: the format is argument `f`, the values start at `v`. */
#define PRINTF_LIKE(f, v) __attribute__((format(printf, f, v)))

/* Calls `done(&variable)` when the variable leaves its scope. Never in a C function that Lua calls:
 * lua_error() jumps over it. */
#define CLEANUP(done) __attribute__((cleanup(done)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
