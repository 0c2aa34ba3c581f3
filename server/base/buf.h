/* A growable buffer that says at birth how big it may become.
 *
 * Adding beyond the ceiling keeps what is there and sets `overflowed`; check it once at the end.
 * Running out of memory aborts the program. The content is always followed by a NUL that `len` does not count.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/bytes.h"
#include "base/macros.h"

struct buf {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t max;
    bool overflowed;
    bool secret;
};

void buf_init(struct buf *b, size_t max);
void buf_init_secret(struct buf *b, size_t max); /* nothing that it held stays in memory that it gave back */
void buf_done(struct buf *b);                    /* frees the content; `b` may be NULL or used again after buf_init */
void buf_clear(struct buf *b);                   /* empties it, keeps the memory */
void buf_add(struct buf *b, const void *ptr, size_t len);
void buf_add_bytes(struct buf *b, struct bytes bytes);
void buf_add_text(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
/* Adds `len` bytes for the caller to write, and returns where; NULL when that goes beyond the ceiling. */
char *buf_extend(struct buf *b, size_t len);
void buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
struct bytes buf_bytes(const struct buf *b); /* valid until the buffer changes */
char *buf_take(struct buf *b);               /* the NUL-terminated content, now the caller's to free(); `b` is empty */

#endif
