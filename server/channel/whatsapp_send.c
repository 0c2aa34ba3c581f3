/* WhatsApp Cloud API: POST /VERSION/PHONE_NUMBER_ID/messages. Limits from Meta's reference (send-messages, interactive
 * messages, error codes). The endpoint has no idempotency key: our delivery id travels as biz_opaque_callback_data and
 * comes back with the statuses.
 */
#include "channel/message.h"
#include "channel/whatsapp.h"

#include <ctype.h>

#define MOST_TEXT 4096
#define MOST_BODY 1024 /* beside buttons, and captions */
#define MOST_REPLIES 3
#define MOST_ROWS 10
#define MOST_BUTTON_TEXT 20
#define MOST_BUTTON_ID 256
#define MOST_ROW_TEXT 24
#define MOST_ROW_ID 200
#define MOST_ECHO 512

/* Without the plus Meta puts the country code of the sending number in front. */
static err_t put_recipient(json_t *body, const char *recipient, struct error *reterr)
{
    if (whatsapp_is_user_id(recipient)) {
        json_put_str(body, "recipient", recipient);
        return ERR_NONE;
    }
    struct buf number CLEANUP(buf_done);
    buf_init(&number, 64);
    buf_add_char(&number, '+');
    event_phone_digits(recipient, &number);
    if (number.len < 2) {
        return fail(reterr, ERR_INVALID, "the recipient is neither a phone number nor a WhatsApp user id");
    }
    json_put_str(body, "to", number.ptr);
    return ERR_NONE;
}

static json_t *text_object(const char *text)
{
    json_t *object = json_object();
    json_put_str(object, "text", text);
    return object;
}

static json_t *media_object(const struct message_form *form)
{
    json_t *media = json_object();
    if (form->media_id) {
        json_put_str(media, "id", form->media_id);
    } else {
        json_put_str(media, "link", form->media_url);
    }
    if (strcmp(form->media_kind, "document") == 0) {
        json_put_str(media, "filename", form->media_file_name);
    }
    return media;
}

static err_t put_media(json_t *body, const struct message_form *form, const char *text, struct error *reterr)
{
    static const char *const kinds[] = { "image", "video", "audio", "document", "sticker" };
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        is_known = is_known || strcmp(form->media_kind, kinds[i]) == 0;
    }
    if (!is_known) {
        return fail(reterr, ERR_INVALID, "whatsapp has no media of kind '%.32s'", form->media_kind);
    }
    json_t *media = media_object(form);
    json_put_str(body, "type", form->media_kind);
    json_put(body, form->media_kind, media);
    const char *caption = form->media_caption && *form->media_caption ? form->media_caption : text;
    bool has_caption = strcmp(form->media_kind, "audio") != 0 && strcmp(form->media_kind, "sticker") != 0;
    if (*caption && !has_caption) {
        return fail(reterr, ERR_INVALID, "whatsapp cannot send a text with media of kind '%s'", form->media_kind);
    }
    if (form->media_voice && strcmp(form->media_kind, "audio") == 0) {
        json_put_bool(media, "voice", true);
    }
    if (*caption) {
        json_put_str(media, "caption", caption);
    }
    return message_check_length("whatsapp", "caption", caption, MOST_BODY, reterr);
}

static err_t check_button(const struct message_button *button, size_t most_text, size_t most_id, struct error *reterr)
{
    err_t err = message_check_length("whatsapp", "text of a button", button->text, most_text, reterr);
    if (err == ERR_NONE && button->id) {
        err = message_check_length("whatsapp", "id of a button", button->id, most_id, reterr);
    }
    return err;
}

static err_t put_link(json_t *action, const struct message_form *form, struct error *reterr)
{
    json_t *parameters = json_object();
    json_put_str(parameters, "display_text", form->buttons[0].text);
    json_put_str(parameters, "url", form->buttons[0].url);
    json_put_str(action, "name", "cta_url");
    json_put(action, "parameters", parameters);
    return check_button(&form->buttons[0], MOST_BUTTON_TEXT, MOST_BUTTON_ID, reterr);
}

static err_t put_replies(json_t *action, const struct message_form *form, struct error *reterr)
{
    json_t *buttons = json_array();
    json_put(action, "buttons", buttons);
    for (size_t i = 0; i < form->button_count; i++) {
        if (form->buttons[i].url) {
            continue;
        }
        err_t err = check_button(&form->buttons[i], MOST_BUTTON_TEXT, MOST_BUTTON_ID, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        for (size_t k = 0; k < i; k++) {
            if (form->buttons[k].url == NULL && strcmp(form->buttons[k].text, form->buttons[i].text) == 0) {
                return fail(reterr, ERR_INVALID,
                            "two buttons have the same text '%.64s', whatsapp wants different ones",
                            form->buttons[i].text);
            }
        }
        json_t *reply = json_object();
        json_put_str(reply, "id", form->buttons[i].id);
        json_put_str(reply, "title", form->buttons[i].text);
        json_t *button = json_object();
        json_put_str(button, "type", "reply");
        json_put(button, "reply", reply);
        json_array_append_new(buttons, button);
    }
    return ERR_NONE;
}

static err_t put_rows(json_t *action, const struct message_form *form, const char *label, struct error *reterr)
{
    json_t *rows = json_array();
    json_t *section = json_object();
    json_put(section, "rows", rows);
    json_t *sections = json_array();
    json_array_append_new(sections, section);
    json_put_str(action, "button", label);
    json_put(action, "sections", sections);
    for (size_t i = 0; i < form->button_count; i++) {
        if (form->buttons[i].url) {
            continue;
        }
        err_t err = check_button(&form->buttons[i], MOST_ROW_TEXT, MOST_ROW_ID, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        json_t *row = json_object();
        json_put_str(row, "id", form->buttons[i].id);
        json_put_str(row, "title", form->buttons[i].text);
        json_array_append_new(rows, row);
    }
    return message_check_length("whatsapp", "label of a list", label, MOST_BUTTON_TEXT, reterr);
}

/* Up to three replies are buttons; more, or a long text, are a list; a link alone is a link button. Links beside
 * replies have no form of their own and become lines of the text. */
static err_t put_interactive(json_t *body, const struct message_form *form, const json_t *settings,
                             struct error *reterr)
{
    size_t replies = form->button_count - form->link_count;
    bool is_link = replies == 0 && form->link_count == 1;
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 64 * 1024);
    buf_add_text(&text, form->text);
    if (text.len == 0 && form->media_caption) {
        buf_add_text(&text, form->media_caption);
    }
    if (!is_link) {
        message_add_links(form, &text);
    }
    if (replies == 0 && !is_link) {
        json_put_str(body, "type", "text");
        json_t *content = json_object();
        json_put_bool(content, "preview_url", false);
        json_put_str(content, "body", text.ptr);
        json_put(body, "text", content);
        return form->media_kind ? fail(reterr, ERR_INVALID, "whatsapp cannot send media with several links")
                                : message_check_length("whatsapp", "text", text.ptr, MOST_TEXT, reterr);
    }
    if (text.len == 0) {
        return fail(reterr, ERR_INVALID, "whatsapp wants a text beside buttons");
    }
    if (replies > MOST_ROWS) {
        return fail(reterr, ERR_INVALID, "the message has %zu buttons, whatsapp allows %d", replies, MOST_ROWS);
    }
    bool is_list = !is_link && (replies > MOST_REPLIES || message_length(text.ptr) > MOST_BODY);
    if (is_list && form->media_kind) {
        return fail(reterr, ERR_INVALID, "whatsapp cannot send media with more than %d buttons", MOST_REPLIES);
    }
    json_t *interactive = json_object();
    json_put_str(body, "type", "interactive");
    json_put(body, "interactive", interactive);
    json_put_str(interactive, "type", is_link ? "cta_url" : is_list ? "list" : "button");
    if (form->media_kind) {
        if (strcmp(form->media_kind, "image") != 0 && strcmp(form->media_kind, "video") != 0 &&
            strcmp(form->media_kind, "document") != 0) {
            return fail(reterr, ERR_INVALID, "whatsapp cannot send '%.32s' with buttons", form->media_kind);
        }
        json_t *header = json_object();
        json_put_str(header, "type", form->media_kind);
        json_put(header, form->media_kind, media_object(form));
        json_put(interactive, "header", header);
    }
    json_put(interactive, "body", text_object(text.ptr));
    json_t *action = json_object();
    json_put(interactive, "action", action);
    err_t err =
        message_check_length("whatsapp", "text beside buttons", text.ptr, is_list ? MOST_TEXT : MOST_BODY, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (is_link) {
        return put_link(action, form, reterr);
    }
    return is_list ? put_rows(action, form, setting_or(settings, "list_label", "Options"), reterr)
                   : put_replies(action, form, reterr);
}

static err_t put_text(json_t *body, const char *text, struct error *reterr)
{
    json_t *content = json_object();
    json_put_bool(content, "preview_url", strstr(text, "https://") != NULL || strstr(text, "http://") != NULL);
    json_put_str(content, "body", text);
    json_put_str(body, "type", "text");
    json_put(body, "text", content);
    return message_check_length("whatsapp", "text", text, MOST_TEXT, reterr);
}

static err_t put_free(json_t *body, const json_t *request, const json_t *settings, struct error *reterr)
{
    struct message_form form;
    err_t err = message_form_read(request, "whatsapp:", &form, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (form.reply_to && *form.reply_to) {
        json_t *context = json_object();
        json_put_str(context, "message_id", form.reply_to);
        json_put(body, "context", context);
    }
    if (form.button_count > 0) {
        return put_interactive(body, &form, settings, reterr);
    }
    return form.media_kind ? put_media(body, &form, form.text, reterr) : put_text(body, form.text, reterr);
}

err_t whatsapp_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                      struct error *reterr)
{
    const char *number_id = setting_or(settings, "phone_number_id", NULL);
    if (number_id == NULL) {
        return fail(reterr, ERR_DENIED,
                    "the source has no phone_number_id\nHINT: set it, or do not send on this source");
    }
    const char *recipient;
    err_t err = message_recipient(request, "whatsapp:", &recipient, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *body CLEANUP(json_free) = json_object();
    json_put_str(body, "messaging_product", "whatsapp");
    json_put_str(body, "recipient_type", "individual");
    err = put_recipient(body, recipient, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    err = approved ? whatsapp_render_template(json_object_at(request, "approved"), body, reterr)
                   : put_free(body, request, settings, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const char *echo = json_str(request, "echo");
    if (echo && strlen(echo) <= MOST_ECHO) {
        json_put_str(body, "biz_opaque_callback_data", echo);
    }
    return outgoing_graph(out, settings, "https://graph.facebook.com", number_id, "messages", body, reterr);
}

#define SECOND_MS ((msec_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

/* Meta's error-codes page; what is not here is refused. */
static const struct meta_error_class error_classes[] = {
    { 0, 0, 0, SEND_CHANNEL_DOWN, -1, 0 },                       /* token */
    { 1, 1, 0, SEND_RETRY, -1, 0 },                              /* unknown */
    { 2, 2, 0, SEND_RETRY, -1, 0 },                              /* service down */
    { 3, 3, 0, SEND_CHANNEL_DOWN, -1, 0 },                       /* capability */
    { 4, 4, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },           /* calls of the app */
    { 10, 10, 0, SEND_CHANNEL_DOWN, -1, 0 },                     /* permission */
    { 33, 33, 0, SEND_CHANNEL_DOWN, -1, 0 },                     /* the number is gone */
    { 190, 190, 0, SEND_CHANNEL_DOWN, -1, 0 },                   /* token */
    { 200, 299, 0, SEND_CHANNEL_DOWN, -1, 0 },                   /* permission */
    { 368, 368, 0, SEND_CHANNEL_DOWN, -1, 0 },                   /* blocked for policy */
    { 80007, 80007, 0, SEND_RETRY, HOUR_MS, 5 * MINUTE_MS },     /* rate of the account */
    { 130429, 130429, 0, SEND_RETRY, 5 * SECOND_MS, SECOND_MS }, /* rate of the number */
    { 131000, 131000, 0, SEND_RETRY, -1, 0 },
    { 131005, 131005, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 131016, 131016, 0, SEND_RETRY, -1, 0 },
    { 131026, 131026, 0, SEND_UNREACHABLE, -1, 0 },  /* not on WhatsApp, or their app is too old */
    { 131031, 131031, 0, SEND_CHANNEL_DOWN, -1, 0 }, /* account locked */
    { 131037, 131037, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 131042, 131042, 0, SEND_CHANNEL_DOWN, -1, 0 }, /* payment method */
    { 131045, 131045, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 131048, 131048, 0, SEND_RETRY, 4 * HOUR_MS, 0 },            /* spam rate */
    { 131049, 131049, 0, SEND_RETRY, 24 * HOUR_MS, 0 },           /* held back: not within 24 hours */
    { 131050, 131050, 0, SEND_OPTED_OUT, -1, 0 },                 /* stopped marketing */
    { 131056, 131056, 0, SEND_RETRY, 6 * SECOND_MS, 0 },          /* pair rate */
    { 131057, 131057, 0, SEND_RETRY, MINUTE_MS, 20 * SECOND_MS }, /* account in maintenance */
    { 131064, 131064, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 132015, 132015, 0, SEND_RETRY, 3 * HOUR_MS, 0 }, /* template paused */
    { 132069, 132069, 0, SEND_RETRY, HOUR_MS, 0 },     /* flow throttled */
    { 133004, 133004, 0, SEND_RETRY, -1, 0 },
    { 133010, 133010, 0, SEND_CHANNEL_DOWN, -1, 0 }, /* number not registered */
    { 133016, 133016, 0, SEND_RETRY, HOUR_MS, 0 },
    { 134011, 134011, 0, SEND_CHANNEL_DOWN, -1, 0 },
};

void whatsapp_classify(const struct http_exchange *exchange, struct send_result *result)
{
    meta_classify(exchange, "messages.0.id", error_classes, ARRAY_LEN(error_classes), result);
    /* So many people blocked or reported the number that Meta holds it back: it stays so until what is sent gets
     * better. */
    result->alarming = strcmp(result->code, "131048") == 0;
}
