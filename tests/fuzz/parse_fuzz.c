/* Every parser of a provider's body. The input: the kind, then the body. Events are well formed whatever came, and the
 * same body gives the same events. */
#include "channel/channel.h"

#include "fuzz.h"

static const struct channel_kind *kind_of(const char *name)
{
    const struct channel_kind *kind = channel_find(name);
    if (kind)
        return kind;
    size_t count = 0;
    while (channel_all()[count])
        count++;
    return channel_all()[(unsigned char)name[0] % count];
}

static void check_event(const json_t *event)
{
    size_t index;
    const json_t *identity;
    MUST_HOLD(json_is_object(event));
    MUST_HOLD(json_str(event, "type") && json_str(event, "type")[0]);
    MUST_HOLD(json_str(event, "key") && json_str(event, "key")[0]);
    const json_t *identities = json_at(event, "contact.identities");
    json_array_foreach (identities, index, identity) {
        MUST_HOLD(json_is_string(identity) && strchr(json_string_value(identity), ':'));
    }
    /* PostgreSQL takes it: our own parser is as strict. */
    char *text = json_dump(event);
    json_t *again = NULL;
    struct error e;
    MUST_HOLD(text_is_utf8(bytes_of(text)));
    MUST_HOLD(json_parse(bytes_of(text), &again, &e) == ERR_NONE);
    json_decref(again);
    free(text);
}

static json_t *parse(const struct channel_kind *kind, const struct webhook *w, const json_t *settings)
{
    json_t *events = json_array();
    struct error e = { 0 };
    if (kind->parse(w, settings, events, &e) != ERR_NONE) {
        MUST_HOLD(e.text[0]);
        json_array_clear(events);
    }
    return events;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes rest = { (const char *)data, size };
    char *name = fuzz_line(&rest);
    const struct channel_kind *kind = kind_of(name);
    free(name);
    if (!kind->parse)
        return 0;
    json_t *settings = NULL;
    MUST_HOLD(json_parse(BYTES_LITERAL("{\"type\":\"event.type\",\"id\":\"id\",\"phone_number_id\":\"1\"}"), &settings,
                         NULL) == ERR_NONE);
    const struct webhook_header headers[] = { { "X-Shopify-Topic", "orders/paid" },
                                              { "X-Shopify-Webhook-Id", "1" },
                                              { "webhook-id", "msg_1" },
                                              { "X-Event-Name", "order_created" } };
    const struct webhook w = { .method = "POST",
                               .source = "fuzz",
                               .url = "",
                               .headers = headers,
                               .header_count = sizeof(headers) / sizeof(headers[0]),
                               .body = { rest.ptr ? rest.ptr : "", rest.len },
                               .now = (msec_t)1790000000 * 1000 };
    json_t *events = parse(kind, &w, settings);
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        check_event(event);
    }
    json_t *again = parse(kind, &w, settings);
    MUST_HOLD(json_equal(events, again));
    if (kind->answer) {
        struct buf answer;
        buf_init(&answer, 16384);
        kind->answer(events, &answer);
        buf_done(&answer);
    }
    json_decref(again);
    json_decref(events);
    json_decref(settings);
    return 0;
}
