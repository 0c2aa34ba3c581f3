/* What Meta refuses in a body for the WhatsApp Cloud API, before it looks at the recipient. */
#include "simulate/simulator.h"

#include <ctype.h>

#define MISSING 131008
#define INVALID 131009
#define BAD_PARAMETER 100

struct check {
    struct buf *reason; /* what is wrong first; empty while all is well */
    int code;
};

static bool is_fine(const struct check *c)
{
    return c->reason->len == 0;
}

static void __attribute__((format(printf, 3, 4))) complain(struct check *c, int code, const char *format, ...)
{
    if (!is_fine(c)) {
        return;
    }
    char text[256];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    buf_add_text(c->reason, text);
    c->code = code;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (const char *p = text; *p; p++) {
        count += ((unsigned char)*p & 0xc0) != 0x80;
    }
    return count;
}

static void check_text(struct check *c, const json_t *object, const char *key, size_t most, bool required)
{
    const char *text = json_str(object, key);
    if (text == NULL || *text == '\0') {
        if (required || json_object_get(object, key)) {
            complain(c, MISSING, "%s is missing or empty", key);
        }
    } else if (characters(text) > most) {
        complain(c, BAD_PARAMETER, "%s is longer than %zu characters", key, most);
    }
}

static void check_recipient(struct check *c, const json_t *body)
{
    const char *to = json_str(body, "to");
    const char *recipient = json_str(body, "recipient");
    if (to && recipient) {
        complain(c, BAD_PARAMETER, "to and recipient are both there");
    } else if (to) {
        size_t digits = strspn(to + (*to == '+'), "0123456789");
        if (*to != '+') {
            complain(c, BAD_PARAMETER, "to has no plus: the number would get the country code of the sender");
        } else if (to[1 + digits] != '\0' || digits < 5 || digits > 15) {
            complain(c, BAD_PARAMETER, "to is no phone number in E.164 form");
        }
    } else if (recipient) {
        if (!isalpha((unsigned char)recipient[0]) || !isalpha((unsigned char)recipient[1]) || recipient[2] != '.' ||
            recipient[3] == '\0') {
            complain(c, BAD_PARAMETER, "recipient is no user id");
        }
    } else {
        complain(c, BAD_PARAMETER, "The parameter to is required");
    }
}

static void check_media(struct check *c, const json_t *media, const char *type)
{
    const char *id = json_str(media, "id");
    const char *link = json_str(media, "link");
    if ((id == NULL) == (link == NULL)) {
        complain(c, BAD_PARAMETER, "%s needs either id or link", type);
    } else if (link && strncmp(link, "http://", 7) != 0 && strncmp(link, "https://", 8) != 0) {
        complain(c, BAD_PARAMETER, "link is no URL");
    }
    bool may_have_caption = strcmp(type, "audio") != 0 && strcmp(type, "sticker") != 0;
    if (!may_have_caption && json_object_get(media, "caption")) {
        complain(c, BAD_PARAMETER, "Unexpected key caption on %s", type);
    }
    check_text(c, media, "caption", 1024, false);
}

/* --- interactive -------------------------------------------------------------------------------------------------- */

static void check_unique(struct check *c, const json_t *list, const char *inside, const char *key)
{
    size_t i, j;
    json_t *a, *b;
    json_array_foreach (list, i, a) {
        const char *first = json_str(inside ? json_object_at(a, inside) : a, key);
        json_array_foreach (list, j, b) {
            const char *second = json_str(inside ? json_object_at(b, inside) : b, key);
            if (j > i && first && second && strcmp(first, second) == 0) {
                complain(c, BAD_PARAMETER, "%s '%.40s' is there twice", key, first);
            }
        }
    }
}

static void check_buttons(struct check *c, const json_t *action)
{
    const json_t *buttons = json_array_at(action, "buttons");
    if (json_array_size(buttons) < 1 || json_array_size(buttons) > 3) {
        complain(c, BAD_PARAMETER, "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3");
    }
    size_t index;
    json_t *button;
    json_array_foreach (buttons, index, button) {
        const json_t *reply = json_object_at(button, "reply");
        if (strcmp(json_str_or(button, "type", ""), "reply") != 0 || reply == NULL) {
            complain(c, BAD_PARAMETER, "a button is not of type reply");
        }
        check_text(c, reply, "id", 256, true);
        check_text(c, reply, "title", 20, true);
    }
    check_unique(c, buttons, "reply", "id");
    check_unique(c, buttons, "reply", "title");
}

static void check_list(struct check *c, const json_t *action)
{
    const json_t *sections = json_array_at(action, "sections");
    size_t rows_in_all = 0;
    size_t i, j;
    json_t *section, *row;
    check_text(c, action, "button", 20, true);
    if (json_array_size(sections) < 1 || json_array_size(sections) > 10) {
        complain(c, BAD_PARAMETER, "a list has 1 to 10 sections");
    }
    json_array_foreach (sections, i, section) {
        const json_t *rows = json_array_at(section, "rows");
        check_text(c, section, "title", 24, json_array_size(sections) > 1);
        json_array_foreach (rows, j, row) {
            check_text(c, row, "id", 200, true);
            check_text(c, row, "title", 24, true);
            check_text(c, row, "description", 72, false);
            rows_in_all++;
        }
        check_unique(c, rows, NULL, "id");
    }
    if (rows_in_all < 1 || rows_in_all > 10) {
        complain(c, BAD_PARAMETER, "Total row count exceed max allowed count: 10");
    }
}

static void check_interactive(struct check *c, const json_t *interactive)
{
    const char *type = json_str_or(interactive, "type", "");
    const json_t *action = json_object_at(interactive, "action");
    const json_t *header = json_object_at(interactive, "header");
    bool is_list = strcmp(type, "list") == 0;
    if (action == NULL) {
        complain(c, MISSING, "action is missing");
    }
    check_text(c, json_object_at(interactive, "body"), "text", is_list ? 4096 : 1024, true);
    check_text(c, json_object_at(interactive, "footer"), "text", 60, false);
    const char *header_type = json_str_or(header, "type", "");
    if (header && strcmp(header_type, "text") == 0) {
        check_text(c, header, "text", 60, true);
    } else if (header && is_list) {
        complain(c, BAD_PARAMETER, "the header of a list is a text");
    } else if (header) {
        check_media(c, json_object_at(header, header_type), header_type);
    }
    if (strcmp(type, "button") == 0) {
        check_buttons(c, action);
    } else if (is_list) {
        check_list(c, action);
    } else if (strcmp(type, "cta_url") == 0) {
        const json_t *parameters = json_object_at(action, "parameters");
        check_text(c, parameters, "display_text", 20, true);
        check_text(c, parameters, "url", 2000, true);
    } else {
        complain(c, INVALID, "interactive of type '%.40s'", type);
    }
}

/* --- templates ---------------------------------------------------------------------------------------------------- */

static void check_parameter(struct check *c, const json_t *parameter, const char *component)
{
    const char *type = json_str_or(parameter, "type", "");
    const char *text = json_str(parameter, "text");
    if (strcmp(type, "text") == 0) {
        if (text == NULL || *text == '\0') {
            complain(c, MISSING, "a text parameter of the %s is empty", component);
        } else if (strpbrk(text, "\n\r\t") || strstr(text, "     ")) {
            complain(c, 132018, "a parameter has line ends, tabs or more than four spaces");
        }
    } else if (strcmp(type, "image") == 0 || strcmp(type, "video") == 0 || strcmp(type, "document") == 0) {
        check_media(c, json_object_at(parameter, type), type);
    } else if (strcmp(type, "location") == 0) {
        const json_t *location = json_object_at(parameter, type);
        if (!json_is_number(json_object_get(location, "latitude")) ||
            !json_is_number(json_object_get(location, "longitude"))) {
            complain(c, 132012, "a location without latitude and longitude");
        }
    } else if (strcmp(type, "payload") == 0) {
        check_text(c, parameter, "payload", 256, true);
    } else if (strcmp(type, "coupon_code") == 0) {
        check_text(c, parameter, "coupon_code", 20, true);
    } else if (strcmp(type, "action") != 0) {
        complain(c, 132012, "a parameter of type '%.40s'", type);
    }
}

static void check_component(struct check *c, const json_t *component)
{
    const char *type = json_str_or(component, "type", "");
    const json_t *parameters = json_array_at(component, "parameters");
    size_t named = 0;
    size_t index;
    json_t *parameter;
    if (strcmp(type, "header") != 0 && strcmp(type, "body") != 0 && strcmp(type, "button") != 0) {
        complain(c, BAD_PARAMETER, "a component of type '%.40s'", type);
    }
    if (strcmp(type, "button") == 0) {
        int64_t number = json_int(component, "index", -1);
        if (number < 0 || number > 9 || json_str(component, "sub_type") == NULL) {
            complain(c, BAD_PARAMETER, "a button needs sub_type and index");
        }
    }
    json_array_foreach (parameters, index, parameter) {
        check_parameter(c, parameter, type);
        named += json_object_get(parameter, "parameter_name") != NULL;
    }
    if (named != 0 && named != json_array_size(parameters)) {
        complain(c, 132012, "named and positional parameters are mixed");
    }
}

static void check_template(struct check *c, const json_t *template)
{
    const char *name = json_str_or(template, "name", "");
    check_text(c, template, "name", 512, true);
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0') {
        complain(c, 132001, "Template name does not exist: names have a-z, 0-9 and _");
    }
    check_text(c, json_object_at(template, "language"), "code", 15, true);
    size_t index;
    json_t *component;
    json_array_foreach (json_array_at(template, "components"), index, component) {
        check_component(c, component);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ */

const char *whatsapp_problem(const json_t *body, int *ret_code, struct buf *reason)
{
    struct check check = { .reason = reason };
    struct check *c = &check;
    const char *type = json_str_or(body, "type", "text");
    const json_t *content = json_object_at(body, type);
    if (strcmp(json_str_or(body, "messaging_product", ""), "whatsapp") != 0) {
        complain(c, BAD_PARAMETER, "The parameter messaging_product is required.");
    }
    check_recipient(c, body);
    if (content == NULL) {
        complain(c, MISSING, "the object '%.40s' is missing", type);
    } else if (strcmp(type, "text") == 0) {
        check_text(c, content, "body", 4096, true);
    } else if (strcmp(type, "interactive") == 0) {
        check_interactive(c, content);
    } else if (strcmp(type, "template") == 0) {
        check_template(c, content);
    } else if (strcmp(type, "reaction") == 0) {
        check_text(c, content, "message_id", 300, true);
    } else if (strcmp(type, "image") == 0 || strcmp(type, "video") == 0 || strcmp(type, "audio") == 0 ||
               strcmp(type, "document") == 0 || strcmp(type, "sticker") == 0) {
        check_media(c, content, type);
    } else if (strcmp(type, "location") != 0 && strcmp(type, "contacts") != 0) {
        complain(c, BAD_PARAMETER, "Param type must be one of {AUDIO, CONTACTS, DOCUMENT, IMAGE, …}");
    }
    const json_t *context = json_object_get(body, "context");
    if (context && json_str(context, "message_id") == NULL) {
        complain(c, BAD_PARAMETER, "context has no message_id");
    }
    const char *echo = json_str(body, "biz_opaque_callback_data");
    if (echo && strlen(echo) > 512) {
        complain(c, BAD_PARAMETER, "biz_opaque_callback_data is longer than 512 bytes");
    }
    *ret_code = check.code;
    return is_fine(c) ? NULL : reason->ptr;
}
