#include "io/vm_pattern.h"

#include <string.h>

/* --- compiling -------------------------------------------------------------------------------------------------- */

/* ASCII only, whatever the locale: the same rule does the same everywhere. */
static bool class_has(unsigned char letter, unsigned char c)
{
    bool upper = c >= 'A' && c <= 'Z';
    bool lower = c >= 'a' && c <= 'z';
    bool digit = c >= '0' && c <= '9';
    bool print = c > ' ' && c < 127;
    switch (letter) {
    case 'a':
        return upper || lower;
    case 'c':
        return c < 32 || c == 127;
    case 'd':
        return digit;
    case 'g':
        return print;
    case 'l':
        return lower;
    case 'p':
        return print && !(upper || lower || digit);
    case 's':
        return c == ' ' || (c >= '\t' && c <= '\r');
    case 'u':
        return upper;
    case 'w':
        return upper || lower || digit;
    case 'z':
        return c == 0; /* deprecated since Lua 5.2, and still there */
    default:           /* 'x' */
        return digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    }
}

static bool is_class(unsigned char letter)
{
    return letter != 0 && strchr("acdglpsuwxzACDGLPSUWXZ", letter) != NULL;
}

static void set_add(uint64_t set[4], unsigned char c)
{
    set[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool set_has(const uint64_t set[4], unsigned char c)
{
    return (set[c / 64] >> (c % 64)) & 1;
}

static void set_add_class(uint64_t set[4], unsigned char letter)
{
    bool negated = letter >= 'A' && letter <= 'Z';
    unsigned char lower = negated ? (unsigned char)(letter + 32) : letter;
    for (unsigned c = 0; c < 256; c++)
        if (class_has(lower, (unsigned char)c) != negated)
            set_add(set, (unsigned char)c);
}

struct compiler {
    const unsigned char *at;
    const unsigned char *end;
    struct pattern *pattern;
    bool closed[PATTERN_MAX_CAPTURES];
    uint8_t open[PATTERN_MAX_CAPTURES]; /* captures that wait for their ')' */
    size_t open_count;
};

static const char *new_set(struct compiler *c, uint8_t *ret_index)
{
    if (c->pattern->set_count == PATTERN_MAX_SETS)
        return "pattern is too long";
    *ret_index = (uint8_t)c->pattern->set_count++;
    memset(c->pattern->sets[*ret_index], 0, sizeof(c->pattern->sets[0]));
    return NULL;
}

/* Where the set that begins at `c->at` ends: its ']', or NULL. The first byte is part of the set whatever it is. */
static const unsigned char *end_of_set(const struct compiler *c)
{
    const unsigned char *at = c->at;
    do {
        if (at >= c->end)
            return NULL;
        if (*at++ == '%' && at < c->end)
            at++;
    } while (at >= c->end || *at != ']');
    return at;
}

/* `c->at` is behind the '['. In two steps like Lua, for which "a-%" is a range although '%' escapes what follows when
 * the end is looked for. */
static const char *compile_set(struct compiler *c, uint8_t *ret_index)
{
    const char *problem = new_set(c, ret_index);
    if (problem)
        return problem;
    uint64_t *set = c->pattern->sets[*ret_index];
    bool negated = c->at < c->end && *c->at == '^';
    if (negated)
        c->at++;
    const unsigned char *end = end_of_set(c);
    if (!end)
        return "malformed pattern (missing ']')";
    const unsigned char *at = c->at;
    while (at < end) {
        unsigned char byte = *at++;
        if (byte == '%') {
            byte = *at++; /* may be the ']' */
            if (is_class(byte))
                set_add_class(set, byte);
            else
                set_add(set, byte);
        } else if (end - at >= 2 && at[0] == '-') {
            for (unsigned i = byte; i <= at[1]; i++)
                set_add(set, (unsigned char)i);
            at += 2;
        } else {
            set_add(set, byte);
        }
    }
    c->at = end + 1;
    for (size_t i = 0; negated && i < 4; i++)
        set[i] = ~set[i];
    return NULL;
}

static const char *compile_open(struct compiler *c, struct pattern_item *item)
{
    if (c->pattern->capture_count == PATTERN_MAX_CAPTURES)
        return "too many captures";
    item->a = (uint8_t)c->pattern->capture_count++;
    if (c->at < c->end && *c->at == ')') {
        c->at++;
        item->kind = PATTERN_POSITION;
        c->closed[item->a] = true;
        return NULL;
    }
    item->kind = PATTERN_OPEN;
    c->open[c->open_count++] = item->a;
    return NULL;
}

static const char *compile_close(struct compiler *c, struct pattern_item *item)
{
    if (c->open_count == 0)
        return "invalid pattern capture";
    item->kind = PATTERN_CLOSE;
    item->a = c->open[--c->open_count];
    c->closed[item->a] = true;
    return NULL;
}

/* What follows a '%'. `*ret_single` says whether the item may be repeated. */
static const char *compile_escape(struct compiler *c, struct pattern_item *item, bool *ret_single)
{
    if (c->at >= c->end)
        return "malformed pattern (ends with '%')";
    unsigned char byte = *c->at++;
    *ret_single = false;
    if (byte == 'b') {
        if (c->end - c->at < 2)
            return "malformed pattern (missing arguments to '%b')";
        item->kind = PATTERN_BALANCE;
        item->a = *c->at++;
        item->b = *c->at++;
        return NULL;
    }
    if (byte == 'f') {
        if (c->at >= c->end || *c->at != '[')
            return "missing '[' after '%f' in pattern";
        c->at++;
        item->kind = PATTERN_FRONTIER;
        return compile_set(c, &item->a);
    }
    if (byte >= '0' && byte <= '9') {
        size_t index = (size_t)(byte - '1');
        if (byte == '0' || index >= c->pattern->capture_count || !c->closed[index])
            return "invalid capture index in pattern";
        item->kind = PATTERN_AGAIN;
        item->a = (uint8_t)index;
        return NULL;
    }
    *ret_single = true;
    if (!is_class(byte)) {
        item->kind = PATTERN_LITERAL;
        item->a = byte;
        return NULL;
    }
    item->kind = PATTERN_SET;
    const char *problem = new_set(c, &item->a);
    if (!problem)
        set_add_class(c->pattern->sets[item->a], byte);
    return problem;
}

static enum pattern_repeat take_repeat(struct compiler *c)
{
    if (c->at >= c->end)
        return PATTERN_ONCE;
    static const char signs[] = "?*+-";
    static const enum pattern_repeat repeats[] = { PATTERN_OPTIONAL, PATTERN_MANY, PATTERN_SOME, PATTERN_FEW };
    const char *found = *c->at ? strchr(signs, *c->at) : NULL;
    if (!found)
        return PATTERN_ONCE;
    c->at++;
    return repeats[found - signs];
}

const char *pattern_compile(struct bytes text, bool caret, struct pattern *ret_pattern)
{
    struct compiler c = { .at = (const unsigned char *)text.ptr, .pattern = ret_pattern };
    c.end = text.len ? c.at + text.len : c.at;
    ret_pattern->item_count = 0;
    ret_pattern->set_count = 0;
    ret_pattern->capture_count = 0;
    ret_pattern->anchored = caret && text.len > 0 && *c.at == '^';
    if (ret_pattern->anchored)
        c.at++;
    while (c.at < c.end) {
        if (ret_pattern->item_count == PATTERN_MAX_ITEMS)
            return "pattern is too long";
        struct pattern_item *item = &ret_pattern->items[ret_pattern->item_count++];
        *item = (struct pattern_item){ .repeat = PATTERN_ONCE };
        const char *problem = NULL;
        bool single = true;
        unsigned char byte = *c.at++;
        if (byte == '(' || byte == ')') {
            single = false;
            problem = byte == '(' ? compile_open(&c, item) : compile_close(&c, item);
        } else if (byte == '$' && c.at == c.end) {
            single = false;
            item->kind = PATTERN_END;
        } else if (byte == '%') {
            problem = compile_escape(&c, item, &single);
        } else if (byte == '[') {
            item->kind = PATTERN_SET;
            problem = compile_set(&c, &item->a);
        } else if (byte == '.') {
            item->kind = PATTERN_ANY;
        } else {
            item->kind = PATTERN_LITERAL;
            item->a = byte;
        }
        if (problem)
            return problem;
        if (single)
            item->repeat = (uint8_t)take_repeat(&c);
    }
    return c.open_count > 0 ? "unfinished capture" : NULL;
}

/* --- matching --------------------------------------------------------------------------------------------------- */

/* Where to go on when what follows item `item` does not match. */
struct choice {
    size_t item;
    size_t least; /* PATTERN_FEW: unused */
    size_t now;   /* where the item's run ends at the moment */
};

struct matcher {
    const struct pattern *pattern;
    struct bytes subject;
    uint64_t steps;
    struct choice choices[PATTERN_MAX_ITEMS];
    size_t depth;
    struct pattern_match *match;
};

static bool item_has(const struct matcher *m, const struct pattern_item *item, size_t position)
{
    if (position >= m->subject.len)
        return false;
    unsigned char c = (unsigned char)m->subject.ptr[position];
    if (item->kind == PATTERN_LITERAL)
        return c == item->a;
    return item->kind == PATTERN_ANY || set_has(m->pattern->sets[item->a], c);
}

static bool take_steps(struct matcher *m, size_t count)
{
    if (m->steps <= count) {
        m->steps = 0;
        return false;
    }
    m->steps -= count;
    return true;
}

static bool match_repeated(struct matcher *m, size_t index, size_t *position)
{
    const struct pattern_item *item = &m->pattern->items[index];
    if (item->repeat == PATTERN_FEW) {
        m->choices[m->depth++] = (struct choice){ .item = index, .now = *position };
        return true;
    }
    size_t most = item->repeat == PATTERN_OPTIONAL ? 1 : m->subject.len;
    size_t count = 0;
    while (count < most && item_has(m, item, *position + count))
        count++;
    if (!take_steps(m, count))
        return false;
    size_t least = item->repeat == PATTERN_SOME ? 1 : 0;
    if (count < least)
        return false;
    size_t end = *position + count;
    if (count > least)
        m->choices[m->depth++] = (struct choice){ .item = index, .least = *position + least, .now = end };
    *position = end;
    return true;
}

static bool match_balance(struct matcher *m, const struct pattern_item *item, size_t *position)
{
    const unsigned char *text = (const unsigned char *)m->subject.ptr;
    if (*position >= m->subject.len || text[*position] != item->a)
        return false;
    size_t open = 1;
    for (size_t i = *position + 1; i < m->subject.len; i++) {
        if (!take_steps(m, 1))
            return false;
        if (text[i] == item->b) { /* first: with equal delimiters the next one closes */
            if (--open == 0) {
                *position = i + 1;
                return true;
            }
        } else if (text[i] == item->a) {
            open++;
        }
    }
    return false;
}

static bool match_frontier(const struct matcher *m, const struct pattern_item *item, size_t position)
{
    const uint64_t *set = m->pattern->sets[item->a];
    unsigned char before = position > 0 ? (unsigned char)m->subject.ptr[position - 1] : 0;
    unsigned char here = position < m->subject.len ? (unsigned char)m->subject.ptr[position] : 0;
    return !set_has(set, before) && set_has(set, here);
}

static bool match_again(struct matcher *m, const struct pattern_item *item, size_t *position)
{
    const struct pattern_capture *capture = &m->match->captures[item->a];
    size_t length = capture->length;
    if (capture->is_position || !take_steps(m, length) || m->subject.len - *position < length)
        return false;
    if (length > 0 && memcmp(m->subject.ptr + capture->start, m->subject.ptr + *position, length) != 0)
        return false;
    *position += length;
    return true;
}

/* Captures need no undoing: every item is on every way to a match, so the last write of each is the right one. */
static bool match_item(struct matcher *m, size_t index, size_t *position)
{
    const struct pattern_item *item = &m->pattern->items[index];
    struct pattern_capture *capture = &m->match->captures[item->a % PATTERN_MAX_CAPTURES];
    switch ((enum pattern_item_kind)item->kind) {
    case PATTERN_OPEN:
        *capture = (struct pattern_capture){ .start = *position };
        return true;
    case PATTERN_POSITION:
        *capture = (struct pattern_capture){ .start = *position, .is_position = true };
        return true;
    case PATTERN_CLOSE:
        capture->length = *position - capture->start;
        return true;
    case PATTERN_BALANCE:
        return match_balance(m, item, position);
    case PATTERN_FRONTIER:
        return match_frontier(m, item, *position);
    case PATTERN_AGAIN:
        return match_again(m, item, position);
    case PATTERN_END:
        return *position == m->subject.len;
    case PATTERN_LITERAL:
    case PATTERN_ANY:
    case PATTERN_SET:
        break;
    }
    if (item->repeat != PATTERN_ONCE)
        return match_repeated(m, index, position);
    if (!item_has(m, item, *position))
        return false;
    (*position)++;
    return true;
}

/* Takes the latest choice another way; false when none is left. */
static bool go_back(struct matcher *m, size_t *index, size_t *position)
{
    while (m->depth > 0) {
        struct choice *choice = &m->choices[m->depth - 1];
        const struct pattern_item *item = &m->pattern->items[choice->item];
        if (item->repeat == PATTERN_FEW) {
            if (!item_has(m, item, choice->now)) {
                m->depth--;
                continue;
            }
            choice->now++;
        } else {
            choice->now--;
        }
        *index = choice->item + 1;
        *position = choice->now;
        if (item->repeat != PATTERN_FEW && choice->now == choice->least)
            m->depth--;
        return true;
    }
    return false;
}

static bool match_here(struct matcher *m, size_t start)
{
    size_t index = 0;
    size_t position = start;
    m->depth = 0;
    while (index < m->pattern->item_count) {
        if (!take_steps(m, 1))
            return false;
        if (match_item(m, index, &position))
            index++;
        else if (m->steps == 0 || !go_back(m, &index, &position))
            return false;
    }
    m->match->start = start;
    m->match->end = position;
    return true;
}

enum pattern_verdict pattern_search(const struct pattern *pattern, struct bytes subject, size_t from, bool only_here,
                                    uint64_t *steps, struct pattern_match *ret_match)
{
    struct matcher m;
    m.pattern = pattern;
    m.subject = subject;
    m.steps = *steps;
    m.depth = 0;
    m.match = ret_match;
    enum pattern_verdict verdict = PATTERN_NOT_FOUND;
    for (size_t start = from; start <= subject.len; start++) {
        if (match_here(&m, start)) {
            verdict = PATTERN_FOUND;
            break;
        }
        if (!take_steps(&m, 1)) {
            verdict = PATTERN_TOO_LONG;
            break;
        }
        if (only_here || pattern->anchored)
            break;
    }
    *steps = m.steps;
    return verdict;
}
