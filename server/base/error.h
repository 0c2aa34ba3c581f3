/* How functions say why they failed: a code for the caller, a text for a person. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/macros.h"

/* The value decides what the caller does next; the text in `struct error` is for people. */
typedef enum err {
    ERR_NONE = 0,
    ERR_INVALID,   /* the input breaks its format; trying again cannot help */
    ERR_DENIED,    /* the signature, the secret or the permission does not match */
    ERR_NOT_FOUND, /* no such source, rule, file or row */
    ERR_TOO_BIG,   /* over a configured limit */
    ERR_BUSY,      /* a bounded queue is full; try again later */
    ERR_TIMEOUT,   /* the deadline passed */
    ERR_LOST,      /* the connection broke: the outcome is unknown */
    ERR_LIMIT,     /* a rule used up its budget */
    ERR_CONFLICT,  /* a lock, a lease or a constraint says no; the work may be tried again */
    ERR_INTERNAL,  /* a bug or a misconfiguration */
} err_t;

struct error {
    err_t code;
    char sqlstate[6]; /* empty unless PostgreSQL refused something */
    char text[1024];  /* lower case, no full stop; a second line `HINT: …` where the operator can act */
};

/* Fills `e` when it is not NULL, and returns `code`, so that `return fail(…)` is one line. */
err_t fail(struct error *e, err_t code, const char *format, ...) PRINTF_LIKE(3, 4);
#ifdef __clang_analyzer__
/* It sees one file at a time, and would follow paths on which this returns ERR_NONE. */
#define fail(e, code, ...) ((void)(fail)((e), (code), __VA_ARGS__), (code))
#endif

/* The name of a code, for logs: "invalid", "denied", … */
const char *err_name(err_t code);

#endif
