/* The claim: events, then what is known about the people named in them. */
#include "store/engine_claim.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "store/query.h"

/* --- by what the events of a batch name people ------------------------------------------------------------------- */

struct texts {
    struct bytes *list; /* they belong to the documents, or to `made` of the names */
    size_t count, room;
};

struct numbers {
    int64_t *list;
    size_t count, room;
};

struct names {
    struct texts handles, status_sources, status_ids, references;
    struct texts message_sources, message_ids; /* of messages that are edited, answered or reported on */
    struct numbers contacts, conversations, echoes;
    struct numbers replayed; /* positions */
    json_t *made;
};

static void add_text(struct texts *texts, const char *text)
{
    if (texts->count == texts->room) {
        texts->room = texts->room * 2 + 64;
        texts->list = memory_resize(texts->list, texts->room * sizeof(*texts->list));
    }
    texts->list[texts->count++] = bytes_of(text);
}

static void add_number(struct numbers *numbers, int64_t number)
{
    if (number == 0) {
        return;
    }
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room * 2 + 64;
        numbers->list = memory_resize(numbers->list, numbers->room * sizeof(*numbers->list));
    }
    numbers->list[numbers->count++] = number;
}

/* Who is known by a phone number may be known by the same number at WhatsApp. */
static void add_handles(struct names *names, const json_t *identities)
{
    static const char phone[] = "phone:";
    size_t index;
    json_t *item;
    json_array_foreach (identities, index, item) {
        const char *identity = json_string_value(item);
        if (identity == NULL) {
            continue;
        }
        add_text(&names->handles, identity);
        if (strncmp(identity, phone, strlen(phone)) == 0) {
            json_t *same = json_sprintf("whatsapp:%s", identity + strlen(phone));
            json_array_append_new(names->made, same);
            add_text(&names->handles, json_string_value(same));
        }
    }
}

static void add_message(struct names *names, const char *source, const char *id)
{
    if (id != NULL) {
        add_text(&names->message_sources, source);
        add_text(&names->message_ids, id);
    }
}

static void add_status(struct names *names, const char *source, const json_t *status)
{
    const char *id = json_str(status, "message_id");
    add_number(&names->echoes, json_int(status, "echo", 0));
    add_message(names, source, id);
    if (id != NULL) {
        add_text(&names->status_sources, source);
        add_text(&names->status_ids, id);
    }
}

/* What an event may be the goal of: what was paid, ordered or begun (as domain/reference.c has them). */
static void add_references(struct names *names, const json_t *event)
{
    static const struct {
        const char *part, *key;
    } places[] = { { "payment", "reference" },    { "payment", "invoice" }, { "payment", "order" },
                   { "payment", "subscription" }, { "payment", "id" },      { "subscription", "id" },
                   { "order", "reference" },      { "order", "id" },        { "body", "reference" } };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const char *name = json_str(json_object_at(event, places[i].part), places[i].key);
        if (name != NULL && name[0] != '\0') {
            add_text(&names->references, name);
        }
    }
}

static void add_names(struct names *names, const json_t *event)
{
    static const char *const about_messages[] = { "message.edited", "message.deleted", "message.reaction",
                                                  "message.sent_elsewhere" };
    const char *source = json_str_or(event, "source", ""), *type = json_str_or(event, "type", "");
    const json_t *contact = json_object_at(event, "contact"), *message = json_object_at(event, "message");
    add_handles(names, json_array_at(contact, "identities"));
    add_handles(names, json_array_at(contact, "former_identities"));
    add_number(&names->contacts, json_int(event, "contact_id", 0));
    add_number(&names->conversations, json_int(event, "conversation_id", 0));
    add_status(names, source, json_object_at(event, "status"));
    add_message(names, source, json_str(message, "reply_to"));
    for (size_t i = 0; i < ARRAY_LEN(about_messages); i++) {
        if (strcmp(type, about_messages[i]) == 0) {
            add_message(names, source, json_str(message, "id"));
        }
    }
    add_references(names, event);
}

static void names_done(struct names *names)
{
    struct texts *texts[] = { &names->handles,    &names->status_sources,  &names->status_ids,
                              &names->references, &names->message_sources, &names->message_ids };
    struct numbers *numbers[] = { &names->contacts, &names->conversations, &names->echoes, &names->replayed };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free(texts[i]->list);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        free(numbers[i]->list);
    }
    json_decref(names->made);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

enum event_column {
    EVENT_POSITION,
    EVENT_ATTEMPTS,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_SOURCE,
    EVENT_KEY,
    EVENT_LANE,
    EVENT_RECEIVED_AT,
    EVENT_OCCURRED_AT,
    EVENT_DOC,
    EVENT_REPLAY,
    EVENT_HAPPENED,
    EVENT_ALSO_LOAD,
    EVENT_RULES_GENERATION, /* not of the event: what the rules were when it was claimed */
};
#define EVENT_COLUMNS                                                                                                  \
    "e.position, e.attempts, e.id, e.type, e.source, e.key, e.lane, to_json(e.received_at), to_json(e.occurred_at),"   \
    " e.doc, e.replay, e.happened, e.also_load"

static void put_text(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                     enum event_column column)
{
    json_put_bytes(event, name, pg_text(rows, row, column));
}

static err_t put_json(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                      enum event_column column, struct error *reterr)
{
    json_t *value = NULL;
    if (pg_is_null(rows, row, column)) {
        return ERR_NONE;
    }
    err_t err = json_parse(pg_text(rows, row, column), &value, reterr);
    if (err == ERR_NONE) {
        json_put(event, name, value);
    }
    return err;
}

/* A time as JSON has it, in quotes. */
static void put_time(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                     enum event_column column)
{
    const struct bytes quoted = pg_text(rows, row, column);
    if (quoted.len > 2) {
        json_put_bytes(event, name, (struct bytes){ quoted.ptr + 1, quoted.len - 2 });
    }
}

/* The document, with what the columns know better. */
static err_t read_event(const struct pg_result *rows, size_t row, json_t **ret_event, struct error *reterr)
{
    json_t *event = NULL;
    err_t err = json_parse(pg_text(rows, row, EVENT_DOC), &event, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_put_int(event, "id", pg_int8(rows, row, EVENT_ID));
    json_put_int(event, "lane", pg_int8(rows, row, EVENT_LANE));
    put_text(event, "type", rows, row, EVENT_TYPE);
    put_text(event, "source", rows, row, EVENT_SOURCE);
    put_text(event, "key", rows, row, EVENT_KEY);
    put_time(event, "received_at", rows, row, EVENT_RECEIVED_AT);
    put_time(event, "occurred_at", rows, row, EVENT_OCCURRED_AT);
    err = put_json(event, "replay", rows, row, EVENT_REPLAY, reterr);
    if (err == ERR_NONE) {
        err = put_json(event, "happened", rows, row, EVENT_HAPPENED, reterr);
    }
    if (err != ERR_NONE) {
        json_decref(event);
        return err;
    }
    *ret_event = event;
    return ERR_NONE;
}

static err_t add_also_load(struct names *names, const struct pg_result *rows, size_t row, struct error *reterr)
{
    json_t *identities = NULL;
    if (pg_is_null(rows, row, EVENT_ALSO_LOAD)) {
        return ERR_NONE;
    }
    err_t err = json_parse(pg_text(rows, row, EVENT_ALSO_LOAD), &identities, reterr);
    if (err == ERR_NONE) {
        json_array_append_new(names->made, identities);
        add_handles(names, identities);
    }
    return err;
}

static err_t read_events(const struct pg_result *rows, struct claim *claim, struct names *names, struct error *reterr)
{
    claim->work = json_array();
    for (size_t row = 0; row < pg_rows(rows); row++) {
        int64_t position = pg_int8(rows, row, EVENT_POSITION);
        json_t *event = NULL;
        err_t err = read_event(rows, row, &event, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        json_t *item = json_object();
        json_put_int(item, "position", position);
        json_put_int(item, "attempts", pg_int8(rows, row, EVENT_ATTEMPTS));
        json_put(item, "event", event);
        json_array_append_new(claim->work, item);
        add_names(names, event);
        if (!pg_is_null(rows, row, EVENT_REPLAY)) {
            claim->replays = true;
            add_number(&names->replayed, position);
        }
        err = add_also_load(names, rows, row, reterr);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* --- facts ------------------------------------------------------------------------------------------------------- */

static struct pg_value text_array(const struct texts *texts)
{
    return PG_VALUE_TEXTS(texts->list, texts->count);
}

static struct pg_value number_array(const struct numbers *numbers)
{
    return PG_VALUE_INT8S(numbers->list, numbers->count);
}

static err_t read_facts(struct pg *pg, const struct names *names, bool locking, json_t **ret_facts,
                        struct error *reterr)
{
    static const char sql[] =
        "SELECT contacts, identities, addresses, conversations, surveys, outreaches, timers, messages"
        "  FROM claimed_facts(ROW(nullif($1::text[], '{}'), nullif($2::bigint[], '{}'), nullif($3::bigint[], '{}'),"
        " nullif($4::bigint[], '{}'), nullif($5::text[], '{}'), nullif($6::text[], '{}'), nullif($7::text[], "
        "'{}'))::event_names,"
        " $8::text[], $9::text[], $10::bigint[], $11)";
    static const char *const tables[] = { "contacts", "identities", "addresses", "conversations",
                                          "surveys",  "outreaches", "timers",    "messages" };
    const struct pg_value values[] = {
        text_array(&names->handles),
        number_array(&names->contacts),
        number_array(&names->conversations),
        number_array(&names->echoes),
        text_array(&names->status_sources),
        text_array(&names->status_ids),
        text_array(&names->references),
        text_array(&names->message_sources),
        text_array(&names->message_ids),
        number_array(&names->replayed),
        PG_VALUE_BOOL(locking),
    };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *facts = json_object();
    for (size_t i = 0; pg_rows(result) > 0 && i < ARRAY_LEN(tables); i++) {
        json_t *rows = NULL;
        if (pg_is_null(result, 0, i)) {
            continue;
        }
        err = json_parse(pg_text(result, 0, i), &rows, reterr);
        if (err != ERR_NONE) {
            json_decref(facts);
            return err;
        }
        json_put(facts, tables[i], rows);
    }
    *ret_facts = facts;
    return ERR_NONE;
}

static err_t read_claim(struct pg *pg, const struct pg_result *rows, bool locking, struct claim *claim,
                        struct error *reterr)
{
    struct names names = { .made = json_array() };
    err_t err = read_events(rows, claim, &names, reterr);
    if (err == ERR_NONE && json_array_size(claim->work) > 0) {
        err = read_facts(pg, &names, locking, &claim->facts, reterr);
    }
    names_done(&names);
    return err;
}

void claim_done(struct claim *claim)
{
    json_decref(claim->work);
    json_decref(claim->facts);
    claim->work = NULL;
    claim->facts = NULL;
}

static err_t run_claim(struct pg *pg, size_t limit, int64_t only_position, struct claim *claim, struct error *reterr)
{
    static const char sql[] = "SELECT " EVENT_COLUMNS ", (SELECT generation FROM rule_pointer)"
                              "  FROM claimed_events(claim_positions($1::integer, $2::bigint)) AS e";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)limit), PG_VALUE_INT8(only_position) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    claim->rules_generation = pg_rows(result) > 0 ? pg_int8(result, 0, EVENT_RULES_GENERATION) : 0;
    return read_claim(pg, result, true, claim, reterr);
}

err_t engine_store_claim(struct pg *pg, size_t limit, int64_t only_position, struct claim *ret_claim,
                         struct error *reterr)
{
    struct claim claim = { .work = NULL };
    err_t err = pg_script(pg, "BEGIN ISOLATION LEVEL READ COMMITTED", reterr);
    if (err == ERR_NONE) {
        err = run_claim(pg, limit, only_position, &claim, reterr);
        if (err == ERR_NONE && json_array_size(claim.work) == 0) {
            err = pg_script(pg, "COMMIT", reterr);
        }
        if (err != ERR_NONE) {
            engine_store_rollback(pg);
        }
    }
    if (err != ERR_NONE) {
        claim_done(&claim);
        return err;
    }
    *ret_claim = claim;
    return ERR_NONE;
}

err_t engine_claim_replay(struct pg *pg, int64_t replay_id, struct claim *ret_claim, struct error *reterr)
{
    static const char sql[] =
        "SELECT " EVENT_COLUMNS " FROM claimed_events((SELECT coalesce(array_agg(position), '{}') FROM work"
        " WHERE replay_id = $1::bigint)) AS e";
    const struct pg_value values[] = { PG_VALUE_INT8(replay_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    struct claim claim = { .work = NULL };
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        err = read_claim(pg, result, false, &claim, reterr);
    }
    if (err != ERR_NONE) {
        claim_done(&claim);
        return err;
    }
    *ret_claim = claim;
    return ERR_NONE;
}
