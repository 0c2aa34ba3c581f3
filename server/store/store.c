#include "store/store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "store/query.h"

#define PLANS_FIRST_MS 1000
#define PLANS_LONGEST_MS 60000

err_t store_reserve_ids(struct pg *pg, size_t count, int64_t *ret_first, struct error *reterr)
{
    static const char sql[] = "SELECT reserve_ids($1::bigint)";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)count) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_first = pg_int8(result, 0, 0);
    }
    return err;
}

err_t store_follow_clock(struct pg *pg, struct error *reterr)
{
    static const char sql[] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    int64_t before_us = clock_now_us();
    err_t err = query_row(pg, sql, NULL, 0, &result, reterr);
    if (err == ERR_NONE) {
        clock_follow(before_us, pg_int8(result, 0, 0), clock_now_us());
    }
    return err;
}

err_t store_renew_plans(struct pg *pg, struct plan_age *age, struct error *reterr)
{
    msec_t now = clock_steady();
    if (now < age->next) {
        return ERR_NONE;
    }
    bool is_first = age->next == 0;
    age->after = is_first ? PLANS_FIRST_MS : age->after * 2 < PLANS_LONGEST_MS ? age->after * 2 : PLANS_LONGEST_MS;
    age->next = now + age->after;
    return is_first ? ERR_NONE : pg_script(pg, "DISCARD PLANS", reterr);
}

err_t store_add_rejects(struct pg *pg, const char *source, const char *reason, int64_t count, struct error *reterr)
{
    static const char sql[] = "INSERT INTO webhook_reject AS r (source, hour, reason, count)"
                              " VALUES ($1, date_trunc('hour', now()), $2, $3::bigint)"
                              " ON CONFLICT (source, hour, reason) DO UPDATE SET count = r.count + excluded.count";
    const struct pg_value values[] = { PG_VALUE_TEXT(source), PG_VALUE_TEXT(reason), PG_VALUE_INT8(count) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

err_t store_make_partitions(struct pg *pg, struct error *reterr)
{
    static const char sql[] = "SELECT make_partitions(3)";
    return query_run(pg, sql, NULL, 0, reterr);
}

/* Each table in a transaction of its own. Together, what was dropped of one table would be held while another one is
 * waited for, and whoever writes into both waits the other way round: beside steady traffic not one try would succeed.
 */
static err_t drop_old_months(struct pg *pg, unsigned months, struct error *reterr)
{
    static const char *const tables[] = {
        "{event_key}", /* by its own age, also when the others are kept for ever */
        "{webhook}",   "{event}", "{handling}", "{trace}", "{attempt}", "{shadow_run}", "{shadow_trace}",
    };
    static const char sql[] = "SELECT count(*) FROM drop_partitions($1::integer, $2::text[])";
    err_t worst = ERR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(tables) && !pg_is_broken(pg); i++) {
        const struct pg_value values[] = { PG_VALUE_INT8(months), PG_VALUE_TEXT(tables[i]) };
        err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
        worst = err != ERR_NONE ? err : worst;
    }
    return worst;
}

err_t store_drop_old_partitions(struct pg *pg, unsigned months, struct error *reterr)
{
    static const char rejects_sql[] =
        "DELETE FROM webhook_reject WHERE $1::integer > 0 AND hour < now() - make_interval(months => $1::integer)";
    static const char statuses_sql[] = "DELETE FROM unmatched_status WHERE received_at < now() - interval '35 days'";
    const struct pg_value values[] = { PG_VALUE_INT8(months) };
    err_t err = drop_old_months(pg, months, reterr);
    if (err == ERR_NONE) {
        err = query_run(pg, rejects_sql, values, ARRAY_LEN(values), reterr);
    }
    return err != ERR_NONE ? err : query_run(pg, statuses_sql, NULL, 0, reterr);
}

err_t store_record_rule_set(struct pg *pg, const char *version, const json_t *description, struct error *reterr)
{
    static const char sql[] =
        "INSERT INTO rule_set (version, description) VALUES ($1, $2::jsonb)"
        " ON CONFLICT (version) DO UPDATE SET last_loaded = now(), description = excluded.description";
    char *text = json_dump(description);
    const struct pg_value values[] = { PG_VALUE_TEXT(version), PG_VALUE_TEXT(text) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}
