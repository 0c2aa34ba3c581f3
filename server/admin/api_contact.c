#include "admin/api_contact.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "channel/customer.h"
#include "channel/handle.h"

/* A handle of a payment provider that has a short form as well. */
static const char stripe[] = "stripe";

/* Appends the identity; false when the call is answered. `where` is the field. */
static bool add_identity(struct api_call *call, json_t *identities, const char *where, const char *kind,
                         const char *handle)
{
    if (strlen(handle) > HANDLE_MAX_BYTES) {
        api_refuse(call, 400, "too_long", NULL, "'%s' is longer than %d bytes", where, HANDLE_MAX_BYTES);
        return false;
    }
    struct buf identity CLEANUP(buf_done);
    buf_init(&identity, HANDLE_KIND_MAX_BYTES + 1 + HANDLE_MAX_BYTES);
    buf_addf(&identity, "%s:", kind);
    const char *wrong = handle_read(kind, handle, &identity);
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
    if (length == 0 || length > HANDLE_KIND_MAX_BYTES || text[length] == '\0' || is_blank(text + length + 1)) {
        api_refuse(call, 400, "invalid",
                   "an identity is a text like \"whatsapp:15550100\" or \"email:ada@example.com\"",
                   "'contact' holds something that is no identity%s%.100s", text ? ": " : "", text ? text : "");
        return false;
    }
    char kind[HANDLE_KIND_MAX_BYTES + 1];
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
