#include "store/event_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "store/event_reference.h"

static void add_text(struct texts *texts, const char *text)
{
    if (texts->count == texts->room) {
        texts->room = texts->room * 2 + 64;
        texts->list = memory_resize(texts->list, texts->room * sizeof(*texts->list));
    }
    texts->list[texts->count++] = bytes_of(text);
}

static void add_number(struct numbers *numbers, int64_t number)
{
    if (number == 0) {
        return;
    }
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room * 2 + 64;
        numbers->list = memory_resize(numbers->list, numbers->room * sizeof(*numbers->list));
    }
    numbers->list[numbers->count++] = number;
}

/* Who is known by a phone number may be known by the same number at WhatsApp. */
void event_names_add_handles(struct event_names *names, const json_t *identities)
{
    static const char phone[] = "phone:";
    size_t index;
    json_t *item;
    json_array_foreach (identities, index, item) {
        const char *identity = json_string_value(item);
        if (identity == NULL) {
            continue;
        }
        add_text(&names->handles, identity);
        if (strncmp(identity, phone, strlen(phone)) == 0) {
            json_t *same = json_sprintf("whatsapp:%s", identity + strlen(phone));
            json_array_append_new(names->made, same);
            add_text(&names->handles, json_string_value(same));
        }
    }
}

static void add_message(struct event_names *names, const char *source, const char *id)
{
    if (id != NULL) {
        add_text(&names->message_sources, source);
        add_text(&names->message_ids, id);
    }
}

static void add_status(struct event_names *names, const char *source, const json_t *status)
{
    const char *id = json_str(status, "message_id");
    add_number(&names->echoes, json_int(status, "echo", 0));
    add_message(names, source, id);
    if (id != NULL) {
        add_text(&names->status_sources, source);
        add_text(&names->status_ids, id);
    }
}

/* What an event may be the goal of. One about an outreach of ours names its contact. */
static void add_references(struct event_names *names, const json_t *event)
{
    for (size_t i = 0; i < EVENT_REFERENCE_OUTREACH; i++) {
        const char *name = event_reference(event, i);
        if (name != NULL) {
            add_text(&names->references, name);
        }
    }
}

void event_names_add(struct event_names *names, const json_t *event)
{
    static const char *const about_messages[] = { "message.edited", "message.deleted", "message.reaction",
                                                  "message.sent_elsewhere" };
    const char *source = json_str_or(event, "source", ""), *type = json_str_or(event, "type", "");
    const json_t *contact = json_object_at(event, "contact"), *message = json_object_at(event, "message");
    event_names_add_handles(names, json_array_at(contact, "identities"));
    event_names_add_handles(names, json_array_at(contact, "former_identities"));
    add_number(&names->contacts, json_int(event, "contact_id", 0));
    add_number(&names->conversations, json_int(event, "conversation_id", 0));
    add_status(names, source, json_object_at(event, "status"));
    add_message(names, source, json_str(message, "reply_to"));
    for (size_t i = 0; i < ARRAY_LEN(about_messages); i++) {
        if (strcmp(type, about_messages[i]) == 0) {
            add_message(names, source, json_str(message, "id"));
        }
    }
    add_references(names, event);
}

void event_names_add_replayed(struct event_names *names, int64_t position)
{
    add_number(&names->replayed, position);
}

void event_names_keep(struct event_names *names, json_t *document)
{
    json_array_append_new(names->made, document);
}

void event_names_init(struct event_names *names)
{
    *names = (struct event_names){ .made = json_array() };
}

void event_names_done(struct event_names *names)
{
    struct texts *texts[] = { &names->handles,    &names->status_sources,  &names->status_ids,
                              &names->references, &names->message_sources, &names->message_ids };
    struct numbers *numbers[] = { &names->contacts, &names->conversations, &names->echoes, &names->replayed };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free(texts[i]->list);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        free(numbers[i]->list);
    }
    json_decref(names->made);
    *names = (struct event_names){ .made = NULL };
}
