/* Deliveries that are held because they go beyond a budget of their rule. Blocking. */
#ifndef STORE_HELD_STORE_H
#define STORE_HELD_STORE_H

#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Which ones: of one rule (NULL: of any), or those with these ids (`count` 0: all of them). */
struct held_choice {
    const char *rule;
    const int64_t *ids;
    size_t count;
};

/* In the order they would have left, `limit` of them: array of held_list rows. New reference. */
err_t held_store_list(struct pg *pg, const struct held_choice *choice, size_t limit, json_t **ret_rows,
                      struct error *reterr) MUST_CHECK;
/* Counts by rule and budget: array of {rule, budget, reason, held, since}. New reference. */
err_t held_store_summary(struct pg *pg, json_t **ret_rows, struct error *reterr) MUST_CHECK;

/* Puts them into the outbox in order, or cancels them for good; says how many. Large numbers go in several
 * transactions. */
err_t held_store_release(struct pg *pg, const struct held_choice *choice, int64_t *ret_count,
                         struct error *reterr) MUST_CHECK;
err_t held_store_drop(struct pg *pg, const struct held_choice *choice, const char *why, int64_t *ret_count,
                      struct error *reterr) MUST_CHECK;

#endif
