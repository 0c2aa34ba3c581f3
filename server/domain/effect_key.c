#include "domain/effect_key.h"

#include <string.h>

#include "base/macros.h"

static const struct {
    const char *kind;
    const char *keys[2];
} names[] = {
    { "open_conversation", { "topic", "reference" } },
    { "tag", { "tag", NULL } },
    { "untag", { "tag", NULL } },
    { "assign", { "assignee", NULL } },
    { "prioritize", { "priority", NULL } },
    { "set", { "key", NULL } },
    { "survey", { "survey", NULL } },
    { "after", { "name", NULL } },
    { "cancel", { "name", NULL } },
    { "contact_set", { "key", NULL } },
    { "identify", { "identity", NULL } },
    { "opt_out", { "topic", NULL } },
    { "opt_in", { "topic", NULL } },
    { "prefer", { "channel", NULL } },
    { "outreach", { "topic", "reference" } },
    { "webhook", { "endpoint", "type" } },
    { "emit", { "name", NULL } },
};

static void add_send(const json_t *effect, struct buf *out)
{
    const char *template = json_str(effect, "template");
    const json_t *media = json_object_at(effect, "media");
    if (template)
        buf_addf(out, "template %s", template);
    else
        buf_add_text(out, media ? json_str_or(media, "kind", "media") : "text");
}

void effect_add_name(const json_t *effect, struct buf *out)
{
    const char *kind = json_str_or(effect, "do", "");
    if (strcmp(kind, "send") == 0) {
        add_send(effect, out);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i].kind, kind) != 0)
            continue;
        for (size_t n = 0; n < ARRAY_LEN(names[i].keys) && names[i].keys[n]; n++) {
            const char *value = json_str(effect, names[i].keys[n]);
            if (value && *value)
                buf_addf(out, "%s%s", n > 0 ? " " : "", value);
        }
        return;
    }
}

void effect_add_key(const json_t *effect, struct buf *out)
{
    buf_addf(out, "%s ", json_str_or(effect, "do", ""));
    effect_add_name(effect, out);
}

char *effect_content(const json_t *effect)
{
    static const char *const left_out[] = { "do", "line", "conversation", "handle", "made", "refused", "suppressed" };
    json_t *rest = json_copy((json_t *)(uintptr_t)effect);
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        json_object_del(rest, left_out[i]);
    char *text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    json_decref(rest);
    return text;
}
