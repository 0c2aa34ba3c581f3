/* A borrowed slice of bytes. What comes from outside is carried like this, because it may hold NUL. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bytes {
    const char *ptr; /* never NULL when len > 0; not terminated */
    size_t len;
};

#define BYTES_LITERAL(text) ((struct bytes){ (text), sizeof(text) - 1 })

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){ text, text ? strlen(text) : 0 };
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool bytes_start_with(struct bytes a, struct bytes prefix)
{
    return a.len >= prefix.len && memcmp(a.ptr, prefix.ptr, prefix.len) == 0;
}

#endif
