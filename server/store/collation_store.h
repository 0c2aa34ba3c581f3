/* In whose order does the database keep its texts? Indexes on text are sorted by its default collation. That of "C" and
 * its kind is the order of the bytes and stays for ever. One of the operating system or of ICU may be another one after
 * an upgrade: then an index that was built before no longer finds what it holds, and a unique one lets a second row in.
 */
#ifndef STORE_COLLATION_STORE_H
#define STORE_COLLATION_STORE_H

#include <stdbool.h>

#include "base/error.h"
#include "io/pg.h"

struct database_collation {
    char database[64];
    char locale[64]; /* as PostgreSQL names it: "C", "en_US.utf8" */
    bool stable;     /* its order cannot change */
    bool changed;    /* it is not the one with which the database was made */
};

err_t collation_store_read(struct pg *pg, struct database_collation *ret_collation, struct error *reterr) MUST_CHECK;

#endif
