/* Events in the form in which they are stored: their texts in one piece of memory, instead of a tree of many. */
#include "store/store.h"

#include <stdlib.h>

#include "base/memory.h"
#include "io/crypto.h"

/* What columns say. */
static const char *const not_in_document[] = { "id", "lane", "received_at", NULL };

static void digest_key(const char *key, unsigned char ret_digest[EVENT_DIGEST_SIZE])
{
    const struct bytes text = bytes_of(key);
    unsigned char digest[SHA256_SIZE];
    crypto_hash(HASH_SHA256, &text, 1, digest);
    memcpy(ret_digest, digest, EVENT_DIGEST_SIZE);
}

/* Returns how long it is. */
static size_t add_text(struct buf *out, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    buf_add(out, text, length);
    return length;
}

/* Appends the event's texts in the order of place_texts(). */
static err_t add_event(struct buf *texts, const json_t *canonical, struct ingest_event *event, struct error *reterr)
{
    const char *type = json_str(canonical, "type");
    const char *key = json_str(canonical, "key");
    if (!type || !key)
        return fail(reterr, ERR_INTERNAL, "an event without type or key cannot be stored");
    digest_key(key, event->digest);
    event->type.len = add_text(texts, type);
    event->key.len = add_text(texts, key);
    event->occurred_at.len = add_text(texts, json_str(canonical, "occurred_at"));
    size_t before = texts->len;
    json_add_without(texts, canonical, not_in_document);
    event->doc.len = texts->len - before;
    return ERR_NONE;
}

static const char *place_texts(struct ingest_event *event, const char *at)
{
    event->type.ptr = at;
    event->key.ptr = event->type.ptr + event->type.len;
    event->occurred_at.ptr = event->key.ptr + event->key.len;
    event->doc.ptr = event->occurred_at.ptr + event->occurred_at.len;
    at = event->doc.ptr + event->doc.len;
    if (event->occurred_at.len == 0)
        event->occurred_at.ptr = NULL;
    return at;
}

err_t ingest_events_init(struct ingest_events *events, const json_t *canonical, struct buf *scratch,
                         struct error *reterr)
{
    *events = (struct ingest_events){ .count = json_array_size(canonical) };
    if (events->count == 0)
        return ERR_NONE;
    events->list = memory_new(events->count * sizeof(*events->list));
    buf_clear(scratch);
    for (size_t i = 0; i < events->count; i++) {
        err_t result = add_event(scratch, json_array_get(canonical, i), &events->list[i], reterr);
        if (result == ERR_NONE && scratch->overflowed)
            result = fail(reterr, ERR_TOO_BIG, "the events of a webhook are larger than %zu bytes", scratch->max);
        if (result != ERR_NONE) {
            ingest_events_done(events);
            return result;
        }
    }
    events->texts = memory_text_n(scratch->ptr, scratch->len);
    const char *at = events->texts;
    for (size_t i = 0; i < events->count; i++)
        at = place_texts(&events->list[i], at);
    return ERR_NONE;
}

void ingest_events_done(struct ingest_events *events)
{
    free(events->list);
    free(events->texts);
    *events = (struct ingest_events){ 0 };
}
