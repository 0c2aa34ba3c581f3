/* One element of "messages" (what a customer did) or "message_echoes" (what was sent from the phone's app). */
#include "channel/whatsapp.h"

struct reading {
    const struct whatsapp_change *change;
    json_t *message;
    const char *id;
    msec_t at;
    bool is_echo;
};

/* --- content ------------------------------------------------------------------------------------------------------ */

static void put_text(json_t *doc, const json_t *content)
{
    json_put_str(doc, "text", json_str(content, "body"));
}

static void put_media(json_t *doc, const json_t *content)
{
    static const struct {
        const char *ours, *theirs;
    } texts[] = {
        { "url", "url" },
        { "mime_type", "mime_type" },
        { "sha256", "sha256" },
        { "file_name", "filename" },
    };
    json_t *media = json_object();
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 256);
    event_id_text(json_object_get(content, "id"), &id);
    if (id.len > 0 && !id.overflowed) {
        json_put_bytes(media, "id", buf_bytes(&id));
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_put_str(media, texts[i].ours, json_str(content, texts[i].theirs));
    }
    event_copy_number(media, "size", content, "file_size");
    if (json_bool(content, "voice", false)) {
        json_put_bool(media, "voice", true);
    }
    if (json_bool(content, "animated", false)) {
        json_put_bool(media, "animated", true);
    }
    json_put(doc, "media", media);
    json_put_str(doc, "text", json_str(content, "caption"));
}

static void put_location(json_t *doc, const json_t *content)
{
    json_t *location = json_object();
    event_copy_number(location, "latitude", content, "latitude");
    event_copy_number(location, "longitude", content, "longitude");
    json_put_str(location, "name", json_str(content, "name"));
    json_put_str(location, "address", json_str(content, "address"));
    json_put_str(location, "url", json_str(content, "url"));
    json_put(doc, "location", location);
}

static void put_order(json_t *doc, const json_t *content)
{
    json_put(doc, "order", json_deep_copy(content));
    json_put_str(doc, "text", json_str(content, "text"));
}

static void put_unsupported(json_t *doc, const json_t *content)
{
    json_put_str(doc, "unsupported_type", json_str(content, "type"));
}

static const struct {
    const char *type;
    void (*put)(json_t *doc, const json_t *content);
} contents[] = {
    { "text", put_text },         { "image", put_media },    { "video", put_media },
    { "audio", put_media },       { "document", put_media }, { "sticker", put_media },
    { "location", put_location }, { "order", put_order },    { "unsupported", put_unsupported },
};

/* Sets the kind and what it holds. A type that is new to us is still something that the customer sent. */
static void put_content(json_t *doc, json_t *message)
{
    const char *type = json_str_or(message, "type", "unknown");
    if (strcmp(type, "contacts") == 0) {
        json_put_str(doc, "kind", type);
        event_copy(doc, "contacts", message, "contacts", JSON_ARRAY);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        if (strcmp(contents[i].type, type) == 0) {
            json_put_str(doc, "kind", type);
            contents[i].put(doc, json_object_at(message, type));
            return;
        }
    }
    json_put_str(doc, "kind", "unsupported");
    json_put_str(doc, "unsupported_type", type);
}

static void put_context(json_t *doc, json_t *message)
{
    const json_t *context = json_object_at(message, "context");
    json_put_str(doc, "reply_to", json_str(context, "id"));
    if (json_bool(context, "forwarded", false) || json_bool(context, "frequently_forwarded", false)) {
        json_put_bool(doc, "forwarded", true);
    }
    event_copy(doc, "product", context, "referred_product", JSON_OBJECT);
    event_copy(doc, "referral", message, "referral", JSON_OBJECT);
    json_put_str(doc, "chat", json_str(message, "group_id"));
    const json_t *errors = json_array_at(message, "errors");
    if (json_array_size(errors) > 0) {
        json_put(doc, "error", whatsapp_error_doc(json_array_get(errors, 0)));
    }
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static struct whatsapp_person person_of(const struct reading *r)
{
    return (struct whatsapp_person){
        .number = json_str(r->message, r->is_echo ? "to" : "from"),
        .user_id = json_str(r->message, r->is_echo ? "to_user_id" : "from_user_id"),
        .parent_user_id = json_str(r->message, r->is_echo ? "to_parent_user_id" : "from_parent_user_id"),
    };
}

/* Appends an event with its contact and returns the message object, borrowed. */
static json_t *add(const struct reading *r, const char *type, const char *kind)
{
    json_t *event = event_append(r->change->entry->events, r->change->entry->w, WHATSAPP, type, r->id, r->at);
    struct whatsapp_person person = person_of(r);
    whatsapp_put_contact(event, r->change, &person);
    json_t *doc = json_object();
    json_put(event, "message", doc);
    json_put_str(doc, "id", r->id);
    json_put_str(doc, "kind", kind);
    if (r->is_echo) {
        json_put_str(doc, "direction", "out");
    }
    put_context(doc, r->message);
    return doc;
}

static void keep(const struct reading *r, const char *provider_type)
{
    json_t *event = whatsapp_add_unknown(r->change, provider_type, r->id, r->at, r->message);
    struct whatsapp_person person = person_of(r);
    whatsapp_put_contact(event, r->change, &person);
}

static const char *plain_type(const struct reading *r)
{
    return r->is_echo ? "message.sent_elsewhere" : "message.received";
}

static void add_plain(const struct reading *r)
{
    put_content(add(r, plain_type(r), NULL), r->message);
}

static void put_button(json_t *doc, const char *id, const char *text, const char *description)
{
    json_t *button = json_object();
    json_put_str(button, "id", id ? id : text);
    json_put_str(button, "text", text);
    json_put_str(button, "description", description);
    json_put(doc, "button", button);
    json_put_str(doc, "text", text);
}

static void add_button(const struct reading *r, const json_t *content, const char *id_key, const char *text_key)
{
    put_button(add(r, r->is_echo ? plain_type(r) : "message.button", "button"), json_str(content, id_key),
               json_str(content, text_key), json_str(content, "description"));
}

/* The answers of a flow arrive as JSON inside a text. */
static void add_flow(const struct reading *r, const json_t *content)
{
    json_t *doc = add(r, plain_type(r), "flow");
    json_put_str(doc, "text", json_str(content, "body"));
    json_put_str(doc, "flow_name", json_str(content, "name"));
    const char *text = json_str(content, "response_json");
    json_t *answers = NULL;
    if (text && json_parse(bytes_of(text), &answers, NULL) == ERR_NONE) {
        json_put(doc, "flow", answers);
    } else if (text) {
        json_put_str(doc, "flow_text", text);
    } else {
        event_copy(doc, "flow", content, "response_json", JSON_OBJECT);
    }
}

static void add_interactive(const struct reading *r)
{
    const json_t *interactive = json_object_at(r->message, "interactive");
    const char *type = json_str_or(interactive, "type", "");
    const json_t *content = json_object_at(interactive, type);
    if (strcmp(type, "button_reply") == 0 || strcmp(type, "list_reply") == 0) {
        add_button(r, content, "id", "title");
    } else if (strcmp(type, "nfm_reply") == 0) {
        add_flow(r, content);
    } else if (r->is_echo) {
        json_t *doc = add(r, plain_type(r), "interactive");
        json_put_str(doc, "text", json_str(json_object_at(interactive, "body"), "text"));
        event_copy(doc, "interactive", r->message, "interactive", JSON_OBJECT);
    } else {
        /* call_permission_reply and what comes after it: an answer to a question that rules did not ask. */
        keep(r, "messages.interactive");
    }
}

static void add_reaction(const struct reading *r)
{
    const json_t *reaction = json_object_at(r->message, "reaction");
    const char *target = json_str(reaction, "message_id");
    const char *emoji = json_str_or(reaction, "emoji", "");
    if (target == NULL) {
        keep(r, "messages.reaction");
        return;
    }
    json_t *doc = add(r, "message.reaction", "reaction");
    json_put_str(doc, "reply_to", target);
    if (*emoji) {
        json_put_str(doc, "emoji", emoji);
    } else {
        json_put_bool(doc, "removed", true);
    }
}

static void add_deleted(const struct reading *r)
{
    const char *original = json_str(json_object_at(r->message, "revoke"), "original_message_id");
    if (original == NULL) {
        keep(r, "messages.revoke");
        return;
    }
    json_put_str(add(r, "message.deleted", "revoke"), "id", original);
}

static void add_edited(const struct reading *r)
{
    const json_t *edit = json_object_at(r->message, "edit");
    const char *original = json_str(edit, "original_message_id");
    json_t *message = json_object_at(edit, "message");
    if (original == NULL || message == NULL) {
        keep(r, "messages.edit");
        return;
    }
    json_t *doc = add(r, "message.edited", NULL);
    json_put_str(doc, "id", original);
    put_content(doc, message);
    put_context(doc, message);
}

static bool differs(const char *now, const char *before)
{
    return now && before && strcmp(now, before) != 0;
}

/* What the platform says about a person; nothing that the person wrote, so it is no message. */
static void add_system(const struct reading *r)
{
    const json_t *system = json_object_at(r->message, "system");
    const char *type = json_str_or(system, "type", "");
    struct whatsapp_person from = person_of(r);
    if (from.user_id == NULL) {
        from.user_id = json_str(system, "previous_user_id"); /* of who has no number that we may know */
    }
    struct whatsapp_person changed = { .number = json_str(system, "wa_id"), .user_id = json_str(system, "user_id") };
    bool is_move = strcmp(type, "user_changed_number") == 0 || strcmp(type, "user_changed_user_id") == 0;
    if (!is_move || (changed.number == NULL && changed.user_id == NULL)) {
        keep(r, "messages.system");
        return;
    }
    json_t *event =
        event_append(r->change->entry->events, r->change->entry->w, WHATSAPP, "contact.identity_changed", r->id, r->at);
    json_put_str(event, "provider_reason", type);
    /* Only what is replaced is given up. */
    struct whatsapp_person person = {
        .number = changed.number ? changed.number : from.number,
        .user_id = changed.user_id ? changed.user_id : from.user_id,
        .parent_user_id = json_str(system, "parent_user_id"),
    };
    struct whatsapp_person former = {
        .number = differs(changed.number, from.number) ? from.number : NULL,
        .user_id = differs(changed.user_id, from.user_id) ? from.user_id : NULL,
    };
    whatsapp_put_contact(event, r->change, &person);
    whatsapp_put_former(event, &former);
    json_t *doc = json_object();
    json_put(event, "message", doc);
    json_put_str(doc, "id", r->id);
    json_put_str(doc, "kind", "system");
    json_put_str(doc, "text", json_str(system, "body"));
}

static void add_template_button(const struct reading *r)
{
    add_button(r, json_object_at(r->message, "button"), "payload", "text");
}

static const struct {
    const char *type;
    void (*add)(const struct reading *r);
} special_types[] = {
    { "interactive", add_interactive },
    { "button", add_template_button },
    { "reaction", add_reaction },
    { "revoke", add_deleted },
    { "edit", add_edited },
    { "system", add_system },
};

static void parse_one(const struct whatsapp_change *change, json_t *message, bool is_echo)
{
    struct reading r = {
        .change = change,
        .message = message,
        .id = json_str(message, "id"),
        .at = event_time_s(message, "timestamp"),
        .is_echo = is_echo,
    };
    if (r.id == NULL || *r.id == '\0') {
        r.id = NULL;
        keep(&r, is_echo ? "message_echoes" : "messages");
        return;
    }
    const char *type = json_str_or(message, "type", "");
    for (size_t i = 0; i < ARRAY_LEN(special_types); i++) {
        if (strcmp(special_types[i].type, type) == 0) {
            special_types[i].add(&r);
            return;
        }
    }
    add_plain(&r);
}

void whatsapp_parse_message(const struct whatsapp_change *change, json_t *message)
{
    parse_one(change, message, false);
}

void whatsapp_parse_echo(const struct whatsapp_change *change, json_t *message)
{
    parse_one(change, message, true);
}
