/* The templates that Meta approved for a WhatsApp Business Account, as its Graph API lists them: GET
 * BUSINESS_ACCOUNT/message_templates, in pages. Sources: Meta's page on template management (May 2026) and its Graph
 * API reference of this edge. */
#include "base/text.h"
#include "channel/message.h"
#include "channel/whatsapp.h"

#include <stdio.h>

#define LONGEST_PLACEHOLDER 64

err_t whatsapp_ask_templates(const char *after, const json_t *settings, struct outgoing_request *out,
                             struct error *reterr)
{
    const char *account = setting_or(settings, "business_account_id", NULL);
    if (account == NULL) {
        return fail(reterr, ERR_INVALID, "it has no business_account_id\nHINT: set it; the WhatsApp Manager shows it");
    }
    struct buf edge CLEANUP(buf_done);
    buf_init(&edge, 1024);
    buf_add_text(&edge, "message_templates?fields=name,status,language,components&limit=100");
    if (after != NULL) {
        buf_add_text(&edge, "&after=");
        text_encode_percent(bytes_of(after), &edge);
    }
    err_t err = outgoing_graph(out, settings, "https://graph.facebook.com", account, edge.ptr, NULL, reterr);
    if (err == ERR_NONE) {
        buf_clear(&out->body);
    }
    return err;
}

/* "Hi {{1}}, {{2}}" gives ["1", "2"]; each name once. New reference. */
static json_t *placeholders(const char *text)
{
    json_t *names = json_array();
    const char *end;
    for (const char *begin = text; (begin = strstr(begin, "{{")) && (end = strstr(begin, "}}")); begin = end) {
        char name[LONGEST_PLACEHOLDER + 1];
        begin += 2 + strspn(begin + 2, " ");
        size_t length = strcspn(begin, " }");
        snprintf(name, sizeof(name), "%.*s", (int)length, begin);
        if (!json_list_has(names, name)) {
            json_array_append_new(names, json_string(name));
        }
    }
    return names;
}

/* Does an approved button want a value when it is sent? A quick reply does not: it has its label for one. */
static bool wants_value(const char *type, const json_t *button)
{
    return strcmp(type, "OTP") == 0 || strcmp(type, "COPY_CODE") == 0 ||
           (strcmp(type, "URL") == 0 && strstr(json_str_or(button, "url", ""), "{{") != NULL);
}

static json_t *read_buttons(const json_t *buttons)
{
    json_t *list = json_array();
    size_t index;
    json_t *button;
    json_array_foreach (buttons, index, button) {
        const char *type = json_str_or(button, "type", "");
        json_t *made = json_object();
        event_put_lower(made, "kind", type);
        json_put_bool(made, "wants_value", wants_value(type, button));
        json_array_append_new(list, made);
    }
    return list;
}

static json_t *read_template(const json_t *template)
{
    json_t *made = json_object();
    json_put_str(made, "name", json_str_or(template, "name", ""));
    json_put_str(made, "language", json_str_or(template, "language", ""));
    event_put_lower(made, "status", json_str_or(template, "status", ""));
    size_t index;
    json_t *component;
    json_array_foreach (json_array_at(template, "components"), index, component) {
        const char *type = json_str_or(component, "type", "");
        const char *text = json_str_or(component, "text", "");
        if (strcmp(type, "BODY") == 0) {
            json_put(made, "body", placeholders(text));
        } else if (strcmp(type, "HEADER") == 0) {
            event_put_lower(made, "header", json_str_or(component, "format", "TEXT"));
            json_put(made, "header_parameters", placeholders(text));
        } else if (strcmp(type, "BUTTONS") == 0) {
            json_put(made, "buttons", read_buttons(json_array_at(component, "buttons")));
        }
    }
    return made;
}

err_t whatsapp_read_templates(struct bytes answer, json_t *templates, struct buf *ret_after, struct error *reterr)
{
    json_t *page CLEANUP(json_free) = NULL;
    if (json_parse(answer, &page, NULL) != ERR_NONE || json_array_at(page, "data") == NULL) {
        return fail(reterr, ERR_INVALID, "the answer is no list of templates");
    }
    size_t index;
    json_t *template;
    json_array_foreach (json_array_at(page, "data"), index, template) {
        json_array_append_new(templates, read_template(template));
    }
    /* Meta gives a cursor with the last page, too; `next` is what says that there is another one. */
    const json_t *paging = json_object_at(page, "paging");
    if (json_str(paging, "next")) {
        buf_add_text(ret_after, json_str_or(json_object_at(paging, "cursors"), "after", ""));
    }
    return ERR_NONE;
}
