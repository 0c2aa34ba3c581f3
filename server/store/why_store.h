/* The story of one event, for `answerd why`. */
#ifndef STORE_WHY_STORE_H
#define STORE_WHY_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Finds an event by its id, or by the provider's key (`evt_…`, a wamid): the newest one with that key.
 * ERR_NOT_FOUND when there is none. */
err_t why_store_find(struct pg *pg, const char *id_or_key, int64_t *ret_event_id, struct error *reterr) MUST_CHECK;

/* The rows of the SQL function why(): an array of {at, what, subject, outcome, place, rule_set, instructions, micros,
 * detail, effects}; null members are left out. New reference. */
err_t why_store_tell(struct pg *pg, int64_t event_id, json_t **ret_rows, struct error *reterr) MUST_CHECK;

/* Finds a contact by its number or a handle: "whatsapp:15550100", "+1 555 0100", "ada@example.com". Who was merged into
 * another one is found as such. ERR_NOT_FOUND: nobody; ERR_CONFLICT: more than one person is known like that. */
err_t why_store_find_contact(struct pg *pg, const char *id_or_handle, int64_t *ret_contact_id,
                             struct error *reterr) MUST_CHECK;

/* The rows of the SQL function why_nothing(): an array of {step, at, what, subject, outcome, place, detail}; null
 * members are left out. New reference. */
err_t why_store_tell_nothing(struct pg *pg, int64_t contact_id, msec_t for_the_last, json_t **ret_rows,
                             struct error *reterr) MUST_CHECK;

#endif
