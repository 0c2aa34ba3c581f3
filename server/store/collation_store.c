#include "store/collation_store.h"

#include <stdio.h>

#include "store/query.h"

static void take_text(const struct pg_result *result, size_t column, char *to, size_t size)
{
    struct bytes text = pg_text(result, 0, column);
    snprintf(to, size, "%.*s", (int)text.len, text.len > 0 ? text.ptr : "");
}

err_t collation_store_read(struct pg *pg, struct database_collation *ret_collation, struct error *reterr)
{
    /* The locale of ICU has another name in each version of PostgreSQL. Nothing is recorded of locales that cannot
     * change. */
    static const char sql[] =
        "SELECT d.datname, l.locale, d.datlocprovider = 'c' AND l.locale ~* '^(C|C[.].*|POSIX)$',"
        " coalesce(d.datcollversion <> pg_database_collation_actual_version(d.oid), false)"
        "  FROM pg_database AS d"
        " CROSS JOIN LATERAL (SELECT CASE d.datlocprovider WHEN 'c' THEN d.datcollate"
        "   ELSE coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datcollate) END AS locale) AS l"
        " WHERE d.datname = current_database()";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, NULL, 0, &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct database_collation collation = { .stable = pg_bool(result, 0, 2), .changed = pg_bool(result, 0, 3) };
    take_text(result, 0, collation.database, sizeof(collation.database));
    take_text(result, 1, collation.locale, sizeof(collation.locale));
    *ret_collation = collation;
    return ERR_NONE;
}
