#include "commands/source_check.h"

#include "base/macros.h"
#include "base/text.h"
#include "channel/channel.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_NAMES 64

/* What every source may say, whatever its kind. */
static const struct channel_setting common[] = {
    { "kind", SETTING_TEXT, true, "one of the kinds of this list" },
    { "per_second", SETTING_NUMBER, false, "sends in a second; default as the provider allows" },
    { "rate_limit", SETTING_NUMBER, false, "genuine webhooks in a second, then 429; default no limit" },
    { "rate_burst", SETTING_NUMBER, false, "how many may come at once; default twice the rate_limit" },
    { "unverified", SETTING_BOOL, false, "accept webhooks without any proof; only with serve --dev" },
    { NULL, SETTING_TEXT, false, NULL },
};

struct checking {
    const struct config *config;
    const struct source_config *source;
    json_t *problems;
    bool correct;
};

static void PRINTF_LIKE(4, 5) problem(struct checking *c, const char *key, const char *hint, const char *format, ...)
{
    char text[400];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    json_t *object = json_object();
    json_put_str(object, "file", c->config->path);
    json_put_int(object, "line", key ? config_line_of_key(c->config->path, key, c->source->line) : c->source->line);
    json_put_str(object, "severity", "error");
    json_put_str(object, "text", text);
    json_put_str(object, "hint", hint);
    json_array_append_new(c->problems, object);
    c->correct = false;
}

static const struct channel_setting *find_setting(const struct channel_setting *settings, const char *name)
{
    for (; settings && settings->name; settings++)
        if (strcmp(settings->name, name) == 0)
            return settings;
    return NULL;
}

static void unknown_kind(struct checking *c)
{
    const char *names[MAX_NAMES + 1];
    size_t count = 0;
    char hint[120] = "`answerd help sources` lists the kinds";
    for (const struct channel_kind *const *kind = channel_all(); *kind && count < MAX_NAMES; kind++)
        names[count++] = (*kind)->name;
    names[count] = NULL;
    const char *nearest = text_nearest(c->source->kind, names);
    if (nearest)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", nearest);
    problem(c, "kind", hint, "source \"%s\": unknown kind '%.60s'", c->source->name, c->source->kind);
}

static void unknown_setting(struct checking *c, const struct channel_kind *kind, const char *name)
{
    const char *names[MAX_NAMES + 1];
    size_t count = 0;
    char hint[120];
    for (const struct channel_setting *s = kind->settings; s && s->name && count < MAX_NAMES; s++)
        names[count++] = s->name;
    for (const struct channel_setting *s = common; s->name && count < MAX_NAMES; s++)
        names[count++] = s->name;
    names[count] = NULL;
    const char *nearest = text_nearest(name, names);
    if (nearest)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", nearest);
    else
        snprintf(hint, sizeof(hint), "`answerd help sources` lists the settings of %s", kind->name);
    problem(c, name, hint, "source \"%s\": %s has no setting '%.60s'", c->source->name, kind->name, name);
}

static bool is_filled_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

/* One text, or a list with at least one; no empty ones, which would be forgotten secrets. */
static bool are_filled_texts(const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) == 0)
        return is_filled_text(value);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!is_filled_text(json_array_get(value, i)))
            return false;
    return true;
}

/* An empty one stands for the default. */
static bool is_url(const char *text)
{
    static const char *const schemes[] = { "https://", "http://" };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t length = strlen(schemes[i]);
        if (strncasecmp(text, schemes[i], length) == 0)
            return text[length] != '\0';
    }
    return *text == '\0';
}

/* NULL, or what the value must be. */
static const char *wanted(const struct channel_setting *setting, const json_t *value)
{
    int64_t number;
    const char *text = json_string_value(value);
    switch (setting->type) {
    case SETTING_TEXT:
        return text ? NULL : "a text";
    case SETTING_URL:
        return text && is_url(text) ? NULL : "a URL that begins with https:// or http://";
    case SETTING_SECRET:
        return text ? NULL : "a text; use env or file for secrets";
    case SETTING_SECRETS:
        return (text && !*text) || are_filled_texts(value) ? NULL : "a text, or a list of texts that are not empty";
    case SETTING_NUMBER:
        return json_is_number(value) || (text && text_to_i64(bytes_of(text), &number)) ? NULL : "a number";
    case SETTING_BOOL:
        return json_is_boolean(value) ? NULL : "true or false";
    case SETTING_DURATION:
        return text && text_to_duration(bytes_of(text), &number) ? NULL : "a duration in text, like \"5m\"";
    }
    return NULL;
}

static void check_values(struct checking *c, const struct channel_kind *kind)
{
    const char *key;
    json_t *value;
    json_object_foreach (c->source->settings, key, value) {
        const struct channel_setting *setting = find_setting(kind->settings, key);
        if (!setting)
            setting = find_setting(common, key);
        if (!setting) {
            unknown_setting(c, kind, key);
            continue;
        }
        const char *must_be = wanted(setting, value);
        if (must_be)
            problem(c, key, NULL, "source \"%s\": %s must be %s", c->source->name, key, must_be);
    }
}

/* A list next to a secret (`app_secrets` to `app_secret`) can stand for it. */
static bool has_other_form(const struct source_config *source, const char *name)
{
    char plural[80];
    snprintf(plural, sizeof(plural), "%ss", name);
    const json_t *value = json_object_get(source->settings, plural);
    return value && are_filled_texts(value);
}

static void check_required(struct checking *c, const struct channel_kind *kind)
{
    if (c->config->dev && json_bool(c->source->settings, "unverified", false))
        return;
    for (const struct channel_setting *setting = kind->settings; setting && setting->name; setting++) {
        const json_t *value = json_object_get(c->source->settings, setting->name);
        bool secret = setting->type == SETTING_SECRET || setting->type == SETTING_SECRETS;
        if (!setting->required || (value && (!secret || are_filled_texts(value))))
            continue;
        if (secret && has_other_form(c->source, setting->name))
            continue;
        char hint[400];
        snprintf(hint, sizeof(hint), "%s: %s", setting->name, setting->help ? setting->help : "");
        problem(c, value ? setting->name : NULL, hint, "source \"%s\": %s %s", c->source->name, setting->name,
                value ? "is empty" : "is missing");
    }
}

/* What only the kind itself knows: settings that are right one by one and make no sense together. */
static void check_together(struct checking *c, const struct channel_kind *kind)
{
    struct error e = { .code = ERR_NONE };
    if (!kind->check || kind->check(c->source->settings, &e) == ERR_NONE)
        return;
    char *hint = strstr(e.text, "\nHINT: ");
    if (hint)
        *hint = '\0';
    problem(c, NULL, hint ? hint + strlen("\nHINT: ") : NULL, "source \"%s\": %s", c->source->name, e.text);
}

bool sources_check(const struct config *config, json_t *problems)
{
    struct checking c = { .config = config, .problems = problems, .correct = true };
    for (size_t i = 0; i < config->source_count; i++) {
        c.source = &config->sources[i];
        const struct channel_kind *kind = channel_find(c.source->kind);
        if (!kind) {
            unknown_kind(&c);
            continue;
        }
        if (!config->dev && json_bool(c.source->settings, "unverified", false))
            problem(&c, "unverified", "remove it, or run `answerd serve --dev` on your own machine",
                    "source \"%s\": webhooks without verification are refused", c.source->name);
        check_values(&c, kind);
        check_required(&c, kind);
        check_together(&c, kind);
    }
    return c.correct;
}

static const char *type_name(const struct channel_setting *setting)
{
    switch (setting->type) {
    case SETTING_TEXT:
        return "text";
    case SETTING_URL:
        return "URL";
    case SETTING_SECRET:
        return "secret";
    case SETTING_SECRETS:
        return "secret or list";
    case SETTING_NUMBER:
        return "number";
    case SETTING_BOOL:
        return "true or false";
    case SETTING_DURATION:
        return "duration";
    }
    return "";
}

static void print_settings(struct buf *out, const struct channel_setting *settings)
{
    for (; settings && settings->name; settings++)
        buf_addf(out, "  %-22s %s%s\n      %s\n", settings->name, type_name(settings),
                 settings->required ? ", required" : "", settings->help ? settings->help : "");
}

void sources_print_manual(struct buf *out)
{
    buf_add_text(out, "source \"NAME\" { kind = \"…\", … } receives POST /webhooks/NAME. Every source may have:\n");
    print_settings(out, common);
    for (const struct channel_kind *const *kind = channel_all(); *kind; kind++) {
        buf_addf(out, "\nkind = \"%s\"%s\n", (*kind)->name, (*kind)->render ? "" : "    (only receives)");
        print_settings(out, (*kind)->settings);
    }
}
