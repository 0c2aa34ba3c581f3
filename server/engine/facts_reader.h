/* What rules may read during a batch, over the connection whose transaction or snapshot they shall see.
 *
 * To a rule a read that fails looks as if nothing were there. What it makes of that must not count: its transaction is
 * broken, and `error` tells why. */
#ifndef ENGINE_FACTS_READER_H
#define ENGINE_FACTS_READER_H

#include "base/buf.h"
#include "io/pg.h"
#include "rules/rule_set.h"

struct facts_reader {
    struct pg *pg;
    struct buf raw; /* of the last raw() */
    err_t err;      /* of the first read that failed */
    struct error error;
};

/* The result refers to `facts`, which must stay where it is until the end. */
struct fact_reader facts_reader_begin(struct facts_reader *facts, struct pg *pg);
void facts_reader_end(struct facts_reader *facts);

#endif
