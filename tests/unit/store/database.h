/* A schema of its own in the database that ANSWERD_TEST_DATABASE names, with all migrations; without it cases are
 * skipped. The rest of the database is not touched. */
#ifndef TESTS_UNIT_STORE_DATABASE_H
#define TESTS_UNIT_STORE_DATABASE_H

#include "base/macros.h"
#include "io/crypto.h"
#include "io/json.h"
#include "io/loop.h"
#include "io/pg.h"
#include "store/store.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCEEDS(call)                                                                                                 \
    do {                                                                                                               \
        struct error succeeds_error = { .code = ERR_NONE };                                                            \
        struct error *e = &succeeds_error;                                                                             \
        if ((call) != ERR_NONE) {                                                                                      \
            fail_msg("%s: %s", #call, succeeds_error.text);                                                            \
        }                                                                                                              \
    } while (0)

/* The connection string for `schema`, or NULL. */
static inline const char *database_conninfo(const char *schema)
{
    static char conninfo[1024];
    const char *database = getenv("ANSWERD_TEST_DATABASE");
    if (database == NULL || database[0] == '\0') {
        return NULL;
    }
    snprintf(conninfo, sizeof(conninfo), "%s options='-c search_path=%s'", database, schema);
    return conninfo;
}

/* Skips the test when there is no database. */
static inline struct pg *database_open(const char *schema)
{
    const char *conninfo = database_conninfo(schema);
    if (conninfo == NULL) {
        skip();
    }
    const struct pg_settings settings = { .conninfo = conninfo,
                                          .application_name = "store test",
                                          .statement_timeout_ms = 20000 };
    struct pg *pg = NULL;
    SUCCEEDS(pg_open(&settings, &pg, e));
    return pg;
}

/* An empty schema. */
static inline struct pg *database_open_empty(const char *schema)
{
    struct pg *pg = database_open(schema);
    char sql[200];
    snprintf(sql, sizeof(sql), "DROP SCHEMA IF EXISTS %s CASCADE; CREATE SCHEMA %s", schema, schema);
    SUCCEEDS(pg_script(pg, sql, e));
    return pg;
}

static inline struct pg *database_open_migrated(const char *schema)
{
    crypto_start();
    struct pg *pg = database_open_empty(schema);
    size_t applied = 0;
    SUCCEEDS(store_migrate(pg, NULL, NULL, &applied, e));
    assert_true(applied > 0);
    return pg;
}

static inline void database_drop(struct pg *pg, const char *schema)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "DROP SCHEMA %s CASCADE", schema);
    SUCCEEDS(pg_script(pg, sql, e));
    pg_close(pg);
}

/* The number that a statement gives. */
static inline int64_t database_number(struct pg *pg, const char *sql)
{
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    SUCCEEDS(pg_run(pg, sql, NULL, 0, &result, e));
    return pg_int8(result, 0, 0);
}

/* A document written with ' for ". */
static inline json_t *document(const char *text)
{
    struct buf quoted CLEANUP(buf_done);
    buf_init(&quoted, 64 * 1024);
    for (; *text != '\0'; text++) {
        buf_add_char(&quoted, *text == '\'' ? '"' : *text);
    }
    json_t *json = NULL;
    SUCCEEDS(json_parse(buf_bytes(&quoted), &json, e));
    return json;
}

#endif
