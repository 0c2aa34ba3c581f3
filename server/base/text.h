/* Strict conversions between text and values, and the text functions that the C library lacks. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/error.h"

/* Digits only, no sign, no space, no overflow. */
bool text_to_u64(struct bytes text, uint64_t *ret_value);
/* The same with an optional leading '-'. */
bool text_to_i64(struct bytes text, int64_t *ret_value);

/* Both cases are accepted; the length must be even. Appends the decoded bytes. */
bool text_decode_hex(struct bytes text, struct buf *out);
void text_encode_hex(struct bytes data, struct buf *out); /* lower case */

/* Standard alphabet, padding optional; anything else is refused. Appends the decoded bytes. */
bool text_decode_base64(struct bytes text, struct buf *out);
void text_encode_base64(struct bytes data, struct buf *out);
/* RFC 4648 section 5: '-' and '_' in the places of '+' and '/'. What is encoded has no padding. */
bool text_decode_base64url(struct bytes text, struct buf *out);
void text_encode_base64url(struct bytes data, struct buf *out);

bool text_decode_percent(struct bytes text, struct buf *out); /* URL query values; '+' becomes a space */
void text_encode_percent(struct bytes text, struct buf *out); /* everything but unreserved characters */

bool text_equal_ignore_case(struct bytes a, struct bytes b); /* ASCII */
struct bytes text_trim(struct bytes text);                   /* spaces and tabs at both ends */

/* Writes `text` at `length` of a NUL-terminated text in `space`, cut to what fits, and returns the length then: for
 * texts that are put together so often that snprintf() would be felt. */
size_t text_append(char *space, size_t size, size_t length, const char *text);

/* Cuts `*rest` at the first `separator`: returns what is before it, leaves what is after it. */
struct bytes text_next_field(struct bytes *rest, char separator);

bool text_is_utf8(struct bytes text);
/* Appends `text` with what PostgreSQL's text cannot hold (NUL, invalid UTF-8) replaced by U+FFFD. */
void text_add_clean(struct bytes text, struct buf *out);
size_t text_utf8_length(struct bytes text); /* in characters; the text must be valid */

/* "250ms", "30s", "5m", "24h", "7d", "2w", or a sum such as "1h30m". */
bool text_to_duration(struct bytes text, int64_t *ret_ms);
void text_add_duration(struct buf *out, int64_t ms); /* "1h30m" */

/* A number with its word: text_counted(1, "rule").text is "1 rule", of 2 it is "2 rules". For printf, where the value
 * lives to the end of the call; words of more than 30 bytes are cut. */
struct counted_text {
    char text[56];
};
struct counted_text text_counted(int64_t count, const char *thing);

/* The entry of the NULL-terminated `known` that `word` most likely meant, or NULL when none is near. */
const char *text_nearest(const char *word, const char *const *known);

/* The lane of an identity ("whatsapp:15550100"), or of a source ("source:stripe") when an event has no identity:
 * FNV-1a 32 without its top bit. Stored in tables, so it never changes. */
int32_t lane_of(const char *identity_or_source);

#endif
