/* The GET handlers of the API. */
#include "admin/api.h"
#include "base/text.h"
#include "openapi_document.h"
#include "store/api_store.h"

#define MESSAGES_SHOWN 200
#define PAGE_DEFAULT 50
#define PAGE_MOST 200

/* Answers with `result`, or with the failure. */
static bool answer_result(struct api_call *call, err_t err, json_t *result, const struct error *error)
{
    if (err != ERR_NONE) {
        return api_database_failed(call, error);
    }
    api_answer(call, 200, result);
    return true;
}

/* A number in the query between 1 and `most`. */
static bool query_number(struct api_call *call, const char *name, int64_t most, int64_t fallback, int64_t *ret_number)
{
    const char *text = json_str(call->query, name);
    *ret_number = fallback;
    if (text == NULL) {
        return true;
    }
    if (!text_to_i64(bytes_of(text), ret_number) || *ret_number < 1 || *ret_number > most) {
        api_refuse(call, 400, "invalid", NULL, "'%s' must be a number from 1 to %lld", name, (long long)most);
        return false;
    }
    return true;
}

static bool query_state(struct api_call *call, const char **ret_state)
{
    static const char *const states[] = { "open", "pending", "snoozed", "resolved", NULL };
    *ret_state = json_str(call->query, "state");
    if (*ret_state == NULL) {
        return true;
    }
    for (size_t i = 0; states[i] != NULL; i++) {
        if (strcmp(states[i], *ret_state) == 0) {
            return true;
        }
    }
    api_refuse(call, 400, "invalid", NULL, "'state' must be open, pending, snoozed or resolved");
    return false;
}

bool api_list_conversations(struct api_call *call)
{
    int64_t limit;
    int64_t contact;
    const char *state;
    if (!query_number(call, "limit", PAGE_MOST, PAGE_DEFAULT, &limit) ||
        !query_number(call, "contact", INT64_MAX, 0, &contact) || !query_state(call, &state)) {
        return true;
    }
    json_t *filter = json_object();
    json_put_int(filter, "limit", limit);
    if (contact != 0) {
        json_put_int(filter, "contact", contact);
    }
    json_put_str(filter, "state", state);
    json_put_str(filter, "assignee", json_str(call->query, "assignee"));
    json_put_str(filter, "tag", json_str(call->query, "tag"));
    json_put_str(filter, "cursor", json_str(call->query, "cursor"));
    json_t *page = NULL;
    struct error error;
    err_t err = api_store_conversations(call->pg, filter, &page, &error);
    json_decref(filter);
    return answer_result(call, err, page, &error);
}

bool api_get_conversation(struct api_call *call)
{
    json_t *conversation = NULL;
    struct error error;
    err_t err = api_store_conversation(call->pg, call->id, MESSAGES_SHOWN, &conversation, &error);
    return answer_result(call, err, conversation, &error);
}

bool api_get_contact(struct api_call *call)
{
    json_t *contact = NULL;
    struct error error;
    err_t err = api_store_contact(call->pg, call->id, &contact, &error);
    return answer_result(call, err, contact, &error);
}

bool api_get_event(struct api_call *call)
{
    json_t *outcome = NULL;
    struct error error;
    err_t err = api_store_event_outcome(call->pg, call->id, &outcome, &error);
    if (err == ERR_NONE) {
        json_put_int(outcome, "event", call->id);
    }
    return answer_result(call, err, outcome, &error);
}

bool api_get_openapi(struct api_call *call)
{
    call->status = 200;
    call->raw_answer = openapi_document[0].text;
    return true;
}
