/* The quick way through the JSON that nearly everyone sends. Part of io/json.c, not for others. */
#ifndef IO_JSON_PLAIN_H
#define IO_JSON_PLAIN_H

#include "io/json.h"

/* The document, the same as json_parse() makes of it; NULL when it holds anything that wants a closer look: an error, a
 * fraction, a number beyond 18 digits, a surrogate without its other half, more than `max_depth` levels. `text` must be
 * valid UTF-8. New reference. */
json_t *json_parse_plain(struct bytes text, unsigned max_depth);

/* How many bytes at the front of `text` stand in a JSON string as they are: up to a quote, a backslash or a control
 * character. */
size_t json_plain_length(struct bytes text);

#endif
