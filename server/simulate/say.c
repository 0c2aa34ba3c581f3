/* What a customer does, in the words of each provider. */
#include "simulate/simulator.h"

#include <stdio.h>

static void put_seconds(json_t *object, const char *key, msec_t at)
{
    json_put(object, key, json_sprintf("%lld", (long long)(at / 1000)));
}

/* {"at": unix seconds} or now. */
static msec_t time_of(const json_t *what)
{
    int64_t at = json_int(what, "at", 0);
    return at > 0 ? at * 1000 : clock_now();
}

static const char *given_or(const json_t *what, const char *key, char *made, size_t size, const char *prefix,
                            int64_t number)
{
    const char *given = json_str(what, key);
    if (given) {
        return given;
    }
    snprintf(made, size, "%s%lld", prefix, (long long)number);
    return made;
}

/* Ids may be given as numbers too. False when there is none. */
static bool read_id(const json_t *what, const char *key, char *ret_text, size_t size)
{
    json_t *value = json_object_get(what, key);
    if (json_is_integer(value)) {
        snprintf(ret_text, size, "%lld", (long long)json_integer_value(value));
    } else {
        snprintf(ret_text, size, "%s", json_is_string(value) ? json_string_value(value) : "");
    }
    return ret_text[0] != '\0';
}

/* --- WhatsApp ----------------------------------------------------------------------------------------------------- */

static void put_whatsapp_content(json_t *message, const json_t *what)
{
    const json_t *button = json_object_at(what, "button");
    const json_t *list = json_object_at(what, "list");
    const json_t *quick_reply = json_object_at(what, "template_button");
    const json_t *reaction = json_object_at(what, "reaction");
    const json_t *any = json_object_at(what, "content");
    if (any) {
        json_object_update(message, (json_t *)(uintptr_t)any);
    } else if (button || list) {
        const json_t *tap = button ? button : list;
        const char *type = button ? "button_reply" : "list_reply";
        json_t *reply = json_object();
        json_put_str(reply, "id", json_str(tap, "id"));
        json_put_str(reply, "title", json_str_or(tap, "text", json_str_or(tap, "id", "")));
        json_put_str(message, "type", "interactive");
        json_put(message, "interactive", json_pack("{s:s,s:o}", "type", type, type, reply));
    } else if (quick_reply) {
        json_put_str(message, "type", "button");
        json_put(message, "button",
                 json_pack("{s:s,s:s}", "payload", json_str_or(quick_reply, "id", ""), "text",
                           json_str_or(quick_reply, "text", "")));
    } else if (reaction) {
        json_put_str(message, "type", "reaction");
        json_put(message, "reaction", json_deep_copy(reaction));
    } else {
        json_put_str(message, "type", "text");
        json_put(message, "text", json_pack("{s:s}", "body", json_str_or(what, "text", "hello")));
    }
    if (json_str(what, "reply_to")) {
        json_put(message, "context", json_pack("{s:s,s:s}", "from", "15550783881", "id", json_str(what, "reply_to")));
    }
}

static json_t *whatsapp_body(struct simulator *s, const struct source_config *source, const json_t *what)
{
    char given[64];
    const char *from = read_id(what, "from", given, sizeof(given)) ? given : NULL;
    const char *user_id = json_str(what, "user_id");
    char id[64];
    json_t *profile = json_pack("{s:s}", "name", json_str_or(what, "name", "Ada"));
    json_put_str(profile, "username", json_str(what, "username"));
    json_t *contact = json_pack("{s:o}", "profile", profile);
    json_t *message = json_object();
    if (from == NULL && user_id == NULL) {
        from = "15550100";
    }
    json_put_str(contact, "wa_id", from);
    json_put_str(contact, "user_id", user_id);
    json_put_str(message, "from", from);
    json_put_str(message, "from_user_id", user_id);
    json_put_str(message, "id", given_or(what, "id", id, sizeof(id), "wamid.IN", simulator_number(s)));
    put_seconds(message, "timestamp", time_of(what));
    put_whatsapp_content(message, what);
    return json_pack("{s:s,s:[{s:s,s:[{s:s,s:{s:s,s:{s:s,s:s},s:[o],s:[o]}}]}]}", "object", "whatsapp_business_account",
                     "entry", "id", json_str_or(source->settings, "business_account_id", "102290129340398"), "changes",
                     "field", "messages", "value", "messaging_product", "whatsapp", "metadata", "display_phone_number",
                     "15550783881", "phone_number_id", json_str_or(source->settings, "phone_number_id", "0"),
                     "contacts", contact, "messages", message);
}

/* --- Telegram ----------------------------------------------------------------------------------------------------- */

static json_t *telegram_body(struct simulator *s, const json_t *what)
{
    json_int_t person = json_int(what, "from", 4711);
    json_int_t chat_id = json_int(what, "chat", person);
    int64_t number = simulator_number(s);
    const char *name = json_str_or(what, "name", "Ada");
    const json_t *button = json_object_at(what, "button");
    json_t *update = json_pack("{s:I}", "update_id", (json_int_t)json_int(what, "id", number % 2000000000));
    json_t *from = json_pack("{s:I,s:b,s:s,s:s}", "id", person, "is_bot", 0, "first_name", name, "language_code",
                             json_str_or(what, "language", "en"));
    json_t *chat = json_pack("{s:I,s:s,s:s}", "id", chat_id, "type", chat_id == person ? "private" : "supergroup",
                             chat_id == person ? "first_name" : "title", name);
    json_int_t now = time_of(what) / 1000;
    if (json_object_get(what, "blocked")) {
        bool is_blocked = json_bool(what, "blocked", true);
        json_t *member = json_pack("{s:o,s:o,s:I,s:{s:s},s:{s:s}}", "chat", chat, "from", from, "date", now,
                                   "old_chat_member", "status", is_blocked ? "member" : "kicked", "new_chat_member",
                                   "status", is_blocked ? "kicked" : "member");
        json_put(update, "my_chat_member", member);
    } else if (button) {
        json_t *message = json_pack("{s:I,s:I,s:o}", "message_id", (json_int_t)json_int(what, "reply_to", 1), "date",
                                    now, "chat", chat);
        json_t *query = json_pack("{s:o,s:s,s:o,s:o}", "id", json_sprintf("%lld", (long long)number), "chat_instance",
                                  "1", "from", from, "message", message);
        json_put_str(query, "data", json_str_or(button, "id", ""));
        json_put(update, "callback_query", query);
    } else {
        json_t *message = json_pack("{s:I,s:I,s:o,s:o}", "message_id", (json_int_t)(number % 2000000000), "date", now,
                                    "from", from, "chat", chat);
        json_t *content = json_object_at(what, "content");
        if (content) {
            json_object_update(message, content);
        } else {
            json_put_str(message, "text", json_str_or(what, "text", "hello"));
        }
        json_put(update, json_bool(what, "edited", false) ? "edited_message" : "message", message);
    }
    return update;
}

/* --- Messenger and Instagram -------------------------------------------------------------------------------------- */

static json_t *messenger_body(struct simulator *s, const struct source_config *source, const json_t *what)
{
    bool is_messenger = strcmp(source->kind, "messenger") == 0;
    const char *account = json_str_or(source->settings, is_messenger ? "page_id" : "account_id", "1000000001");
    const json_t *button = json_object_at(what, "button");
    char from[64];
    if (!read_id(what, "from", from, sizeof(from))) {
        snprintf(from, sizeof(from), "7001");
    }
    char id[64];
    const char *mid = given_or(what, "id", id, sizeof(id), "m_IN", simulator_number(s));
    json_int_t at = time_of(what);
    json_t *message = json_pack("{s:s,s:s}", "mid", mid, "text",
                                json_str_or(what, "text", button ? json_str_or(button, "text", "") : "hello"));
    if (button) {
        json_put(message, "quick_reply", json_pack("{s:s}", "payload", json_str_or(button, "id", "")));
    }
    return json_pack("{s:s,s:[{s:s,s:I,s:[{s:{s:s},s:{s:s},s:I,s:o}]}]}", "object", is_messenger ? "page" : "instagram",
                     "entry", "id", account, "time", at, "messaging", "sender", "id", from, "recipient", "id", account,
                     "timestamp", at, "message", message);
}

json_t *say_body(struct simulator *s, const struct source_config *source, const json_t *what, struct error *reterr)
{
    if (strcmp(source->kind, "whatsapp") == 0) {
        return whatsapp_body(s, source, what);
    }
    if (strcmp(source->kind, "telegram") == 0) {
        return telegram_body(s, what);
    }
    if (strcmp(source->kind, "messenger") == 0 || strcmp(source->kind, "instagram") == 0) {
        return messenger_body(s, source, what);
    }
    fail(reterr, ERR_INVALID, "nobody speaks on a source of the kind '%s'\nHINT: use /control/webhook", source->kind);
    return NULL;
}

/* --- Stripe ------------------------------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static json_t *invoice(const json_t *what, int64_t number, bool is_paid)
{
    json_int_t amount = json_int(what, "amount", 1900);
    char id[40];
    char subscription[40];
    snprintf(subscription, sizeof(subscription), "sub_SIM%lld", (long long)number);
    json_t *object = json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:I,s:s}", "id", given_or(what, "invoice", id, sizeof(id), "in_SIM", number),
        "object", "invoice", "customer", json_str_or(what, "customer", "cus_SIM"), "amount_due", amount,
        "amount_remaining", is_paid ? (json_int_t)0 : amount, "amount_paid", is_paid ? amount : (json_int_t)0,
        "currency", json_str_or(what, "currency", "usd"), "attempt_count", (json_int_t)json_int(what, "attempt", 1),
        "status", is_paid ? "paid" : "open");
    json_put_str(object, "customer_name", json_str_or(what, "name", "Ada Lovelace"));
    json_put_str(object, "customer_email", json_str(what, "email"));
    json_put_str(object, "customer_phone", json_str(what, "phone"));
    json_put_str(object, "billing_reason", "subscription_cycle");
    json_put_str(object, "hosted_invoice_url", "https://invoice.stripe.com/i/simulated");
    if (!is_paid) {
        json_put_int(object, "next_payment_attempt", clock_now() / 1000 + 3 * 86400);
    }
    const json_t *metadata = json_object_at(what, "metadata");
    json_t *details = json_pack("{s:s,s:o}", "subscription", subscription, "metadata",
                                metadata ? json_deep_copy(metadata) : json_object());
    json_put(object, "parent", json_pack("{s:s,s:o}", "type", "subscription_details", "subscription_details", details));
    return object;
}

static json_t *other_object(const json_t *what, const char *type, int64_t number)
{
    const char *kind = starts_with(type, "checkout.session")        ? "checkout.session"
                       : starts_with(type, "customer.subscription") ? "subscription"
                       : starts_with(type, "charge")                ? "charge"
                                                                    : "payment_intent";
    const char *prefix = strcmp(kind, "checkout.session") == 0 ? "cs_SIM"
                         : strcmp(kind, "subscription") == 0   ? "sub_SIM"
                         : strcmp(kind, "charge") == 0         ? "ch_SIM"
                                                               : "pi_SIM";
    char id[40];
    json_t *object = json_pack("{s:s,s:s,s:s,s:s}", "id", given_or(what, "object_id", id, sizeof(id), prefix, number),
                               "object", kind, "customer", json_str_or(what, "customer", "cus_SIM"), "currency",
                               json_str_or(what, "currency", "usd"));
    json_put_int(object, strcmp(kind, "checkout.session") == 0 ? "amount_total" : "amount",
                 json_int(what, "amount", 1900));
    if (strcmp(kind, "checkout.session") == 0) {
        json_t *details = json_object();
        json_put_str(details, "name", json_str_or(what, "name", "Ada Lovelace"));
        json_put_str(details, "email", json_str(what, "email"));
        json_put_str(details, "phone", json_str(what, "phone"));
        json_put(object, "customer_details", details);
        json_put_str(object, "mode", "payment");
        json_put_str(object, "status", "complete");
        json_put_str(object, "payment_status", "paid");
    } else {
        json_put_str(object, "status", strcmp(kind, "subscription") == 0 ? "active" : "requires_payment_method");
        json_put_str(object, "receipt_email", json_str(what, "email"));
    }
    return object;
}

json_t *stripe_body(struct simulator *s, const json_t *what)
{
    const char *type = json_str_or(what, "type", "invoice.payment_failed");
    int64_t number = simulator_number(s);
    bool is_paid = strcmp(type, "invoice.paid") == 0 || strcmp(type, "invoice.payment_succeeded") == 0;
    json_t *object = starts_with(type, "invoice.") ? invoice(what, number, is_paid) : other_object(what, type, number);
    json_t *metadata = json_object_at(what, "metadata");
    if (metadata) {
        json_put(object, "metadata", json_deep_copy(metadata));
    }
    json_t *more = json_object_at(what, "object");
    if (more) {
        json_object_update(object, more);
    }
    char id[40];
    return json_pack("{s:s,s:s,s:s,s:I,s:b,s:i,s:s,s:{s:o}}", "id",
                     given_or(what, "id", id, sizeof(id), "evt_SIM", number), "object", "event", "api_version",
                     "2026-10-28.endive", "created", (json_int_t)(time_of(what) / 1000), "livemode", 0,
                     "pending_webhooks", 1, "type", type, "data", "object", object);
}
