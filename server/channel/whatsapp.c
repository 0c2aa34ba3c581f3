/* WhatsApp Cloud API: what arrives, by entry, change and element.
 *
 * One POST holds many entries, changes, messages and statuses; each element is read on its own, so that one that makes
 * no sense is kept as `webhook.SOURCE` and the others are handled. Sources: Meta's webhook reference and the page on
 * business-scoped user ids (2026).
 */
#include "channel/whatsapp.h"

#include "channel/customer.h"
#include "channel/kinds.h"
#include "channel/message.h"

#include <ctype.h>

#define LONGEST_HANDLE 200

bool whatsapp_is_user_id(const char *handle)
{
    return handle && isalpha((unsigned char)handle[0]) && isalpha((unsigned char)handle[1]) && handle[2] == '.' &&
           handle[3] != '\0';
}

/* Handles become part of identities: what has other characters than ids have is a placeholder or a mistake. */
static bool is_handle(const char *text)
{
    if (text == NULL || *text == '\0') {
        return false;
    }
    for (const char *p = text; *p; p++) {
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL) {
            return false;
        }
    }
    return true;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static bool same_number(const char *a, const char *b)
{
    struct buf first CLEANUP(buf_done);
    struct buf second CLEANUP(buf_done);
    buf_init(&first, LONGEST_HANDLE);
    buf_init(&second, LONGEST_HANDLE);
    event_phone_digits(a, &first);
    event_phone_digits(b, &second);
    return same(a, b) || (first.len > 0 && bytes_equal(buf_bytes(&first), buf_bytes(&second)));
}

static bool has_one_element(const struct whatsapp_change *change)
{
    static const char *const lists[] = { "messages", "statuses", "message_echoes", "user_preferences",
                                         "user_id_update" };
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        count += json_array_size(json_array_at(change->value, lists[i]));
    }
    return count <= 1;
}

/* The envelope's card of a person. A single card belongs to a single element that names nobody. */
static const json_t *find_card(const struct whatsapp_change *change, const struct whatsapp_person *person)
{
    size_t index;
    json_t *card;
    json_array_foreach (change->contacts, index, card) {
        if (same(json_str(card, "user_id"), person->user_id) || same_number(json_str(card, "wa_id"), person->number)) {
            return card;
        }
    }
    bool is_named = is_handle(person->number) || is_handle(person->user_id);
    bool is_alone = json_array_size(change->contacts) == 1 && has_one_element(change);
    return !is_named && is_alone ? json_array_get(change->contacts, 0) : NULL;
}

/* The digits of a number; a handle of another form as it stands; nothing of anything else. */
static void add_number(const char *number, struct buf *out)
{
    event_phone_digits(number, out);
    if (out->len == 0 && is_handle(number)) {
        buf_add_text(out, number);
    }
}

static void identify_number(json_t *event, const char *number, void (*identify)(json_t *, const char *, const char *))
{
    struct buf handle CLEANUP(buf_done);
    buf_init(&handle, LONGEST_HANDLE);
    add_number(number, &handle);
    identify(event, "whatsapp:", handle.ptr);
    if (handle.len > 0 && isdigit((unsigned char)handle.ptr[0]) && strspn(handle.ptr, "0123456789") == handle.len) {
        identify(event, "phone:", handle.ptr);
    }
}

void whatsapp_put_contact(json_t *event, const struct whatsapp_change *change, const struct whatsapp_person *person)
{
    const json_t *card = find_card(change, person);
    const char *user_id = is_handle(person->user_id) ? person->user_id : json_str(card, "user_id");
    if (!is_handle(user_id)) {
        user_id = NULL;
    }
    struct buf number CLEANUP(buf_done);
    buf_init(&number, LONGEST_HANDLE);
    add_number(person->number, &number);
    if (number.len == 0) {
        add_number(json_str(card, "wa_id"), &number);
    }
    if (user_id == NULL && number.len == 0) {
        return;
    }
    /* The user id first: a number may move to another person, the id does not. */
    event_identify(event, "whatsapp:", user_id);
    identify_number(event, number.ptr, event_identify);
    identify_number(event, json_str(card, "wa_id"), event_identify);

    json_t *contact = event_contact(event);
    const json_t *profile = json_object_at(card, "profile");
    customer_set_name(event, json_str(profile, "name"));
    const char *username = json_str(profile, "username");
    json_put_str(contact, "username", username && *username == '@' ? username + 1 : username);
    json_put_str(contact, "parent_user_id",
                 person->parent_user_id ? person->parent_user_id : json_str(card, "parent_user_id"));
    json_put_str(contact, "recipient", number.len > 0 ? number.ptr : user_id);
}

void whatsapp_put_former(json_t *event, const struct whatsapp_person *former)
{
    if (is_handle(former->user_id)) {
        event_identify_former(event, "whatsapp:", former->user_id);
    }
    identify_number(event, former->number, event_identify_former);
}

json_t *whatsapp_add_unknown(const struct whatsapp_change *change, const char *provider_type, const char *key,
                             msec_t at, json_t *element)
{
    if (key == NULL || *key == '\0') {
        return meta_add_unknown(change->entry, WHATSAPP, provider_type, element);
    }
    return event_add_unknown(change->entry->events, change->entry->w, WHATSAPP, provider_type, key, at, element);
}

json_t *whatsapp_error_doc(const json_t *error)
{
    json_t *doc = json_object();
    struct buf code CLEANUP(buf_done);
    buf_init(&code, 64);
    event_id_text(json_object_get(error, "code"), &code);
    if (code.len > 0 && !code.overflowed) {
        json_put_str(doc, "code", code.ptr);
    }
    json_put_str(doc, "title", json_str(error, "title"));
    const char *details = json_str(json_object_at(error, "error_data"), "details");
    json_put_str(doc, "detail", details ? details : json_str(error, "message"));
    return doc;
}

static void each_element(const struct whatsapp_change *change, const char *list_name,
                         void (*parse)(const struct whatsapp_change *change, json_t *element))
{
    json_t *list = event_value(change->value, list_name);
    if (list && !json_is_array(list)) {
        whatsapp_add_unknown(change, list_name, NULL, 0, list);
        return;
    }
    size_t index;
    json_t *element;
    json_array_foreach (list, index, element) {
        if (json_is_object(element)) {
            parse(change, element);
        } else {
            whatsapp_add_unknown(change, list_name, NULL, 0, element);
        }
    }
}

static void parse_account_error(const struct whatsapp_change *change, json_t *error)
{
    whatsapp_add_unknown(change, "errors", NULL, 0, error);
}

static void put_account(const struct whatsapp_change *change, size_t first_event)
{
    const char *account = json_str(json_object_at(change->value, "metadata"), "phone_number_id");
    for (size_t i = first_event; account && i < json_array_size(change->entry->events); i++) {
        json_put_str(json_array_get(change->entry->events, i), "account", account);
    }
}

static bool parse_known_field(const struct whatsapp_change *change, const json_t *element)
{
    const char *field = change->field;
    if (strcmp(field, "messages") == 0) {
        each_element(change, "messages", whatsapp_parse_message);
        each_element(change, "statuses", whatsapp_parse_status);
        each_element(change, "errors", parse_account_error);
    } else if (strcmp(field, "smb_message_echoes") == 0) {
        each_element(change, "message_echoes", whatsapp_parse_echo);
    } else if (strcmp(field, "user_preferences") == 0) {
        each_element(change, "user_preferences", whatsapp_parse_preference);
    } else if (strcmp(field, "user_id_update") == 0 && json_array_at(change->value, "user_id_update")) {
        each_element(change, "user_id_update", whatsapp_parse_user_id_update);
    } else if (strcmp(field, "user_id_update") == 0) {
        whatsapp_parse_user_id_update(change, change->value);
    } else if (strcmp(field, "message_template_status_update") == 0) {
        whatsapp_parse_template_status(change, element);
    } else {
        return false;
    }
    return true;
}

/* An app has one callback URL for all its numbers. What another number was sent must not be answered from this one, so
 * it is kept, with the reason for whoever configures the sources. */
static bool keep_of_other_number(const struct whatsapp_change *change, json_t *element)
{
    const char *ours = json_str(change->entry->settings, "phone_number_id");
    const char *theirs = json_str(json_object_at(change->value, "metadata"), "phone_number_id");
    if (ours == NULL || *ours == '\0' || theirs == NULL || strcmp(ours, theirs) == 0) {
        return false;
    }
    json_t *event = meta_add_unknown(change->entry, WHATSAPP, change->field, element);
    json_put_str(event, "account", theirs);
    json_put(event, "problem",
             json_sprintf("it is for the phone number id %.40s, and this source has %.40s", theirs, ours));
    return true;
}

static void parse_change(const struct meta_entry *entry, json_t *element)
{
    struct whatsapp_change change = {
        .entry = entry,
        .field = json_str_or(element, "field", "messages"),
        .value = json_object_at(element, "value"),
    };
    size_t first_event = json_array_size(entry->events);
    if (change.value == NULL) {
        meta_add_unknown(entry, WHATSAPP, change.field, element);
        return;
    }
    if (keep_of_other_number(&change, element)) {
        return;
    }
    change.contacts = json_array_at(change.value, "contacts");
    bool is_known = parse_known_field(&change, element);
    /* A field without a parser, or one whose expected lists are not there, is kept whole. */
    if (!is_known || json_array_size(entry->events) == first_event) {
        json_t *event = meta_add_unknown(entry, WHATSAPP, change.field, element);
        if (json_array_size(change.contacts) == 1) {
            whatsapp_put_contact(event, &change, &(struct whatsapp_person){ .number = NULL });
        }
    }
    put_account(&change, first_event);
}

static void parse_entry(const struct meta_entry *entry)
{
    json_t *changes = json_array_at(entry->entry, "changes");
    if (changes == NULL) {
        meta_add_unknown(entry, WHATSAPP, "entry", entry->entry);
        return;
    }
    size_t index;
    json_t *element;
    json_array_foreach (changes, index, element) {
        parse_change(entry, element);
    }
}

static err_t parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    return meta_parse(w, settings, "whatsapp_business_account", WHATSAPP, events, parse_entry, reterr);
}

/* Points the webhooks of one WhatsApp Business Account at `url`; Meta answers with a handshake to it at once. */
static err_t registration(const char *url, const json_t *settings, struct outgoing_request *out, struct error *reterr)
{
    const char *account = json_str(settings, "business_account_id");
    const char *verify_token = json_str(settings, "verify_token");
    if (account == NULL || *account == '\0') {
        return fail(
            reterr, ERR_INVALID,
            "the source has no business_account_id\nHINT: set it, or enter the URL in the Meta app's dashboard");
    }
    if (strlen(url) > 200) {
        return fail(reterr, ERR_INVALID, "the URL is longer than the 200 characters that Meta allows");
    }
    json_t *body CLEANUP(json_free) = json_object();
    json_put_str(body, "override_callback_uri", url);
    json_put_str(body, "verify_token", verify_token);
    return outgoing_graph(out, settings, "https://graph.facebook.com", account, "subscribed_apps", body, reterr);
}

static const struct channel_setting settings_of_whatsapp[] = {
    { "app_secret", SETTING_SECRETS, true, "the app secret of the Meta app that owns the subscription" },
    { "app_secrets", SETTING_SECRETS, false, "more app secrets that are accepted, while one is being replaced" },
    { "verify_token", SETTING_SECRET, true, "the token of the subscription handshake, your own choice" },
    { "access_token", SETTING_SECRET, false, "a system user's token; without it this source only receives" },
    { "phone_number_id", SETTING_TEXT, false,
      "the id of the number that messages are sent from; what another number receives is kept and not handled" },
    { "business_account_id", SETTING_TEXT, false,
      "the WhatsApp Business Account, for `answerd webhook register` and `answerd check --online`" },
    { "api_url", SETTING_URL, false, "default https://graph.facebook.com" },
    { "api_version", SETTING_TEXT, false, "default " DEFAULT_GRAPH_VERSION },
    { "list_label", SETTING_TEXT, false, "the button that opens a list of more than three choices; default Options" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_whatsapp = {
    .name = WHATSAPP,
    .provider = WHATSAPP,
    .settings = settings_of_whatsapp,
    .verify = meta_verify,
    .handshake = meta_handshake,
    .parse = parse,
    .sign = meta_sign,
    .window_ms = META_WINDOW_MS,
    /* Meta allows one message in 6 s to the same person, with 45 at once borrowed from the time after. */
    .address_interval_ms = 6000,
    .address_burst = 20,
    .source_per_second = 80,
    .render = whatsapp_render,
    .classify = whatsapp_classify,
    .registration = registration,
    .ask_templates = whatsapp_ask_templates,
    .read_templates = whatsapp_read_templates,
};
