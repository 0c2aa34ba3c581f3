/* Messenger and Instagram webhooks: entry[].messaging[], one element for each thing that happened. Source: Meta's
 * Messenger Platform and Instagram messaging webhook references.
 */
#include "channel/messenger.h"

#include "base/text.h"

#include <stdio.h>

struct item {
    const struct meta_entry *entry;
    const char *provider;
    json_t *element;
    msec_t at;
};

static json_t *keep(const struct item *i, const char *provider_type)
{
    json_t *event = meta_add_unknown(i->entry, i->provider, provider_type, i->element);
    if (i->at > 0) {
        json_put_time(event, "occurred_at", i->at); /* the entry's time is the one of sending */
    }
    return event;
}

static void add_party_id(const struct item *i, const char *party, struct buf *id)
{
    buf_init(id, 128);
    event_id_text(json_object_get(json_object_at(i->element, party), "id"), id);
    if (id->overflowed) {
        buf_clear(id);
    }
}

/* Was it done by the page or account itself, so that the customer is the recipient? */
static bool is_from_us(const struct item *i)
{
    struct buf ours CLEANUP(buf_done);
    struct buf sender CLEANUP(buf_done);
    buf_init(&ours, 128);
    event_id_text(json_object_get(i->entry->entry, "id"), &ours);
    add_party_id(i, "sender", &sender);
    return json_bool(json_object_at(i->element, "message"), "is_echo", false) ||
           (sender.len > 0 && bytes_equal(buf_bytes(&sender), buf_bytes(&ours)));
}

static void put_party(json_t *event, const struct item *i, const char *party)
{
    struct buf prefix CLEANUP(buf_done);
    struct buf id CLEANUP(buf_done);
    buf_init(&prefix, 32);
    buf_addf(&prefix, "%s:", i->provider);
    add_party_id(i, party, &id);
    if (id.len == 0) {
        return;
    }
    event_identify(event, prefix.ptr, id.ptr);
    json_put_str(event_contact(event), "recipient", id.ptr);
    json_put_str(event_contact(event), "username", json_str(json_object_at(i->element, party), "username"));
}

static void put_account(json_t *event, const struct item *i, const char *party)
{
    struct buf id CLEANUP(buf_done);
    add_party_id(i, party, &id);
    if (id.len > 0) {
        json_put_str(event, "account", id.ptr);
    }
}

/* Kept as it is, with the customer it is about. */
static void keep_with_party(const struct item *i, const char *provider_type)
{
    put_party(keep(i, provider_type), i, is_from_us(i) ? "recipient" : "sender");
}

static json_t *add(const struct item *i, const char *type, const char *key, bool from_us)
{
    json_t *event = event_append(i->entry->events, i->entry->w, i->provider, type, key, i->at);
    put_party(event, i, from_us ? "recipient" : "sender");
    put_account(event, i, from_us ? "sender" : "recipient");
    return event;
}

static json_t *put_object(json_t *event, const char *key)
{
    json_t *object = json_object();
    json_put(event, key, object);
    return object;
}

/* What the customer, or we with another tool, did to a message; returns the message object. */
static json_t *add_message(const struct item *i, const char *type, const char *key)
{
    bool from_us = is_from_us(i);
    json_t *doc = put_object(add(i, type, key, from_us), "message");
    json_put_str(doc, "direction", from_us ? "out" : NULL);
    return doc;
}

/* --- messages ------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *theirs, *ours;
} attachment_kinds[] = {
    { "image", "image" },       { "video", "video" },       { "audio", "audio" }, { "file", "document" },
    { "sticker", "sticker" },   { "location", "location" }, { "reel", "share" },  { "ig_reel", "share" },
    { "post", "share" },        { "ig_post", "share" },     { "share", "share" }, { "fallback", "share" },
    { "template", "template" },
};

static const char *kind_of_attachment(const json_t *attachment)
{
    const char *type = json_str_or(attachment, "type", "unsupported");
    const json_t *payload = json_object_at(attachment, "payload");
    if (strcmp(type, "image") == 0 && json_object_get(payload, "sticker_id")) {
        return "sticker"; /* how stickers came until August 2026 */
    }
    for (size_t i = 0; i < ARRAY_LEN(attachment_kinds); i++) {
        if (strcmp(attachment_kinds[i].theirs, type) == 0) {
            return attachment_kinds[i].ours;
        }
    }
    return type; /* "story_mention", "appointment_booking" and what is new */
}

static json_t *media_of(const json_t *attachment)
{
    const json_t *payload = json_object_at(attachment, "payload");
    json_t *media = json_object();
    json_put_str(media, "kind", kind_of_attachment(attachment));
    const char *url = json_str(payload, "url");
    json_put_str(media, "url", url ? url : json_str(attachment, "url")); /* a fallback has it outside the payload */
    const char *title = json_str(payload, "title");
    json_put_str(media, "title", title ? title : json_str(attachment, "title"));
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 64);
    event_id_text(json_object_get(payload, "sticker_id"), &id);
    if (id.len > 0 && !id.overflowed) {
        json_put_str(media, "id", id.ptr);
    }
    return media;
}

static void put_location(json_t *doc, const json_t *attachment)
{
    const json_t *coordinates = json_object_at(json_object_at(attachment, "payload"), "coordinates");
    json_t *location = put_object(doc, "location");
    event_copy_number(location, "latitude", coordinates, "lat");
    event_copy_number(location, "longitude", coordinates, "long");
    json_put_str(location, "name", json_str(attachment, "title"));
}

static void put_attachments(json_t *doc, const json_t *attachments)
{
    const json_t *first = json_array_get(attachments, 0);
    const char *kind = kind_of_attachment(first);
    json_put_str(doc, "kind", kind);
    if (strcmp(kind, "location") == 0) {
        put_location(doc, first);
    } else {
        json_put(doc, "media", media_of(first));
    }
    if (json_array_size(attachments) < 2) {
        return;
    }
    json_t *all = json_array();
    size_t index;
    json_t *attachment;
    json_array_foreach (attachments, index, attachment) {
        json_array_append_new(all, media_of(attachment));
    }
    json_put(doc, "attachments", all);
}

static void put_content(json_t *doc, const json_t *message)
{
    const json_t *attachments = json_array_at(message, "attachments");
    const char *text = json_str(message, "text");
    json_put_str(doc, "id", json_str(message, "mid"));
    json_put_str(doc, "text", text);
    if (json_array_size(attachments) > 0) {
        put_attachments(doc, attachments);
    } else {
        json_put_str(doc, "kind", text ? "text" : "unsupported");
    }
    const json_t *reply_to = json_object_at(message, "reply_to");
    json_put_str(doc, "reply_to", json_str(reply_to, "mid"));
    event_copy(doc, "story", reply_to, "story", JSON_OBJECT);
    event_copy(doc, "referral", message, "referral", JSON_OBJECT);
}

/* The echo of what our own app sent is to us the status "sent". It carries our delivery id as metadata; where the
 * provider keeps that to itself, our app's id is enough. */
static bool is_echo_of_ours(const struct item *i, const json_t *message)
{
    const char *our_app = json_str_or(i->entry->settings, "app_id", "");
    struct buf app CLEANUP(buf_done);
    buf_init(&app, 64);
    event_id_text(json_object_get(message, "app_id"), &app);
    bool names_app = *our_app && app.len > 0;
    if (names_app && strcmp(our_app, app.ptr) != 0) {
        return false;
    }
    const char *metadata = json_str(message, "metadata");
    uint64_t delivery_id;
    return metadata ? text_to_u64(bytes_of(metadata), &delivery_id) : names_app;
}

static json_t *add_status(const struct item *i, const char *message_id, const char *state, bool from_us)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    buf_addf(&key, "%s:%s", message_id, state);
    json_t *status = put_object(add(i, "message.status", key.ptr, from_us), "status");
    json_put_str(status, "message_id", message_id);
    json_put_str(status, "state", state);
    return status;
}

static void on_echo(const struct item *i, const json_t *message, const char *id)
{
    if (is_echo_of_ours(i, message)) {
        json_put_str(add_status(i, id, "sent", true), "echo", json_str(message, "metadata"));
        return;
    }
    json_t *doc = put_object(add(i, "message.sent_elsewhere", id, true), "message");
    put_content(doc, message);
    json_put_str(doc, "direction", "out");
}

static void on_message(const struct item *i, const json_t *message)
{
    const char *id = json_str(message, "mid");
    if (id == NULL || *id == '\0') {
        keep_with_party(i, "message");
        return;
    }
    if (json_bool(message, "is_deleted", false)) {
        struct buf key CLEANUP(buf_done);
        buf_init(&key, SIZE_MAX);
        buf_addf(&key, "%s:deleted", id);
        json_t *doc = add_message(i, "message.deleted", key.ptr);
        json_put_str(doc, "id", id);
        return;
    }
    if (is_from_us(i)) {
        on_echo(i, message, id);
        return;
    }
    const char *payload = json_str(json_object_at(message, "quick_reply"), "payload");
    json_t *event = add(i, payload ? "message.button" : "message.received", id, false);
    json_t *doc = put_object(event, "message");
    put_content(doc, message);
    if (payload) {
        json_put_str(doc, "kind", "button");
        json_t *button = put_object(doc, "button");
        json_put_str(button, "id", payload);
        json_put_str(button, "text", json_str(message, "text"));
    }
}

static void on_postback(const struct item *i, const json_t *postback)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    const char *id = json_str(postback, "mid");
    if (id && *id) {
        buf_add_text(&key, id);
    } else {
        event_key_of_element(&key, "postback", i->element);
    }
    json_t *doc = put_object(add(i, "message.button", key.ptr, false), "message");
    const char *title = json_str(postback, "title");
    const char *payload = json_str(postback, "payload");
    json_put_str(doc, "id", id);
    json_put_str(doc, "kind", "button");
    json_put_str(doc, "text", title);
    event_copy(doc, "referral", postback, "referral", JSON_OBJECT);
    json_t *button = put_object(doc, "button");
    json_put_str(button, "id", payload ? payload : title);
    json_put_str(button, "text", title);
}

static void on_reaction(const struct item *i, const json_t *reaction)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 128);
    event_key_of_element(&key, "reaction", i->element);
    json_t *doc = add_message(i, "message.reaction", key.ptr);
    const char *emoji = json_str(reaction, "emoji");
    json_put_str(doc, "kind", "reaction");
    json_put_str(doc, "reply_to", json_str(reaction, "mid"));
    json_put_str(doc, "emoji", emoji ? emoji : json_str(reaction, "reaction"));
    if (strcmp(json_str_or(reaction, "action", "react"), "unreact") == 0) {
        json_put_bool(doc, "removed", true);
    }
}

static void on_edit(const struct item *i, const json_t *edit)
{
    const char *id = json_str(edit, "mid");
    if (id == NULL) {
        keep(i, "message_edit");
        return;
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    buf_addf(&key, "%s:edit:%lld", id, (long long)json_int(edit, "num_edit", i->at));
    json_t *doc = add_message(i, "message.edited", key.ptr);
    json_put_str(doc, "id", id);
    json_put_str(doc, "kind", "text");
    json_put_str(doc, "text", json_str(edit, "text"));
}

/* Names messages, or says that everything until `watermark` was delivered or read. */
static void on_progress(const struct item *i, const json_t *progress, const char *state)
{
    const json_t *ids = json_array_at(progress, "mids");
    const char *id = json_str(progress, "mid");
    msec_t watermark = event_time_ms(progress, "watermark");
    if (is_from_us(i)) {
        keep_with_party(i, state); /* that we have read what they wrote */
        return;
    }
    if (id) {
        add_status(i, id, state, false);
        return;
    }
    size_t made = 0;
    size_t index;
    json_t *element;
    json_array_foreach (ids, index, element) {
        if (json_is_string(element)) {
            add_status(i, json_string_value(element), state, false);
            made++;
        }
    }
    if (made > 0) {
        return;
    }
    if (watermark == 0) {
        keep_with_party(i, state);
        return;
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 128);
    event_key_of_element(&key, state, i->element);
    json_t *event = add(i, "message.status", key.ptr, false);
    json_t *status = put_object(event, "status");
    json_put_str(status, "state", state);
    json_put_time(status, "up_to", watermark);
    if (event_time_ms(i->element, "timestamp") == 0) {
        json_put_time(event, "occurred_at", watermark);
    }
}

static void on_delivery(const struct item *i, const json_t *content)
{
    on_progress(i, content, "delivered");
}

static void on_read(const struct item *i, const json_t *content)
{
    on_progress(i, content, "read");
}

static const struct {
    const char *key;
    void (*handle)(const struct item *i, const json_t *content);
} handlers[] = {
    { "message", on_message },   { "postback", on_postback }, { "reaction", on_reaction },
    { "delivery", on_delivery }, { "message_edit", on_edit }, { "read", on_read },
};

/* Elements that we keep as they are; the first key that is there names them. */
static const char *const kept_types[] = {
    "optin",     "referral",        "pass_thread_control", "take_thread_control", "request_thread_control",
    "app_roles", "account_linking", "policy_enforcement",  "game_play",           "messaging_feedback",
};

static void parse_item(const struct meta_entry *entry, const char *provider, json_t *element)
{
    struct item item = {
        .entry = entry,
        .provider = provider,
        .element = element,
        .at = event_time_ms(element, "timestamp"),
    };
    if (item.at == 0) {
        item.at = entry->time;
    }
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
        const json_t *content = json_object_at(element, handlers[i].key);
        if (content) {
            handlers[i].handle(&item, content);
            return;
        }
    }
    const char *type = "messaging";
    for (size_t i = 0; i < ARRAY_LEN(kept_types); i++) {
        if (json_object_get(element, kept_types[i])) {
            type = kept_types[i];
            break;
        }
    }
    keep_with_party(&item, type);
}

/* "changes": comments, mentions, and the dashboard's test, which wraps a messaging element. */
static void parse_change(const struct meta_entry *entry, const char *provider, json_t *change)
{
    json_t *value = json_object_at(change, "value");
    if (value && json_object_at(value, "sender") && json_object_at(value, "recipient")) {
        parse_item(entry, provider, value);
    } else {
        meta_add_unknown(entry, provider, json_str_or(change, "field", "changes"), change);
    }
}

/* Another app owns the thread: what is said there is kept, and not ours to answer. */
static void parse_standby(const struct meta_entry *entry, const char *provider, json_t *element)
{
    struct item item = {
        .entry = entry,
        .provider = provider,
        .element = element,
        .at = event_time_ms(element, "timestamp"),
    };
    keep_with_party(&item, "standby");
}

static bool parse_list(const struct meta_entry *entry, const char *provider, const char *name,
                       void (*parse)(const struct meta_entry *entry, const char *provider, json_t *element))
{
    const json_t *list = json_array_at(entry->entry, name);
    size_t index;
    json_t *element;
    json_array_foreach (list, index, element) {
        if (json_is_object(element)) {
            parse(entry, provider, element);
        } else {
            meta_add_unknown(entry, provider, name, element);
        }
    }
    return list != NULL;
}

void messenger_parse_entry(const struct meta_entry *entry, const char *provider)
{
    bool has_messaging = parse_list(entry, provider, "messaging", parse_item);
    bool has_standby = parse_list(entry, provider, "standby", parse_standby);
    bool has_changes = parse_list(entry, provider, "changes", parse_change);
    if (!has_messaging && !has_standby && !has_changes) {
        meta_add_unknown(entry, provider, "entry", entry->entry);
    }
}
