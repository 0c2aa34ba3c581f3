#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

#include "base/macros.h"
#include "base/text.h"
#include "io/crypto.h"
#include "migrations.h"
#include "store/query.h"

#define CONFLICT_TRIES 10
#define CHECKSUM_CHARS (2 * SHA256_SIZE)

static void checksum_of(const struct embedded_text *migration, char ret_checksum[CHECKSUM_CHARS + 1])
{
    const struct bytes text = { migration->text, migration->length };
    unsigned char digest[SHA256_SIZE];
    crypto_hash(HASH_SHA256, &text, 1, digest);
    struct buf hex CLEANUP(buf_done);
    buf_init(&hex, CHECKSUM_CHARS);
    text_encode_hex((struct bytes){ (const char *)digest, sizeof(digest) }, &hex);
    snprintf(ret_checksum, CHECKSUM_CHARS + 1, "%s", hex.ptr);
}

int store_schema_version(void)
{
    return migrations_count > 0 ? migrations[migrations_count - 1].number : 0;
}

/* The number of the oldest migration whose program may still run beside `migration`; 0: any. */
static int ends_before(const struct embedded_text *migration)
{
    static const char line[] = "\n-- Ends: programs before ";
    const char *found = strstr(migration->text, line);
    return found ? (int)strtol(found + sizeof(line) - 1, NULL, 10) : 0;
}

/* --- what is applied ---------------------------------------------------------------------------------------------- */

/* Array of {number, name, checksum, applied_at, ends_before}, by number; empty when the table is not there. The last
 * one is a column that databases of older programs lack. */
static err_t read_applied(struct pg *pg, json_t **ret_applied, struct error *reterr)
{
    static const char exists_sql[] = "SELECT to_regclass('schema_migration') IS NOT NULL";
    static const char sql[] =
        "SELECT coalesce(json_agg(json_build_object('number', number, 'name', name, 'checksum', checksum,"
        " 'applied_at', applied_at, 'ends_before', to_jsonb(m)->'ends_before') ORDER BY number), '[]')"
        " FROM schema_migration AS m";
    struct pg_result *exists CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, exists_sql, NULL, 0, &exists, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (!pg_bool(exists, 0, 0)) {
        *ret_applied = json_array();
        return ERR_NONE;
    }
    return query_json(pg, sql, NULL, 0, ret_applied, reterr);
}

static const json_t *find_applied(const json_t *applied, int number)
{
    size_t index;
    json_t *row;
    json_array_foreach (applied, index, row) {
        if (json_int(row, "number", 0) == number) {
            return row;
        }
    }
    return NULL;
}

static bool has_same_text(const json_t *row, const struct embedded_text *migration)
{
    char checksum[CHECKSUM_CHARS + 1];
    checksum_of(migration, checksum);
    return strcmp(json_str_or(row, "checksum", ""), checksum) == 0;
}

/* Refuses what a newer program did to the database, and migrations that are not the ones that were applied. */
static err_t check_applied(const json_t *applied, bool newer_is_fine, struct error *reterr)
{
    size_t index;
    json_t *row;
    json_array_foreach (applied, index, row) {
        int64_t number = json_int(row, "number", 0);
        const struct embedded_text *migration = NULL;
        for (size_t i = 0; i < migrations_count; i++) {
            if (migrations[i].number == number) {
                migration = &migrations[i];
            }
        }
        const char *name = json_str_or(row, "name", "");
        if (migration == NULL && newer_is_fine) {
            int64_t ends = json_int(row, "ends_before", 0);
            if (ends > store_schema_version()) {
                return fail(reterr, ERR_INVALID,
                            "migration '%s' ends programs before migration %lld, and this one has %d\n"
                            "HINT: start the newer program in the place of this one",
                            name, (long long)ends, store_schema_version());
            }
            continue;
        }
        if (migration == NULL) {
            return fail(reterr, ERR_INVALID,
                        "the database has migration '%s', which this program does not know\n"
                        "HINT: the database is newer; use the program that migrated it, or a later one",
                        name);
        }
        if (!has_same_text(row, migration)) {
            return fail(reterr, ERR_INVALID,
                        "migration '%s' is not the one that was applied to this database\n"
                        "HINT: a migration never changes after it was applied; restore its file, or start with an "
                        "empty database",
                        migration->name);
        }
    }
    return ERR_NONE;
}

static const struct embedded_text *first_pending(const json_t *applied)
{
    for (size_t i = 0; i < migrations_count; i++) {
        if (find_applied(applied, migrations[i].number) == NULL) {
            return &migrations[i];
        }
    }
    return NULL;
}

static err_t check_schema(struct pg *pg, bool newer_is_fine, struct error *reterr)
{
    json_t *applied CLEANUP(json_free) = NULL;
    err_t err = read_applied(pg, &applied, reterr);
    if (err == ERR_NONE) {
        err = check_applied(applied, newer_is_fine, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    const struct embedded_text *pending = first_pending(applied);
    if (pending == NULL) {
        return ERR_NONE;
    }
    if (json_array_size(applied) == 0) {
        return fail(reterr, ERR_NOT_FOUND, "the database has no tables of answerd\nHINT: run answerd migrate");
    }
    return fail(reterr, ERR_INVALID, "the database lacks migration '%s'\nHINT: run answerd migrate", pending->name);
}

err_t store_check_schema(struct pg *pg, struct error *reterr)
{
    return check_schema(pg, false, reterr);
}

err_t store_check_schema_fits(struct pg *pg, struct error *reterr)
{
    return check_schema(pg, true, reterr);
}

err_t store_migration_status(struct pg *pg, json_t **ret_rows, struct error *reterr)
{
    json_t *applied CLEANUP(json_free) = NULL;
    err_t err = read_applied(pg, &applied, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *rows = json_array();
    for (size_t i = 0; i < migrations_count; i++) {
        const json_t *found = find_applied(applied, migrations[i].number);
        json_t *row = json_object();
        json_put_int(row, "number", migrations[i].number);
        json_put_str(row, "name", migrations[i].name);
        json_put_str(row, "state",
                     found == NULL                          ? "pending"
                     : has_same_text(found, &migrations[i]) ? "applied"
                                                            : "changed");
        json_put_str(row, "applied_at", found != NULL ? json_str(found, "applied_at") : NULL);
        json_array_append_new(rows, row);
    }
    size_t index;
    json_t *found;
    json_array_foreach (applied, index, found) {
        if (json_int(found, "number", 0) > store_schema_version()) {
            json_t *row = json_object();
            json_put_int(row, "number", json_int(found, "number", 0));
            json_put_str(row, "name", json_str(found, "name"));
            json_put_str(row, "state", "unknown");
            json_put_str(row, "applied_at", json_str(found, "applied_at"));
            json_array_append_new(rows, row);
        }
    }
    *ret_rows = rows;
    return ERR_NONE;
}

/* --- applying ----------------------------------------------------------------------------------------------------- */

static err_t record_applied(struct pg *pg, const struct embedded_text *migration, struct error *reterr)
{
    static const char sql[] =
        "INSERT INTO schema_migration (number, name, checksum, ends_before) VALUES ($1::integer, $2, $3, $4::integer)";
    char checksum[CHECKSUM_CHARS + 1];
    checksum_of(migration, checksum);
    const struct pg_value values[] = { PG_VALUE_INT8(migration->number), PG_VALUE_TEXT(migration->name),
                                       PG_VALUE_TEXT(checksum), PG_VALUE_INT8(ends_before(migration)) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

/* Whoever lacks a right is told who has it. Outside of any transaction; returns `err`, as it was. */
static err_t name_owner(struct pg *pg, err_t err, struct error *reterr)
{
    static const char sql[] = "SELECT current_user::text";
    static const char insufficient_privilege[] = "42501";
    struct pg_result *user CLEANUP(pg_result_free) = NULL;
    if (strcmp(reterr->sqlstate, insufficient_privilege) != 0 || pg_is_broken(pg) ||
        query_row(pg, sql, NULL, 0, &user, NULL) != ERR_NONE) {
        return err;
    }
    const struct error reason = *reterr;
    const struct bytes name = pg_text(user, 0, 0);
    return fail(reterr, err,
                "%.*s\nHINT: migrate as the role that owns the database and the tables in it; this is '%.*s'",
                (int)strcspn(reason.text, "\n"), reason.text, (int)name.len, name.ptr);
}

/* One transaction: whoever holds its lock sees what others did, and does the next one. `*ret_name` stays NULL when
 * there was nothing left to do. */
static err_t apply_next(struct pg *pg, const char **ret_name, struct error *reterr)
{
    static const char lock_sql[] =
        "BEGIN;"
        "SET LOCAL statement_timeout = 0;"
        "SELECT pg_advisory_xact_lock(4200, 0);"
        "CREATE TABLE IF NOT EXISTS schema_migration ("
        "  number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL "
        "DEFAULT now());"
        "COMMENT ON TABLE schema_migration IS 'Which files of migrations/ were applied, and the SHA-256 of each.';"
        /* Running programs read this table while a migration takes its time: it is altered once. */
        "DO $$ BEGIN"
        "  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'schema_migration'::regclass"
        "                 AND attname = 'ends_before' AND NOT attisdropped) THEN"
        "    ALTER TABLE schema_migration ADD COLUMN ends_before integer NOT NULL DEFAULT 0;"
        "  END IF;"
        "END $$";
    json_t *applied CLEANUP(json_free) = NULL;
    err_t err = pg_script(pg, lock_sql, reterr);
    if (err == ERR_NONE) {
        err = read_applied(pg, &applied, reterr);
    }
    if (err == ERR_NONE) {
        err = check_applied(applied, false, reterr);
    }
    const struct embedded_text *pending = err == ERR_NONE ? first_pending(applied) : NULL;
    if (pending != NULL) {
        struct error reason = { .code = ERR_NONE };
        err = pg_script(pg, pending->text, &reason);
        if (strncmp(reason.sqlstate, "23", 2) == 0) {
            err = ERR_INVALID; /* rows that break a constraint will break it again */
        }
        if (err != ERR_NONE) {
            fail(reterr, err, "migration '%s': %.800s", pending->name, reason.text);
            memcpy(reterr->sqlstate, reason.sqlstate, sizeof(reterr->sqlstate));
        } else {
            err = record_applied(pg, pending, reterr);
        }
    }
    if (err == ERR_NONE) {
        err = pg_script(pg, "COMMIT", reterr);
    }
    if (err != ERR_NONE) {
        if (!pg_is_broken(pg)) {
            err_t ignored = pg_script(pg, "ROLLBACK", NULL);
            (void)ignored; /* the error before it is the one to report */
        }
        return name_owner(pg, err, reterr);
    }
    *ret_name = pending != NULL ? pending->name : NULL;
    return ERR_NONE;
}

/* Beside running programs a migration may be the victim of a deadlock, for it takes locks in an order of its own:
 * nothing of it stays then, and it is tried again. */
static err_t apply_next_patiently(struct pg *pg, const char **ret_name, struct error *reterr)
{
    err_t err = ERR_CONFLICT;
    for (unsigned tries = 0; err == ERR_CONFLICT && tries < CONFLICT_TRIES; tries++) {
        err = apply_next(pg, ret_name, reterr);
    }
    return err;
}

err_t store_migrate(struct pg *pg, migration_applied *applied, void *arg, size_t *ret_count, struct error *reterr)
{
    size_t count = 0;
    const char *name;
    do {
        msec_t started = clock_steady();
        name = NULL;
        err_t err = apply_next_patiently(pg, &name, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        if (name != NULL) {
            count++;
            if (applied != NULL) {
                applied(name, clock_steady() - started, arg);
            }
        }
    } while (name != NULL);
    /* Every time: somebody may have made the roles since, and a migration may have brought tables. */
    err_t err = query_run(pg, "SELECT grant_roles()", NULL, 0, reterr);
    if (err == ERR_NONE) {
        *ret_count = count;
    }
    return err;
}
