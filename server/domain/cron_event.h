/* The event of a cron that fires in a pretended world; the server makes the live one in the database. */
#ifndef DOMAIN_CRON_EVENT_H
#define DOMAIN_CRON_EVENT_H

#include "base/clock.h"
#include "io/json.h"

/* {name, due_at, next_at} of a firing at `due`; `schedule` is that of the declaration. Without next_at when it never
 * fires again. New reference. */
json_t *cron_event_body(const char *name, const json_t *schedule, msec_t due);
/* The whole event, received when it was due. New reference. */
json_t *cron_event(int64_t id, const char *name, const json_t *schedule, msec_t due);

#endif
