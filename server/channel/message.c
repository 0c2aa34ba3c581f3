#include "channel/message.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LONGEST_URL 2048
#define LONGEST_BODY ((size_t)1024 * 1024)

const char *setting_or(const json_t *settings, const char *name, const char *fallback)
{
    const char *value = json_str(settings, name);
    return value && *value ? value : fallback;
}

err_t message_recipient(const json_t *request, const char *identity_prefix, const char **ret_recipient,
                        struct error *reterr)
{
    const json_t *to = json_object_at(request, "to");
    const char *recipient = json_str(to, "recipient");
    if (recipient == NULL || *recipient == '\0') {
        const char *identity = json_str_or(to, "identity", "");
        size_t length = strlen(identity_prefix);
        recipient = strncmp(identity, identity_prefix, length) == 0 ? identity + length : "";
    }
    if (*recipient == '\0') {
        return fail(reterr, ERR_INVALID, "the request names no recipient");
    }
    *ret_recipient = recipient;
    return ERR_NONE;
}

static bool is_web_url(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
}

static err_t read_button(const json_t *button, size_t number, struct message_button *ret_button, struct error *reterr)
{
    struct message_button read = {
        .text = json_str(button, "text"),
        .id = json_str(button, "id"),
        .url = json_str(button, "url"),
    };
    if (read.text == NULL || *read.text == '\0') {
        return fail(reterr, ERR_INVALID, "button %zu has no text", number);
    }
    if (read.url) {
        read.id = NULL;
        if (!is_web_url(read.url)) {
            return fail(reterr, ERR_INVALID, "the link of button %zu is no http or https URL", number);
        }
    } else if (read.id == NULL || *read.id == '\0') {
        read.id = read.text;
    }
    *ret_button = read;
    return ERR_NONE;
}

static err_t read_buttons(const json_t *buttons, struct message_form *form, struct error *reterr)
{
    if (json_array_size(buttons) > MOST_BUTTONS) {
        return fail(reterr, ERR_INVALID, "the message has more than %d buttons", MOST_BUTTONS);
    }
    size_t index;
    json_t *button;
    json_array_foreach (buttons, index, button) {
        struct message_button *read = &form->buttons[form->button_count++];
        err_t err = read_button(button, index + 1, read, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        form->link_count += read->url != NULL;
        for (size_t i = 0; read->id && i < index; i++) {
            if (form->buttons[i].id && strcmp(form->buttons[i].id, read->id) == 0) {
                return fail(reterr, ERR_INVALID, "two buttons have the same id '%.64s'", read->id);
            }
        }
    }
    return ERR_NONE;
}

static err_t read_media(const json_t *media, struct message_form *form, struct error *reterr)
{
    if (media == NULL) {
        return ERR_NONE;
    }
    form->media_kind = json_str_or(media, "kind", "document");
    form->media_url = json_str(media, "url");
    form->media_id = json_str(media, "id");
    form->media_caption = json_str(media, "caption");
    form->media_file_name = json_str(media, "file_name");
    form->media_voice = json_bool(media, "voice", false);
    if (form->media_url == NULL && form->media_id == NULL) {
        return fail(reterr, ERR_INVALID, "the media has neither a url nor an id");
    }
    if (form->media_id == NULL && !is_web_url(form->media_url)) {
        return fail(reterr, ERR_INVALID, "the media's url is no http or https URL");
    }
    return ERR_NONE;
}

err_t message_form_read(const json_t *request, const char *identity_prefix, struct message_form *ret_form,
                        struct error *reterr)
{
    const json_t *form = json_object_at(request, "free");
    if (form == NULL) {
        return fail(reterr, ERR_INVALID, "the request has no free form");
    }
    struct message_form read = {
        .text = json_str_or(form, "text", ""),
        .reply_to = json_str(form, "reply_to"),
        .thread = json_str(form, "thread"),
        .echo = json_str(request, "echo"),
        .callback_query_id = json_str(form, "callback_query_id"),
    };
    err_t err = message_recipient(request, identity_prefix, &read.recipient, reterr);
    if (err == ERR_NONE) {
        err = read_buttons(json_array_at(form, "buttons"), &read, reterr);
    }
    if (err == ERR_NONE) {
        err = read_media(json_object_at(form, "media"), &read, reterr);
    }
    if (err == ERR_NONE && *read.text == '\0' && read.media_kind == NULL && read.callback_query_id == NULL) {
        err = fail(reterr, ERR_INVALID, "the message has neither a text nor media");
    }
    if (err == ERR_NONE) {
        *ret_form = read;
    }
    return err;
}

size_t message_length(const char *text)
{
    size_t units = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if ((*p & 0xc0) != 0x80) {
            units += *p >= 0xf0 ? 2 : 1;
        }
    }
    return units;
}

err_t message_check_length(const char *provider, const char *what, const char *text, size_t most, struct error *reterr)
{
    size_t length = message_length(text);
    if (length <= most) {
        return ERR_NONE;
    }
    return fail(reterr, ERR_INVALID, "the %s has %zu characters, %s allows %zu", what, length, provider, most);
}

void message_add_links(const struct message_form *form, struct buf *text)
{
    for (size_t i = 0; i < form->button_count; i++) {
        if (form->buttons[i].url) {
            buf_addf(text, "%s%s: %s", text->len > 0 ? "\n" : "", form->buttons[i].text, form->buttons[i].url);
        }
    }
}

err_t outgoing_json(struct outgoing_request *out, const char *bearer, const json_t *body, struct error *reterr,
                    const char *url_format, ...)
{
    char url[LONGEST_URL];
    va_list values;
    va_start(values, url_format);
    int length = vsnprintf(url, sizeof(url), url_format, values);
    va_end(values);
    if (length < 0 || (size_t)length >= sizeof(url)) {
        return fail(reterr, ERR_INVALID, "the URL of the call is too long");
    }

    struct outgoing_request built = { .headers = { NULL } };
    buf_init(&built.url, sizeof(url));
    buf_add_text(&built.url, url);
    buf_init(&built.body, LONGEST_BODY);
    json_add(&built.body, body);
    if (built.body.overflowed) {
        outgoing_request_done(&built);
        return fail(reterr, ERR_TOO_BIG, "the message is larger than %zu bytes", LONGEST_BODY);
    }
    size_t count = 0;
    built.headers[count++] = memory_text("Content-Type: application/json");
    if (bearer) {
        struct buf header;
        buf_init(&header, 4096);
        buf_addf(&header, "Authorization: Bearer %s", bearer);
        built.headers[count++] = buf_take(&header);
    }
    *out = built;
    return ERR_NONE;
}

err_t outgoing_graph(struct outgoing_request *out, const json_t *settings, const char *default_api_url,
                     const char *object, const char *edge, const json_t *body, struct error *reterr)
{
    const char *token = setting_or(settings, "access_token", NULL);
    if (token == NULL) {
        return fail(reterr, ERR_DENIED, "the source has no access_token\nHINT: set it, or do not send on this source");
    }
    if (strpbrk(token, "\r\n") != NULL) {
        return fail(reterr, ERR_DENIED, "the access_token holds a line end\nHINT: take the line end out of the secret");
    }
    return outgoing_json(out, token, body, reterr, "%s/%s/%s/%s", setting_or(settings, "api_url", default_api_url),
                         setting_or(settings, "api_version", DEFAULT_GRAPH_VERSION), object, edge);
}
