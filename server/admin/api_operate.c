/* What other programs do through the API: they report events, and they set going again what was given up. */
#include "admin/api.h"
#include "admin/api_contact.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/api_store.h"

#define WAIT_MS 5000
#define KEY_MAX_CHARACTERS 500

/* The same Idempotency-Key of the same token names the same thing; without one each call is a thing of its own. */
static void put_key(struct api_call *call, json_t *doc)
{
    if (call->idempotency_key != NULL) {
        struct buf key CLEANUP(buf_done);
        buf_init(&key, 1024);
        buf_addf(&key, "api:%s:%s:%s", json_str_or(call->token, "name", ""), call->path, call->idempotency_key);
        json_put_bytes(doc, "key", buf_bytes(&key));
    }
}

json_t *api_event_doc(struct api_call *call, const char *type)
{
    json_t *doc = json_object();
    json_put_str(doc, "type", type);
    json_put_str(doc, "source", "api");
    json_put_str(doc, "provider", "answerd");
    put_key(call, doc);
    json_put_time(doc, "occurred_at", clock_shared());
    return doc;
}

bool api_add_event(struct api_call *call, json_t *doc, int64_t conversation_id)
{
    bool is_new = false;
    bool is_same = true;
    struct error error;
    err_t err = api_store_add_event(call->pg, doc, &call->waits_for_event, &is_new, &is_same, &error);
    json_decref(doc);
    if (err != ERR_NONE) {
        return api_database_failed(call, &error);
    }
    if (!is_same && call->idempotency_key != NULL) {
        int64_t first = call->waits_for_event;
        call->waits_for_event = 0;
        api_refuse(call, 422, "key_reused", "a key names one call; another one needs another key",
                   "this Idempotency-Key came with another body before, as event %lld; nothing was done",
                   (long long)first);
        return true;
    }
    call->conversation_id = conversation_id;
    call->give_up_at = clock_steady() + WAIT_MS;
    call->host->work_added(call->host->arg);
    return true;
}

static bool is_event_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= 100 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length;
}

/* A field of another type must not be one that is not there: without its key an event is a new one each time, and
 * without its conversation it is about nobody. Numbers may be texts of digits, for some languages have no others as
 * large; null is not there. */
static bool check_types(struct api_call *call)
{
    const json_t *conversation = json_object_get(call->input, "conversation");
    const json_t *wait = json_object_get(call->input, "wait");
    if (conversation != NULL && !json_is_null(conversation) && json_int_of(conversation, 0) < 1) {
        api_refuse(call, 400, "invalid", NULL, "'conversation' must be the number of a conversation");
        return false;
    }
    if (wait != NULL && !json_is_null(wait) && !json_is_boolean(wait)) {
        api_refuse(call, 400, "invalid", NULL, "'wait' must be true or false");
        return false;
    }
    return api_check_text(call, "key", KEY_MAX_CHARACTERS);
}

bool api_post_event(struct api_call *call)
{
    static const char *const fields[] = {
        "name", "body", "contact", "conversation", "key", "occurred_at", "wait", NULL
    };
    if (!api_check_keys(call, fields) || !check_types(call)) {
        return true;
    }
    const char *name = api_text(call, "name", 100);
    if (name == NULL) {
        return true;
    }
    if (strncmp(name, "custom.", strlen("custom.")) == 0) {
        name += strlen("custom.");
    }
    if (!is_event_name(name)) {
        api_refuse(call, 400, "invalid", NULL, "'name' may have letters, digits and _ . -");
        return true;
    }
    msec_t occurred_at = json_time(call->input, "occurred_at", 0);
    if (occurred_at == 0 && json_object_get(call->input, "occurred_at") != NULL) {
        api_refuse(call, 400, "invalid", NULL, "'occurred_at' must be a time such as 2026-11-23T08:00:00Z");
        return true;
    }
    const json_t *given = json_object_get(call->input, "contact");
    json_t *contact = NULL;
    if (given != NULL && (contact = api_contact_doc(call, given)) == NULL) {
        return true;
    }
    char type[120];
    snprintf(type, sizeof(type), "custom.%s", name);
    json_t *doc = api_event_doc(call, type);
    json_put_str(doc, "key", json_str(call->input, "key"));
    json_put_time(doc, "occurred_at", occurred_at);
    json_put_int(doc, "lane", lane_of("source:api"));
    if (contact != NULL) {
        const json_t *first = json_array_get(json_array_at(contact, "identities"), 0);
        json_put_int(doc, "lane", lane_of(json_string_value(first)));
        json_put(doc, "contact", contact);
    }
    const json_t *body = json_object_get(call->input, "body");
    json_put(doc, "body", body != NULL ? json_deep_copy(body) : json_object());
    int64_t conversation = json_int(call->input, "conversation", 0);
    if (conversation > 0) {
        json_t *owner = NULL;
        struct error error;
        if (api_store_owner(call->pg, conversation, &owner, &error) != ERR_NONE) {
            json_decref(doc);
            return api_database_failed(call, &error);
        }
        json_put_int(doc, "conversation_id", conversation);
        json_put_int(doc, "contact_id", json_int(owner, "contact_id", 0));
        json_put_int(doc, "lane", json_int(owner, "lane", 0));
        json_decref(owner);
    }
    bool wait = json_bool(call->input, "wait", false);
    if (!api_add_event(call, doc, 0)) {
        return false;
    }
    if (call->status == 0 && !wait) {
        json_t *answer = json_object();
        json_put_int(answer, "event", call->waits_for_event);
        json_put_str(answer, "state", "waiting");
        api_answer(call, 202, answer);
    }
    return true;
}

static bool answer_done(struct api_call *call, err_t err, const char *state, const struct error *error)
{
    if (err != ERR_NONE) {
        return api_database_failed(call, error);
    }
    json_t *answer = json_object();
    json_put_str(answer, "state", state);
    api_answer(call, 200, answer);
    return true;
}

bool api_retry_event(struct api_call *call)
{
    if (!api_has_no_fields(call)) {
        return true;
    }
    struct error error;
    err_t err = api_store_retry_event(call->pg, call->id, &error);
    call->host->work_added(call->host->arg);
    return answer_done(call, err, "waiting", &error);
}

bool api_retry_delivery(struct api_call *call)
{
    if (!api_has_no_fields(call)) {
        return true;
    }
    struct error error;
    err_t err = api_store_retry_delivery(call->pg, call->id, &error);
    call->host->deliveries_added(call->host->arg);
    return answer_done(call, err, "queued", &error);
}

bool api_resume_source(struct api_call *call)
{
    if (!api_has_no_fields(call)) {
        return true;
    }
    struct error error;
    err_t err = api_store_resume(call->pg, call->word, &error);
    call->host->deliveries_added(call->host->arg);
    return answer_done(call, err, "resumed", &error);
}

bool api_reload(struct api_call *call)
{
    if (!api_has_no_fields(call)) {
        return true;
    }
    json_t *report = NULL;
    struct error error;
    if (call->host->reload(call->host->arg, &report, &error) != ERR_NONE) {
        api_refuse(call, 422, "rules_do_not_load", "`answerd check` lists every problem", "%s", error.text);
        return true;
    }
    api_answer(call, 200, report);
    return true;
}
