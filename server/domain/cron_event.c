#include "domain/cron_event.h"

#include <stdio.h>

#include "rules/schedule.h"

#define TYPE_MAX_BYTES 256

json_t *cron_event_body(const char *name, const json_t *schedule, msec_t due)
{
    json_t *body = json_object();
    msec_t next = 0;
    json_put_str(body, "name", name);
    json_put_time(body, "due_at", due);
    if (schedule_next(schedule, due, &next, NULL) == ERR_NONE)
        json_put_time(body, "next_at", next);
    return body;
}

json_t *cron_event(int64_t id, const char *name, const json_t *schedule, msec_t due)
{
    json_t *event = json_object();
    char type[TYPE_MAX_BYTES];
    snprintf(type, sizeof(type), "cron.%s", name);
    json_put_int(event, "id", id);
    json_put_str(event, "type", type);
    json_put_str(event, "source", "answerd");
    json_put_str(event, "provider", "answerd");
    snprintf(type, sizeof(type), "cron:%.200s:%lld", name, (long long)due / 1000);
    json_put_str(event, "key", type);
    json_put_time(event, "occurred_at", due);
    json_put_time(event, "received_at", due);
    json_put(event, "body", cron_event_body(name, schedule, due));
    return event;
}
