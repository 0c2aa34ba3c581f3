/* A schema with all migrations, in a database of this program's own beside the one that ANSWERD_TEST_DATABASE names (a
 * libpq keyword string of a role that may create databases); without it cases are skipped.
 *
 * A schema of its own would not do: advisory locks are the database's, so that of two tests at the same time one finds
 * the lanes and workers of the other busy. */
#ifndef TESTS_UNIT_STORE_DATABASE_H
#define TESTS_UNIT_STORE_DATABASE_H

#include "base/macros.h"
#include "io/crypto.h"
#include "io/json.h"
#include "io/loop.h"
#include "io/pg.h"
#include "store/store.h"

#include "support.h"

#include <errno.h>
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

/* Makes this program's database when it is not there yet. */
static inline void database_make(const char *beside, const char *name)
{
    const struct pg_settings settings = { .conninfo = beside,
                                          .application_name = "store test",
                                          .statement_timeout_ms = 60000 };
    struct pg *pg = NULL;
    SUCCEEDS(pg_open(&settings, &pg, e));
    const struct pg_value values[] = { PG_VALUE_TEXT(name) };
    struct pg_result *found CLEANUP(pg_result_free) = NULL;
    SUCCEEDS(pg_run(pg, "SELECT FROM pg_database WHERE datname = $1", values, ARRAY_LEN(values), &found, e));
    if (pg_rows(found) == 0) {
        char sql[200];
        snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE template0", name);
        SUCCEEDS(pg_script(pg, sql, e));
    }
    pg_close(pg);
}

/* The connection string for `schema`, or NULL. */
static inline const char *database_conninfo(const char *schema)
{
    static char conninfo[1024];
    const char *database = getenv("ANSWERD_TEST_DATABASE");
    if (database == NULL || database[0] == '\0') {
        return NULL;
    }
    char name[64];
    static bool made;
    snprintf(name, sizeof(name), "answerd_%s", program_invocation_short_name);
    if (!made) {
        database_make(database, name);
        made = true;
    }
    snprintf(conninfo, sizeof(conninfo), "%s dbname=%s options='-c search_path=%s'", database, name, schema);
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
