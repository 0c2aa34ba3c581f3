/* Who a payment event is about: the contact's identities and name, from whatever the provider tells.
 *
 * The first identity names the lane in which the event is worked, so the provider's customer id comes first, then the
 * handles that the merchant put into metadata, then e-mail and phone. Values that cannot be what they claim to be add
 * nothing: a message about money must not reach a stranger.
 */
#ifndef CHANNEL_CUSTOMER_H
#define CHANNEL_CUSTOMER_H

#include "channel/event.h"

/* The kinds of handles that people have, ending with NULL. What names a person best comes first. */
extern const char *const customer_handle_kinds[];

/* "stripe:cus_…"; `id` is a text or a number. */
void customer_add_id(json_t *event, const char *provider, const json_t *id);

/* "email:ada@example.com", in lower case. */
void customer_add_email(json_t *event, const char *email);

/* "phone:15550100". International numbers only, with '+' or "00": what is written in a national form ("(415) 555-0100",
 * "4155550100", "030 1234567") belongs to somebody else when read as an international one. */
void customer_add_phone(json_t *event, const char *phone);

/* Handles in an object of the merchant's own data: `whatsapp`, `telegram`, `messenger`, `instagram`, `email`, `phone`,
 * and `contact` or `contact_id`, which is any identity ("telegram:42") or else the merchant's own number for this
 * person ("contact:4711"). Keys count in any case, `-` as `_`. Borrowed; not an object: nothing happens. */
void customer_add_metadata(json_t *event, const json_t *metadata);

/* An identity written out, such as "whatsapp:15550100" or "phone:15550100"; false when it does not start with a prefix
 * that we know. */
bool customer_add_identity(json_t *event, const char *identity);

/* The first name given stays. Empty parts are left out. */
void customer_set_name(json_t *event, const char *name);
void customer_set_names(json_t *event, const char *given, const char *family);

#endif
