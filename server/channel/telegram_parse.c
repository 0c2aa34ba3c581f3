/* Telegram updates: one to a request, dedupe key `update_id`.
 *
 * A private chat has the id of its user, so the contact is telegram:CHAT; in a group the contact is the user who acts,
 * and message.chat the group. Answers go to the person: what concerns one customer is not for a group to read.
 */
#include "channel/telegram.h"

#include "channel/payment.h"

#define LONGEST_UPDATE_ID 64

struct update {
    const struct webhook *w;
    json_t *events;
    const char *key;
    const char *kind; /* the update's field: "message", … */
    json_t *body;     /* its value, an object */
    unsigned made;    /* events so far */
};

/* The first event of an update has its id as the key, further ones ":2", ":3". */
static void event_key(struct update *u, struct buf *key)
{
    buf_init(key, 512);
    buf_add_text(key, u->key);
    if (u->made++ > 0) {
        buf_addf(key, ":%u", u->made);
    }
}

static json_t *add(struct update *u, const char *type, msec_t at)
{
    struct buf key CLEANUP(buf_done);
    event_key(u, &key);
    return event_append(u->events, u->w, TELEGRAM, type, key.ptr, at);
}

static json_t *keep(struct update *u, const char *provider_type, msec_t at)
{
    struct buf key CLEANUP(buf_done);
    event_key(u, &key);
    return event_add_unknown(u->events, u->w, TELEGRAM, provider_type, key.ptr, at, u->body);
}

static void put_id(json_t *object, const char *to_key, const json_t *from, const char *from_key)
{
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 256);
    event_id_text(json_object_get(from, from_key), &id);
    if (id.len > 0 && !id.overflowed) {
        json_put_str(object, to_key, id.ptr);
    }
}

static bool is_private(const json_t *chat)
{
    return strcmp(json_str_or(chat, "type", ""), "private") == 0;
}

static void put_person(json_t *event, const json_t *user)
{
    json_t *id_value = json_object_get(user, "id");
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 64);
    event_id_text(id_value, &id);
    if (id.len == 0 || id.overflowed) {
        return;
    }
    event_identify(event, "telegram:", id.ptr);
    json_t *contact = event_contact(event);
    customer_set_names(event, json_str(user, "first_name"), json_str(user, "last_name"));
    json_put_str(contact, "username", json_str(user, "username"));
    json_put_str(contact, "language", json_str(user, "language_code"));
    json_put_str(contact, "recipient", id.ptr);
}

/* Who an event is about. A business account's chats with its customers are private chats too, but there `from` may be
 * the owner: the customer is the chat. */
static void put_contact(json_t *event, const json_t *user, const json_t *chat)
{
    json_t *chat_id = json_object_get(chat, "id");
    if (is_private(chat) && !json_equal(chat_id, json_object_get(user, "id"))) {
        put_person(event, chat);
    } else if (user && !json_bool(user, "is_bot", false)) {
        put_person(event, user);
    }
}

/* Where the person is answered: who wrote to a business account is answered in its name, and so are those who tap
 * there. */
static void put_business_recipient(json_t *event, const json_t *message)
{
    const char *connection = json_str(message, "business_connection_id");
    const json_t *contact = json_object_at(event, "contact");
    const char *recipient = json_str(contact, "recipient");
    if (connection == NULL || recipient == NULL) {
        return;
    }
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 300);
    buf_addf(&text, "%s%c%s", recipient, TELEGRAM_BUSINESS_MARK, connection);
    if (!text.overflowed) {
        json_put_str(event_contact(event), "recipient", text.ptr);
    }
}

static void put_chat(json_t *doc, const json_t *chat)
{
    if (chat == NULL || is_private(chat)) {
        return;
    }
    put_id(doc, "chat", chat, "id");
    json_put_str(doc, "chat_type", json_str(chat, "type"));
    json_put_str(doc, "chat_title", json_str(chat, "title"));
}

static json_t *message_doc(json_t *event)
{
    json_t *doc = json_object();
    json_put(event, "message", doc);
    return doc;
}

static void put_surroundings(json_t *doc, const json_t *message)
{
    put_chat(doc, json_object_at(message, "chat"));
    put_id(doc, "id", message, "message_id");
    put_id(doc, "thread", message, "message_thread_id");
    put_id(doc, "reply_to", json_object_at(message, "reply_to_message"), "message_id");
    json_put_str(doc, "album", json_str(message, "media_group_id"));
    json_put_str(doc, "quote", json_str(json_object_at(message, "quote"), "text"));
    json_put_str(doc, "business_connection", json_str(message, "business_connection_id"));
    if (json_object_at(message, "forward_origin")) {
        json_put_bool(doc, "forwarded", true);
    }
}

/* Whoever shares their own card proves their number: Telegram fills in the user who has it. */
static void identify_by_own_card(json_t *event, const json_t *message)
{
    const json_t *card = json_object_at(message, "contact");
    json_t *owner = json_object_get(card, "user_id");
    if (owner == NULL || !json_equal(owner, json_object_get(json_object_at(message, "from"), "id")) ||
        json_object_at(message, "forward_origin")) {
        return;
    }
    struct buf digits CLEANUP(buf_done);
    buf_init(&digits, 64);
    event_phone_digits(json_str(card, "phone_number"), &digits);
    event_identify(event, "phone:", digits.ptr);
}

static void put_payment(struct update *u, const char *type, const json_t *payment, msec_t at)
{
    json_t *event = add(u, type, at);
    put_contact(event, json_object_at(u->body, "from"), json_object_at(u->body, "chat"));
    json_t *doc = json_object();
    json_put(event, "payment", doc);
    json_put_str(doc, "id", json_str(payment, "telegram_payment_charge_id"));
    event_copy(doc, "amount", payment, "total_amount", JSON_INTEGER);
    char currency[8] = "";
    const char *given = json_str_or(payment, "currency", "");
    for (size_t i = 0; i < sizeof(currency) - 1 && given[i]; i++) {
        currency[i] = (char)(given[i] >= 'A' && given[i] <= 'Z' ? given[i] + 32 : given[i]);
    }
    json_put_str(doc, "currency", currency);
    json_put_str(doc, "description", json_str(payment, "invoice_payload"));
    payment_finish(event, payment_reference_keys);
}

/* Written by a person, not by a bot (also in a person's name) or in the name of a channel? */
static bool is_by_person(const json_t *message)
{
    const json_t *from = json_object_at(message, "from");
    const json_t *chat = json_object_at(message, "chat");
    if (json_object_at(message, "sender_business_bot")) {
        return false;
    }
    if (from == NULL) {
        return is_private(chat);
    }
    return !json_bool(from, "is_bot", false) && json_object_at(message, "sender_chat") == NULL;
}

/* Where a chat speaks, `from` is an account of Telegram's that stands in for older clients, and nobody. */
static const json_t *author_of(const json_t *message)
{
    return json_object_at(message, "sender_chat") ? NULL : json_object_at(message, "from");
}

/* Written by the owner of a business account to a customer, who is the chat. */
static bool is_by_owner(const struct update *u)
{
    return strstr(u->kind, "business_message") && !json_equal(json_object_get(json_object_at(u->body, "from"), "id"),
                                                              json_object_get(json_object_at(u->body, "chat"), "id"));
}

static void on_message(struct update *u)
{
    const json_t *message = u->body;
    const json_t *from = json_object_at(message, "from");
    const json_t *chat = json_object_at(message, "chat");
    msec_t at = event_time_s(message, "date");

    const json_t *paid = json_object_at(message, "successful_payment");
    const json_t *refunded = json_object_at(message, "refunded_payment");
    if (paid || refunded) {
        put_payment(u, paid ? "payment.succeeded" : "payment.refunded", paid ? paid : refunded, at);
        return;
    }
    json_t *doc = json_object();
    const char *service = NULL;
    if (!json_is_object(chat) || !is_by_person(message) || !telegram_put_content(doc, message, &service)) {
        char type[80];
        snprintf(type, sizeof(type), "%s%s%s", u->kind, service ? "." : "", service ? service : "");
        put_contact(keep(u, type, at), author_of(message), chat);
        json_decref(doc);
        return;
    }
    bool is_owner = is_by_owner(u);
    json_t *event = add(u, is_owner ? "message.sent_elsewhere" : "message.received", at);
    put_contact(event, from, chat);
    put_business_recipient(event, message);
    identify_by_own_card(event, message);
    json_put(event, "message", doc);
    put_surroundings(doc, message);
    if (is_owner) {
        json_put_str(doc, "direction", "out");
    }
}

static void on_edited(struct update *u)
{
    const json_t *message = u->body;
    msec_t at = event_time_s(message, "edit_date");
    at = at > 0 ? at : event_time_s(message, "date");
    json_t *doc = json_object();
    const char *service = NULL;
    if (!json_object_at(message, "chat") || !is_by_person(message) || !telegram_put_content(doc, message, &service)) {
        put_contact(keep(u, u->kind, at), author_of(message), json_object_at(message, "chat"));
        json_decref(doc);
        return;
    }
    json_t *event = add(u, "message.edited", at);
    put_contact(event, json_object_at(message, "from"), json_object_at(message, "chat"));
    put_business_recipient(event, message);
    json_put(event, "message", doc);
    put_surroundings(doc, message);
    json_put_str(doc, "direction", is_by_owner(u) ? "out" : NULL);
}

static void on_deleted(struct update *u)
{
    const json_t *ids = json_array_at(u->body, "message_ids");
    const json_t *chat = json_object_at(u->body, "chat");
    if (json_array_size(ids) == 0) {
        put_contact(keep(u, u->kind, 0), NULL, chat);
        return;
    }
    size_t index;
    json_t *id;
    json_array_foreach (ids, index, id) {
        json_t *event = add(u, "message.deleted", 0);
        put_contact(event, NULL, chat);
        put_business_recipient(event, u->body);
        json_t *doc = message_doc(event);
        struct buf text CLEANUP(buf_done);
        buf_init(&text, 64);
        event_id_text(id, &text);
        json_put_bytes(doc, "id", buf_bytes(&text));
        json_put_str(doc, "business_connection", json_str(u->body, "business_connection_id"));
        put_chat(doc, chat);
    }
}

/* The label of the tapped button, which the update does not repeat. */
static const char *button_label(const json_t *message, const char *data)
{
    const json_t *rows = json_array_at(json_object_at(message, "reply_markup"), "inline_keyboard");
    size_t i, j;
    json_t *row, *button;
    json_array_foreach (rows, i, row) {
        json_array_foreach (row, j, button) {
            if (strcmp(json_str_or(button, "callback_data", ""), data) == 0) {
                return json_str(button, "text");
            }
        }
    }
    return NULL;
}

static void on_callback(struct update *u)
{
    const json_t *message = json_object_at(u->body, "message");
    const json_t *from = json_object_at(u->body, "from");
    const char *data = json_str(u->body, "data");
    if (data == NULL) {
        put_contact(keep(u, u->kind, 0), from, NULL);
        return;
    }
    /* The update has no time of its own: the message it belongs to may be days old. */
    json_t *event = add(u, "message.button", 0);
    put_contact(event, from, NULL);
    put_business_recipient(event, message);
    json_t *doc = message_doc(event);
    put_chat(doc, json_object_at(message, "chat"));
    put_id(doc, "id", u->body, "id");
    put_id(doc, "callback_query_id", u->body, "id");
    put_id(doc, "reply_to", message, "message_id");
    put_id(doc, "thread", message, "message_thread_id");
    json_put_str(doc, "inline_message_id", json_str(u->body, "inline_message_id"));
    json_put_str(doc, "kind", "button");
    const char *label = button_label(message, data);
    json_put_str(doc, "text", label ? label : data);
    json_t *button = json_object();
    json_put_str(button, "id", data);
    json_put_str(button, "text", label ? label : data);
    json_put(doc, "button", button);
}

/* In a private chat "kicked" means that the user blocked the bot. */
static void on_own_membership(struct update *u)
{
    const json_t *chat = json_object_at(u->body, "chat");
    msec_t at = event_time_s(u->body, "date");
    const char *before = json_str_or(json_object_at(u->body, "old_chat_member"), "status", "");
    const char *now = json_str_or(json_object_at(u->body, "new_chat_member"), "status", "");
    bool is_blocked = strcmp(now, "kicked") == 0;
    bool is_back = strcmp(now, "member") == 0 && strcmp(before, "member") != 0;
    if (!is_private(chat) || (!is_blocked && !is_back)) {
        put_contact(keep(u, u->kind, at), json_object_at(u->body, "from"), chat);
        return;
    }
    json_t *event = add(u, is_blocked ? "contact.opted_out" : "contact.opted_in", at);
    put_contact(event, json_object_at(u->body, "from"), chat);
    /* Who blocks a bot says nothing of other channels, and who unblocks it takes back no STOP. */
    event_put_topic(event, "channel", is_blocked ? "blocked" : "unblocked");
}

static const char *reaction_name(const json_t *reaction)
{
    const char *type = json_str_or(reaction, "type", "");
    if (strcmp(type, "emoji") == 0) {
        return json_str(reaction, "emoji");
    }
    return strcmp(type, "custom_emoji") == 0 ? json_str(reaction, "custom_emoji_id") : json_str(reaction, "type");
}

/* The names of the reactions in `list` that are not in `other`. */
static json_t *reactions_only_in(const json_t *list, const json_t *other)
{
    json_t *names = json_array();
    size_t i, j;
    json_t *reaction, *known;
    json_array_foreach (list, i, reaction) {
        bool is_known = false;
        json_array_foreach (other, j, known) {
            is_known = is_known || json_equal(reaction, known);
        }
        const char *name = reaction_name(reaction);
        if (!is_known && name) {
            json_array_append_new(names, json_string(name));
        }
    }
    return names;
}

static void on_reaction(struct update *u)
{
    const json_t *chat = json_object_at(u->body, "chat");
    const json_t *user = json_object_at(u->body, "user");
    msec_t at = event_time_s(u->body, "date");
    if (user == NULL) {
        keep(u, u->kind, at); /* anonymous, in the name of a chat */
        return;
    }
    json_t *event = add(u, "message.reaction", at);
    put_contact(event, user, chat);
    json_t *doc = message_doc(event);
    const json_t *before = json_array_at(u->body, "old_reaction");
    const json_t *now = json_array_at(u->body, "new_reaction");
    json_t *added = reactions_only_in(now, before);
    json_t *removed = reactions_only_in(before, now);
    json_put_str(doc, "kind", "reaction");
    put_id(doc, "reply_to", u->body, "message_id");
    put_chat(doc, chat);
    bool is_removal = json_array_size(added) == 0;
    json_put_str(doc, "emoji", json_string_value(json_array_get(is_removal ? removed : added, 0)));
    if (is_removal) {
        json_put_bool(doc, "removed", true);
    }
    json_put(doc, "reactions_added", added);
    json_put(doc, "reactions_removed", removed);
}

/* Kept as sent, with the person who did it where the update names one. */
static void on_other(struct update *u)
{
    const json_t *user = json_object_at(u->body, "from");
    if (user == NULL) {
        user = json_object_at(u->body, "user");
    }
    put_contact(keep(u, u->kind, event_time_s(u->body, "date")), user, NULL);
}

static const struct {
    const char *kind;
    void (*handle)(struct update *u);
} handlers[] = {
    { "message", on_message },
    { "business_message", on_message },
    { "edited_message", on_edited },
    { "edited_business_message", on_edited },
    { "deleted_business_messages", on_deleted },
    { "callback_query", on_callback },
    { "my_chat_member", on_own_membership },
    { "message_reaction", on_reaction },
};

const char *const telegram_update_kinds[] = {
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "message_reaction",
    "message_reaction_count",
    "inline_query",
    "chosen_inline_result",
    "callback_query",
    "shipping_query",
    "pre_checkout_query",
    "purchased_paid_media",
    "poll",
    "poll_answer",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    NULL,
};

static void parse_kind(struct update *u)
{
    for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
        if (strcmp(handlers[i].kind, u->kind) == 0 && json_is_object(u->body)) {
            handlers[i].handle(u);
            return;
        }
    }
    on_other(u);
}

err_t telegram_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *root CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &root, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (!json_is_object(root)) {
        return fail(reterr, ERR_INVALID, "the body is not a JSON object");
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    event_id_text(json_object_get(root, "update_id"), &key);
    if (key.len == 0 || key.len > LONGEST_UPDATE_ID) {
        buf_clear(&key);
        event_key_of_bytes(&key, w->body);
    }
    struct update u = { .w = w, .events = events, .key = key.ptr };
    const char *kind;
    json_t *body;
    json_object_foreach (root, kind, body) {
        if (strcmp(kind, "update_id") != 0) {
            u.kind = kind;
            u.body = body;
            parse_kind(&u);
        }
    }
    if (u.made == 0) {
        u.body = root;
        keep(&u, "update", 0);
    }
    return ERR_NONE;
}
