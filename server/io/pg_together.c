#include "io/pg_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

/* Several statements on their way at once. */
struct together {
    const struct pg_statement *statements;
    size_t count;
    struct pg_params *params;
    PGresult *results[PG_MAX_TOGETHER];
};

static err_t prepare_together(struct pg *pg, struct together *t, struct error *reterr)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct pg_statement *s = &t->statements[i];
        char name[PG_STATEMENT_NAME_SIZE];
        pg_statement_name(s->sql, name);
        err_t result = pg_params_init(&t->params[i], s->values, s->count, reterr);
        if (result == ERR_NONE)
            result = pg_prepare(pg, s->sql, name, &t->params[i], reterr);
        if (result != ERR_NONE)
            return result;
    }
    return ERR_NONE;
}

static int send_together(struct pg *pg, const struct together *t)
{
    int sent = PQenterPipelineMode(pg->connection);
    for (size_t i = 0; i < t->count && sent == 1; i++) {
        const struct pg_params *p = &t->params[i];
        char name[PG_STATEMENT_NAME_SIZE];
        pg_statement_name(t->statements[i].sql, name);
        sent = PQsendQueryPrepared(pg->connection, name, p->count, p->values, p->lengths, p->formats, 0);
    }
    return sent == 1 ? PQpipelineSync(pg->connection) : sent;
}

/* Each statement has a result, or was passed over, and the server says when it is done with all. */
static err_t conclude_together(struct pg *pg, struct together *t, struct error *reterr)
{
    metric_add(pg->round_trips, 1);
    int sent = send_together(pg, t);
    err_t first = sent == 1 ? ERR_NONE : pg_judge(pg->connection, NULL, reterr);
    bool silent = false;
    for (size_t i = 0; i < t->count && first != ERR_LOST && !silent; i++) {
        t->results[i] = pg_take(pg, &silent);
        if (first == ERR_NONE && !silent)
            first = pg_judge(pg->connection, t->results[i], reterr);
    }
    if (first != ERR_LOST && !silent)
        PQclear(pg_take(pg, &silent));
    if (first != ERR_LOST && !silent && PQexitPipelineMode(pg->connection) == 1)
        return first;
    /* What is still on its way would be taken for an answer to what is asked next. */
    pg->given_up = true;
    if (first != ERR_LOST)
        first = fail(reterr, ERR_LOST, "the database did not answer all that was sent together");
    return first;
}

err_t pg_run_together(struct pg *pg, const struct pg_statement *statements, size_t count,
                      struct pg_result **ret_results, struct error *reterr)
{
    assert(count <= PG_MAX_TOGETHER);
    if (pg_is_broken(pg))
        return fail(reterr, ERR_LOST, "the connection to the database broke before");
    struct together t = {
        .statements = statements,
        .count = count,
        .params = memory_new(count * sizeof(*t.params)),
    };
    err_t result = prepare_together(pg, &t, reterr);
    if (result == ERR_NONE)
        result = conclude_together(pg, &t, reterr);
    for (size_t i = 0; i < count; i++) {
        pg_params_done(&t.params[i]);
        if (result == ERR_NONE && ret_results) {
            ret_results[i] = memory_new(sizeof(**ret_results));
            ret_results[i]->result = t.results[i];
        } else {
            PQclear(t.results[i]);
        }
    }
    free(t.params);
    return result;
}
