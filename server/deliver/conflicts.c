#include "deliver/conflicts.h"

#include "base/log.h"

#define SAY_EVERY_MS 60000

bool conflicts_last(struct conflicts *conflicts, const struct error *error, msec_t now)
{
    if (conflicts->since == 0) {
        conflicts->since = now;
    }
    msec_t lasted = now - conflicts->since;
    if (lasted < CONFLICT_LASTS_MS) {
        return false;
    }
    if (conflicts->said_at == 0 || now - conflicts->said_at >= SAY_EVERY_MS) {
        conflicts->said_at = now;
        log_error("a step of deliver meets the same conflict again and again",
                  "during='%s' for_ms=%lld sqlstate=%s reason='%s' "
                  "hint='who holds the rows: SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity; a unique "
                  "violation that stays is a row that somebody changed by hand'",
                  conflicts->during, (long long)lasted, error->sqlstate, error->text);
    }
    return true;
}

void conflicts_end(struct conflicts *conflicts, msec_t now)
{
    if (conflicts->said_at != 0) {
        log_info("the conflict is over", "during='%s' after_ms=%lld", conflicts->during,
                 (long long)(now - conflicts->since));
    }
    conflicts->since = 0;
    conflicts->said_at = 0;
}
