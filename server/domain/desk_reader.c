#include "domain/desk_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct entry {
    json_t *row;
    msec_t at;
    int64_t id;
};

static int by_time(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Is it known here already: the same row, or one that a shadow made of an event after its commit? */
static bool is_known(const struct desk *desk, enum rows_table table, const json_t *row)
{
    if (rows_by_id(desk->rows, table, row_id(row)))
        return true;
    int64_t event = table == ROWS_MESSAGE ? json_int(row, "event_id", 0) : 0;
    const char *name;
    json_t *own;
    json_object_foreach (rows_all(desk->rows, table), name, own) {
        if (event > 0 && json_int(own, "event_id", 0) == event && strcmp(json_str_or(own, "direction", ""), "in") == 0)
            return true;
    }
    return false;
}

/* The rows of `stored` (owned), those that the desk has too in the desk's words, and the desk's own that belong there
 * (`key` is `id`); sorted by `time_key`, the last `limit` of them. New reference. */
static json_t *combine(const struct desk *desk, enum rows_table table, json_t *stored, const char *key, int64_t id,
                       const char *time_key, size_t limit)
{
    json_t *own = rows_all(desk->rows, table);
    size_t capacity = json_array_size(stored) + json_object_size(own), count = 0;
    struct entry *entries = memory_new((capacity + 1) * sizeof(*entries));
    size_t index;
    json_t *row;
    json_array_foreach (stored, index, row) {
        if (!is_known(desk, table, row))
            entries[count++] = (struct entry){ row, json_time(row, time_key, 0), row_id(row) };
    }
    const char *name;
    json_object_foreach (own, name, row) {
        if (json_int(row, key, 0) == id)
            entries[count++] = (struct entry){ row, json_time(row, time_key, 0), row_id(row) };
    }
    qsort(entries, count, sizeof(*entries), by_time);
    json_t *list = json_array();
    for (size_t i = count > limit ? count - limit : 0; i < count; i++)
        json_array_append(list, entries[i].row);
    free(entries);
    json_decref(stored);
    return list;
}

static json_t *read_history(void *arg, int64_t conversation_id, size_t limit)
{
    const struct desk_reader *reader = arg;
    const struct fact_reader *store = reader->store;
    json_t *stored = store && store->history ? store->history(store->arg, conversation_id, limit) : NULL;
    return combine(reader->desk, ROWS_MESSAGE, stored, "conversation_id", conversation_id, "created_at", limit);
}

static json_t *read_conversations(void *arg, int64_t contact_id, size_t limit)
{
    const struct desk_reader *reader = arg;
    const struct fact_reader *store = reader->store;
    json_t *stored = store && store->conversations ? store->conversations(store->arg, contact_id, limit) : NULL;
    json_t *oldest_first =
        combine(reader->desk, ROWS_CONVERSATION, stored, "contact_id", contact_id, "updated_at", limit);
    json_t *list = json_array();
    for (size_t i = json_array_size(oldest_first); i > 0; i--)
        json_array_append(list, json_array_get(oldest_first, i - 1));
    json_decref(oldest_first);
    return list;
}

static struct bytes read_raw(void *arg, int64_t event_id)
{
    const struct desk_reader *reader = arg;
    const struct fact_reader *store = reader->store;
    return store && store->raw ? store->raw(store->arg, event_id) : (struct bytes){ NULL, 0 };
}

struct fact_reader desk_reader_begin(struct desk_reader *reader, const struct desk *desk)
{
    reader->desk = desk;
    reader->store = desk->settings.reader;
    return (struct fact_reader){
        .history = read_history, .conversations = read_conversations, .raw = read_raw, .arg = reader
    };
}
