/* A recorded event with what was known around it, for a test fixture. */
#ifndef STORE_CAPTURE_STORE_H
#define STORE_CAPTURE_STORE_H

#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* {event: document, contact: row or absent (then the event is about nobody), known_before: was the contact known before
 * the first of these events, identities: [text], events: [documents] of the same contact that came from outside up to
 * this event (at most `max_events`, oldest first, this one last when it came from outside), messages: [{event_id, at,
 * source, template, state}] that these events made the server send}. New reference. */
err_t capture_store_read(struct pg *pg, int64_t event_id, size_t max_events, json_t **ret_capture,
                         struct error *reterr) MUST_CHECK;

#endif
