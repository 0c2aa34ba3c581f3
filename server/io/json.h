/* JSON by jansson: the one header that includes it, with the helpers that the parsers and the engine share.
 *
 * Ownership is jansson's: a json_t is reference counted; "new" results are the caller's to json_decref(),
 * "borrowed" ones live as long as their parent. Building functions abort when memory runs out.
 */
#ifndef IO_JSON_H
#define IO_JSON_H

#include <jansson.h> /* mind its names: json_array() and json_object() make new values */

#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

/* From now on the program ends when there is no memory for a value (base/memory.h). Once, before threads begin. */
void json_set_memory(void);

/* Parses one document. Refuses what PostgreSQL's jsonb would refuse later or differently: more than 64 levels,
 * duplicate keys keep the last, numbers outside of double become text, "\u0000" and lone surrogates become U+FFFD.
 * Integers beyond 64 bits become text too. New reference in `*ret_json`. */
err_t json_parse(struct bytes text, json_t **ret_json, struct error *reterr) MUST_CHECK;

void json_free(json_t **json); /* for CLEANUP */

/* Gives the reference up, after all its texts were wiped: what was a secret must not be found in memory that somebody
 * gets later, or in a core file. Whoever holds another reference sees them wiped as well. NULL is fine. */
void json_wipe(json_t *json);

/* Compact text, keys in insertion order. json_text is the caller's to free(). */
void json_add(struct buf *out, const json_t *json);
void json_add_text(struct buf *out, struct bytes text); /* one JSON string; cleaned to valid text first */
/* An object without the keys named; `names` ends with NULL. */
void json_add_without(struct buf *out, const json_t *object, const char *const *names);
char *json_dump(const json_t *json);

/* Borrowed value at a path of keys and array indexes ("entry.0.changes"), or NULL. */
json_t *json_at(const json_t *json, const char *path);

/* Typed reads of an object's key (no path): the fallback is returned when it is missing or of another type. */
const char *json_str(const json_t *object, const char *key); /* NULL when missing */
const char *json_str_or(const json_t *object, const char *key, const char *fallback);
int64_t json_int(const json_t *object, const char *key, int64_t fallback); /* also from a text of digits */
bool json_bool(const json_t *object, const char *key, bool fallback);
json_t *json_array_at(const json_t *object, const char *key);             /* borrowed, NULL when no array */
json_t *json_object_at(const json_t *object, const char *key);            /* borrowed, NULL when no object */
msec_t json_time(const json_t *object, const char *key, msec_t fallback); /* an ISO 8601 text */

/* Writes; a NULL text or a zero time removes nothing and sets nothing. The value reference is taken over. */
void json_put(json_t *object, const char *key, json_t *value);
void json_put_str(json_t *object, const char *key, const char *text);
void json_put_bytes(json_t *object, const char *key, struct bytes text); /* cleaned to valid text first */
void json_put_int(json_t *object, const char *key, int64_t value);
void json_put_bool(json_t *object, const char *key, bool value);
void json_put_time(json_t *object, const char *key, msec_t at); /* as ISO 8601 text */

#endif
