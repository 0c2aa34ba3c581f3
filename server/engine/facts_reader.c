#include "engine/facts_reader.h"

#include "store/store.h"

#define RAW_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* The others fail because the first one did. */
static void note_trouble(struct facts_reader *facts, err_t err, const struct error *error)
{
    if (facts->err == ERR_NONE && err != ERR_NONE) {
        facts->err = err;
        facts->error = *error;
    }
}

static json_t *read_history(void *arg, int64_t conversation_id, size_t limit)
{
    struct facts_reader *facts = arg;
    json_t *messages = NULL;
    struct error error;
    note_trouble(facts, engine_store_history(facts->pg, conversation_id, limit, &messages, &error), &error);
    return messages;
}

static json_t *read_conversations(void *arg, int64_t contact_id, size_t limit)
{
    struct facts_reader *facts = arg;
    json_t *conversations = NULL;
    struct error error;
    note_trouble(facts, engine_store_conversations(facts->pg, contact_id, limit, &conversations, &error), &error);
    return conversations;
}

static struct bytes read_raw(void *arg, int64_t event_id)
{
    struct facts_reader *facts = arg;
    struct error error;
    buf_clear(&facts->raw);
    err_t err = engine_store_raw(facts->pg, event_id, &facts->raw, &error);
    if (err != ERR_NOT_FOUND && err != ERR_INTERNAL) { /* those are about the bytes */
        note_trouble(facts, err, &error);
    }
    return err == ERR_NONE && !facts->raw.overflowed ? buf_bytes(&facts->raw) : (struct bytes){ NULL, 0 };
}

struct fact_reader facts_reader_begin(struct facts_reader *facts, struct pg *pg)
{
    facts->pg = pg;
    facts->err = ERR_NONE;
    buf_init(&facts->raw, RAW_MAX_BYTES);
    return (struct fact_reader){
        .history = read_history,
        .conversations = read_conversations,
        .raw = read_raw,
        .arg = facts,
    };
}

void facts_reader_end(struct facts_reader *facts)
{
    buf_done(&facts->raw);
}
