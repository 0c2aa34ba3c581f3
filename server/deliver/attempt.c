#include "deliver/attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"
#include "channel/channel.h"
#include "deliver/retry.h"
#include "deliver/webhook_call.h"
#include "domain/departure.h"
#include "io/crypto.h"

#define CHANNEL_PAUSE_MS ((msec_t)60 * 1000)
#define WEBHOOK_TIMEOUT_MS 15000
/* Rules reach every process within a second or so, a configuration when it is restarted: for so long another process
 * may know a target that this one does not. */
#define TARGET_PATIENCE_MS ((msec_t)10 * 60 * 1000)
#define TARGET_LOOK_MS ((msec_t)1000)

/* A call that is in flight. */
struct attempt {
    struct attempt_context *context;
    json_t *delivery;
    const struct channel_kind *kind; /* NULL for outgoing webhooks */
    const char *sent_as;
    msec_t started_at;
    struct attempt *previous, *next; /* in the context's list */
};

static void attempt_free(struct attempt *attempt)
{
    struct attempt **to_this = attempt->previous != NULL ? &attempt->previous->next : &attempt->context->first;
    *to_this = attempt->next;
    if (attempt->next != NULL) {
        attempt->next->previous = attempt->previous;
    }
    json_decref(attempt->delivery);
    free(attempt);
}

static unsigned attempt_number(const json_t *delivery)
{
    return (unsigned)json_int(delivery, "attempts", 0) + 1;
}

/* The outcome as far as every ending shares it. */
static json_t *outcome_new(const struct attempt *attempt)
{
    const json_t *delivery = attempt->delivery;
    json_t *outcome = json_object();
    json_put_int(outcome, "id", json_int(delivery, "id", 0));
    json_put_str(outcome, "created_at", json_str(delivery, "created_at"));
    json_put_int(outcome, "number", attempt_number(delivery));
    json_put_time(outcome, "started_at", attempt->started_at);
    json_put_str(outcome, "sent_as", attempt->sent_as);
    return outcome;
}

static void count_outcome(const json_t *delivery, const json_t *outcome)
{
    char labels[200];
    snprintf(labels, sizeof(labels), "target=\"%.80s\",outcome=\"%.40s\"",
             json_str_or(delivery, "source", json_str_or(delivery, "endpoint", "")),
             json_str_or(outcome, "outcome", ""));
    metric_add(
        metric_counter("answerd_delivery_attempts_total", "Attempts at deliveries by target and outcome.", labels), 1);
}

/* What went wrong at the other side, by the class of its answer and by what we make of it. */
static void count_error(const struct attempt *attempt, const struct http_exchange *exchange, enum send_verdict verdict)
{
    static const char *const names[] = {
        [SEND_ACCEPTED] = "accepted",       [SEND_RETRY] = "retry",
        [SEND_REFUSED] = "refused",         [SEND_CHANNEL_DOWN] = "channel_down",
        [SEND_UNREACHABLE] = "unreachable", [SEND_OPTED_OUT] = "opted_out",
        [SEND_UNKNOWN] = "unknown",
    };
    static const char *const classes[] = { "other", "1xx", "2xx", "3xx", "4xx", "5xx" };
    if (verdict == SEND_ACCEPTED)
        return;
    const char *status = "none";
    if (exchange->outcome == HTTP_ANSWERED)
        status = exchange->status == 429                             ? "429"
                 : exchange->status >= 100 && exchange->status < 600 ? classes[exchange->status / 100]
                                                                     : classes[0];
    char labels[200];
    snprintf(labels, sizeof(labels), "target=\"%.80s\",status=\"%s\",verdict=\"%s\"",
             json_str_or(attempt->delivery, "source", json_str_or(attempt->delivery, "endpoint", "")), status,
             names[verdict]);
    metric_add(metric_counter("answerd_provider_errors_total",
                              "Calls that were not accepted, by target, class of the HTTP status and verdict.", labels),
               1);
}

static void outcome_done(struct attempt *attempt, json_t *outcome)
{
    count_outcome(attempt->delivery, outcome);
    json_array_append_new(attempt->context->outcomes, outcome);
    attempt_free(attempt);
}

static json_t *outcome_unsent(const struct attempt *attempt, const char *name, const char *code, const char *reason)
{
    json_t *outcome = outcome_new(attempt);
    json_put_str(outcome, "outcome", name);
    json_put_str(outcome, "error_code", code);
    json_put_str(outcome, "reason", reason);
    return outcome;
}

/* Ends an attempt for which nothing left. */
static void conclude_unsent(struct attempt *attempt, const char *name, const char *code, const char *reason)
{
    outcome_done(attempt, outcome_unsent(attempt, name, code, reason));
}

/* What was asked for a moment ago waits for a process that knows its target, at first for a second, longer as it grows
 * old. What is older goes to a target that is gone, and needs a person. */
static void conclude_unknown_target(struct attempt *attempt, const char *code, const char *reason)
{
    msec_t age = attempt->started_at - json_time(attempt->delivery, "created_at", 0);
    if (age >= TARGET_PATIENCE_MS) {
        conclude_unsent(attempt, "parked", code, reason);
        return;
    }
    json_t *outcome = outcome_unsent(attempt, "postponed", code, reason);
    json_put_time(outcome, "due_at", attempt->started_at + (age / 4 > TARGET_LOOK_MS ? age / 4 : TARGET_LOOK_MS));
    outcome_done(attempt, outcome);
}

static void put_retry(json_t *outcome, enum retry_schedule schedule, unsigned attempts, msec_t asked_ms, msec_t now,
                      uint32_t random)
{
    msec_t delay = retry_delay(schedule, attempts, asked_ms, random);
    json_put_str(outcome, "outcome", delay < 0 ? "parked" : "retry");
    if (delay >= 0) {
        json_put_time(outcome, "due_at", now + delay);
    }
}

void attempt_conclude(const struct send_result *result, bool is_webhook, unsigned attempts, msec_t now, uint32_t random,
                      json_t *outcome)
{
    if (result->code[0] != '\0') {
        json_put_bytes(outcome, "error_code", bytes_of(result->code));
    }
    if (result->reason[0] != '\0') {
        json_put_bytes(outcome, "reason", bytes_of(result->reason));
    }
    switch (result->verdict) {
    case SEND_ACCEPTED:
        json_put_str(outcome, "outcome", "sent");
        if (result->provider_message_id[0] != '\0') {
            json_put_bytes(outcome, "provider_message_id", bytes_of(result->provider_message_id));
        }
        json_object_del(outcome, "error_code");
        json_object_del(outcome, "reason");
        break;
    case SEND_RETRY:
        put_retry(outcome, is_webhook ? RETRY_WEBHOOK : RETRY_MESSAGE, attempts, result->retry_after_ms, now, random);
        if (result->pause_ms > 0) {
            json_put_int(outcome, "pause_source_ms", result->pause_ms);
        }
        break;
    case SEND_CHANNEL_DOWN:
        put_retry(outcome, RETRY_CHANNEL_DOWN, attempts, result->retry_after_ms, now, random);
        json_put_int(outcome, "pause_source_ms", CHANNEL_PAUSE_MS);
        break;
    case SEND_REFUSED:
        json_put_str(outcome, "outcome", "failed");
        break;
    case SEND_UNREACHABLE:
        json_put_str(outcome, "outcome", "failed");
        json_put_bool(outcome, "unreachable", true);
        break;
    case SEND_OPTED_OUT:
        json_put_str(outcome, "outcome", "failed");
        json_put_bool(outcome, "opted_out", true);
        break;
    case SEND_UNKNOWN:
        json_put_str(outcome, "outcome", "unknown");
        break;
    }
    if (result->new_address[0] != '\0') {
        json_put_bytes(outcome, "new_recipient", bytes_of(result->new_address));
    }
}

/* Whether it is the target that fails, whatever it is called with. */
static void note_outage(const struct attempt *attempt, const struct http_exchange *exchange, enum send_verdict verdict)
{
    struct outages *outages = attempt->context->outages;
    if (outages == NULL) {
        return;
    }
    /* As the outbox and pauses call it. */
    struct buf target CLEANUP(buf_done);
    buf_init(&target, 256);
    buf_addf(&target, "%s%s", attempt->kind == NULL ? "endpoint " : "",
             json_str_or(attempt->delivery, attempt->kind == NULL ? "endpoint" : "source", ""));
    if (verdict == SEND_ACCEPTED) {
        outages_accepted(outages, target.ptr, clock_steady());
    } else if (exchange->outcome != HTTP_ANSWERED || exchange->status >= 500 || verdict == SEND_CHANNEL_DOWN) {
        outages_failed(outages, target.ptr, clock_steady());
    }
}

static void add_alert(struct attempt *attempt, const char *what, const struct send_result *result)
{
    json_t *alert = json_object();
    json_put_str(alert, "problem", what);
    json_put_str(alert, "source",
                 json_str_or(attempt->delivery, "source", json_str_or(attempt->delivery, "endpoint", "")));
    json_put_bytes(alert, "code", bytes_of(result->code));
    json_put_bytes(alert, "reason", bytes_of(result->reason));
    json_array_append_new(attempt->context->alerts, alert);
}

static void classify_message(const struct attempt *attempt, const struct http_exchange *exchange,
                             struct send_result *result)
{
    *result = (struct send_result){ .verdict = SEND_RETRY, .retry_after_ms = exchange->retry_after_ms };
    if (exchange->outcome == HTTP_ANSWERED) {
        attempt->kind->classify(exchange, result);
        return;
    }
    /* Whatever the channel: what never left may be sent again, what may have arrived must not. */
    result->verdict = exchange->outcome == HTTP_NOT_SENT ? SEND_RETRY : SEND_UNKNOWN;
    snprintf(result->reason, sizeof(result->reason), "%s", exchange->error);
}

static void attempt_ended(const struct http_exchange *exchange, void *arg)
{
    struct attempt *attempt = arg;
    bool is_webhook = attempt->kind == NULL;
    struct send_result result;
    bool gone = false;
    if (is_webhook) {
        webhook_call_classify(exchange, &result, &gone);
    } else {
        classify_message(attempt, exchange, &result);
    }
    count_error(attempt, exchange, result.verdict);
    note_outage(attempt, exchange, result.verdict);
    metric_observe(metric_histogram("answerd_delivery_seconds", "Time that calls to providers and endpoints took.", ""),
                   (double)exchange->duration_ms / 1000);
    json_t *outcome = outcome_new(attempt);
    json_put_int(outcome, "duration_ms", exchange->duration_ms);
    if (exchange->outcome == HTTP_ANSWERED) {
        json_put_int(outcome, "status", exchange->status);
    }
    attempt_conclude(&result, is_webhook, attempt_number(attempt->delivery), clock_shared(), crypto_random_u32(),
                     outcome);
    if (result.verdict == SEND_CHANNEL_DOWN) {
        add_alert(attempt, "channel_down", &result);
    } else if (result.alarming) {
        add_alert(attempt, "channel_limited", &result);
    }
    if (gone) {
        json_put_bool(outcome, "disable_endpoint", true);
        add_alert(attempt, "endpoint_gone", &result);
    }
    outcome_done(attempt, outcome);
}

/* Sends what was rendered; `call` is used up. */
static void attempt_send(struct attempt *attempt, struct outgoing_request *call, msec_t timeout_ms,
                         bool guard_addresses)
{
    const struct http_client_request request = {
        .url = call->url.ptr,
        .headers = (const char *const *)call->headers,
        .body = buf_bytes(&call->body),
        .timeout_ms = timeout_ms,
        .forbid_private_addresses = guard_addresses,
        .allowed_networks = &attempt->context->config->deliver.allowed,
    };
    http_client_send(attempt->context->client, &request, attempt_ended, attempt);
    outgoing_request_done(call);
}

static void start_webhook(struct attempt *attempt)
{
    const struct attempt_context *context = attempt->context;
    const char *name = json_str_or(attempt->delivery, "endpoint", "");
    const json_t *endpoint = context->rules != NULL ? rule_set_declaration(context->rules, "endpoint", name) : NULL;
    attempt->sent_as = "webhook";
    if (endpoint == NULL) {
        conclude_unknown_target(attempt, "no_endpoint", "the rules in force declare no such endpoint");
        return;
    }
    struct outgoing_request call = { .headers = { NULL } };
    struct error error;
    if (webhook_call_render(json_int(attempt->delivery, "id", 0), json_object_at(attempt->delivery, "request"),
                            endpoint, clock_now(), &call, &error) != ERR_NONE) {
        outgoing_request_done(&call);
        conclude_unsent(attempt, "failed", "render", error.text);
        return;
    }
    attempt_send(attempt, &call, json_int(endpoint, "timeout_ms", WEBHOOK_TIMEOUT_MS),
                 !context->config->deliver.allow_private_addresses);
}

static void start_message(struct attempt *attempt)
{
    const struct attempt_context *context = attempt->context;
    const char *name = json_str_or(attempt->delivery, "source", "");
    const struct source_config *source = config_source(context->config, name);
    attempt->kind = source != NULL ? channel_find(source->kind) : NULL;
    if (attempt->kind == NULL || attempt->kind->render == NULL) {
        conclude_unknown_target(attempt, "no_source", "the configuration has no such source that can send");
        return;
    }
    const json_t *delivery = attempt->delivery;
    const struct departure departure =
        departure_decide(delivery, json_object_at(delivery, "contact"), json_object_at(delivery, "address"),
                         attempt->kind->window_ms, attempt->started_at);
    if (departure.sent_as == NULL) {
        conclude_unsent(attempt, "blocked", departure.code, departure.reason);
        return;
    }
    attempt->sent_as = departure.sent_as;
    bool approved = strcmp(departure.sent_as, "approved") == 0;
    struct outgoing_request call = { .headers = { NULL } };
    struct error error;
    if (attempt->kind->render(json_object_at(attempt->delivery, "request"), approved, source->settings, &call,
                              &error) != ERR_NONE) {
        outgoing_request_done(&call);
        conclude_unsent(attempt, "failed", "render", error.text);
        return;
    }
    /* Base URLs of providers come from the operator's configuration, not from rules: they may be private. */
    attempt_send(attempt, &call, context->config->deliver.timeout_ms, false);
}

static struct attempt *attempt_new(struct attempt_context *context, json_t *delivery)
{
    struct attempt *attempt = memory_new(sizeof(*attempt));
    attempt->context = context;
    attempt->delivery = delivery;
    attempt->started_at = clock_shared();
    attempt->next = context->first;
    if (attempt->next != NULL) {
        attempt->next->previous = attempt;
    }
    context->first = attempt;
    return attempt;
}

void attempt_hand_back(struct attempt_context *context, json_t *delivery)
{
    conclude_unsent(attempt_new(context, delivery), "postponed", NULL, NULL);
}

void attempt_start(struct attempt_context *context, json_t *delivery)
{
    struct attempt *attempt = attempt_new(context, delivery);
    if (strcmp(json_str_or(delivery, "kind", ""), "webhook") == 0) {
        start_webhook(attempt);
    } else {
        start_message(attempt);
    }
}

static size_t count_where(const struct attempt_context *context, const char *field, const char *name)
{
    size_t count = 0;
    for (const struct attempt *attempt = context->first; attempt != NULL; attempt = attempt->next) {
        count += strcmp(json_str_or(attempt->delivery, field, ""), name) == 0;
    }
    return count;
}

size_t attempt_count_to(const struct attempt_context *context, const char *source)
{
    return count_where(context, "source", source);
}

size_t attempt_count_to_endpoint(const struct attempt_context *context, const char *endpoint)
{
    return count_where(context, "endpoint", endpoint);
}

void attempt_drop_all(struct attempt_context *context)
{
    while (context->first != NULL) {
        attempt_free(context->first); /* NOLINT(clang-analyzer-unix.Malloc): takes it off the list */
    }
}
