#include "domain/message.h"

#include <stdio.h>
#include <string.h>

#include "domain/ledger.h"
#include "domain/quiet.h"
#include "domain/timer.h"

#define EDITS_KEPT 20

static json_t *new_row(struct scene *scene, const char *direction, const char *kind, const char *state)
{
    json_t *row = json_object();
    json_put_int(row, "id", desk_next_id(scene->desk));
    json_put_time(row, "created_at", scene->now);
    json_put_time(row, "occurred_at", scene->now);
    json_put_str(row, "direction", direction);
    json_put_str(row, "kind", kind);
    json_put_str(row, "state", state);
    json_put_int(row, "event_id", scene->event_id);
    if (scene->contact)
        json_put_int(row, "contact_id", row_id(scene->contact));
    return row;
}

json_t *message_record(struct scene *scene, const char *direction)
{
    bool is_in = strcmp(direction, "in") == 0;
    const json_t *message = json_object_at(scene->event, "message");
    const char *kind = json_str(message, "kind");
    if (!kind)
        kind = strcmp(scene->type, "message.button") == 0 ? "button" : "text";
    json_t *row = new_row(scene, direction, kind, is_in ? "received" : "sent");
    msec_t at = json_time(scene->event, "occurred_at", scene->now);
    json_put_time(row, "occurred_at", at);
    json_put_shared(row, "source", json_object_get(scene->event, "source"));
    const json_t *who = json_object_at(scene->event, "contact");
    json_put_shared(row, "identity", json_array_get(json_array_at(who, "identities"), 0));
    json_put_str(row, "author", is_in ? "contact" : "agent:elsewhere");
    if (!is_in)
        json_put_time(row, "sent_at", at);

    json_t *content = json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)message, key, value) {
        if (strcmp(key, "id") == 0)
            json_put_shared(row, "provider_message_id", value);
        else if (strcmp(key, "text") == 0 || strcmp(key, "reply_to") == 0)
            json_put_shared(row, key, value);
        else if (strcmp(key, "kind") != 0)
            json_object_set(content, key, value);
    }
    const json_t *button = json_object_at(message, "button");
    if (!json_str(row, "text") && button)
        json_put_str(row, "text", json_str(button, "text"));
    if (!json_str(row, "text"))
        json_put_str(row, "text", json_str(message, "emoji"));
    json_put(row, "content", content);
    scene->message = rows_insert(scene->desk->rows, ROWS_MESSAGE, row);
    return scene->message;
}

void message_note(struct scene *scene, const json_t *conversation, const char *text)
{
    json_t *row = new_row(scene, "note", "note", "note");
    json_put_int(row, "conversation_id", row_id(conversation));
    json_put_int(row, "contact_id", json_int(conversation, "contact_id", 0));
    json_put_str(row, "text", text);
    json_put_str(row, "author", scene->author);
    json_put(row, "content", json_object());
    rows_insert(scene->desk->rows, ROWS_MESSAGE, row);
}

void message_change(struct scene *scene, json_t *message, json_t *columns)
{
    struct desk *desk = scene->desk;
    if (rows_is_new(desk->rows, ROWS_MESSAGE, message)) {
        rows_edit(desk->rows, ROWS_MESSAGE, message);
        json_object_update(message, columns);
        json_decref(columns);
        return;
    }
    json_object_update(message, columns);
    json_object_set(columns, "id", json_object_get(message, "id"));
    json_object_set(columns, "created_at", json_object_get(message, "created_at"));
    desk_log_add(desk, LOG_MESSAGE_EDITS, columns);
}

void message_edit(struct scene *scene, json_t *message)
{
    const json_t *edited = json_object_at(scene->event, "message");
    const char *text = json_str(edited, "text");
    json_t *columns = json_object();
    json_put_time(columns, "edited_at", json_time(scene->event, "occurred_at", scene->now));
    json_t *content = json_deep_copy(json_object_at(message, "content"));
    if (!content)
        content = json_object();
    json_t *edits = json_array_at(content, "edits");
    if (!edits) {
        edits = json_array();
        json_put(content, "edits", edits);
    }
    if (json_array_size(edits) >= EDITS_KEPT)
        json_array_remove(edits, 0);
    json_t *before = json_object();
    json_put_str(before, "text", json_str(message, "text"));
    json_put_time(before, "until", scene->now);
    json_array_append_new(edits, before);
    if (json_object_get(edited, "media"))
        json_object_set(content, "media", json_object_get(edited, "media"));
    json_put(columns, "content", content);
    json_put_str(columns, "text", text);
    message_change(scene, message, columns);
}

void message_delete(struct scene *scene, json_t *message)
{
    json_t *columns = json_object();
    json_put_time(columns, "deleted_at", json_time(scene->event, "occurred_at", scene->now));
    message_change(scene, message, columns);
}

/* Some providers name no messages: everything until a time was delivered or read. The store knows which those are. */
static void take_watermark(struct scene *scene, const char *state, const json_t *status)
{
    const json_t *identities = json_array_at(json_object_at(scene->event, "contact"), "identities");
    const char *identity = json_string_value(json_array_get(identities, 0));
    if (!identity || (strcmp(state, "delivered") != 0 && strcmp(state, "read") != 0))
        return;
    json_t *entry = json_object();
    json_put_str(entry, "source", json_str(scene->event, "source"));
    json_put_str(entry, "identity", identity);
    json_put_str(entry, "state", state);
    json_put_time(entry, "up_to", json_time(status, "up_to", 0));
    json_put_time(entry, "at", json_time(scene->event, "occurred_at", scene->now));
    desk_log_add(scene->desk, LOG_MESSAGE_STATES, entry);
}

void message_take_status(struct scene *scene, json_t *message)
{
    const json_t *status = json_object_at(scene->event, "status");
    const char *state = json_str(status, "state");
    if (ledger_is_reported(state) && !message && !json_str(status, "message_id") && json_time(status, "up_to", 0) > 0) {
        take_watermark(scene, state, status);
        return;
    }
    if (strcmp(json_str_or(scene->event, "provider", ""), "answerd") == 0)
        return; /* our own word: the ledger moved when it was said, and somebody may have tried again since */
    if (!ledger_is_reported(state))
        return; /* a provider's word that the ledger does not know is kept in the event, and stops nothing */
    const json_t *error = json_object_at(status, "error");
    const char *code = json_str(error, "code");
    const char *reason = json_str(error, "title");
    if (!reason)
        reason = json_str(error, "detail");
    msec_t at = json_time(scene->event, "occurred_at", scene->now);

    json_t *entry = json_object();
    if (message) {
        json_object_set(entry, "id", json_object_get(message, "id"));
        json_object_set(entry, "created_at", json_object_get(message, "created_at"));
    }
    json_put_str(entry, "source", json_str(scene->event, "source"));
    json_put_str(entry, "provider_message_id", json_str(status, "message_id"));
    json_put_str(entry, "state", strcmp(state, "played") == 0 ? "read" : state);
    json_put_time(entry, "at", at);
    json_put_str(entry, "error_code", code);
    json_put_str(entry, "reason", reason);
    desk_log_add(scene->desk, LOG_MESSAGE_STATES, entry);
    if (message)
        ledger_apply(message, state, at, code,
                     reason); /* what later rules of the batch see; stored by the entry above */
}

static json_t *make_request(const struct scene *scene, const json_t *address, struct message_draft *draft,
                            int64_t delivery_id)
{
    json_t *request = json_object();
    json_t *to = json_object();
    json_put_str(to, "recipient", json_str(address, "recipient"));
    json_put_str(to, "identity", json_str(address, "identity"));
    json_put(request, "to", to);
    if (draft->free && draft->reply_to)
        json_put_str(draft->free, "reply_to", draft->reply_to);
    json_put(request, "free", draft->free);
    json_put(request, "approved", draft->approved);
    char echo[32];
    snprintf(echo, sizeof(echo), "%lld", (long long)delivery_id);
    json_put_str(request, "echo", echo);
    json_put_str(request, "on_unknown", draft->on_unknown);
    if (scene->confirms_opt_out)
        json_put_bool(request, "confirms_opt_out", true);
    draft->free = draft->approved = NULL;
    return request;
}

static void note_outbound(struct scene *scene, json_t *conversation, const json_t *address)
{
    rows_edit(scene->desk->rows, ROWS_CONVERSATION, conversation);
    json_put_time(conversation, "last_outbound_at", scene->now);
    json_put_time(conversation, "updated_at", scene->now);
    if (scene->is_agent && !json_str(conversation, "first_reply_at"))
        json_put_time(conversation, "first_reply_at", scene->now);
    if (address) {
        json_put_str(conversation, "source", json_str(address, "source"));
        json_put_str(conversation, "identity", json_str(address, "identity"));
    }
    if (scene->is_agent)
        timer_cancel_answered(scene, row_id(conversation), "reply");
}

json_t *message_queue(struct scene *scene, json_t *contact, json_t *conversation, const json_t *address,
                      struct message_draft *draft, int64_t *ret_delivery_id)
{
    struct desk *desk = scene->desk;
    const char *source = json_str_or(address, "source", ""), *identity = json_str_or(address, "identity", "");
    int64_t delivery_id = desk_next_id(desk);
    json_t *row = new_row(scene, "out", draft->kind, "queued");
    json_put_int(row, "contact_id", row_id(contact));
    json_put_int(row, "conversation_id", row_id(conversation));
    json_put_str(row, "source", source);
    json_put_str(row, "identity", identity);
    json_put_str(row, "text", draft->text);
    json_put_int(draft->content, "delivery", delivery_id);
    json_put(row, "content", draft->content);
    draft->content = NULL;
    json_put_str(row, "author", scene->author);
    json_put_str(row, "reply_to", draft->reply_to);
    if (draft->outreach_id > 0)
        json_put_int(row, "outreach_id", draft->outreach_id);
    if (draft->survey_id > 0)
        json_put_int(row, "survey_id", draft->survey_id);
    json_put_time(row, "queued_at", scene->now);
    row = rows_insert(desk->rows, ROWS_MESSAGE, row);

    json_t *delivery = json_object();
    json_put_int(delivery, "id", delivery_id);
    json_put_time(delivery, "created_at", scene->now);
    json_put_str(delivery, "kind", "message");
    json_put_str(delivery, "source", source);
    json_put_str(delivery, "identity", identity);
    json_put_int(delivery, "contact_id", row_id(contact));
    json_put_int(delivery, "conversation_id", row_id(conversation));
    json_put_int(delivery, "message_id", row_id(row));
    json_put_time(delivery, "message_created_at", scene->now);
    if (draft->outreach_id > 0)
        json_put_int(delivery, "outreach_id", draft->outreach_id);
    json_put_str(delivery, "topic", draft->topic);
    json_put_int(delivery, "event_id", scene->event_id);
    json_put_str(delivery, "rule", scene->rule);
    json_put(delivery, "request", make_request(scene, address, draft, delivery_id));
    json_put_str(delivery, "state", "queued");
    json_put_int(delivery, "attempts", 0);
    msec_t due = draft->quiet ? quiet_due(desk, contact, scene->now) : scene->now;
    json_put_time(delivery, "due_at", due);
    char recipient[512];
    snprintf(recipient, sizeof(recipient), "%s %s", source, identity);
    json_put_str(delivery, "recipient", recipient);
    desk_log_add(desk, LOG_DELIVERIES, delivery);

    note_outbound(scene, conversation, address);
    *ret_delivery_id = delivery_id;
    return row;
}

void message_cancel_queued_of_outreach(struct scene *scene, int64_t outreach_id)
{
    json_t *entry = json_object();
    json_put_int(entry, "outreach_id", outreach_id);
    desk_log_add(scene->desk, LOG_CANCEL_DELIVERIES, entry);
}
