/* What answerd knows of each provider, behind one table: verify, parse, sign, send.
 *
 * Everything here is a pure function of its arguments: no database, no clock, no network. `settings` is the
 * source's configuration object; `struct webhook` is one request as it arrived.
 */
#ifndef CHANNEL_CHANNEL_H
#define CHANNEL_CHANNEL_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "io/http_client.h"
#include "io/json.h"

struct webhook_header {
    const char *name;
    const char *value;
};

struct webhook {
    const char *method;
    const char *source; /* the source's name */
    const char *url;    /* the public URL of this source, for schemes that sign it; may be "" */
    const struct webhook_header *headers;
    size_t header_count;
    struct bytes body;
    msec_t now;
};

bool webhook_header_is(const struct webhook_header *header, const char *name); /* any case */
const char *webhook_header_value(const struct webhook *w, const char *name);   /* first; any case; NULL when missing */

/* One setting of a kind, for the configuration's checks and `answerd help`. */
struct channel_setting {
    const char *name;
    enum {
        SETTING_TEXT,
        SETTING_URL, /* http or https */
        SETTING_SECRET,
        SETTING_SECRETS, /* one or a list */
        SETTING_NUMBER,
        SETTING_BOOL,
        SETTING_DURATION,
    } type;
    bool required;
    const char *help;
};

/* What became of one send. */
enum send_verdict {
    SEND_ACCEPTED,     /* the provider has it; `provider_message_id` names it */
    SEND_RETRY,        /* surely not delivered; try again, not before `retry_after_ms` when that is >= 0 */
    SEND_REFUSED,      /* this message can never go this way */
    SEND_CHANNEL_DOWN, /* configuration or credentials: nothing goes on this source until someone acts; retried slowly
                        */
    SEND_UNREACHABLE,  /* refused, and the address as such is dead (blocked the bot, not on WhatsApp) */
    SEND_OPTED_OUT,    /* refused, and the contact stopped this kind of message */
    SEND_UNKNOWN,      /* it may have been delivered */
};

struct send_result {
    enum send_verdict verdict;
    msec_t retry_after_ms; /* -1: use the schedule */
    msec_t pause_ms;       /* > 0: others would be refused as well, nothing more to this source for so long */
    bool alarming;         /* it is tried again, and still a person must look at the source */
    char provider_message_id[256];
    char code[32];        /* the provider's error code, or "" */
    char reason[256];     /* for a person, without secrets */
    char new_address[64]; /* Telegram group upgrades: send there instead; else "" */
};

struct outgoing_request {
    struct buf url; /* may hold a token: never logged */
    struct buf body;
    char *headers[8]; /* "Name: value", free() each; ends with NULL */
};
void outgoing_request_done(struct outgoing_request *request);

struct channel_kind {
    const char *name;
    const char *provider;                   /* the event field: "whatsapp", "telegram", "stripe", … */
    const struct channel_setting *settings; /* ends with a NULL name */

    /* ERR_NONE: genuine. ERR_DENIED with the reason, for logs and `webhook verify` only: senders always see 401. */
    err_t (*verify)(const struct webhook *w, const json_t *settings, struct error *reterr);

    /* GET handshakes (Meta). NULL: the kind has none. Appends the answer's body; ERR_DENIED means 403. */
    err_t (*handshake)(const char *mode, const char *token, const char *challenge, const json_t *settings,
                       struct buf *answer);

    /* Appends canonical events to the array `events`, in the order they happened. Never fails as a whole because of
     * one unknown element: what is not understood becomes an event `webhook.SOURCE`. ERR_INVALID: nothing could be
     * read (not JSON, not this provider's envelope); the webhook is then kept as unparsed. */
    err_t (*parse)(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr);

    /* Appends the "Name: value\n" lines that the provider would send with this body at `now`. */
    err_t (*sign)(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr);
    /* The same for a kind whose form depends on the source's settings; then `sign` is NULL. */
    err_t (*sign_as_configured)(const struct webhook *w, const json_t *settings, struct bytes secret,
                                struct buf *headers, struct error *reterr);

    /* Finds settings that cannot work, beyond their types and presence. NULL: nothing more to check. */
    err_t (*check)(const json_t *settings, struct error *reterr);

    /* Answer to an accepted webhook; NULL means 200 with an empty body. */
    const char *accepted_body;

    /* For providers that read the answer: appends its body (application/json) for a webhook that held these events.
     * What appends nothing gets `accepted_body`. NULL: the answer is the same for every webhook. */
    void (*answer)(const json_t *events, struct buf *body);

    /* --- sending; all NULL for kinds that only receive --- */

    /* Can messages of this kind leave as free text only within a window after the customer's last message? */
    msec_t window_ms;           /* 0: no window */
    msec_t address_interval_ms; /* pace to one address (GCRA), with `address_burst` sends at once */
    unsigned address_burst;
    unsigned source_per_second; /* default pace of one source */

    /* Builds the HTTP call for a delivery's `request` object (see docs in channel/message.h); `approved` chooses the
     * approved template instead of the free form. */
    err_t (*render)(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                    struct error *reterr);
    void (*classify)(const struct http_exchange *exchange, struct send_result *result);

    /* `answerd webhook register`: the call that subscribes `url`. NULL: by hand at the provider. */
    err_t (*registration)(const char *url, const json_t *settings, struct outgoing_request *out, struct error *reterr);

    /* `answerd check --online`: the GET for a page of the account's templates, the one after the cursor `after` or,
     * NULL, the first; and what its answer says. Appends an object for each: {name, language, status, body: names of
     * its parameters ("1", "2" or words), header: "text", "image", …, header_parameters, buttons: [{kind,
     * wants_value}]}, and to `ret_after` the cursor of this page when there is another one. NULL: nothing is approved
     * at this provider. */
    err_t (*ask_templates)(const char *after, const json_t *settings, struct outgoing_request *out,
                           struct error *reterr);
    err_t (*read_templates)(struct bytes answer, json_t *templates, struct buf *ret_after, struct error *reterr);
};

/* `kind->parse`, and of what it makes nothing of (an empty list of entries, changes, items or events) an event
 * `webhook.SOURCE` with the whole body: no webhook ends without an event that tells what was in it. */
err_t channel_parse(const struct channel_kind *kind, const struct webhook *w, const json_t *settings, json_t *events,
                    struct error *reterr);

const struct channel_kind *channel_find(const char *kind); /* NULL when unknown */
const struct channel_kind *const *channel_all(void);       /* ends with NULL */

/* Version of the parsers as a whole; raised whenever a parser learns something. */
#define CHANNEL_PARSER_VERSION 6

#endif
