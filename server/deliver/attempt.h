/* One attempt at one delivery: decide, render, send, and put the result into words that the store records. */
#ifndef DELIVER_ATTEMPT_H
#define DELIVER_ATTEMPT_H

#include "config/config.h"
#include "deliver/outages.h"
#include "io/http_client.h"
#include "rules/rule_set.h"

struct attempt;

struct attempt_context {
    const struct config *config;
    const struct rule_set *rules; /* for endpoints; may be replaced between attempts */
    struct http_client *client;
    json_t *outcomes;        /* array: each attempt appends one object for deliver_store_record() */
    struct outages *outages; /* is told how calls went; NULL: nobody is */
    json_t *alerts;          /* array of {source, reason, code}: what a person should look at */
    struct attempt *first;   /* of those in flight; starts as NULL */
};

/* Takes over `delivery` (see deliver_store_claim). Either appends its outcome at once, because nothing may or can be
 * sent, or starts the call, whose outcome is appended from http_client_wait(). `context` outlives the call. */
void attempt_start(struct attempt_context *context, json_t *delivery);

/* Takes over `delivery`, which nothing was done for: it waits again. */
void attempt_hand_back(struct attempt_context *context, json_t *delivery);

/* How many calls to a source are in flight. */
size_t attempt_count_to(const struct attempt_context *context, const char *source);
size_t attempt_count_to_endpoint(const struct attempt_context *context, const char *endpoint);

/* Forgets the calls in flight, after their HTTP client was freed. */
void attempt_drop_all(struct attempt_context *context);

/* What one send means for the delivery; pure. `outcome` gets outcome, due_at, reason, error_code, … Exposed for tests.
 */
struct send_result;
void attempt_conclude(const struct send_result *result, bool is_webhook, unsigned attempts, msec_t now, uint32_t random,
                      json_t *outcome);

#endif
