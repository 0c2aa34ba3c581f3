#include "admin/api_contact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "channel/customer.h"

#define KIND_MAX_BYTES 32
#define HANDLE_MAX_BYTES 200

/* A handle of a payment provider that has a short form as well. */
static const char stripe[] = "stripe";

static bool has_letters(const char *handle)
{
    return strpbrk(handle, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;
}

/* Business-scoped user ids have letters ("US.1349…"). */
static bool is_number(const char *kind, const char *handle)
{
    return strcmp(kind, "phone") == 0 || (strcmp(kind, "whatsapp") == 0 && !has_letters(handle));
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

/* Is it written as people write numbers, with digits in it? How many a number has is the business of its country. */
static bool is_written_as_number(const char *handle)
{
    return strspn(handle, "0123456789 \t+-().,/") == strlen(handle) && strpbrk(handle, "0123456789") != NULL;
}

static bool has_blanks(const char *handle)
{
    for (; *handle; handle++) {
        if ((unsigned char)*handle <= ' ' || *handle == 0x7f) {
            return true;
        }
    }
    return false;
}

/* What is wrong with a handle, and the form in which it is known; NULL when nothing is. */
static const char *wrong_handle(const char *kind, const char *handle, const char *clean)
{
    int64_t number;
    if (strcmp(kind, "phone") == 0 || is_number(kind, handle)) {
        return is_written_as_number(handle) ? NULL : "a phone number has digits, as in \"+1 555 0100\"";
    }
    if (strcmp(kind, "whatsapp") == 0) {
        bool is_scoped = isupper((unsigned char)clean[0]) && isupper((unsigned char)clean[1]) && clean[2] == '.' &&
                         isalnum((unsigned char)clean[3]) && !has_blanks(clean);
        return is_scoped ? NULL
                         : "WhatsApp knows people by a number, as in \"+1 555 0100\", or an id, as in \"US.1349\"";
    }
    if (strcmp(kind, "email") == 0) {
        const char *at = strchr(clean, '@');
        return at && at != clean && at[1] != '\0' && !strpbrk(clean, "<>,") ? NULL
                                                                            : "an address is like ada@example.com";
    }
    if (strcmp(kind, "telegram") == 0 || strcmp(kind, "messenger") == 0 || strcmp(kind, "instagram") == 0) {
        return text_to_i64(bytes_of(clean), &number) ? NULL
                                                     : "the provider knows people by a number; a user name is none";
    }
    return has_blanks(clean) ? "a handle has no blanks" : NULL;
}

/* Appends the identity; false when the call is answered. `where` is the field. */
static bool add_identity(struct api_call *call, json_t *identities, const char *where, const char *kind,
                         const char *handle)
{
    struct buf identity CLEANUP(buf_done);
    buf_init(&identity, KIND_MAX_BYTES + HANDLE_MAX_BYTES);
    buf_addf(&identity, "%s:", kind);
    size_t empty = identity.len;
    add_clean(kind, handle, &identity);
    if (strlen(handle) > HANDLE_MAX_BYTES || identity.overflowed) {
        api_refuse(call, 400, "too_long", NULL, "'%s' is longer than %d bytes", where, HANDLE_MAX_BYTES);
        return false;
    }
    const char *wrong = wrong_handle(kind, handle, identity.ptr + empty);
    if (wrong != NULL) {
        api_refuse(call, 400, "invalid", wrong, "'%s' is not a handle of the kind %s", where, kind);
        return false;
    }
    json_array_append_new(identities, json_stringn(identity.ptr, identity.len));
    return true;
}

static bool is_blank(const char *text)
{
    return text_trim(bytes_of(text)).len == 0;
}

/* "email:Ada@Example.com" */
static bool add_whole(struct api_call *call, json_t *identities, const json_t *item)
{
    const char *text = json_string_value(item);
    size_t length = text ? strcspn(text, ":") : 0;
    if (length == 0 || length >= KIND_MAX_BYTES || text[length] == '\0' || is_blank(text + length + 1)) {
        api_refuse(call, 400, "invalid",
                   "an identity is a text like \"whatsapp:15550100\" or \"email:ada@example.com\"",
                   "'contact' holds something that is no identity%s%.100s", text ? ": " : "", text ? text : "");
        return false;
    }
    char kind[KIND_MAX_BYTES];
    for (size_t i = 0; i < length; i++) {
        kind[i] = (char)tolower((unsigned char)text[i]);
    }
    kind[length] = '\0';
    return add_identity(call, identities, "contact", kind, text + length + 1);
}

static bool add_all(struct api_call *call, json_t *identities, const json_t *list)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item) {
        if (!add_whole(call, identities, item)) {
            return false;
        }
    }
    return true;
}

/* One of the short forms. Who passes on what another system knows has empty ones among them, which name nobody. */
static bool add_short_form(struct api_call *call, json_t *identities, const char *kind, const json_t *handle)
{
    char where[64];
    char digits[32];
    (void)snprintf(where, sizeof(where), "contact.%s", kind);
    if (handle == NULL || json_is_null(handle) || (json_is_string(handle) && is_blank(json_string_value(handle)))) {
        return true;
    }
    if (json_is_integer(handle)) {
        (void)snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(handle));
        return add_identity(call, identities, where, kind, digits);
    }
    if (json_is_string(handle)) {
        return add_identity(call, identities, where, kind, json_string_value(handle));
    }
    api_refuse(call, 400, "invalid", NULL, "'%s' must be a text", where);
    return false;
}

static bool is_absent_or_text(struct api_call *call, const json_t *given, const char *key)
{
    const json_t *value = json_object_get(given, key);
    if (value == NULL || json_is_null(value) || json_is_string(value)) {
        return true;
    }
    api_refuse(call, 400, "invalid", NULL, "'contact.%s' must be a text", key);
    return false;
}

/* {"whatsapp": …, "name": …, …}; a misspelt field would lose what it holds. */
static bool add_fields(struct api_call *call, json_t *identities, const json_t *given)
{
    static const char *const others[] = { stripe, "identities", "name", "language" };
    const char *known[32];
    size_t count = 0;
    for (; customer_handle_kinds[count] != NULL; count++) {
        known[count] = customer_handle_kinds[count];
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        known[count++] = others[i];
    }
    known[count] = NULL;
    const json_t *list = json_object_get(given, "identities");
    if (!api_check_names(call, "contact.", given, known,
                         "other handles go into \"identities\", as in [\"paddle:ctm_1\"]") ||
        !is_absent_or_text(call, given, "name") || !is_absent_or_text(call, given, "language")) {
        return false;
    }
    if (list != NULL && !json_is_array(list)) {
        api_refuse(call, 400, "invalid", NULL, "'contact.identities' must be a list of texts");
        return false;
    }
    bool correct = add_all(call, identities, list);
    for (size_t i = 0; correct && customer_handle_kinds[i] != NULL; i++) {
        correct = add_short_form(call, identities, customer_handle_kinds[i],
                                 json_object_get(given, customer_handle_kinds[i]));
    }
    return correct && add_short_form(call, identities, stripe, json_object_get(given, stripe));
}

json_t *api_contact_doc(struct api_call *call, const json_t *given)
{
    json_t *identities = json_array();
    bool correct = json_is_string(given)  ? add_whole(call, identities, given)
                   : json_is_array(given) ? add_all(call, identities, given)
                                          : add_fields(call, identities, given);
    if (correct && json_array_size(identities) == 0) {
        api_refuse(call, 400, "invalid", "{\"contact\": {\"whatsapp\": \"15550100\"}}, or \"whatsapp:15550100\"",
                   "'contact' names no identity");
        correct = false;
    }
    if (!correct) {
        json_decref(identities);
        return NULL;
    }
    json_t *contact = json_object();
    json_put(contact, "identities", identities);
    json_put_str(contact, "name", json_str(given, "name"));
    json_put_str(contact, "language", json_str(given, "language"));
    return contact;
}
