#include "commands/stand_in.h"

#include "base/macros.h"
#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES ((size_t)64 * 1024)
#define LEAST_DIGITS 7 /* of a number that could be a phone's */

void stand_ins_init(struct stand_ins *stand_ins, bool keep_text)
{
    *stand_ins = (struct stand_ins){ .known = json_object(), .labels = json_object(), .keep_text = keep_text };
}

void stand_ins_done(struct stand_ins *stand_ins)
{
    json_decref(stand_ins->known);
    json_decref(stand_ins->labels);
}

static int next_of(struct stand_ins *stand_ins, const char *kind)
{
    int number = (int)json_int(stand_ins->labels, kind, 0);
    json_put_int(stand_ins->labels, kind, number + 1);
    return number;
}

static const char *stand_in_for(struct stand_ins *stand_ins, const char *value, const char *kind)
{
    static const char *const names[] = { "Ada", "Grace", "Edsger", "Barbara", "Alan", "Hedy", "Donald", "Radia" };
    const char *known = json_str(stand_ins->known, value);
    if (known)
        return known;
    char text[96];
    int number = next_of(stand_ins, kind);
    if (strcmp(kind, "name") == 0 && number < (int)ARRAY_LEN(names))
        snprintf(text, sizeof(text), "%s", names[number]);
    else if (strcmp(kind, "name") == 0)
        snprintf(text, sizeof(text), "Person %d", number + 1);
    else if (strcmp(kind, "email") == 0)
        snprintf(text, sizeof(text), "person%d@example.com", number + 1);
    else if (strcmp(kind, "digits") == 0)
        snprintf(text, sizeof(text), "%d", 15550100 + number);
    else if (strcmp(kind, "url") == 0)
        snprintf(text, sizeof(text), "https://example.com/%d", number + 1);
    else
        snprintf(text, sizeof(text), "%s_%d", kind, number + 1);
    json_put_str(stand_ins->known, value, text);
    return json_str(stand_ins->known, value);
}

static bool is_email_char(char c)
{
    return isalnum((unsigned char)c) || strchr("._%+-", c) != NULL;
}

/* The length of an e-mail address that begins here, or 0. */
static size_t email_length(const char *text)
{
    size_t local = 0;
    while (text[local] && is_email_char(text[local]))
        local++;
    if (local == 0 || text[local] != '@')
        return 0;
    size_t end = local + 1;
    while (text[end] && (isalnum((unsigned char)text[end]) || text[end] == '.' || text[end] == '-'))
        end++;
    return end > local + 1 ? end : 0;
}

/* The length of a number with separators that begins here, when it has enough digits for a phone; the digits alone. */
static size_t number_length(const char *text, char *digits, size_t size)
{
    size_t count = 0, end = 0;
    for (size_t i = 0; text[i] && (isdigit((unsigned char)text[i]) || strchr(" -()./", text[i])); i++) {
        if (!isdigit((unsigned char)text[i]))
            continue;
        if (count + 1 < size)
            digits[count++] = text[i];
        end = i + 1;
    }
    digits[count] = '\0';
    return count >= LEAST_DIGITS ? end : 0;
}

/* A known name that begins here: the longest one. */
static size_t known_length(const struct stand_ins *stand_ins, const char *text, const char **ret_stand_in)
{
    size_t best = 0;
    const char *key;
    json_t *value;
    json_object_foreach (stand_ins->known, key, value) {
        size_t length = strlen(key);
        if (length > best && length >= 2 && strncmp(text, key, length) == 0) {
            best = length;
            *ret_stand_in = json_string_value(value);
        }
    }
    return best;
}

static json_t *clean_text(struct stand_ins *stand_ins, const char *text)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, TEXT_MAX_BYTES);
    bool in_word = false;
    for (const char *at = text; *at;) {
        const char *stand_in = NULL;
        char digits[64];
        size_t length = in_word ? 0 : known_length(stand_ins, at, &stand_in);
        if (length == 0 && !in_word && (length = email_length(at)) > 0) {
            char email[320];
            snprintf(email, sizeof(email), "%.*s", (int)length, at);
            stand_in = stand_in_for(stand_ins, email, "email");
        } else if (length == 0 && isdigit((unsigned char)*at) && (at == text || !isdigit((unsigned char)at[-1])) &&
                   (length = number_length(at, digits, sizeof(digits))) > 0) {
            stand_in = stand_in_for(stand_ins, digits, "digits");
        }
        if (length > 0) {
            buf_add_text(&out, stand_in);
            at += length;
            in_word = false;
            continue;
        }
        in_word = isalpha((unsigned char)*at) != 0;
        buf_add_char(&out, *at++);
    }
    return json_string(out.ptr ? out.ptr : "");
}

/* "whatsapp:15550100" keeps its provider. */
static json_t *clean_identity(struct stand_ins *stand_ins, const char *identity)
{
    const char *colon = strchr(identity, ':');
    if (!colon)
        return clean_text(stand_ins, identity);
    bool is_number = colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    const char *value = strncmp(identity, "email:", 6) == 0 ? stand_in_for(stand_ins, colon + 1, "email")
                        : is_number                         ? stand_in_for(stand_ins, colon + 1, "digits")
                                                            : stand_in_for(stand_ins, colon + 1, "id");
    char text[256];
    snprintf(text, sizeof(text), "%.*s:%s", (int)(colon - identity), identity, value);
    return json_string(text);
}

void stand_ins_learn(struct stand_ins *stand_ins, const json_t *contact)
{
    static const char *const names[] = { "name", "username" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *name = json_str(contact, names[i]);
        if (!name || !*name)
            continue;
        const char *stand_in = stand_in_for(stand_ins, name, "name");
        /* People are called by parts of their name, too. */
        char part[128];
        snprintf(part, sizeof(part), "%.*s", (int)strcspn(name, " "), name);
        if (strlen(part) >= 3 && !json_str(stand_ins->known, part))
            json_put_str(stand_ins->known, part, stand_in);
        const char *last = strrchr(name, ' ');
        if (last && strlen(last + 1) >= 3 && !json_str(stand_ins->known, last + 1))
            json_put_str(stand_ins->known, last + 1, stand_in);
    }
    size_t index;
    json_t *identity;
    json_array_foreach (json_array_at(contact, "identities"), index, identity) {
        if (json_is_string(identity))
            json_decref(clean_identity(stand_ins, json_string_value(identity)));
    }
}

static bool is_one_of(const char *key, const char *const *keys)
{
    for (; key && *keys; keys++)
        if (strcmp(key, *keys) == 0)
            return true;
    return false;
}

static json_t *clean_string(struct stand_ins *stand_ins, const char *key, const char *value)
{
    static const char *const texts[] = { "text", "caption", "title", "description", "file_name", NULL };
    static const char *const ids[] = { "id",     "reply_to", "message_id",   "key",     "chat", "thread",
                                       "sha256", "customer", "subscription", "invoice", NULL };
    static const char *const names[] = { "name", "username", "first_name", "last_name", NULL };
    static const char *const urls[] = { "url", "hosted_invoice_url", "link", NULL };
    msec_t ignored;
    if (clock_parse_iso(bytes_of(value), &ignored))
        return json_string(value);
    if (key && strcmp(key, "identity") == 0)
        return clean_identity(stand_ins, value);
    if (is_one_of(key, urls))
        return json_string(stand_in_for(stand_ins, value, "url"));
    if (is_one_of(key, names) && json_str(stand_ins->known, value))
        return json_string(json_str(stand_ins->known, value));
    if (is_one_of(key, ids) && strncmp(value, "survey:", 7) != 0)
        return json_string(stand_in_for(stand_ins, value, "id"));
    if (!stand_ins->keep_text && is_one_of(key, texts)) {
        stand_ins->texts++;
        char text[72];
        snprintf(text, sizeof(text), "a text of %s", text_counted((int64_t)strlen(value), "character").text);
        return json_string(text);
    }
    return clean_text(stand_ins, value);
}

static json_t *clean(struct stand_ins *stand_ins, const char *key, const json_t *value)
{
    if (json_is_string(value))
        return strcmp(key ? key : "", "identities") == 0 || strcmp(key ? key : "", "former_identities") == 0
                   ? clean_identity(stand_ins, json_string_value(value))
                   : clean_string(stand_ins, key, json_string_value(value));
    if (json_is_array(value)) {
        json_t *list = json_array(), *entry;
        size_t index;
        json_array_foreach ((json_t *)(uintptr_t)value, index, entry)
            json_array_append_new(list, clean(stand_ins, key, entry));
        return list;
    }
    if (key && (strcmp(key, "button") == 0 || strcmp(key, "buttons") == 0))
        return json_deep_copy(value); /* our own words and ids */
    if (json_is_object(value)) {
        json_t *object = json_object(), *member;
        const char *name;
        json_object_foreach ((json_t *)(uintptr_t)value, name, member)
            json_put(object, name, clean(stand_ins, name, member));
        return object;
    }
    return json_deep_copy(value);
}

json_t *stand_ins_apply(struct stand_ins *stand_ins, const json_t *document)
{
    return clean(stand_ins, NULL, document);
}
