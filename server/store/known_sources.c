#include "store/known_sources.h"

#include <stdlib.h>

#include "base/macros.h"
#include "store/query.h"

err_t known_sources_start_process(struct pg *pg, int64_t *process, struct error *reterr)
{
    static const char sql[] = "SELECT start_process(nullif($1::integer, 0))";
    const struct pg_value values[] = { PG_VALUE_INT8(*process) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *process = pg_int8(result, 0, 0);
    }
    return err;
}

err_t known_sources_publish(struct pg *pg, int64_t process, const json_t *sources, bool delivers, struct error *reterr)
{
    static const char sql[] = "SELECT publish_sources($1::integer, $2::jsonb, $3::boolean)";
    char *text = json_dump(sources);
    const struct pg_value values[] = { PG_VALUE_INT8(process), PG_VALUE_TEXT(text), PG_VALUE_BOOL(delivers) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}

void known_sources_init(struct known_sources *known, const json_t *own)
{
    *known = (struct known_sources){ .own = json_deep_copy(own), .all = json_deep_copy(own), .generation = -1 };
}

void known_sources_done(struct known_sources *known)
{
    json_decref(known->own);
    json_decref(known->all);
    *known = (struct known_sources){ .generation = -1 };
}

err_t known_sources_follow(struct known_sources *known, struct pg *pg, int64_t generation, struct error *reterr)
{
    if (generation == known->generation) {
        return ERR_NONE;
    }
    json_t *published CLEANUP(json_free) = NULL;
    err_t err = query_json(pg, "SELECT known_sources()", NULL, 0, &published, reterr);
    if (err == ERR_NONE) {
        json_object_clear(known->all);
        json_object_update(known->all, published);
        json_object_update(known->all, known->own);
        known->generation = generation;
    }
    return err;
}

bool known_sources_left_to_others(const struct known_sources *known, const char *source)
{
    return json_object_get(known->own, source) == NULL &&
           json_bool(json_object_get(known->all, source), "delivers", false);
}
