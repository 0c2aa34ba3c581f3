/* Telegram Bot API: sendMessage and its sisters. Texts go without parse_mode, so nothing in them needs escaping.
 * None of these calls has an idempotency key, and no status comes back later.
 */
#include "channel/message.h"
#include "channel/telegram.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOO_MANY_PAUSE_MS ((msec_t)1000)
#define MOST_TEXT 4096
#define MOST_CAPTION 1024
#define MOST_CALLBACK_BYTES 64
#define MOST_ROW_CHARACTERS 24 /* what fits side by side on a small telephone */
#define MOST_IN_ROW 5

err_t telegram_call(struct outgoing_request *out, const json_t *settings, const char *method, const json_t *body,
                    struct error *reterr)
{
    const char *token = setting_or(settings, "bot_token", NULL);
    if (token == NULL) {
        return fail(reterr, ERR_DENIED, "the source has no bot_token\nHINT: set it, or do not send on this source");
    }
    return outgoing_json(out, NULL, body, reterr, "%s/bot%s/%s",
                         setting_or(settings, "api_url", "https://api.telegram.org"), token, method);
}

/* Numbers as numbers; "@channel" stays a text. */
static void put_number_or_text(json_t *object, const char *key, const char *value)
{
    int64_t number;
    if (text_to_i64(bytes_of(value), &number)) {
        json_put_int(object, key, number);
    } else {
        json_put_str(object, key, value);
    }
}

/* Short answers (a rating from 1 to 5) stand side by side, others below each other. */
static bool fit_in_one_row(const struct message_form *form)
{
    size_t characters = 0;
    for (size_t i = 0; i < form->button_count; i++) {
        characters += message_length(form->buttons[i].text);
    }
    return form->button_count <= MOST_IN_ROW && characters <= MOST_ROW_CHARACTERS && form->link_count == 0;
}

static err_t put_keyboard(json_t *body, const struct message_form *form, struct error *reterr)
{
    if (form->button_count == 0) {
        return ERR_NONE;
    }
    json_t *rows = json_array();
    json_t *markup = json_object();
    json_put(markup, "inline_keyboard", rows);
    json_put(body, "reply_markup", markup);
    bool one_row = fit_in_one_row(form);
    json_t *row = NULL;
    for (size_t i = 0; i < form->button_count; i++) {
        const struct message_button *button = &form->buttons[i];
        if (button->id && strlen(button->id) > MOST_CALLBACK_BYTES) {
            return fail(reterr, ERR_INVALID, "the id of button %zu has %zu bytes, telegram allows %d", i + 1,
                        strlen(button->id), MOST_CALLBACK_BYTES);
        }
        if (row == NULL || !one_row) {
            row = json_array();
            json_array_append_new(rows, row);
        }
        json_t *cell = json_object();
        json_put_str(cell, "text", button->text);
        json_put_str(cell, button->url ? "url" : "callback_data", button->url ? button->url : button->id);
        json_array_append_new(row, cell);
    }
    return ERR_NONE;
}

static const struct {
    const char *kind, *method, *key;
    bool has_caption;
} media_methods[] = {
    { "image", "sendPhoto", "photo", true },        { "video", "sendVideo", "video", true },
    { "audio", "sendAudio", "audio", true },        { "document", "sendDocument", "document", true },
    { "sticker", "sendSticker", "sticker", false }, { "animation", "sendAnimation", "animation", true },
    { "voice", "sendVoice", "voice", true },
};

static err_t put_media(json_t *body, const struct message_form *form, const char **ret_method, struct error *reterr)
{
    const char *kind = strcmp(form->media_kind, "audio") == 0 && form->media_voice ? "voice" : form->media_kind;
    const char *caption = form->media_caption && *form->media_caption ? form->media_caption : form->text;
    for (size_t i = 0; i < ARRAY_LEN(media_methods); i++) {
        if (strcmp(media_methods[i].kind, kind) != 0) {
            continue;
        }
        json_put_str(body, media_methods[i].key, form->media_id ? form->media_id : form->media_url);
        *ret_method = media_methods[i].method;
        if (*caption && !media_methods[i].has_caption) {
            return fail(reterr, ERR_INVALID, "telegram cannot send a text with media of kind '%s'", kind);
        }
        if (*caption) {
            json_put_str(body, "caption", caption);
        }
        return message_check_length("telegram", "caption", caption, MOST_CAPTION, reterr);
    }
    return fail(reterr, ERR_INVALID, "telegram has no media of kind '%.32s'", kind);
}

static err_t answer_callback(const struct message_form *form, const json_t *settings, struct outgoing_request *out,
                             struct error *reterr)
{
    json_t *body CLEANUP(json_free) = json_object();
    json_put_str(body, "callback_query_id", form->callback_query_id);
    if (*form->text) {
        json_put_str(body, "text", form->text);
    }
    err_t err = message_check_length("telegram", "answer to a tap", form->text, 200, reterr);
    return err != ERR_NONE ? err : telegram_call(out, settings, "answerCallbackQuery", body, reterr);
}

/* "CHAT", or "CHAT@CONNECTION" for a chat of a business account. */
static void put_recipient(json_t *body, const char *recipient)
{
    const char *mark = strchr(recipient, TELEGRAM_BUSINESS_MARK);
    if (mark == NULL || mark == recipient) {
        put_number_or_text(body, "chat_id", recipient);
        return;
    }
    char *chat = memory_text_n(recipient, (size_t)(mark - recipient));
    put_number_or_text(body, "chat_id", chat);
    json_put_str(body, "business_connection_id", mark + 1);
    free(chat);
}

err_t telegram_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                      struct error *reterr)
{
    if (approved) {
        return fail(reterr, ERR_INVALID, "telegram has no approved templates");
    }
    struct message_form form;
    err_t err = message_form_read(request, "telegram:", &form, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (form.callback_query_id) {
        return answer_callback(&form, settings, out, reterr);
    }
    json_t *body CLEANUP(json_free) = json_object();
    put_recipient(body, form.recipient);
    if (form.thread) {
        put_number_or_text(body, "message_thread_id", form.thread);
    }
    int64_t reply_to;
    if (form.reply_to && text_to_i64(bytes_of(form.reply_to), &reply_to)) {
        json_t *reply = json_object();
        json_put_int(reply, "message_id", reply_to);
        json_put_bool(reply, "allow_sending_without_reply", true);
        json_put(body, "reply_parameters", reply);
    }
    const char *method = "sendMessage";
    if (form.media_kind) {
        err = put_media(body, &form, &method, reterr);
    } else {
        json_put_str(body, "text", form.text);
        err = message_check_length("telegram", "text", form.text, MOST_TEXT, reterr);
    }
    if (err == ERR_NONE) {
        err = put_keyboard(body, &form, reterr);
    }
    return err != ERR_NONE ? err : telegram_call(out, settings, method, body, reterr);
}

static bool says(const char *description, const char *phrase)
{
    return strcasestr(description, phrase) != NULL;
}

static void judge_error(const json_t *answer, int status, struct send_result *result)
{
    const char *description = json_str_or(answer, "description", "no reason was given");
    const json_t *parameters = json_object_at(answer, "parameters");
    int64_t code = json_int(answer, "error_code", status);
    int64_t retry_after = json_int(parameters, "retry_after", -1);
    int64_t new_chat = json_int(parameters, "migrate_to_chat_id", 0);
    snprintf(result->code, sizeof(result->code), "%lld", (long long)code);
    snprintf(result->reason, sizeof(result->reason), "%s", description);
    result->verdict = SEND_REFUSED;

    if (new_chat != 0) {
        snprintf(result->new_address, sizeof(result->new_address), "%lld", (long long)new_chat);
        result->verdict = SEND_RETRY;
        result->retry_after_ms = 0;
    } else if (code == 429 || code >= 500 || code == 409) {
        result->verdict = SEND_RETRY;
        /* The limit may be the chat's or the bot's, the answer does not say: a moment for all, the time asked for this
         * one. */
        result->pause_ms = code == 429 ? TOO_MANY_PAUSE_MS : 0;
        if (retry_after >= 0 && retry_after < 86400) {
            result->retry_after_ms = retry_after * 1000;
        }
    } else if (code == 401 || code == 404) {
        result->verdict = SEND_CHANNEL_DOWN; /* a wrong token is "Unauthorized" or "Not Found", by its form */
    } else if (code == 403 || says(description, "chat not found") || says(description, "user is deactivated") ||
               says(description, "user not found") || says(description, "PEER_ID_INVALID")) {
        result->verdict = SEND_UNREACHABLE;
    } else if (says(description, "message is not modified") || says(description, "query is too old")) {
        result->verdict = SEND_ACCEPTED; /* nothing was left to do */
    }
}

void telegram_classify(const struct http_exchange *exchange, struct send_result *result)
{
    memset(result, 0, sizeof(*result));
    result->retry_after_ms = exchange->retry_after_ms;
    if (exchange->outcome != HTTP_ANSWERED) {
        result->verdict = exchange->outcome == HTTP_NOT_SENT ? SEND_RETRY : SEND_UNKNOWN;
        snprintf(result->reason, sizeof(result->reason), "%s", exchange->error);
        return;
    }
    json_t *answer CLEANUP(json_free) = NULL;
    if (json_parse(exchange->body, &answer, NULL) != ERR_NONE || !json_is_boolean(json_object_get(answer, "ok"))) {
        bool is_client_error = exchange->status >= 300 && exchange->status < 500;
        bool is_later = exchange->status == 429 || exchange->status == 408;
        result->verdict = is_later ? SEND_RETRY : is_client_error ? SEND_CHANNEL_DOWN : SEND_UNKNOWN;
        snprintf(result->code, sizeof(result->code), "http_%d", exchange->status);
        snprintf(result->reason, sizeof(result->reason), "%s",
                 is_client_error ? "what answered is not the Bot API: check api_url"
                                 : "the answer does not say whether the message was taken");
        return;
    }
    if (!json_bool(answer, "ok", false)) {
        judge_error(answer, exchange->status, result);
        return;
    }
    result->verdict = SEND_ACCEPTED;
    int64_t id = json_int(json_object_at(answer, "result"), "message_id", 0);
    if (id != 0) {
        snprintf(result->provider_message_id, sizeof(result->provider_message_id), "%lld", (long long)id);
    }
}
