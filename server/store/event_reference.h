/* Where an event names what was paid, ordered or begun: the places, the most exact one first. */
#ifndef STORE_EVENT_REFERENCE_H
#define STORE_EVENT_REFERENCE_H

#include "io/json.h"

#define EVENT_REFERENCES 10
#define EVENT_REFERENCE_OUTREACH 9 /* the last one: in events about an outreach of ours */

/* The name at one of the places; NULL when there is none. Borrowed. */
const char *event_reference(const json_t *event, size_t place);

#endif
