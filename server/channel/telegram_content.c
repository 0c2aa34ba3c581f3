/* What is inside a Telegram message. Field names from the Message object of the Bot API. */
#include "channel/telegram.h"

/* Messages that the platform writes about a chat. The list is Telegram's; what is new there has no content that we
 * know either and is kept as an unsupported message, which is the safer side. */
static const char *const service_fields[] = {
    "new_chat_members",
    "left_chat_member",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "group_chat_created",
    "supergroup_chat_created",
    "channel_chat_created",
    "message_auto_delete_timer_changed",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
    "pinned_message",
    "users_shared",
    "chat_shared",
    "connected_website",
    "write_access_allowed",
    "proximity_alert_triggered",
    "boost_added",
    "chat_owner_left",
    "chat_owner_changed",
    "community_chat_added",
    "community_chat_removed",
    "community_chat_joined",
    "managed_bot_created",
    "poll_option_added",
    "poll_option_deleted",
    "suggested_post_approved",
    "suggested_post_approval_failed",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "gift_upgrade_sent",
    "chat_background_set",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "direct_message_price_changed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_closed",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "giveaway_created",
    "giveaway_winners",
    "giveaway_completed",
    "paid_message_price_changed",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
};

/* A file in Telegram's words; `file_id` is what the bot downloads or sends again. */
static json_t *media_of(const json_t *file)
{
    json_t *media = json_object();
    json_put_str(media, "id", json_str(file, "file_id"));
    json_put_str(media, "unique_id", json_str(file, "file_unique_id"));
    json_put_str(media, "mime_type", json_str(file, "mime_type"));
    json_put_str(media, "file_name", json_str(file, "file_name"));
    event_copy_number(media, "size", file, "file_size");
    event_copy_number(media, "width", file, "width");
    event_copy_number(media, "height", file, "height");
    event_copy_number(media, "duration", file, "duration");
    return media;
}

/* "photo" lists the same picture in several sizes; we name the biggest. */
static json_t *biggest_photo(const json_t *sizes)
{
    json_t *best = NULL;
    int64_t best_area = -1;
    size_t index;
    json_t *size;
    json_array_foreach (sizes, index, size) {
        int64_t width = json_int(size, "width", 0);
        int64_t height = json_int(size, "height", 0);
        bool fits = width >= 0 && height >= 0 && width < 1000000 && height < 1000000;
        int64_t area = fits ? width * height : 0;
        if (json_is_object(size) && area >= best_area) {
            best = size;
            best_area = area;
        }
    }
    return best;
}

static const struct {
    const char *field, *kind;
} media_fields[] = {
    { "animation", "video" }, /* before document: an animation comes with both */
    { "video", "video" },      { "video_note", "video" }, { "voice", "audio" },       { "audio", "audio" },
    { "live_photo", "image" }, { "sticker", "sticker" },  { "document", "document" },
};

static bool put_media(json_t *doc, const json_t *message)
{
    json_t *photo = biggest_photo(json_array_at(message, "photo"));
    if (photo) {
        json_put_str(doc, "kind", "image");
        json_put(doc, "media", media_of(photo));
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(media_fields); i++) {
        const char *field = media_fields[i].field;
        const json_t *file = json_object_at(message, field);
        if (file == NULL) {
            continue;
        }
        json_t *media = media_of(file);
        json_put_str(doc, "kind", media_fields[i].kind);
        json_put(doc, "media", media);
        if (strcmp(field, "voice") == 0) {
            json_put_bool(media, "voice", true);
        } else if (strcmp(field, "animation") == 0) {
            json_put_bool(media, "animated", true);
        } else if (strcmp(field, "sticker") == 0) {
            json_put_str(doc, "emoji", json_str(file, "emoji"));
        }
        return true;
    }
    return false;
}

/* In the form that WhatsApp uses, so that a rule reads one form. */
static void put_contact_card(json_t *doc, const json_t *card)
{
    const char *first = json_str_or(card, "first_name", "");
    const char *last = json_str_or(card, "last_name", "");
    json_t *name = json_object();
    json_put(name, "formatted_name", json_sprintf("%s%s%s", first, *first && *last ? " " : "", last));
    json_put_str(name, "first_name", json_str(card, "first_name"));
    json_put_str(name, "last_name", json_str(card, "last_name"));
    json_t *phone = json_object();
    json_put_str(phone, "phone", json_str(card, "phone_number"));
    json_t *phones = json_array();
    json_array_append_new(phones, phone);
    json_t *contact = json_object();
    json_put(contact, "name", name);
    json_put(contact, "phones", phones);
    event_copy_number(contact, "user_id", card, "user_id");
    json_put_str(contact, "vcard", json_str(card, "vcard"));
    json_t *contacts = json_array();
    json_array_append_new(contacts, contact);
    json_put_str(doc, "kind", "contacts");
    json_put(doc, "contacts", contacts);
}

static void put_location(json_t *doc, const json_t *place, const json_t *venue)
{
    json_t *location = json_object();
    event_copy_number(location, "latitude", place, "latitude");
    event_copy_number(location, "longitude", place, "longitude");
    event_copy_number(location, "live_period", place, "live_period");
    json_put_str(location, "name", json_str(venue, "title"));
    json_put_str(location, "address", json_str(venue, "address"));
    json_put_str(doc, "kind", "location");
    json_put(doc, "location", location);
}

/* Content without a form of ours: the kind is Telegram's name, the object is kept under it. */
static const char *const plain_fields[] = {
    "poll",    "dice", "game",        "checklist", "story",        "paid_media",
    "invoice", "gift", "unique_gift", "giveaway",  "rich_message", "web_app_data",
};

static bool put_plain(json_t *doc, const json_t *message)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_fields); i++) {
        const json_t *content = json_object_at(message, plain_fields[i]);
        if (content == NULL) {
            continue;
        }
        json_put_str(doc, "kind", plain_fields[i]);
        json_put(doc, plain_fields[i], json_deep_copy(content));
        if (strcmp(plain_fields[i], "poll") == 0) {
            json_put_str(doc, "text", json_str(content, "question"));
        } else if (strcmp(plain_fields[i], "dice") == 0) {
            json_put_str(doc, "emoji", json_str(content, "emoji"));
        } else if (strcmp(plain_fields[i], "web_app_data") == 0) {
            json_put_str(doc, "text", json_str(content, "data"));
        }
        return true;
    }
    return false;
}

/* "/start payload" and "/start@my_bot payload" as {command: "start", command_arguments: "payload"}. */
static void put_command(json_t *doc, const char *text)
{
    if (text[0] != '/' || text[1] == '\0' || text[1] == ' ') {
        return;
    }
    const char *name = text + 1;
    size_t length = strcspn(name, "@ \n\t");
    const char *arguments = name + strcspn(name, " \n\t");
    arguments += strspn(arguments, " \n\t");
    json_put_bytes(doc, "command", (struct bytes){ name, length });
    if (*arguments) {
        json_put_str(doc, "command_arguments", arguments);
    }
}

static const char *service_field(const json_t *message)
{
    for (size_t i = 0; i < ARRAY_LEN(service_fields); i++) {
        if (json_object_get(message, service_fields[i])) {
            return service_fields[i];
        }
    }
    return NULL;
}

bool telegram_put_content(json_t *doc, const json_t *message, const char **ret_service)
{
    const char *text = json_str(message, "text");
    json_put_str(doc, "text", text ? text : json_str(message, "caption"));
    if (text) {
        json_put_str(doc, "kind", "text");
        put_command(doc, text);
        return true;
    }
    if (put_media(doc, message) || put_plain(doc, message)) {
        return true;
    }
    const json_t *venue = json_object_at(message, "venue");
    const json_t *place = venue ? json_object_at(venue, "location") : json_object_at(message, "location");
    if (json_object_at(message, "contact")) {
        put_contact_card(doc, json_object_at(message, "contact"));
    } else if (place) {
        put_location(doc, place, venue);
    } else if ((*ret_service = service_field(message)) != NULL) {
        return false;
    } else {
        json_put_str(doc, "kind", "unsupported");
    }
    return true;
}
