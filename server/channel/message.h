/* The two documents that the channels share with the rest of the program, and help for building requests.
 *
 * A canonical event, as `parse` appends it (ingest adds id, received_at and lane). Only keys that exist are present.
 *
 *   type, source, provider, key, occurred_at
 *   account            the provider's id of our side (phone number id, page, connected account)
 *   contact            {identities […], former_identities […], name, language, username, recipient, …}
 *                      identities[0] is the primary handle; `recipient` is what the provider wants as an address.
 *                      former_identities were this contact's until now and are given up (contact.identity_changed).
 *   message            {id, kind, text, media, location, contacts, order, button {id, text}, buttons, reply_to,
 *                      referral, emoji, removed, forwarded, thread, chat, flow, error, direction, callback_query_id,
 *                      command, …}
 *                      `id` of an edited or deleted message is that of the original; `reply_to` of a reaction is the
 *                      message reacted to, `removed` says that it was taken back; `direction` is "out" for what was
 *                      sent by us with another tool (message.sent_elsewhere), and for what we edited, deleted or
 *                      reacted to with one
 *   status             {message_id, state, echo, error {code, title, detail}, pricing, participant}
 *   template           {name, language, status (lower case), reason, detail}
 *   topic, provider_reason          contact.opted_out, contact.opted_in; the topic "channel" is this channel alone
 *   provider_type, body             webhook.SOURCE: what we have no word for, as the provider sent it
 *   problem            why an element is kept and not handled (webhook.SOURCE), for who configures the source
 *
 * A delivery's request, as the desk writes it and `render` reads it:
 *
 *   to        {recipient, identity}
 *   free      {text, buttons [{id, text} | {text, url}], media {kind, url | id, caption, file_name}, reply_to, thread,
 *              callback_query_id (Telegram: answers a tap instead of sending a message)}
 *   approved  {name, language, body [{name?, text}],
 *              header [{kind, name?, text | url | id, file_name | latitude, longitude, name, address}],
 *              buttons [{index, kind "quick_reply" | "url" | "copy_code" | "flow" | "catalog" | "mpm", value,
 *                        data (flow), sections [{title, products [id]}] (mpm)}]}
 *   echo      comes back with the provider's status webhooks where the provider does that
 */
#ifndef CHANNEL_MESSAGE_H
#define CHANNEL_MESSAGE_H

#include "channel/channel.h"

/* 24 hours after the customer's last message, less what a message may be under way. */
#define META_WINDOW_MS ((24 * 60 - 2) * (msec_t)60000)
#define DEFAULT_GRAPH_VERSION "v25.0"

#define MOST_BUTTONS 32

struct message_button {
    const char *text;
    const char *id;  /* NULL for a link */
    const char *url; /* NULL for a reply */
};

/* The free form of a request, checked: it has a text or media or a callback to answer, and each button has a text and
 * either an id or an http(s) URL. Borrowed from the request. */
struct message_form {
    const char *recipient;
    const char *text; /* "" when there is none */
    const char *reply_to;
    const char *thread;
    const char *echo;
    const char *callback_query_id;
    const char *media_kind; /* NULL without media; "image", "video", "audio", "document", "sticker" */
    const char *media_url;
    const char *media_id;
    const char *media_caption;
    const char *media_file_name;
    bool media_voice;
    struct message_button buttons[MOST_BUTTONS];
    size_t button_count;
    size_t link_count; /* of the buttons */
};

err_t message_form_read(const json_t *request, const char *identity_prefix, struct message_form *ret_form,
                        struct error *reterr) MUST_CHECK;
/* The recipient of any request: to.recipient, else to.identity without its prefix ("whatsapp:"). */
err_t message_recipient(const json_t *request, const char *identity_prefix, const char **ret_recipient,
                        struct error *reterr) MUST_CHECK;

/* The length as providers count it: UTF-16 code units. */
size_t message_length(const char *text);
/* ERR_INVALID "the WHAT has N characters, PROVIDER allows MOST". */
err_t message_check_length(const char *provider, const char *what, const char *text, size_t most,
                           struct error *reterr) MUST_CHECK;

/* Appends a line "text: url" for each link: for providers that have no link buttons beside others. */
void message_add_links(const struct message_form *form, struct buf *text);

/* Fills `out` with a JSON call; `out` need not be initialised. `bearer` may be NULL. */
err_t outgoing_json(struct outgoing_request *out, const char *bearer, const json_t *body, struct error *reterr,
                    const char *url_format, ...) PRINTF_LIKE(5, 6) MUST_CHECK;
/* POST api_url/api_version/OBJECT/EDGE with the source's access_token. */
err_t outgoing_graph(struct outgoing_request *out, const json_t *settings, const char *default_api_url,
                     const char *object, const char *edge, const json_t *body, struct error *reterr) MUST_CHECK;
/* The text setting `name`, or `fallback` when it is missing or empty. */
const char *setting_or(const json_t *settings, const char *name, const char *fallback);

#endif
