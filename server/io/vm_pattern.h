/* Lua's text patterns with a bound on the work: pure, no Lua state.
 *
 * The syntax and the results are those of Lua 5.4 (reference manual 6.4.1). Lua's own matcher can backtrack for hours
 * inside one C call, which no instruction hook interrupts; this one counts its steps. A pattern is compiled to a list
 * of items without alternatives, so one choice point for each repeated item is enough and nothing recurses.
 */
#ifndef IO_VM_PATTERN_H
#define IO_VM_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define PATTERN_MAX_ITEMS 128
#define PATTERN_MAX_SETS 32
#define PATTERN_MAX_CAPTURES 32

enum pattern_item_kind {
    PATTERN_LITERAL,  /* one byte: `a` */
    PATTERN_ANY,      /* any byte */
    PATTERN_SET,      /* a byte of set `a` */
    PATTERN_OPEN,     /* capture `a` begins */
    PATTERN_POSITION, /* capture `a` is a position */
    PATTERN_CLOSE,    /* capture `a` ends */
    PATTERN_BALANCE,  /* from `a` to the `b` that balances it */
    PATTERN_FRONTIER, /* between a byte outside of set `a` and one in it */
    PATTERN_AGAIN,    /* the text of capture `a` */
    PATTERN_END,      /* the end of the subject */
};

enum pattern_repeat { PATTERN_ONCE, PATTERN_OPTIONAL, PATTERN_MANY, PATTERN_SOME, PATTERN_FEW };

struct pattern_item {
    uint8_t kind;
    uint8_t repeat;
    uint8_t a;
    uint8_t b;
};

struct pattern {
    struct pattern_item items[PATTERN_MAX_ITEMS];
    size_t item_count;
    uint64_t sets[PATTERN_MAX_SETS][4];
    size_t set_count;
    size_t capture_count;
    bool anchored; /* began with ^ */
};

struct pattern_capture {
    size_t start;
    size_t length;
    bool is_position; /* the value is start + 1, not a text */
};

struct pattern_match {
    size_t start;
    size_t end;
    struct pattern_capture captures[PATTERN_MAX_CAPTURES]; /* pattern.capture_count of them */
};

enum pattern_verdict { PATTERN_FOUND, PATTERN_NOT_FOUND, PATTERN_TOO_LONG };

/* NULL, or why `text` is no pattern (a constant). `caret` says whether a leading ^ is an anchor. */
const char *pattern_compile(struct bytes text, bool caret, struct pattern *ret_pattern);

/* Finds the first match that begins at `from` or, unless `only_here` or anchored, later. Each step is taken from
 * `*steps`; at zero the verdict is PATTERN_TOO_LONG. */
enum pattern_verdict pattern_search(const struct pattern *pattern, struct bytes subject, size_t from, bool only_here,
                                    uint64_t *steps, struct pattern_match *ret_match);

#endif
