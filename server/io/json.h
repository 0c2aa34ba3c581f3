/* JSON by jansson: the one header that includes it, with the helpers that the parsers and the engine share.
 *
 * Ownership is jansson's: a json_t is reference counted; "new" results are the caller's to json_decref(),
 * "borrowed" ones live as long as their parent. Building functions abort when memory runs out.
 */
#ifndef IO_JSON_H
#define IO_JSON_H

#include <jansson.h> /* mind its names: json_array() and json_object() make new values */
#include <string.h>

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

/* Compact text, keys in insertion order. json_dump's is the caller's to free(). */
void json_add(struct buf *out, const json_t *json);
void json_add_text(struct buf *out, struct bytes text); /* one JSON string; cleaned to valid text first */
/* An object without the keys named; `names` ends with NULL. */
void json_add_without(struct buf *out, const json_t *object, const char *const *names);
char *json_dump(const json_t *json);

/* A copy whose objects and arrays are its own. Texts and numbers, which nobody changes in place, are shared. New
 * reference. */
json_t *json_copy_containers(const json_t *json);

/* Borrowed value at a path of keys and array indexes ("entry.0.changes"), or NULL. */
json_t *json_at(const json_t *json, const char *path);

/* Typed reads of an object's key (no path): the fallback is returned when it is missing or of another type. They and
 * the writes are inline because nearly all keys are literals, whose length and characters the compiler knows. */
static inline json_t *json_member(const json_t *object, const char *key) /* borrowed, NULL when missing */
{
    return key ? json_object_getn(object, key, strlen(key)) : NULL;
}
#define json_object_get json_member

/* Is the text in the list? NULL has none. */
bool json_list_has(const json_t *list, const char *text);

int64_t json_int_of(const json_t *value, int64_t fallback); /* also from a text of digits */

static inline const char *json_str(const json_t *object, const char *key) /* NULL when missing */
{
    return json_string_value(json_member(object, key));
}

static inline const char *json_str_or(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_str(object, key);
    return text ? text : fallback;
}

static inline int64_t json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_member(object, key);
    return json_is_integer(value) ? json_integer_value(value) : json_int_of(value, fallback);
}

static inline bool json_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_member(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static inline json_t *json_array_at(const json_t *object, const char *key) /* borrowed, NULL when no array */
{
    json_t *value = json_member(object, key);
    return json_is_array(value) ? value : NULL;
}

static inline json_t *json_object_at(const json_t *object, const char *key) /* borrowed, NULL when no object */
{
    json_t *value = json_member(object, key);
    return json_is_object(value) ? value : NULL;
}

static inline msec_t json_time(const json_t *object, const char *key, msec_t fallback) /* an ISO 8601 text */
{
    const json_t *value = json_member(object, key);
    msec_t at;
    return json_is_string(value) &&
                   clock_parse_iso((struct bytes){ json_string_value(value), json_string_length(value) }, &at)
               ? at
               : fallback;
}

/* Writes; a NULL text or a zero time removes nothing and sets nothing. The value reference is taken over; it is gone
 * when the key is not UTF-8. */
void json_put_checked(json_t *object, const char *key, json_t *value);
void json_put_literal(json_t *object, const char *key, size_t length, json_t *value); /* the key is known to be UTF-8 */

static inline void json_put(json_t *object, const char *key, json_t *value)
{
    if (__builtin_constant_p(strlen(key)))
        json_put_literal(object, key, strlen(key), value);
    else
        json_put_checked(object, key, value);
}

json_t *json_text(struct bytes text); /* a new string, cleaned to valid text first; NULL for a NULL text */
json_t *json_iso_time(msec_t at);     /* a new string, ISO 8601; NULL for 0 */

static inline void json_put_str(json_t *object, const char *key, const char *text)
{
    if (text)
        json_put(object, key, json_text(bytes_of(text)));
}

/* A text of another document, which both share; what is no text, or not there, sets nothing. */
static inline void json_put_shared(json_t *object, const char *key, json_t *text)
{
    if (json_is_string(text))
        json_put(object, key, json_incref(text));
}

static inline void json_put_bytes(json_t *object, const char *key, struct bytes text) /* cleaned to valid text first */
{
    json_put(object, key, json_text(text));
}

static inline void json_put_int(json_t *object, const char *key, int64_t value)
{
    json_put(object, key, json_integer(value));
}

static inline void json_put_bool(json_t *object, const char *key, bool value)
{
    json_put(object, key, json_boolean(value));
}

static inline void json_put_time(json_t *object, const char *key, msec_t at) /* as ISO 8601 text */
{
    json_put(object, key, json_iso_time(at));
}

#endif
