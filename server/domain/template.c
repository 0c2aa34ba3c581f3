#include "domain/template.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define TEXT_MAX_BYTES ((size_t)64 * 1024)

static void add_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value))
        buf_add_text(out, json_string_value(value));
    else if (json_is_integer(value))
        buf_addf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        buf_addf(out, "%.14g", json_real_value(value));
    else if (json_is_boolean(value))
        buf_add_text(out, json_is_true(value) ? "true" : "false");
}

static bool is_value(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

/* Finds the next {{name}} at or after `text`: its bounds and its name. False when there is none. */
static bool next_placeholder(const char *text, const char **ret_begin, const char **ret_end, char *name, size_t size)
{
    for (const char *begin = strstr(text, "{{"); begin; begin = strstr(begin + 1, "{{")) {
        const char *end = strstr(begin, "}}");
        if (!end)
            return false;
        struct bytes inside = text_trim((struct bytes){ begin + 2, (size_t)(end - begin - 2) });
        bool is_name = inside.len > 0 && inside.len < size;
        for (size_t i = 0; i < inside.len && is_name; i++)
            is_name = isalnum((unsigned char)inside.ptr[i]) || inside.ptr[i] == '_';
        if (!is_name)
            continue;
        memcpy(name, inside.ptr, inside.len);
        name[inside.len] = '\0';
        *ret_begin = begin;
        *ret_end = end + 2;
        return true;
    }
    return false;
}

/* How much of `text` is left before a variable that is left out: not the comma and the blanks that lead to it. */
static size_t without_lead(const char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == ','))
        length--;
    return length;
}

err_t template_fill(const char *text, const json_t *vars, bool strict, struct buf *out, struct error *reterr)
{
    const char *begin, *end;
    char name[65];
    const size_t start = out->len;
    while (next_placeholder(text, &begin, &end, name, sizeof(name))) {
        const json_t *value = json_object_get(vars, name);
        size_t before = (size_t)(begin - text);
        if (!is_value(value) && strict)
            return fail(reterr, ERR_INVALID, "the variable '%s' is missing\nHINT: give it in vars = { %s = … }", name,
                        name);
        buf_add(out, text, is_value(value) ? before : without_lead(text, before));
        if (is_value(value))
            add_value(out, value);
        else if (out->len == start)
            end += strspn(end, ", ");
        text = end;
    }
    buf_add_text(out, text);
    if (out->overflowed)
        return fail(reterr, ERR_TOO_BIG, "the text is longer than %zu bytes", out->max);
    return ERR_NONE;
}

static bool same_language(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char x = a[i] == '_' ? '-' : (char)tolower((unsigned char)a[i]);
        char y = b[i] == '_' ? '-' : (char)tolower((unsigned char)b[i]);
        if (x != y)
            return false;
    }
    return true;
}

const char *template_language(const json_t *by_language, const char *wanted, const char *fallback)
{
    const char *key, *base_match = NULL, *region_match = NULL, *first = NULL, *last_resort = NULL;
    json_t *value;
    size_t wanted_base = wanted ? strcspn(wanted, "-_") : 0;
    json_object_foreach ((json_t *)(uintptr_t)by_language, key, value) {
        size_t length = strlen(key);
        if (!first)
            first = key;
        if (fallback && strcmp(key, fallback) == 0)
            last_resort = key;
        if (wanted_base == 0)
            continue;
        if (length == strlen(wanted) && same_language(key, wanted, length))
            return key;
        if (strcspn(key, "-_") != wanted_base || !same_language(key, wanted, wanted_base))
            continue;
        if (length == wanted_base)
            base_match = key;
        else if (!region_match)
            region_match = key;
    }
    if (base_match)
        return base_match;
    if (region_match)
        return region_match;
    return last_resort ? last_resort : first;
}

const char *template_localized(const json_t *value, const char *wanted, const char *fallback)
{
    if (json_is_string(value))
        return json_string_value(value);
    const char *language = json_is_object(value) ? template_language(value, wanted, fallback) : NULL;
    return language ? json_str(value, language) : NULL;
}

static err_t fill_text(const char *text, const json_t *vars, json_t *object, const char *key, struct error *reterr)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, TEXT_MAX_BYTES);
    err_t err = template_fill(text, vars, true, &out, reterr);
    if (err == ERR_NONE)
        json_put_bytes(object, key, buf_bytes(&out));
    return err;
}

static err_t fill_buttons(const json_t *buttons, const json_t *vars, json_t *filled, struct error *reterr)
{
    size_t index;
    json_t *button;
    json_array_foreach (buttons, index, button) {
        json_t *made = json_object();
        json_array_append_new(filled, made);
        const char *key;
        json_t *value;
        json_object_foreach (button, key, value) {
            if (!json_is_string(value))
                continue;
            err_t err = fill_text(json_string_value(value), vars, made, key, reterr);
            if (err != ERR_NONE)
                return err;
        }
    }
    return ERR_NONE;
}

/* WhatsApp wants the values in place of the text. An approved button link has a fixed beginning, and only what comes
 * after it is given. */
static err_t approve_buttons(const json_t *buttons, const json_t *filled, const json_t *vars, json_t *list,
                             struct error *reterr)
{
    size_t index;
    json_t *button;
    json_array_foreach (buttons, index, button) {
        const char *url = json_str(button, "url");
        const char *variable = url ? strstr(url, "{{") : NULL;
        const char *id = json_str(json_array_get(filled, index), "id");
        if (!variable && !id)
            continue;
        json_t *made = json_object();
        json_array_append_new(list, made);
        json_put_int(made, "index", (int64_t)index);
        json_put_str(made, "kind", variable ? "url" : "quick_reply");
        if (variable) {
            err_t err = fill_text(variable, vars, made, "value", reterr);
            if (err != ERR_NONE)
                return err;
        } else {
            json_put_str(made, "value", id);
        }
    }
    return ERR_NONE;
}

/* A copy with all its texts filled in, also those of lists and tables in it. */
static err_t fill_copy(const json_t *value, const json_t *vars, json_t **ret_copy, struct error *reterr)
{
    err_t err = ERR_NONE;
    json_t *copy;
    if (json_is_string(value)) {
        struct buf out CLEANUP(buf_done);
        buf_init(&out, TEXT_MAX_BYTES);
        err = template_fill(json_string_value(value), vars, true, &out, reterr);
        copy = json_stringn(out.ptr ? out.ptr : "", out.len);
    } else if (json_is_object(value)) {
        copy = json_object();
        const char *key;
        json_t *member, *filled;
        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
            if (err == ERR_NONE && (err = fill_copy(member, vars, &filled, reterr)) == ERR_NONE)
                json_put(copy, key, filled);
        }
    } else if (json_is_array(value)) {
        copy = json_array();
        size_t index;
        json_t *member, *filled;
        json_array_foreach (value, index, member) {
            if (err == ERR_NONE && (err = fill_copy(member, vars, &filled, reterr)) == ERR_NONE)
                json_array_append_new(copy, filled);
        }
    } else {
        copy = json_incref((json_t *)(uintptr_t)value);
    }
    if (err == ERR_NONE)
        *ret_copy = copy;
    else
        json_decref(copy);
    return err;
}

/* What the approved template calls a variable of ours; NULL where its parameters are numbered. */
static const char *approved_name(const json_t *part, const char *variable)
{
    const json_t *names = json_array_at(part, "parameter_names");
    size_t index;
    json_t *ours;
    json_array_foreach (json_array_at(part, "parameters"), index, ours) {
        const char *name = json_string_value(json_array_get(names, index));
        if (name && strcmp(json_string_value(ours), variable) == 0)
            return name;
    }
    return names ? variable : NULL;
}

static err_t approve_header(const json_t *part, const json_t *vars, json_t *list, struct error *reterr)
{
    const json_t *header = json_object_at(part, "header");
    const char *text = json_str(header, "text");
    if (text) {
        const char *begin, *end;
        char name[65];
        while (next_placeholder(text, &begin, &end, name, sizeof(name))) {
            json_t *parameter = json_object();
            json_array_append_new(list, parameter);
            json_put_str(parameter, "kind", "text");
            json_put_str(parameter, "name", approved_name(part, name));
            char placeholder[80];
            snprintf(placeholder, sizeof(placeholder), "{{%s}}", name);
            err_t err = fill_text(placeholder, vars, parameter, "text", reterr);
            if (err != ERR_NONE)
                return err;
            text = end;
        }
        return ERR_NONE;
    }
    json_t *media;
    err_t err = fill_copy(header, vars, &media, reterr);
    if (err == ERR_NONE)
        json_array_append_new(list, media);
    return err;
}

static err_t approve(const json_t *declaration, const json_t *part, const char *language, const json_t *vars,
                     const json_t *buttons, const json_t *filled, json_t **ret_approved, struct error *reterr)
{
    json_t *approved = json_object();
    err_t err = ERR_NONE;
    json_put_str(approved, "name", json_str_or(part, "name", json_str_or(declaration, "name", "")));
    const json_t *languages = json_object_get(part, "language");
    const char *code = json_is_object(languages) ? json_str(languages, language) : json_string_value(languages);
    json_put_str(approved, "language", code ? code : language);

    const json_t *parameters = json_array_at(part, "parameters");
    json_t *body = json_array();
    json_put(approved, "body", body);
    const json_t *names = json_array_at(part, "parameter_names");
    size_t index;
    json_t *name;
    json_array_foreach (parameters, index, name) {
        json_t *parameter = json_object();
        json_array_append_new(body, parameter);
        json_put_str(parameter, "name", json_string_value(json_array_get(names, index)));
        char placeholder[80];
        snprintf(placeholder, sizeof(placeholder), "{{%.64s}}", json_string_value(name) ? json_string_value(name) : "");
        if (err == ERR_NONE)
            err = fill_text(placeholder, vars, parameter, "text", reterr);
    }
    if (err == ERR_NONE && json_object_at(part, "header")) {
        json_t *list = json_array();
        err = approve_header(part, vars, list, reterr);
        if (json_array_size(list) > 0)
            json_object_set(approved, "header", list);
        json_decref(list);
    }
    const json_t *written = json_object_get(part, "buttons");
    if (err == ERR_NONE && written) {
        json_t *list;
        err = fill_copy(written, vars, &list, reterr);
        if (err == ERR_NONE && json_array_size(list) > 0)
            json_object_set(approved, "buttons", list);
        if (err == ERR_NONE)
            json_decref(list);
    } else if (err == ERR_NONE && json_array_size(buttons) > 0) {
        json_t *list = json_array();
        err = approve_buttons(buttons, filled, vars, list, reterr);
        if (json_array_size(list) > 0)
            json_object_set(approved, "buttons", list);
        json_decref(list);
    }
    if (err != ERR_NONE)
        json_decref(approved);
    else
        *ret_approved = approved;
    return err;
}

err_t template_render(const json_t *declaration, const json_t *vars, const char *wanted_language, const char *provider,
                      const json_t *buttons, struct rendered *ret_rendered, struct error *reterr)
{
    const json_t *languages = json_object_at(declaration, "languages");
    const char *language = template_language(languages, wanted_language, json_str(declaration, "default_language"));
    const json_t *variant = language ? json_object_at(languages, language) : NULL;
    if (!variant)
        return fail(reterr, ERR_INVALID, "the template '%s' has no text", json_str_or(declaration, "name", ""));
    if (!buttons)
        buttons = json_array_at(variant, "buttons");

    struct rendered rendered = { .free = json_object(), .language = language };
    struct error reason = { .code = ERR_NONE };
    err_t err = fill_text(json_str_or(variant, "text", ""), vars, rendered.free, "text", &reason);
    json_t *filled = json_array();
    if (err == ERR_NONE)
        err = fill_buttons(buttons, vars, filled, &reason);
    if (json_array_size(filled) > 0)
        json_object_set(rendered.free, "buttons", filled);
    const json_t *part = provider ? json_object_at(declaration, provider) : NULL;
    if (err == ERR_NONE && part)
        err = approve(declaration, part, language, vars, buttons, filled, &rendered.approved, &reason);
    json_decref(filled);
    if (err != ERR_NONE) {
        rendered_done(&rendered);
        return fail(reterr, err, "template '%s': %s", json_str_or(declaration, "name", ""), reason.text);
    }
    *ret_rendered = rendered;
    return ERR_NONE;
}

void rendered_done(struct rendered *rendered)
{
    json_decref(rendered->free);
    json_decref(rendered->approved);
    *rendered = (struct rendered){ NULL, NULL, NULL };
}
