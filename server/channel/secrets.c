#include "channel/secrets.h"

#include "base/text.h"

static void add_secret(struct secret_list *list, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && *text && list->count < MAX_SECRETS) {
        list->secrets[list->count++] = bytes_of(text);
    }
}

err_t secrets_read(const json_t *settings, const char *const *names, struct secret_list *ret_list, struct error *reterr)
{
    struct secret_list found = { .count = 0 };
    for (size_t i = 0; names[i] != NULL; i++) {
        const json_t *value = json_object_get(settings, names[i]);
        add_secret(&found, value);
        size_t index;
        json_t *element;
        json_array_foreach (value, index, element) {
            add_secret(&found, element);
        }
    }
    if (found.count == 0) {
        return fail(reterr, ERR_DENIED, "no secret is configured\nHINT: set %s of the source", names[0]);
    }
    *ret_list = found;
    return ERR_NONE;
}

bool header_any(const struct webhook *w, const char *name, bool (*matches)(struct bytes value, void *arg), void *arg)
{
    for (size_t i = 0; i < w->header_count; i++) {
        if (webhook_header_is(&w->headers[i], name) && matches(text_trim(bytes_of(w->headers[i].value)), arg)) {
            return true;
        }
    }
    return false;
}
