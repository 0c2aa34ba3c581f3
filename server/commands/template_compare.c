#include "commands/template_compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"

#define MOST_BUTTONS 32 /* beside a text; approved templates have fewer */

/* One language of one template, here and there. */
struct comparison {
    const char *source;
    const json_t *declaration;
    const json_t *part;
    const json_t *approved;
    const char *language; /* ours */
    json_t *problems;
};

static void PRINTF_LIKE(4, 5)
    add_problem(const struct comparison *c, const char *severity, const char *hint, const char *format, ...)
{
    char what[400];
    va_list values;
    va_start(values, format);
    vsnprintf(what, sizeof(what), format, values);
    va_end(values);
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 1000);
    buf_addf(&text, "template '%s': source '%s' %s", json_str_or(c->declaration, "name", ""), c->source, what);
    json_t *problem = json_object();
    json_put_str(problem, "file", json_str_or(c->declaration, "file", ""));
    json_put_int(problem, "line", json_int(c->declaration, "line", 0));
    json_put_str(problem, "severity", severity);
    json_put_bytes(problem, "text", buf_bytes(&text));
    json_put_str(problem, "hint", hint);
    json_array_append_new(c->problems, problem);
}

static void add_words(struct buf *out, const json_t *words)
{
    size_t index;
    json_t *word;
    json_array_foreach (words, index, word)
        buf_addf(out, "%s%s", index > 0 ? ", " : "", json_string_value(word));
}

static bool are_numbers(const json_t *names)
{
    const char *first = json_string_value(json_array_get(names, 0));
    return first == NULL || strspn(first, "0123456789") == strlen(first);
}

static void compare_body(const struct comparison *c)
{
    const json_t *wanted = json_array_at(c->approved, "body");
    const json_t *given = json_array_at(c->part, "parameters"), *names = json_array_at(c->part, "parameter_names");
    const char *name = json_str_or(c->approved, "name", ""), *code = json_str_or(c->approved, "language", "");
    struct buf list CLEANUP(buf_done);
    buf_init(&list, 400);
    if (json_array_size(wanted) != json_array_size(given)) {
        add_words(&list, given);
        add_problem(c, "error", "the provider refuses a message with another number of parameters",
                    "has %s in '%s' (%s), and %zu %s given: %s",
                    text_counted((int64_t)json_array_size(wanted), "parameter").text, name, code,
                    json_array_size(given), json_array_size(given) == 1 ? "is" : "are",
                    list.len > 0 ? list.ptr : "none");
    } else if (names == NULL && !are_numbers(wanted)) {
        add_words(&list, wanted);
        add_problem(c, "error", "give them by those names: parameters = { first_name = \"name\" }",
                    "has names for the parameters of '%s' (%s): %s", name, code, list.ptr);
    } else if (names != NULL && are_numbers(wanted) && json_array_size(wanted) > 0) {
        add_problem(c, "error", "give them in their order: parameters = { \"name\", \"amount\" }",
                    "has no names for the parameters of '%s' (%s)", name, code);
    }
    size_t index;
    json_t *ours;
    json_array_foreach (names, index, ours) {
        if (!are_numbers(wanted) && !json_list_has(wanted, json_string_value(ours))) {
            buf_clear(&list);
            add_words(&list, wanted);
            add_problem(c, "error", NULL, "has no parameter '%s' in '%s' (%s), but: %s", json_string_value(ours), name,
                        code, list.len > 0 ? list.ptr : "none");
        }
    }
}

static size_t count_placeholders(const char *text)
{
    size_t count = 0;
    for (; text && (text = strstr(text, "{{")); text += 2)
        count++;
    return count;
}

static void compare_header(const struct comparison *c)
{
    const json_t *given = json_object_at(c->part, "header");
    const char *wanted = json_str(c->approved, "header"), *text = json_str(given, "text");
    const char *name = json_str_or(c->approved, "name", ""), *code = json_str_or(c->approved, "language", "");
    size_t parameters = json_array_size(json_array_at(c->approved, "header_parameters"));
    bool wants_media = wanted && strcmp(wanted, "text") != 0;
    const char *kind = given == NULL ? NULL : text ? "text" : json_str_or(given, "kind", "text");
    if (wants_media && (kind == NULL || strcmp(kind, wanted) != 0)) {
        add_problem(c, "error", "give it: header = { kind = \"image\", url = \"https://…\" }",
                    "has %s in the header of '%s' (%s), and %s is given", wanted, name, code, kind ? kind : "none");
    } else if (!wants_media && kind != NULL && !text) {
        add_problem(c, "error", NULL, "has no %s in the header of '%s' (%s)", kind, name, code);
    } else if (!wants_media && count_placeholders(text) != parameters) {
        add_problem(c, "error", "give its text with our variables: header = \"For {{name}}\"",
                    "has %s in the header of '%s' (%s), and %zu %s given",
                    text_counted((int64_t)parameters, "parameter").text, name, code, count_placeholders(text),
                    count_placeholders(text) == 1 ? "is" : "are");
    }
}

/* Do we send a value for this button of ours, and for a button of which kind? NULL: none. */
static const char *value_kind(const json_t *button)
{
    const char *url = json_str(button, "url");
    if (url)
        return strstr(url, "{{") ? "url" : NULL;
    return json_str(button, "id") ? "quick_reply" : NULL;
}

/* The same for the button at that place, which `whatsapp.buttons` may name, and otherwise follows from those of ours.
 */
static const char *given_kind(const struct comparison *c, const json_t *ours, size_t place)
{
    if (json_object_get(c->part, "buttons") == NULL)
        return value_kind(json_array_get(ours, place));
    size_t index;
    json_t *button;
    json_array_foreach (json_array_at(c->part, "buttons"), index, button)
        if (json_int(button, "index", -1) == (int64_t)place)
            return json_str_or(button, "kind", "quick_reply");
    return NULL;
}

/* The button of a one-time password is sent as a link with the password for its value. */
static bool fits(const char *given, const json_t *there)
{
    const char *kind = json_str_or(there, "kind", "");
    bool is_link = strcmp(given, "url") == 0;
    if (is_link && strcmp(kind, "otp") == 0)
        return true;
    return strcmp(given, kind) == 0 && (!is_link || json_bool(there, "wants_value", false));
}

static void compare_buttons(const struct comparison *c)
{
    const json_t *variant = json_object_at(json_object_at(c->declaration, "languages"), c->language);
    const json_t *ours = json_array_at(variant, "buttons"), *theirs = json_array_at(c->approved, "buttons");
    const char *name = json_str_or(c->approved, "name", ""), *code = json_str_or(c->approved, "language", "");
    for (size_t i = 0; i < MOST_BUTTONS; i++) {
        const json_t *there = json_array_get(theirs, i);
        const char *given = given_kind(c, ours, i), *kind = json_str_or(there, "kind", "");
        if (given && there == NULL)
            add_problem(c, "error", "the approved template must have as many buttons, in this order",
                        "has no button %zu in '%s' (%s)", i + 1, name, code);
        else if (given && !fits(given, there))
            add_problem(c, "error",
                        "a button with an id is a quick reply there, one whose url has a variable such a link",
                        "has a button %zu of another kind in '%s' (%s): %s", i + 1, name, code, kind);
        else if (!given && json_bool(there, "wants_value", false))
            add_problem(c, "error", "give a button with a url that ends with a variable",
                        "has a button %zu in '%s' (%s) that takes a value (%s), and none is given", i + 1, name, code,
                        kind);
    }
}

/* Can it be sent as it stands there? Some states pass by themselves. */
static bool compare_status(const struct comparison *c)
{
    static const char *const fine[] = { "approved", "flagged", "reinstated", NULL };
    static const char *const passing[] = { "pending", "in_appeal", "paused", "limit_exceeded", NULL };
    const char *status = json_str_or(c->approved, "status", "");
    for (size_t i = 0; fine[i]; i++)
        if (strcmp(fine[i], status) == 0)
            return true;
    bool passes = false;
    for (size_t i = 0; passing[i]; i++)
        passes = passes || strcmp(passing[i], status) == 0;
    add_problem(c, passes ? "warning" : "error", "until it is approved, the provider refuses what is sent by it",
                "has '%s' in %s as %s", json_str_or(c->approved, "name", ""), json_str_or(c->approved, "language", ""),
                status);
    return passes;
}

static const json_t *find_approved(const json_t *all, const char *name, const char *code)
{
    size_t index;
    json_t *approved;
    json_array_foreach (all, index, approved)
        if (strcmp(json_str_or(approved, "name", ""), name) == 0 &&
            strcmp(json_str_or(approved, "language", ""), code) == 0)
            return approved;
    return NULL;
}

/* It is not there: under which name, or in which languages, is it? */
static void not_found(const struct comparison *c, const json_t *all, const char *name, const char *code)
{
    struct buf hint CLEANUP(buf_done);
    buf_init(&hint, 400);
    const char **known = memory_new((json_array_size(all) + 1) * sizeof(*known));
    size_t index;
    json_t *approved;
    json_array_foreach (all, index, approved) {
        known[index] = json_str_or(approved, "name", "");
        if (strcmp(known[index], name) == 0)
            buf_addf(&hint, "%s%s", hint.len > 0 ? ", " : "it is there in ", json_str_or(approved, "language", ""));
    }
    const char *nearest = hint.len == 0 ? text_nearest(name, known) : NULL;
    if (nearest)
        buf_addf(&hint, "did you mean '%s'?", nearest);
    else if (hint.len == 0)
        buf_add_text(&hint, "it is the name in the WhatsApp Manager; new templates are submitted there");
    add_problem(c, "error", hint.ptr, "has no template '%s' in %s", name, code);
    free(known);
}

void template_compare(const char *source, const json_t *declaration, const json_t *part, const json_t *approved,
                      json_t *problems)
{
    struct comparison c = { .source = source, .declaration = declaration, .part = part, .problems = problems };
    const char *name = json_str_or(part, "name", "");
    const char *language;
    json_t *variant;
    json_object_foreach (json_object_at(declaration, "languages"), language, variant) {
        const char *code = json_str_or(json_object_at(part, "language"), language, language);
        c.language = language;
        c.approved = find_approved(approved, name, code);
        if (c.approved == NULL) {
            not_found(&c, approved, name, code);
        } else if (compare_status(&c)) {
            compare_body(&c);
            compare_header(&c);
            compare_buttons(&c);
        }
    }
}
