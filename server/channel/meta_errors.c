#include "channel/meta.h"

#include <stdio.h>

/* Graph API errors: {"error": {"message", "code", "error_subcode", "error_data": {"details"}}}. */

static void set_reason(struct send_result *result, const char *text)
{
    snprintf(result->reason, sizeof(result->reason), "%s", text);
}

static bool covers(const struct meta_error_class *class, int64_t code, int64_t subcode)
{
    return code >= class->first && code <= class->last && (class->subcode == 0 || class->subcode == subcode);
}

static void judge_error(const json_t *error, const struct http_exchange *exchange,
                        const struct meta_error_class *classes, size_t count, struct send_result *result)
{
    int64_t code = json_int(error, "code", -1);
    int64_t subcode = json_int(error, "error_subcode", 0);
    snprintf(result->code, sizeof(result->code), "%lld", (long long)code);
    const char *details = json_str(json_object_at(error, "error_data"), "details");
    set_reason(result, details ? details : json_str_or(error, "message", "no reason was given"));

    result->verdict = SEND_REFUSED;
    for (size_t i = 0; i < count; i++) {
        if (covers(&classes[i], code, subcode)) {
            result->verdict = classes[i].verdict;
            result->pause_ms = classes[i].pause_ms;
            if (classes[i].retry_after_ms > result->retry_after_ms) {
                result->retry_after_ms = classes[i].retry_after_ms;
            }
            return;
        }
    }
    /* A code that is new to us: believe the HTTP status. */
    if (exchange->status == 429 || exchange->status >= 500) {
        result->verdict = SEND_RETRY;
    } else if (exchange->status == 401) {
        result->verdict = SEND_CHANNEL_DOWN;
    }
}

static void judge_status(int status, struct send_result *result)
{
    snprintf(result->code, sizeof(result->code), "http_%d", status);
    if (status >= 500 || (status >= 200 && status < 300)) {
        result->verdict = SEND_UNKNOWN;
        set_reason(result, "the answer does not say whether the message was taken");
    } else if (status == 408 || status == 425 || status == 429) {
        result->verdict = SEND_RETRY;
        set_reason(result, "asked to try again later");
    } else if (status == 400 || status == 413) {
        result->verdict = SEND_REFUSED;
        set_reason(result, "refused without a reason");
    } else {
        result->verdict = SEND_CHANNEL_DOWN;
        set_reason(result, "what answered is not the provider's API: check api_url and the credentials");
    }
}

void meta_classify(const struct http_exchange *exchange, const char *id_path, const struct meta_error_class *classes,
                   size_t count, struct send_result *result)
{
    memset(result, 0, sizeof(*result));
    result->retry_after_ms = exchange->retry_after_ms;
    if (exchange->outcome != HTTP_ANSWERED) {
        result->verdict = exchange->outcome == HTTP_NOT_SENT ? SEND_RETRY : SEND_UNKNOWN;
        set_reason(result, exchange->error);
        return;
    }
    json_t *answer CLEANUP(json_free) = NULL;
    if (json_parse(exchange->body, &answer, NULL) != ERR_NONE) {
        judge_status(exchange->status, result);
        return;
    }
    const json_t *error = json_object_at(answer, "error");
    if (error) {
        judge_error(error, exchange, classes, count, result);
        return;
    }
    const char *id = json_string_value(json_at(answer, id_path));
    if (exchange->status < 200 || exchange->status >= 300 || id == NULL || *id == '\0') {
        judge_status(exchange->status, result);
        return;
    }
    result->verdict = SEND_ACCEPTED;
    snprintf(result->provider_message_id, sizeof(result->provider_message_id), "%s", id);
}
