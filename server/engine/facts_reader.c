#include "engine/facts_reader.h"

#include "store/store.h"

#define RAW_MAX_BYTES ((size_t)16 * 1024 * 1024)

static json_t *read_history(void *arg, int64_t conversation_id, size_t limit)
{
    const struct facts_reader *facts = arg;
    return engine_store_history(facts->pg, conversation_id, limit);
}

static json_t *read_conversations(void *arg, int64_t contact_id, size_t limit)
{
    const struct facts_reader *facts = arg;
    return engine_store_conversations(facts->pg, contact_id, limit);
}

static struct bytes read_raw(void *arg, int64_t event_id)
{
    struct facts_reader *facts = arg;
    buf_clear(&facts->raw);
    if (engine_store_raw(facts->pg, event_id, &facts->raw, NULL) != ERR_NONE || facts->raw.overflowed) {
        return (struct bytes){ NULL, 0 };
    }
    return buf_bytes(&facts->raw);
}

struct fact_reader facts_reader_begin(struct facts_reader *facts, struct pg *pg)
{
    facts->pg = pg;
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
