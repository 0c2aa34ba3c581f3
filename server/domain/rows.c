#include "domain/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define KEY_MAX 512
#define ID_KEY_BYTES 12

struct table {
    json_t *by_key;     /* object: key -> row */
    json_t *by_contact; /* object: contact id -> array of rows */
    int64_t contact_id; /* the one that was asked for last, most often the only one */
    json_t *of_contact; /* its array, borrowed; NULL: look */
    int64_t found_id;   /* the row that was asked for last by its id */
    json_t *found;      /* borrowed; NULL: look */
    uint64_t version;
    json_t *changed; /* object: key -> row, in the order of the first change */
    json_t *fresh;   /* object: key -> true, inserted since the last take */
};

enum undo_kind { UNDO_EDIT, UNDO_INSERT, UNDO_REMOVE };

struct undo {
    enum undo_kind kind;
    enum rows_table table;
    json_t *row;    /* owned */
    json_t *before; /* owned copy, UNDO_EDIT only */
    bool was_changed;
};

struct rows {
    struct table tables[ROWS_TABLE_COUNT];
    struct undo *undo;
    size_t undo_count;
    size_t undo_capacity;
    bool marked;
};

const char *rows_table_name(enum rows_table table)
{
    static const char *const names[ROWS_TABLE_COUNT] = { "contacts", "identities", "addresses",  "conversations",
                                                         "messages", "surveys",    "outreaches", "timers" };
    return names[table];
}

/* Every look at a row makes a key: six bits to a character, lowest first. Only who has the id can read it. */
static const char *id_key(int64_t id, char *space)
{
    char *at = space;
    uint64_t rest = (uint64_t)id;
    do {
        *at++ = (char)('0' + rest % 64);
        rest /= 64;
    } while (rest > 0);
    *at = '\0';
    return space;
}

static const char *row_key(enum rows_table table, const json_t *row, char *space)
{
    if (table == ROWS_IDENTITY) {
        text_append(space, KEY_MAX, 0, json_str_or(row, "identity", ""));
    } else if (table == ROWS_ADDRESS) {
        size_t length = text_append(space, KEY_MAX, 0, json_str_or(row, "source", ""));
        length = text_append(space, KEY_MAX, length, " ");
        text_append(space, KEY_MAX, length, json_str_or(row, "identity", ""));
    } else {
        id_key(json_int(row, "id", 0), space);
    }
    return space;
}

static int64_t row_contact(enum rows_table table, const json_t *row)
{
    return json_int(row, table == ROWS_CONTACT ? "id" : "contact_id", 0);
}

struct rows *rows_new(void)
{
    struct rows *rows = memory_new(sizeof(*rows));
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        struct table *t = &rows->tables[i];
        t->by_key = json_object();
        t->by_contact = json_object();
        t->changed = json_object();
        t->fresh = json_object();
    }
    return rows;
}

static void undo_forget(struct rows *rows)
{
    for (size_t i = 0; i < rows->undo_count; i++) {
        json_decref(rows->undo[i].row);
        json_decref(rows->undo[i].before);
    }
    rows->undo_count = 0;
    rows->marked = false;
}

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    undo_forget(rows);
    free(rows->undo);
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        json_decref(rows->tables[i].by_key);
        json_decref(rows->tables[i].by_contact);
        json_decref(rows->tables[i].changed);
        json_decref(rows->tables[i].fresh);
    }
    free(rows);
}

void rows_clear(struct rows *rows)
{
    undo_forget(rows);
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        struct table *t = &rows->tables[i];
        json_t *const objects[] = { t->by_key, t->by_contact, t->changed, t->fresh };
        t->of_contact = t->found = NULL;
        t->version++;
        for (size_t n = 0; n < sizeof(objects) / sizeof(objects[0]); n++)
            if (json_object_size(objects[n]) > 0)
                json_object_clear(objects[n]);
    }
}

/* Lists stay when they become empty. */
static json_t *list_of_contact(struct table *t, int64_t contact_id)
{
    if (!t->of_contact || t->contact_id != contact_id) {
        char space[ID_KEY_BYTES];
        t->of_contact = json_object_get(t->by_contact, id_key(contact_id, space));
        t->contact_id = contact_id;
    }
    return t->of_contact;
}

static void index_add(struct table *t, int64_t contact_id, json_t *row)
{
    json_t *list = list_of_contact(t, contact_id);
    if (!list) {
        char space[ID_KEY_BYTES];
        list = json_array();
        json_put(t->by_contact, id_key(contact_id, space), list);
    }
    json_array_append(list, row);
}

static void index_remove(struct table *t, int64_t contact_id, const json_t *row)
{
    json_t *list = list_of_contact(t, contact_id);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_array_get(list, i) == row) {
            json_array_remove(list, i);
            return;
        }
    }
}

static struct undo *undo_add(struct rows *rows, enum undo_kind kind, enum rows_table table, json_t *row)
{
    if (rows->undo_count == rows->undo_capacity) {
        rows->undo_capacity = rows->undo_capacity ? rows->undo_capacity * 2 : 32;
        rows->undo = memory_resize(rows->undo, rows->undo_capacity * sizeof(*rows->undo));
    }
    struct undo *u = &rows->undo[rows->undo_count++];
    *u = (struct undo){ .kind = kind, .table = table, .row = json_incref(row) };
    return u;
}

static void add_row(struct rows *rows, enum rows_table table, const char *key, json_t *row)
{
    struct table *t = &rows->tables[table];
    t->version++;
    t->found = NULL;
    json_object_set(t->by_key, key, row);
    index_add(t, row_contact(table, row), row);
}

void rows_load(struct rows *rows, enum rows_table table, json_t *row)
{
    char key[KEY_MAX];
    row_key(table, row, key);
    if (!json_object_get(rows->tables[table].by_key, key))
        add_row(rows, table, key, row);
    json_decref(row);
}

json_t *rows_insert(struct rows *rows, enum rows_table table, json_t *row)
{
    struct table *t = &rows->tables[table];
    char key[KEY_MAX];
    row_key(table, row, key);
    add_row(rows, table, key, row);
    if (rows->marked)
        undo_add(rows, UNDO_INSERT, table, row)->was_changed = json_object_get(t->changed, key) != NULL;
    json_object_set(t->changed, key, row);
    json_object_set_new(t->fresh, key, json_true());
    json_decref(row);
    return json_object_get(t->by_key, key);
}

json_t *rows_upsert(struct rows *rows, enum rows_table table, json_t *row)
{
    char key[KEY_MAX];
    json_t *present = json_object_get(rows->tables[table].by_key, row_key(table, row, key));
    if (!present)
        return rows_insert(rows, table, row);
    rows_edit(rows, table, present);
    if (row_contact(table, present) != row_contact(table, row))
        rows_move(rows, table, present, row_contact(table, row));
    json_object_clear(present);
    json_object_update(present, row);
    json_decref(row);
    return present;
}

void rows_edit(struct rows *rows, enum rows_table table, json_t *row)
{
    struct table *t = &rows->tables[table];
    char key[KEY_MAX];
    row_key(table, row, key);
    t->version++;
    if (rows->marked) {
        bool known = false;
        for (size_t i = 0; i < rows->undo_count && !known; i++)
            known = rows->undo[i].row == row && rows->undo[i].kind != UNDO_REMOVE;
        if (!known) {
            struct undo *u = undo_add(rows, UNDO_EDIT, table, row);
            u->before = json_copy_containers(row);
            u->was_changed = json_object_get(t->changed, key) != NULL;
        }
    }
    json_object_set(t->changed, key, row);
}

void rows_remove(struct rows *rows, enum rows_table table, json_t *row)
{
    struct table *t = &rows->tables[table];
    char key[KEY_MAX];
    row_key(table, row, key);
    json_incref(row);
    t->version++;
    if (rows->marked)
        undo_add(rows, UNDO_REMOVE, table, row)->was_changed = json_object_get(t->changed, key) != NULL;
    index_remove(t, row_contact(table, row), row);
    json_object_del(t->changed, key);
    json_object_del(t->by_key, key);
    t->found = NULL;
    json_decref(row);
}

void rows_move(struct rows *rows, enum rows_table table, json_t *row, int64_t contact_id)
{
    struct table *t = &rows->tables[table];
    rows_edit(rows, table, row);
    json_incref(row);
    index_remove(t, row_contact(table, row), row);
    json_put_int(row, "contact_id", contact_id);
    index_add(t, contact_id, row);
    json_decref(row);
}

json_t *rows_by_key(const struct rows *rows, enum rows_table table, const char *key)
{
    return key ? json_object_get(rows->tables[table].by_key, key) : NULL;
}

json_t *rows_by_id(const struct rows *rows, enum rows_table table, int64_t id)
{
    struct table *t = (struct table *)(uintptr_t)&rows->tables[table]; /* it remembers, no more */
    if (!t->found || t->found_id != id) {
        char space[ID_KEY_BYTES];
        t->found = json_object_get(t->by_key, id_key(id, space));
        t->found_id = id;
    }
    return t->found;
}

json_t *rows_of_contact(const struct rows *rows, enum rows_table table, int64_t contact_id)
{
    return list_of_contact((struct table *)(uintptr_t)&rows->tables[table], contact_id); /* it remembers, no more */
}

uint64_t rows_version(const struct rows *rows, enum rows_table table)
{
    return rows->tables[table].version;
}

json_t *rows_all(const struct rows *rows, enum rows_table table)
{
    return rows->tables[table].by_key;
}

json_t *rows_changed(const struct rows *rows, enum rows_table table)
{
    return rows->tables[table].changed;
}

bool rows_is_new(const struct rows *rows, enum rows_table table, const json_t *row)
{
    char key[KEY_MAX];
    return json_object_get(rows->tables[table].fresh, row_key(table, row, key)) != NULL;
}

void rows_mark(struct rows *rows)
{
    undo_forget(rows);
    rows->marked = true;
}

void rows_commit(struct rows *rows)
{
    undo_forget(rows);
}

void rows_rollback(struct rows *rows)
{
    rows->marked = false; /* the undoing itself is not noted */
    for (size_t i = rows->undo_count; i > 0; i--) {
        struct undo *u = &rows->undo[i - 1];
        struct table *t = &rows->tables[u->table];
        char key[KEY_MAX];
        row_key(u->table, u->row, key);
        t->version++;
        switch (u->kind) {
        case UNDO_EDIT: {
            int64_t contact_now = row_contact(u->table, u->row);
            json_object_clear(u->row);
            json_object_update(u->row, u->before);
            if (contact_now != row_contact(u->table, u->row)) {
                index_remove(t, contact_now, u->row);
                index_add(t, row_contact(u->table, u->row), u->row);
            }
            break;
        }
        case UNDO_INSERT:
            index_remove(t, row_contact(u->table, u->row), u->row);
            json_object_del(t->by_key, key);
            json_object_del(t->fresh, key);
            t->found = NULL;
            break;
        case UNDO_REMOVE:
            add_row(rows, u->table, key, u->row);
            break;
        }
        if (u->was_changed)
            json_object_set(t->changed, key, u->row);
        else
            json_object_del(t->changed, key);
    }
    undo_forget(rows);
}

void rows_forget_changed(struct rows *rows)
{
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        if (json_object_size(rows->tables[i].changed) > 0)
            json_object_clear(rows->tables[i].changed);
        if (json_object_size(rows->tables[i].fresh) > 0)
            json_object_clear(rows->tables[i].fresh);
    }
}

json_t *rows_take_changed(struct rows *rows)
{
    json_t *changes = json_object();
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        struct table *t = &rows->tables[i];
        if (json_object_size(t->changed) > 0) {
            json_t *list = json_array();
            const char *key;
            json_t *row;
            json_object_foreach (t->changed, key, row)
                json_array_append(list, row);
            json_put(changes, rows_table_name((enum rows_table)i), list);
        }
    }
    rows_forget_changed(rows);
    return changes;
}
