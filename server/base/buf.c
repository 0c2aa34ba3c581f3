#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* What an empty buffer points to, so that `ptr` is always a text. It has capacity 0 and is never written. */
static char empty[1];

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .ptr = empty, .max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4 };
}

void buf_init_secret(struct buf *b, size_t max)
{
    buf_init(b, max);
    b->secret = true;
}

void buf_done(struct buf *b)
{
    if (!b)
        return;
    if (b->capacity > 0 && b->secret)
        explicit_bzero(b->ptr, b->capacity);
    if (b->capacity > 0)
        free(b->ptr);
    *b = (struct buf){ .ptr = empty, .max = b->max, .secret = b->secret };
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflowed = false;
    if (b->capacity > 0)
        b->ptr[0] = '\0';
}

static char *resized(const struct buf *b, size_t capacity)
{
    if (!b->secret || b->capacity == 0)
        return memory_resize(b->capacity > 0 ? b->ptr : NULL, capacity);
    char *moved = memory_new(capacity); /* where the allocator moves a block, it leaves a copy behind */
    memcpy(moved, b->ptr, b->len + 1);
    explicit_bzero(b->ptr, b->capacity);
    free(b->ptr);
    return moved;
}

static void grow(struct buf *b, size_t need)
{
    size_t capacity = b->capacity < 64 ? 64 : b->capacity;
    while (capacity < need)
        capacity *= 2;
    b->ptr = resized(b, capacity);
    b->capacity = capacity;
}

/* Makes room for `more` bytes and the NUL; false (and overflowed) when that goes beyond the ceiling. */
static inline bool make_room(struct buf *b, size_t more)
{
    if (b->overflowed || more > b->max || b->len > b->max - more) {
        b->overflowed = true;
        return false;
    }
    if (b->len + more >= b->capacity)
        grow(b, b->len + more + 1);
    return true;
}

void buf_add(struct buf *b, const void *ptr, size_t len)
{
    if (!make_room(b, len))
        return;
    if (len > 0)
        memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

char *buf_extend(struct buf *b, size_t len)
{
    if (!make_room(b, len))
        return NULL;
    char *from = b->ptr + b->len;
    b->len += len;
    b->ptr[b->len] = '\0';
    return from;
}

void buf_add_bytes(struct buf *b, struct bytes bytes)
{
    buf_add(b, bytes.ptr, bytes.len);
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_add_char(struct buf *b, char c)
{
    if (!make_room(b, 1))
        return;
    b->ptr[b->len++] = c;
    b->ptr[b->len] = '\0';
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    va_list again;
    va_copy(again, values);
    char text[256];
    int length = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (length >= 0 && (size_t)length < sizeof(text)) {
        buf_add(b, text, (size_t)length);
    } else if (length >= 0 && make_room(b, (size_t)length)) {
        vsnprintf(b->ptr + b->len, (size_t)length + 1, format, again);
        b->len += (size_t)length;
    }
    va_end(again);
}

struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){ b->ptr, b->len };
}

char *buf_take(struct buf *b)
{
    char *taken = b->capacity > 0 ? b->ptr : memory_text("");
    *b = (struct buf){ .ptr = empty, .max = b->max, .secret = b->secret };
    return taken;
}
