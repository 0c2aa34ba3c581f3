/* One element of "statuses": what became of a message of ours. */
#include "channel/whatsapp.h"

static const char *const known_states[] = { "sent", "delivered", "read", "played", "failed" };

static bool is_known_state(const char *state)
{
    for (size_t i = 0; i < ARRAY_LEN(known_states); i++) {
        if (strcmp(known_states[i], state) == 0) {
            return true;
        }
    }
    return false;
}

/* In a group the recipient is the group, and each participant reports on their own. */
static struct whatsapp_person person_of(const json_t *status)
{
    bool is_group = strcmp(json_str_or(status, "recipient_type", ""), "group") == 0;
    const char *parent = json_str(status, "recipient_parent_user_id");
    struct whatsapp_person person = {
        .number = json_str(status, is_group ? "recipient_participant_id" : "recipient_id"),
        .user_id = json_str(status, is_group ? "recipient_participant_user_id" : "recipient_user_id"),
        .parent_user_id = parent ? parent : json_str(status, "parent_recipient_user_id"),
    };
    if (person.number && whatsapp_is_user_id(person.number)) {
        person.user_id = person.user_id ? person.user_id : person.number;
        person.number = NULL;
    }
    return person;
}

void whatsapp_parse_status(const struct whatsapp_change *change, json_t *status)
{
    const char *id = json_str(status, "id");
    const char *state = json_str(status, "status");
    msec_t at = event_time_s(status, "timestamp");
    struct whatsapp_person person = person_of(status);
    const char *participant = json_str(status, "recipient_participant_id");
    if (participant == NULL) { /* whose number we may not know */
        participant = json_str(status, "recipient_participant_user_id");
    }
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 1024);
    if (id && *id && state) {
        buf_addf(&key, "%s:%s%s%s", id, state, participant ? ":" : "", participant ? participant : "");
    }
    if (key.len == 0 || key.overflowed || !state || !is_known_state(state)) {
        json_t *event = whatsapp_add_unknown(change, "statuses", key.overflowed ? NULL : key.ptr, at, status);
        whatsapp_put_contact(event, change, &person);
        return;
    }

    json_t *event = event_append(change->entry->events, change->entry->w, WHATSAPP, "message.status", key.ptr, at);
    whatsapp_put_contact(event, change, &person);
    json_t *doc = json_object();
    json_put(event, "status", doc);
    json_put_str(doc, "message_id", id);
    json_put_str(doc, "state", state);
    json_put_str(doc, "echo", json_str(status, "biz_opaque_callback_data"));
    const json_t *errors = json_array_at(status, "errors");
    if (json_array_size(errors) > 0) {
        json_put(doc, "error", whatsapp_error_doc(json_array_get(errors, 0)));
    }
    event_copy(doc, "pricing", status, "pricing", JSON_OBJECT);
    event_copy(doc, "conversation", status, "conversation", JSON_OBJECT);
    json_put_str(doc, "participant", participant);
}
