/* Sending to Messenger and Instagram: POST /VERSION/PAGE_OR_ACCOUNT/messages. Limits from Meta's Send API reference. */
#include "channel/messenger.h"

#include "channel/message.h"

#define MOST_MESSENGER_TEXT 2000
#define MOST_INSTAGRAM_BYTES 1000
#define MOST_QUICK_REPLIES 13
#define MOST_REPLY_TEXT 20
#define MOST_REPLY_ID 1000
#define MOST_TEMPLATE_TEXT 640
#define MOST_TEMPLATE_BUTTONS 3

static err_t put_media(json_t *message, const struct message_form *form, const char *provider, struct error *reterr)
{
    static const struct {
        const char *ours, *theirs;
    } types[] = { { "image", "image" }, { "video", "video" }, { "audio", "audio" }, { "document", "file" } };
    const char *caption = form->media_caption ? form->media_caption : "";
    if (*form->text || *caption) {
        return fail(reterr, ERR_INVALID, "%s cannot send a text and media in one message", provider);
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].ours, form->media_kind) != 0) {
            continue;
        }
        json_t *payload = json_object();
        json_put_str(payload, form->media_id ? "attachment_id" : "url",
                     form->media_id ? form->media_id : form->media_url);
        json_t *attachment = json_object();
        json_put_str(attachment, "type", types[i].theirs);
        json_put(attachment, "payload", payload);
        json_put(message, "attachment", attachment);
        return ERR_NONE;
    }
    return fail(reterr, ERR_INVALID, "%s has no media of kind '%.32s'", provider, form->media_kind);
}

static err_t put_quick_replies(json_t *message, const struct message_form *form, const char *provider,
                               struct error *reterr)
{
    size_t replies = form->button_count - form->link_count;
    if (replies == 0) {
        return ERR_NONE;
    }
    if (replies > MOST_QUICK_REPLIES) {
        return fail(reterr, ERR_INVALID, "the message has %zu buttons, %s allows %d", replies, provider,
                    MOST_QUICK_REPLIES);
    }
    json_t *list = json_array();
    json_put(message, "quick_replies", list);
    for (size_t i = 0; i < form->button_count; i++) {
        const struct message_button *button = &form->buttons[i];
        if (button->url) {
            continue;
        }
        err_t err = message_check_length(provider, "text of a button", button->text, MOST_REPLY_TEXT, reterr);
        if (err == ERR_NONE) {
            err = message_check_length(provider, "id of a button", button->id, MOST_REPLY_ID, reterr);
        }
        if (err != ERR_NONE) {
            return err;
        }
        json_t *reply = json_object();
        json_put_str(reply, "content_type", "text");
        json_put_str(reply, "title", button->text);
        json_put_str(reply, "payload", button->id);
        json_array_append_new(list, reply);
    }
    return ERR_NONE;
}

/* Links have buttons in a "button template" only, which holds three buttons and a shorter text. */
static bool fits_button_template(const struct message_form *form)
{
    if (form->link_count == 0 || form->button_count > MOST_TEMPLATE_BUTTONS ||
        message_length(form->text) > MOST_TEMPLATE_TEXT || *form->text == '\0') {
        return false;
    }
    for (size_t i = 0; i < form->button_count; i++) {
        if (message_length(form->buttons[i].text) > MOST_REPLY_TEXT) {
            return false;
        }
    }
    return true;
}

static void put_button_template(json_t *message, const struct message_form *form)
{
    json_t *buttons = json_array();
    for (size_t i = 0; i < form->button_count; i++) {
        const struct message_button *from = &form->buttons[i];
        json_t *button = json_object();
        json_put_str(button, "type", from->url ? "web_url" : "postback");
        json_put_str(button, "title", from->text);
        json_put_str(button, from->url ? "url" : "payload", from->url ? from->url : from->id);
        json_array_append_new(buttons, button);
    }
    json_t *payload = json_object();
    json_put_str(payload, "template_type", "button");
    json_put_str(payload, "text", form->text);
    json_put(payload, "buttons", buttons);
    json_t *attachment = json_object();
    json_put_str(attachment, "type", "template");
    json_put(attachment, "payload", payload);
    json_put(message, "attachment", attachment);
}

static err_t put_text(json_t *message, const struct message_form *form, bool is_instagram, struct error *reterr)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 64 * 1024);
    buf_add_text(&text, form->text);
    message_add_links(form, &text);
    json_put_bytes(message, "text", buf_bytes(&text));
    if (is_instagram && text.len > MOST_INSTAGRAM_BYTES) {
        return fail(reterr, ERR_INVALID, "the text has %zu bytes, instagram allows %d", text.len, MOST_INSTAGRAM_BYTES);
    }
    return is_instagram ? ERR_NONE : message_check_length("messenger", "text", text.ptr, MOST_MESSENGER_TEXT, reterr);
}

static err_t render(const json_t *request, bool approved, bool is_instagram, const json_t *settings,
                    struct outgoing_request *out, struct error *reterr)
{
    const char *provider = is_instagram ? "instagram" : "messenger";
    if (approved) {
        return fail(reterr, ERR_INVALID, "%s has no approved templates here", provider);
    }
    struct message_form form;
    err_t err = message_form_read(request, is_instagram ? "instagram:" : "messenger:", &form, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *body CLEANUP(json_free) = json_object();
    json_t *recipient = json_object();
    json_t *message = json_object();
    json_put_str(recipient, "id", form.recipient);
    json_put(body, "recipient", recipient);
    json_put(body, "message", message);
    if (!is_instagram) {
        json_put_str(body, "messaging_type", "RESPONSE");
    }
    if (form.reply_to && *form.reply_to) {
        json_t *reply_to = json_object();
        json_put_str(reply_to, "mid", form.reply_to);
        json_put(body, "reply_to", reply_to);
    }
    if (form.media_kind) {
        err = put_media(message, &form, provider, reterr);
    } else if (!is_instagram && fits_button_template(&form)) {
        put_button_template(message, &form);
        form.button_count = form.link_count = 0;
    } else {
        err = put_text(message, &form, is_instagram, reterr);
    }
    if (err == ERR_NONE) {
        err = put_quick_replies(message, &form, provider, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    json_put_str(message, "metadata", form.echo);
    return outgoing_graph(out, settings, is_instagram ? "https://graph.instagram.com" : "https://graph.facebook.com",
                          setting_or(settings, is_instagram ? "account_id" : "page_id", "me"), "messages", body,
                          reterr);
}

err_t messenger_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                       struct error *reterr)
{
    return render(request, approved, false, settings, out, reterr);
}

err_t instagram_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                       struct error *reterr)
{
    return render(request, approved, true, settings, out, reterr);
}

#define SECOND_MS ((msec_t)1000)
#define MINUTE_MS (60 * SECOND_MS)

static const struct meta_error_class error_classes[] = {
    { 1, 2, 0, SEND_RETRY, -1, 0 },
    { 4, 4, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { 10, 10, 2018278, SEND_REFUSED, -1, 0 }, /* outside the window */
    { 10, 10, 2534022, SEND_REFUSED, -1, 0 }, /* the same of Instagram */
    { 10, 10, 0, SEND_CHANNEL_DOWN, -1, 0 },  /* permission; page restricted */
    { 17, 17, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { 32, 32, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS },
    { 100, 100, 0, SEND_REFUSED, -1, 0 },
    { 190, 190, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 200, 200, 1545041, SEND_UNREACHABLE, -1, 0 }, /* the person is not available */
    { 200, 299, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 368, 368, 0, SEND_CHANNEL_DOWN, -1, 0 },
    { 551, 551, 0, SEND_UNREACHABLE, -1, 0 },
    { 613, 613, 0, SEND_RETRY, MINUTE_MS, 20 * SECOND_MS },
    { 80000, 80014, 0, SEND_RETRY, 5 * MINUTE_MS, MINUTE_MS }, /* limits of a business use case */
};

void messenger_classify(const struct http_exchange *exchange, struct send_result *result)
{
    meta_classify(exchange, "message_id", error_classes, ARRAY_LEN(error_classes), result);
}
