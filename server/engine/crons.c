#include "engine/crons.h"

#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "rules/schedule.h"
#include "store/api_store.h"
#include "store/rule_store.h"

err_t crons_register(struct pg *pg, struct rule_set *rules, struct error *reterr)
{
    json_t *declarations = rule_set_declarations(rules, "cron");
    json_t *names = json_array();
    err_t err = ERR_NONE;
    const char *name;
    json_t *declaration;
    json_object_foreach (declarations, name, declaration) {
        const json_t *schedule = json_object_at(declaration, "schedule");
        msec_t next = 0;
        if (err != ERR_NONE || schedule_next(schedule, clock_now(), &next, NULL) != ERR_NONE) {
            continue;
        }
        json_array_append_new(names, json_string(name));
        err = cron_store_register(pg, name, schedule, next, rule_set_version(rules), reterr);
    }
    if (err == ERR_NONE) {
        err = cron_store_keep_only(pg, names, reterr);
    }
    json_decref(names);
    return err;
}

static json_t *cron_event(const char *name, msec_t due_at)
{
    char text[200];
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 400);
    buf_addf(&key, "cron:%s:", name);
    clock_add_iso(&key, due_at);
    json_t *doc = json_object();
    snprintf(text, sizeof(text), "cron.%s", name);
    json_put_str(doc, "type", text);
    json_put_str(doc, "source", "answerd");
    json_put_str(doc, "provider", "answerd");
    json_put_bytes(doc, "key", buf_bytes(&key));
    json_put_time(doc, "occurred_at", due_at);
    json_put_int(doc, "lane", lane_of(text));
    return doc;
}

/* The event comes before the new time: a crash between them makes the same event again, which is then known. */
static err_t cron_fire(struct pg *pg, const json_t *cron, struct error *reterr)
{
    const char *name = json_str_or(cron, "name", "");
    msec_t due_at = json_time(cron, "next_at", 0);
    msec_t next = 0;
    int64_t event_id = 0;
    bool is_new = false;
    struct error reason;
    if (schedule_next(json_object_at(cron, "schedule"), clock_now(), &next, &reason) != ERR_NONE) {
        next = clock_now() + (msec_t)365 * 24 * 3600 * 1000;
        log_warn("a cron never fires again", "cron='%s' reason='%s'", name, reason.text);
    }
    json_t *doc = cron_event(name, due_at);
    err_t err = api_store_add_event(pg, doc, &event_id, &is_new, reterr);
    json_decref(doc);
    return err != ERR_NONE ? err : cron_store_advance(pg, name, due_at, next, reterr);
}

err_t crons_fire(struct pg *pg, int64_t *ret_fired, msec_t *ret_next_due, struct error *reterr)
{
    json_t *due = NULL;
    msec_t next_due = 0;
    err_t err = cron_store_due(pg, &due, &next_due, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    for (size_t i = 0; i < json_array_size(due) && err == ERR_NONE; i++) {
        err = cron_fire(pg, json_array_get(due, i), reterr);
    }
    if (err == ERR_NONE) {
        *ret_fired = (int64_t)json_array_size(due);
        *ret_next_due = next_due;
    }
    json_decref(due);
    return err;
}
