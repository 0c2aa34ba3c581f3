/* What the parts of the simulator share; for simulate/ alone. */
#ifndef SIMULATE_SIMULATOR_H
#define SIMULATE_SIMULATOR_H

#include "channel/channel.h"
#include "io/http_server.h"
#include "io/loop.h"
#include "simulate/fault.h"
#include "simulate/simulate.h"

struct poster;
struct held_answer;

struct simulator {
    const struct config *config;
    msec_t delay_ms;
    struct loop *loop;
    struct http_server *server;
    struct poster *poster;
    struct fault_list faults;
    struct held_answer *held; /* answers that wait, for "slow" */
    struct loop_timer *hold_timer;
    json_t *sent;        /* array: what was accepted, in order */
    json_t *hooks;       /* array: what came to /hook/NAME */
    json_t *methods;     /* array: Bot API methods that send nothing */
    json_t *templates;   /* object: source -> list of approved names; a source without one accepts any */
    int64_t last_number; /* of sent messages and of ids that the providers' side makes up */
};

int64_t simulator_number(struct simulator *s); /* never the same twice, also not over restarts within a second */

/* The source of `kind` whose setting `name` is `value`; NULL when there is none. */
const struct source_config *source_by_setting(const struct simulator *s, const char *kind, const char *name,
                                              const char *value);
const struct source_config *source_of_kind(const struct simulator *s, const char *kind); /* the first one */

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Takes `body` over. */
void answer_json(struct http_request *request, int status, json_t *body);
/* The same after `after_ms`. */
void answer_later(struct simulator *s, struct http_request *request, int status, json_t *body, msec_t after_ms);
/* Breaks the connection off in the middle of the answer, so that the sender cannot know what became of its request. */
void answer_broken(struct http_request *request);
void held_answers_free(struct simulator *s);

/* --- what every provider's side does with a send that it accepts ---------------------------------------------------
 */

struct accepted_send {
    const struct source_config *source;
    const char *method; /* of the Bot API; NULL elsewhere */
    const char *to;     /* as it was given */
    const char *message_id;
    const char *echo; /* may be NULL */
    json_t *body;     /* borrowed */
};
/* A new entry with `number` and `at` at the end of one of the lists above, borrowed. */
json_t *record(struct simulator *s, json_t *list);
/* Records it for /control/sent and logs a line. */
void record_send(struct simulator *s, const struct accepted_send *send);
/* Answers with `body` (taken over) as the faults of the source demand: now, later or not at all. */
void answer_accepted(struct simulator *s, struct http_request *request, const char *source, json_t *body);

/* How to say no in each provider's words. Returns true when a fault was there and has answered. */
typedef void refuse_function(struct http_request *request, const struct fault *fault);
bool answer_fault(struct simulator *s, struct http_request *request, const char *source, refuse_function *refuse);

/* Posts a status webhook (taken over), twice when the source has the fault "duplicate". */
void post_status(struct simulator *s, const struct source_config *source, json_t *body, msec_t after_ms);

/* --- the sides ---------------------------------------------------------------------------------------------------- */

/* Each handles a path or says that it is not its own. `path` has no query. */
bool whatsapp_side(struct simulator *s, struct http_request *request, const char *path);
bool messenger_side(struct simulator *s, struct http_request *request, const char *path);
bool telegram_side(struct simulator *s, struct http_request *request, const char *path);
bool hook_side(struct simulator *s, struct http_request *request, const char *path);
bool control_side(struct simulator *s, struct http_request *request, const char *path);

/* What came back on a webhook that was taken: Telegram executes a method named there. */
void telegram_take_answer(struct simulator *s, const struct source_config *source, struct bytes body);

/* NULL when the body of a WhatsApp send is as Meta wants it; else what is wrong, with `*ret_code`. */
const char *whatsapp_problem(const json_t *body, int *ret_code, struct buf *reason);

/* "/v25.0/OBJECT/messages": copies OBJECT; false for any other path. */
bool graph_path(const char *path, char *ret_object, size_t size);
/* The bearer token of a request, or "". */
const char *bearer_token(const struct http_request *request);
/* {"error": {"message", "type", "code", "error_data": {"details"}, "fbtrace_id"}} */
json_t *graph_error(int code, const char *details);
int graph_status_of(int code);
refuse_function graph_refuse;

/* What a customer does, as the webhook of the source's kind; new reference. NULL with `reterr`. */
json_t *say_body(struct simulator *s, const struct source_config *source, const json_t *what, struct error *reterr);
/* A Stripe event; new reference. */
json_t *stripe_body(struct simulator *s, const json_t *what);

#endif
