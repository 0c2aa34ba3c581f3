#include "admin/api_contact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define KIND_MAX_BYTES 32
#define HANDLE_MAX_BYTES 200

/* What names a person best comes first: the first identity decides whose turn it is. As in
 * rules/prelude/identities.lua. */
static const char *const kinds[] = { "whatsapp", "telegram", "messenger", "instagram", "phone", "email", "stripe" };

static bool is_number(const char *kind, const char *handle)
{
    if (strcmp(kind, "phone") == 0) {
        return true;
    }
    /* Business-scoped user ids have letters ("US.1349…"). */
    return strcmp(kind, "whatsapp") == 0 &&
           strpbrk(handle, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL;
}

/* The form in which handles are known: digits of numbers, addresses in lower case. */
static void add_clean(const char *kind, const char *handle, struct buf *out)
{
    bool number = is_number(kind, handle);
    bool email = strcmp(kind, "email") == 0;
    for (const char *p = handle; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (number ? isdigit(c) != 0 : !(email && isspace(c))) {
            buf_add_char(out, (char)(email && c < 0x80 ? tolower(c) : c));
        }
    }
}

static void add_identity(json_t *identities, const char *kind, const char *handle)
{
    struct buf identity CLEANUP(buf_done);
    buf_init(&identity, KIND_MAX_BYTES + HANDLE_MAX_BYTES);
    buf_addf(&identity, "%s:", kind);
    size_t empty = identity.len;
    add_clean(kind, handle, &identity);
    if (!identity.overflowed && identity.len > empty && strlen(handle) <= HANDLE_MAX_BYTES) {
        json_array_append_new(identities, json_stringn(identity.ptr, identity.len));
    }
}

/* "email:Ada@Example.com" */
static void add_whole(json_t *identities, const json_t *item)
{
    const char *text = json_string_value(item);
    size_t length = text ? strcspn(text, ":") : 0;
    if (length == 0 || length >= KIND_MAX_BYTES || text[length] == '\0') {
        return;
    }
    char kind[KIND_MAX_BYTES];
    for (size_t i = 0; i < length; i++) {
        kind[i] = (char)tolower((unsigned char)text[i]);
    }
    kind[length] = '\0';
    add_identity(identities, kind, text + length + 1);
}

static void add_all(json_t *identities, const json_t *list)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item) {
        add_whole(identities, item);
    }
}

static void add_short_forms(json_t *identities, const json_t *given)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const json_t *handle = json_object_get(given, kinds[i]);
        char digits[32];
        if (json_is_integer(handle)) {
            (void)snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(handle));
            add_identity(identities, kinds[i], digits);
        } else if (json_is_string(handle)) {
            add_identity(identities, kinds[i], json_string_value(handle));
        }
    }
}

json_t *api_contact_doc(struct api_call *call, const json_t *given)
{
    json_t *identities = json_array();
    add_whole(identities, given);
    add_all(identities, json_is_array(given) ? given : json_object_get(given, "identities"));
    add_short_forms(identities, given);
    if (json_array_size(identities) == 0) {
        json_decref(identities);
        api_refuse(call, 400, "invalid", "{\"contact\": {\"whatsapp\": \"15550100\"}}, or \"whatsapp:15550100\"",
                   "'contact' names no identity");
        return NULL;
    }
    json_t *contact = json_object();
    json_put(contact, "identities", identities);
    json_put_str(contact, "name", json_str(given, "name"));
    json_put_str(contact, "language", json_str(given, "language"));
    return contact;
}
