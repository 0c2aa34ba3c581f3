/* Building canonical events, the same way in every parser. The form of the document is described in message.h.
 *
 * The parsers work on what others send: a value of the wrong type reads as missing, and an element that cannot be read
 * becomes an event `webhook.SOURCE` that keeps it, so that it never takes its neighbours with it.
 */
#ifndef CHANNEL_EVENT_H
#define CHANNEL_EVENT_H

#include "channel/channel.h"

/* Appends an event and returns it, borrowed from `events`, for the caller to complete. `key` is what makes it unique
 * within the source; a long one is replaced by its hash. `occurred_at` <= 0 means the time of the webhook. */
json_t *event_append(json_t *events, const struct webhook *w, const char *provider, const char *type, const char *key,
                     msec_t occurred_at);

/* Appends `webhook.SOURCE` with the provider's own element. `body` is borrowed and referenced, not copied. */
json_t *event_add_unknown(json_t *events, const struct webhook *w, const char *provider, const char *provider_type,
                          const char *key, msec_t occurred_at, json_t *body);

/* The event's contact object; made on first use. */
json_t *event_contact(json_t *event);

/* Appends `prefix` + `value` to contact.identities, once. An empty or NULL value adds nothing. */
void event_identify(json_t *event, const char *prefix, const char *value);
/* The same for contact.former_identities: names under which this contact was known until now. */
void event_identify_former(json_t *event, const char *prefix, const char *value);

/* Provider's codes and states in lower case ("PAYMENT_PENDING" gives "payment_pending"); NULL sets nothing. */
void event_put_lower(json_t *object, const char *key, const char *text);

/* What an opt-out or opt-in is about: `topic`, in the event and, as the internal events have it, in its body. */
void event_put_topic(json_t *event, const char *topic, const char *provider_reason);

/* "sha256:" and the hash in hex: the key of what has no id. */
void event_key_of_bytes(struct buf *key, struct bytes body);
/* The same for one element of a batch; `context` tells equal elements of different times apart, and may be NULL. */
void event_key_of_element(struct buf *key, const char *context, const json_t *element);

/* A point in time that arrives as seconds, as milliseconds, as digits in a text or as ISO 8601; of a day alone its
 * beginning in UTC. Returns 0 when it is missing or not plausible (before 2000 or after 2100). */
msec_t event_time_s(const json_t *object, const char *key);
msec_t event_time_ms(const json_t *object, const char *key);

/* The digits of a phone number ("+1 (555) 01-00" gives "155501 00" without the space); empty when it is none. */
void event_phone_digits(const char *phone, struct buf *digits);

/* Text of a text or a whole number, for ids that arrive as either. Empty when it is neither. */
void event_id_text(const json_t *value, struct buf *text);

/* What is there under the key; NULL also when it is a JSON null, which says no more than a missing key. Borrowed. */
json_t *event_value(const json_t *object, const char *key);

/* Copies a key of one object to another when it is there and of `type`. */
void event_copy(json_t *to, const char *to_key, const json_t *from, const char *from_key, json_type type);
/* The same for a number, which may also be written into a text. */
void event_copy_number(json_t *to, const char *to_key, const json_t *from, const char *from_key);

#endif
