#include "channel/channel.h"

#include "channel/event.h"
#include "channel/kinds.h"

#include <stdlib.h>
#include <strings.h>

static const struct channel_kind *const kinds[] = {
    /* messaging */
    &channel_whatsapp,
    &channel_messenger,
    &channel_instagram,
    &channel_meta,
    &channel_telegram,
    /* payments and generic senders */
    &channel_stripe,
    &channel_standard_webhooks,
    &channel_svix,
    &channel_polar,
    &channel_hmac,
    &channel_paddle,
    &channel_razorpay,
    &channel_adyen,
    &channel_paypal,
    &channel_square,
    &channel_mollie,
    &channel_gocardless,
    &channel_lemonsqueezy,
    &channel_shopify,
    &channel_chargebee,
    NULL,
};

const struct channel_kind *channel_find(const char *kind)
{
    for (size_t i = 0; kinds[i] != NULL; i++) {
        if (strcmp(kinds[i]->name, kind) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

const struct channel_kind *const *channel_all(void)
{
    return kinds;
}

err_t channel_parse(const struct channel_kind *kind, const struct webhook *w, const json_t *settings, json_t *events,
                    struct error *reterr)
{
    size_t before = json_array_size(events);
    err_t err = kind->parse(w, settings, events, reterr);
    if (err != ERR_NONE || json_array_size(events) > before) {
        return err;
    }
    json_t *body CLEANUP(json_free) = NULL;
    err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    event_key_of_bytes(&key, w->body);
    event_add_unknown(events, w, kind->provider, "empty", key.ptr, 0, body);
    return ERR_NONE;
}

bool webhook_header_is(const struct webhook_header *header, const char *name)
{
    /* Nearly all names differ in their first letter already; of one letter the cases differ in one bit. */
    return ((header->name[0] ^ name[0]) & ~('a' ^ 'A')) == 0 && strcasecmp(header->name, name) == 0;
}

const char *webhook_header_value(const struct webhook *w, const char *name)
{
    for (size_t i = 0; i < w->header_count; i++) {
        if (webhook_header_is(&w->headers[i], name)) {
            return w->headers[i].value;
        }
    }
    return NULL;
}

void outgoing_request_done(struct outgoing_request *request)
{
    if (request == NULL) {
        return;
    }
    buf_done(&request->url);
    buf_done(&request->body);
    for (size_t i = 0; i < ARRAY_LEN(request->headers); i++) {
        free(request->headers[i]);
        request->headers[i] = NULL;
    }
}
