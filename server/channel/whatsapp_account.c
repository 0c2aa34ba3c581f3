/* Changes that are about the account, a template or a person's wishes, not about one message. */
#include "channel/whatsapp.h"

void whatsapp_parse_preference(const struct whatsapp_change *change, json_t *preference)
{
    const char *value = json_str_or(preference, "value", "");
    bool is_stop = strcmp(value, "stop") == 0;
    msec_t at = event_time_s(preference, "timestamp");
    struct whatsapp_person person = {
        .number = json_str(preference, "wa_id"),
        .user_id = json_str(preference, "user_id"),
        .parent_user_id = json_str(preference, "parent_user_id"),
    };
    if (!is_stop && strcmp(value, "resume") != 0) {
        json_t *event = whatsapp_add_unknown(change, change->field, NULL, at, preference);
        whatsapp_put_contact(event, change, &person);
        return;
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 128);
    event_key_of_element(&key, change->field, preference);
    json_t *event = event_append(change->entry->events, change->entry->w, WHATSAPP,
                                 is_stop ? "contact.opted_out" : "contact.opted_in", key.ptr, at);
    whatsapp_put_contact(event, change, &person);
    /* The only category today is "marketing_messages"; our topics have shorter names. */
    const char *category = json_str_or(preference, "category", "marketing_messages");
    event_put_topic(event, strcmp(category, "marketing_messages") == 0 ? "marketing" : category, value);
}

/* {"user_id": {"previous", "current"}, "wa_id"?}: the person's id at this business has changed. */
void whatsapp_parse_user_id_update(const struct whatsapp_change *change, json_t *update)
{
    const json_t *ids = json_object_at(update, "user_id");
    struct whatsapp_person former = { .user_id = json_str(ids, "previous") };
    struct whatsapp_person person = {
        .number = json_str(update, "wa_id"),
        .user_id = json_str(ids, "current"),
        .parent_user_id = json_str(json_object_at(update, "parent_user_id"), "current"),
    };
    msec_t at = event_time_s(update, "timestamp");
    if (former.user_id == NULL || person.user_id == NULL) {
        whatsapp_add_unknown(change, "user_id_update", NULL, at, update);
        return;
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 128);
    event_key_of_element(&key, "user_id_update", update);
    json_t *event =
        event_append(change->entry->events, change->entry->w, WHATSAPP, "contact.identity_changed", key.ptr, at);
    json_put_str(event, "provider_reason", "user_id_update");
    whatsapp_put_contact(event, change, &person);
    whatsapp_put_former(event, &former);
}

/* `around` is the change itself: Meta's page shows rejection_info both inside the value and beside it. */
void whatsapp_parse_template_status(const struct whatsapp_change *change, const json_t *around)
{
    json_t *value = change->value;
    const char *name = json_str(value, "message_template_name");
    const char *status = json_str(value, "event");
    if (name == NULL || status == NULL) {
        return; /* kept whole by the caller */
    }
    struct buf context CLEANUP(buf_done);
    struct buf key CLEANUP(buf_done);
    buf_init(&context, 64);
    buf_init(&key, 128);
    buf_addf(&context, "template %lld ", (long long)change->entry->time);
    event_key_of_element(&key, context.ptr, value);

    json_t *event = event_append(change->entry->events, change->entry->w, WHATSAPP, "template.status", key.ptr,
                                 change->entry->time);
    json_t *doc = json_object();
    json_put(event, "template", doc);
    json_put_str(doc, "name", name);
    json_put_str(doc, "language", json_str(value, "message_template_language"));
    event_put_lower(doc, "status", *status ? status : NULL);
    json_put_str(doc, "category", json_str(value, "message_template_category"));
    const json_t *rejection = json_object_at(value, "rejection_info");
    if (rejection == NULL) {
        rejection = json_object_at(around, "rejection_info");
    }
    const char *reason = json_str(value, "reason");
    if (reason && strcmp(reason, "NONE") != 0) {
        json_put_str(doc, "reason", reason);
    }
    json_put_str(doc, "detail", json_str(rejection, "reason"));
    json_put_str(doc, "recommendation", json_str(rejection, "recommendation"));
    event_copy(doc, "other", value, "other_info", JSON_OBJECT);
    event_copy(doc, "disable", value, "disable_info", JSON_OBJECT);
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 64);
    event_id_text(json_object_get(value, "message_template_id"), &id);
    if (id.len > 0 && !id.overflowed) {
        json_put_str(doc, "id", id.ptr);
    }
}
