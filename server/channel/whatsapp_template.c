/* Approved templates: the components of a template message, checked as far as one can without the template itself. */
#include "channel/message.h"
#include "channel/whatsapp.h"

/* Meta refuses line ends, tabs and runs of more than four spaces in parameters: each such run becomes one space. */
static void add_parameter_text(const char *text, struct buf *out)
{
    const char *p = text;
    while (*p) {
        size_t run = strspn(p, " \t\r\n");
        if (run > 4 || strcspn(p, "\t\r\n") < run) {
            buf_add_char(out, ' ');
            p += run;
        } else if (run > 0) {
            buf_add(out, p, run);
            p += run;
        } else {
            buf_add_char(out, *p++);
        }
    }
}

static err_t text_parameter(const json_t *value, const char *what, size_t number, json_t **ret_parameter,
                            struct error *reterr)
{
    const char *text = json_str(value, "text");
    if (text == NULL || *text == '\0') {
        return fail(reterr, ERR_INVALID, "parameter %zu of the template's %s is empty", number, what);
    }
    struct buf clean CLEANUP(buf_done);
    buf_init(&clean, 64 * 1024);
    add_parameter_text(text, &clean);
    json_t *parameter = json_object();
    json_put_str(parameter, "type", "text");
    json_put_str(parameter, "parameter_name", json_str(value, "name"));
    json_put_str(parameter, "text", clean.ptr);
    *ret_parameter = parameter;
    return ERR_NONE;
}

static json_t *add_component(json_t *components, const char *type)
{
    json_t *component = json_object();
    json_put_str(component, "type", type);
    json_put(component, "parameters", json_array());
    json_array_append_new(components, component);
    return component;
}

static err_t add_body(json_t *components, const json_t *values, struct error *reterr)
{
    if (json_array_size(values) == 0) {
        return ERR_NONE;
    }
    json_t *parameters = json_array_at(add_component(components, "body"), "parameters");
    size_t named = 0;
    size_t index;
    json_t *value;
    json_array_foreach (values, index, value) {
        json_t *parameter;
        err_t err = text_parameter(value, "body", index + 1, &parameter, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        json_array_append_new(parameters, parameter);
        named += json_str(value, "name") != NULL;
    }
    if (named != 0 && named != json_array_size(values)) {
        return fail(reterr, ERR_INVALID, "the template has both named and positional parameters");
    }
    return ERR_NONE;
}

static err_t media_parameter(const json_t *value, const char *kind, json_t **ret_parameter, struct error *reterr)
{
    const char *id = json_str(value, "id");
    const char *url = json_str(value, "url");
    if (id == NULL && url == NULL) {
        return fail(reterr, ERR_INVALID, "the %s in the template's header has neither a url nor an id", kind);
    }
    json_t *media = json_object();
    json_put_str(media, id ? "id" : "link", id ? id : url);
    json_put_str(media, "filename", strcmp(kind, "document") == 0 ? json_str(value, "file_name") : NULL);
    json_t *parameter = json_object();
    json_put_str(parameter, "type", kind);
    json_put(parameter, kind, media);
    *ret_parameter = parameter;
    return ERR_NONE;
}

static err_t location_parameter(const json_t *value, json_t **ret_parameter, struct error *reterr)
{
    json_t *location = json_object();
    event_copy_number(location, "latitude", value, "latitude");
    event_copy_number(location, "longitude", value, "longitude");
    if (json_object_size(location) != 2) {
        json_decref(location);
        return fail(reterr, ERR_INVALID, "the location in the template's header has no latitude and longitude");
    }
    json_put_str(location, "name", json_str(value, "name"));
    json_put_str(location, "address", json_str(value, "address"));
    json_t *parameter = json_object();
    json_put_str(parameter, "type", "location");
    json_put(parameter, "location", location);
    *ret_parameter = parameter;
    return ERR_NONE;
}

static err_t header_parameter(const json_t *value, size_t number, json_t **ret_parameter, struct error *reterr)
{
    const char *kind = json_str_or(value, "kind", "text");
    if (strcmp(kind, "text") == 0) {
        return text_parameter(value, "header", number, ret_parameter, reterr);
    }
    if (strcmp(kind, "image") == 0 || strcmp(kind, "video") == 0 || strcmp(kind, "document") == 0) {
        return media_parameter(value, kind, ret_parameter, reterr);
    }
    if (strcmp(kind, "location") == 0) {
        return location_parameter(value, ret_parameter, reterr);
    }
    return fail(reterr, ERR_INVALID, "a template's header cannot be of kind '%.32s'", kind);
}

static err_t add_header(json_t *components, const json_t *values, struct error *reterr)
{
    if (json_array_size(values) == 0) {
        return ERR_NONE;
    }
    json_t *parameters = json_array_at(add_component(components, "header"), "parameters");
    size_t index;
    json_t *value;
    json_array_foreach (values, index, value) {
        json_t *parameter;
        err_t err = header_parameter(value, index + 1, &parameter, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        json_array_append_new(parameters, parameter);
    }
    return ERR_NONE;
}

/* [{title, products [id]}] in Meta's form. */
static json_t *product_sections(const json_t *sections)
{
    json_t *list = json_array();
    size_t i, k;
    json_t *section, *product;
    json_array_foreach (sections, i, section) {
        json_t *items = json_array();
        json_array_foreach (json_array_at(section, "products"), k, product) {
            json_t *item = json_object();
            json_put_str(item, "product_retailer_id", json_string_value(product));
            json_array_append_new(items, item);
        }
        json_t *made = json_object();
        json_put_str(made, "title", json_str(section, "title"));
        json_put(made, "product_items", items);
        json_array_append_new(list, made);
    }
    return list;
}

/* What a flow begins with, or the products to show. Both may be left to the template. */
static err_t add_action(json_t *parameters, const json_t *button, const char *kind, struct error *reterr)
{
    json_t *action = json_object();
    json_t *parameter = json_object();
    json_array_append_new(parameters, parameter);
    json_put_str(parameter, "type", "action");
    json_put(parameter, "action", action);
    bool is_flow = strcmp(kind, "flow") == 0;
    json_put_str(action, is_flow ? "flow_token" : "thumbnail_product_retailer_id", json_str(button, "value"));
    event_copy(action, "flow_action_data", is_flow ? button : NULL, "data", JSON_OBJECT);
    if (strcmp(kind, "mpm") != 0) {
        return ERR_NONE;
    }
    const json_t *sections = json_array_at(button, "sections");
    if (json_array_size(sections) == 0) {
        return fail(reterr, ERR_INVALID, "the mpm button of the template has no sections with products");
    }
    json_put(action, "sections", product_sections(sections));
    return ERR_NONE;
}

static err_t add_button(json_t *components, const json_t *button, struct error *reterr)
{
    static const struct {
        const char *kind, *type, *key;
    } forms[] = {
        { "quick_reply", "payload", "payload" },
        { "url", "text", "text" },
        { "copy_code", "coupon_code", "coupon_code" },
    };
    const char *kind = json_str_or(button, "kind", "quick_reply");
    const char *value = json_str(button, "value");
    int64_t number = json_int(button, "index", -1);
    if (number < 0 || number > 9) {
        return fail(reterr, ERR_INVALID, "a button of the template has no index from 0 to 9");
    }
    json_t *component = json_object();
    json_t *parameters = json_array();
    json_put_str(component, "type", "button");
    json_put_str(component, "sub_type", kind);
    json_put(component, "index", json_sprintf("%d", (int)number));
    json_put(component, "parameters", parameters);
    json_array_append_new(components, component);

    if (strcmp(kind, "flow") == 0 || strcmp(kind, "catalog") == 0 || strcmp(kind, "mpm") == 0) {
        return add_action(parameters, button, kind, reterr);
    }
    json_t *parameter = json_object();
    json_array_append_new(parameters, parameter);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].kind, kind) == 0) {
            if (value == NULL || *value == '\0') {
                return fail(reterr, ERR_INVALID, "button %d of the template has no value", (int)number);
            }
            json_put_str(parameter, "type", forms[i].type);
            json_put_str(parameter, forms[i].key, value);
            return ERR_NONE;
        }
    }
    return fail(reterr, ERR_INVALID, "a template's button cannot be of kind '%.32s'", kind);
}

err_t whatsapp_render_template(const json_t *approved, json_t *body, struct error *reterr)
{
    const char *name = json_str(approved, "name");
    const char *language = json_str(approved, "language");
    if (name == NULL || *name == '\0' || language == NULL || *language == '\0') {
        return fail(reterr, ERR_INVALID, "the request has no approved template with a name and a language");
    }
    json_t *template = json_object();
    json_t *code = json_object();
    json_t *components = json_array();
    json_put_str(body, "type", "template");
    json_put(body, "template", template);
    json_put_str(template, "name", name);
    json_put_str(code, "code", language);
    json_put(template, "language", code);
    json_put(template, "components", components);

    err_t err = add_header(components, json_array_at(approved, "header"), reterr);
    if (err == ERR_NONE) {
        err = add_body(components, json_array_at(approved, "body"), reterr);
    }
    size_t index;
    json_t *button;
    json_array_foreach (json_array_at(approved, "buttons"), index, button) {
        if (err == ERR_NONE) {
            err = add_button(components, button, reterr);
        }
    }
    if (json_array_size(components) == 0) {
        json_object_del(template, "components");
    }
    return err;
}
