/* Handles of people as others write them: "+1 (555) 0100", "Ada@Example.com". What an API call and a rule say is read
 * alike, so that both mean the same person, and what cannot be a handle of its kind is nobody's.
 */
#ifndef CHANNEL_HANDLE_H
#define CHANNEL_HANDLE_H

#include "base/buf.h"
#include "base/bytes.h"

#define HANDLE_KIND_MAX_BYTES 31
#define HANDLE_MAX_BYTES 200

/* Appends the form in which the handle is known: digits of numbers, addresses in lower case. Returns what is wrong with
 * it, in words for who wrote it, or NULL; what was appended then serves nobody. `kind` is in lower case. */
const char *handle_read(const char *kind, const char *handle, struct buf *known);

/* The same of a whole identity, "kind:handle": what is wrong with it, or NULL. */
const char *handle_wrong_identity(const char *identity);

/* The "(0)" of "+41 (0)79 123 45 67" is for who dials within the country: is it what stands at `text`, behind the
 * digits of a number that are known so far? Italy and San Marino dial it from abroad as well. */
bool handle_is_domestic_zero(const char *text, struct bytes digits);

#endif
