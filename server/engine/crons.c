#include "engine/crons.h"

#include <string.h>

#include "base/log.h"
#include "rules/schedule.h"
#include "store/rule_store.h"

#define NEVER_AGAIN_MS ((msec_t)365 * 24 * 3600 * 1000)
/* Engines look several times a second: what is older than this was missed because none was there. */
#define MISSED_AFTER_MS 60000

err_t crons_register(struct pg *pg, struct rule_set *rules, struct error *reterr)
{
    json_t *crons = json_array();
    const char *name;
    json_t *declaration;
    json_object_foreach (rule_set_declarations(rules, "cron"), name, declaration) {
        const json_t *schedule = json_object_at(declaration, "schedule");
        msec_t next = 0;
        if (schedule_next(schedule, clock_shared(), &next, NULL) != ERR_NONE) {
            continue;
        }
        json_t *cron = json_object();
        json_put_str(cron, "name", name);
        json_put(cron, "schedule", json_deep_copy(schedule));
        json_put_time(cron, "next_at", next);
        json_put_str(cron, "missed", json_str_or(declaration, "missed", "skip"));
        json_array_append_new(crons, cron);
    }
    err_t err = cron_store_put(pg, crons, rule_set_version(rules), reterr);
    json_decref(crons);
    return err;
}

/* The next time is counted from now: what was missed never fires more than once, and not at all when it is to be
 * skipped. Nor is it the time that is due: by our clock that one may be yet to come, when the database's is a little
 * ahead of what we know of it. */
static err_t cron_fire(struct pg *pg, const json_t *cron, bool *ret_fired, struct error *reterr)
{
    const char *name = json_str_or(cron, "name", "");
    msec_t now = clock_shared();
    msec_t due = json_time(cron, "next_at", now);
    msec_t next = 0;
    struct error reason;
    if (schedule_next(json_object_at(cron, "schedule"), now > due ? now : due, &next, &reason) != ERR_NONE) {
        next = now + NEVER_AGAIN_MS;
        log_warn("a cron never fires again", "cron='%s' reason='%s'", name, reason.text);
    }
    msec_t late_ms = now - due;
    bool skip = late_ms > MISSED_AFTER_MS && strcmp(json_str_or(cron, "missed", "skip"), "skip") == 0;
    bool moved = false;
    err_t err = cron_store_fire(pg, cron, next, !skip, &moved, reterr);
    if (err == ERR_NONE && moved && skip) {
        log_info("a cron's time was missed and is skipped", "cron='%s' late_ms=%lld", name, (long long)late_ms);
    }
    *ret_fired = err == ERR_NONE && moved && !skip;
    return err;
}

err_t crons_fire(struct pg *pg, int64_t *ret_fired, msec_t *ret_next_due, struct error *reterr)
{
    json_t *due = NULL;
    msec_t next_due = 0;
    err_t err = cron_store_due(pg, &due, &next_due, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    int64_t fired = 0;
    for (size_t i = 0; i < json_array_size(due) && err == ERR_NONE; i++) {
        bool mine = false;
        err = cron_fire(pg, json_array_get(due, i), &mine, reterr);
        fired += mine;
    }
    if (err == ERR_NONE) {
        *ret_fired = fired;
        *ret_next_due = next_due;
    }
    json_decref(due);
    return err;
}
