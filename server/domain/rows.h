/* The facts of a batch by table, with what changed since they were loaded.
 *
 * A row is a JSON object whose keys are columns. Rows keep their address while they are in a table, also over a
 * rollback. rows_edit() comes before every change of a row: it notes the row as changed and lets a rollback restore it.
 */
#ifndef DOMAIN_ROWS_H
#define DOMAIN_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/json.h"

enum rows_table {
    ROWS_CONTACT,
    ROWS_IDENTITY,
    ROWS_ADDRESS,
    ROWS_CONVERSATION,
    ROWS_MESSAGE,
    ROWS_SURVEY,
    ROWS_OUTREACH,
    ROWS_TIMER,
    ROWS_TABLE_COUNT,
};

/* The key of the table in facts and in changes: "contacts", "identities", … */
const char *rows_table_name(enum rows_table table);

struct rows;

struct rows *rows_new(void);
void rows_free(struct rows *rows);
void rows_clear(struct rows *rows); /* as new */

/* Takes over a row that is as stored. One with a known key is dropped: what is here may be newer. */
void rows_load(struct rows *rows, enum rows_table table, json_t *row);
/* Takes over a new row; it counts as changed. Returns it, borrowed. */
json_t *rows_insert(struct rows *rows, enum rows_table table, json_t *row);
/* As rows_insert, but a row with the same key is replaced in place. */
json_t *rows_upsert(struct rows *rows, enum rows_table table, json_t *row);
void rows_edit(struct rows *rows, enum rows_table table, json_t *row);
void rows_remove(struct rows *rows, enum rows_table table, json_t *row);
/* The row belongs to another contact from now on. */
void rows_move(struct rows *rows, enum rows_table table, json_t *row, int64_t contact_id);

json_t *rows_by_id(const struct rows *rows, enum rows_table table, int64_t id); /* borrowed, NULL when unknown */
json_t *rows_by_key(const struct rows *rows, enum rows_table table, const char *key);
json_t *rows_of_contact(const struct rows *rows, enum rows_table table,
                        int64_t contact_id);                                         /* array, borrowed, maybe NULL */
json_t *rows_all(const struct rows *rows, enum rows_table table);                    /* object by key, borrowed */
bool rows_is_new(const struct rows *rows, enum rows_table table, const json_t *row); /* inserted since the last take */

/* Another number each time that rows of the table came, went or are about to change: what was made of them is still
 * right when it is the same. */
uint64_t rows_version(const struct rows *rows, enum rows_table table);

/* Changes between mark and rollback are undone by the rollback; commit forgets the mark. Marks do not nest. */
void rows_mark(struct rows *rows);
void rows_rollback(struct rows *rows);
void rows_commit(struct rows *rows);

/* The changed rows since the last take, as arrays by table name; new reference. Tables without changes are absent. The
 * rows are the tables' own: who edits one afterwards edits what was taken. */
json_t *rows_take_changed(struct rows *rows);
json_t *rows_changed(const struct rows *rows, enum rows_table table); /* object by key, borrowed */
void rows_forget_changed(struct rows *rows);

#endif
