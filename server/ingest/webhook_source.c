#include "ingest/webhook_source.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/text.h"

static struct metric *counter_of(const char *source, const char *result)
{
    struct buf labels CLEANUP(buf_done);
    buf_init(&labels, 512);
    buf_addf(&labels, "source=\"%s\",result=\"%s\"", source, result);
    return metric_counter("answerd_webhooks_total", "Requests to /webhooks/SOURCE by result", labels.ptr);
}

/* A number, or the text of one as env() gives it. */
static double number_of(const json_t *settings, const char *name, double otherwise)
{
    const json_t *value = json_object_get(settings, name);
    int64_t number;
    if (json_is_number(value))
        return json_number_value(value);
    return text_to_i64(bytes_of(json_string_value(value)), &number) ? (double)number : otherwise;
}

static void add_secret(struct webhook_source *source, const json_t *secret)
{
    const char *text = json_string_value(secret);
    if (!text || text[0] == '\0')
        return;
    source->secrets = memory_resize(source->secrets, (source->secret_count + 1) * sizeof(*source->secrets));
    source->secrets[source->secret_count++] = bytes_of(text);
}

/* Gathered once: they are looked for in each header of each request. */
static void gather_secrets(struct webhook_source *source)
{
    for (const struct channel_setting *s = source->kind->settings; s && s->name; s++) {
        if (s->type != SETTING_SECRET && s->type != SETTING_SECRETS)
            continue;
        const json_t *given = json_object_get(source->settings, s->name);
        size_t index;
        const json_t *one;
        add_secret(source, given);
        json_array_foreach (given, index, one) {
            add_secret(source, one);
        }
    }
}

void webhook_sources_init(struct webhook_sources *sources, const struct config *config)
{
    sources->list = memory_new(config->source_count * sizeof(*sources->list));
    sources->count = 0;
    for (size_t i = 0; i < config->source_count; i++) {
        const struct source_config *given = &config->sources[i];
        const struct channel_kind *kind = channel_find(given->kind);
        if (!kind || !kind->verify || !kind->parse)
            continue; /* receives nothing: its address is as unknown as any other */
        struct webhook_source *source = &sources->list[sources->count++];
        struct buf url;
        buf_init(&url, 4096);
        struct bytes base = bytes_of(config->http.public_url ? config->http.public_url : "");
        while (base.len > 0 && base.ptr[base.len - 1] == '/')
            base.len--;
        if (base.len > 0) {
            buf_add_bytes(&url, base);
            buf_addf(&url, "/webhooks/%s", given->name);
        }
        source->name = given->name;
        source->kind = kind;
        source->settings = given->settings;
        gather_secrets(source);
        source->url = buf_take(&url);
        source->unverified = config->dev && json_bool(given->settings, "unverified", false);
        source->accepted = counter_of(given->name, "accepted");
        source->unparsed = counter_of(given->name, "unparsed");
        source->refused = counter_of(given->name, "refused");
        source->busy = counter_of(given->name, "busy");
        source->failed = counter_of(given->name, "failed");
        source->handshakes = counter_of(given->name, "handshake");
        source->limited = counter_of(given->name, "limited");
        double per_second = number_of(given->settings, "rate_limit", 0);
        source->rate = memory_new(sizeof(*source->rate));
        rate_limit_init(source->rate, per_second, number_of(given->settings, "rate_burst", 2 * per_second));
    }
}

void webhook_sources_done(struct webhook_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        free(sources->list[i].secrets);
        free(sources->list[i].url);
        free(sources->list[i].rate);
    }
    free(sources->list);
    *sources = (struct webhook_sources){ 0 };
}

const struct webhook_source *webhook_sources_find(const struct webhook_sources *sources, const char *name)
{
    for (size_t i = 0; i < sources->count; i++)
        if (strcmp(sources->list[i].name, name) == 0)
            return &sources->list[i];
    return NULL;
}

#define MAX_NAME 128
#define MAX_JOINED 65536

/* --- headers ---------------------------------------------------------------------------------------------------- */

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* Does a word begin here that is in the names (in lower case) of headers that carry a secret as it is? Signatures prove
 * one body and may stay. */
static bool secret_word_begins(const char *at)
{
    switch (*at) {
    case 'a':
        return begins_with(at, "authorization") || begins_with(at, "api-key") || begins_with(at, "apikey");
    case 'c':
        return begins_with(at, "cookie");
    case 'p':
        return begins_with(at, "password");
    case 's':
        return begins_with(at, "secret");
    case 't':
        return begins_with(at, "token");
    default:
        return false;
    }
}

static bool is_secret_name(const char *name)
{
    while (*name)
        if (secret_word_begins(name++))
            return true;
    return false;
}

/* Most values are shorter than any secret. */
static bool holds_secret(const struct webhook_source *source, const char *value)
{
    size_t length = strlen(value);
    for (size_t i = 0; i < source->secret_count; i++)
        if (length >= source->secrets[i].len && strstr(value, source->secrets[i].ptr))
            return true;
    return false;
}

/* In lower case; cut where none that matters is so long. */
static void lower_name(const char *name, char ret_name[static MAX_NAME])
{
    size_t length = 0;
    for (const char *c = name; *c && length + 1 < MAX_NAME; c++)
        ret_name[length++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    ret_name[length] = '\0';
}

/* The place of the first header in `from` … `to` - 1 that is kept and has this name; `to` when there is none. */
static size_t find_header(const struct webhook_source *source, const struct webhook *w, const char *name, size_t from,
                          size_t to)
{
    for (size_t i = from; i < to; i++)
        if (webhook_header_is(&w->headers[i], name) && !holds_secret(source, w->headers[i].value))
            return i;
    return to;
}

/* One that comes several times becomes one, as RFC 9110 has it. */
static void add_header(const struct webhook_source *source, const struct webhook *w, size_t place, const char *name,
                       struct buf *out)
{
    size_t next = find_header(source, w, w->headers[place].name, place + 1, w->header_count);
    json_add_text(out, bytes_of(name));
    buf_add_char(out, ':');
    if (next == w->header_count) {
        json_add_text(out, bytes_of(w->headers[place].value));
        return;
    }
    struct buf joined CLEANUP(buf_done);
    buf_init(&joined, MAX_JOINED);
    buf_add_text(&joined, w->headers[place].value);
    for (; next < w->header_count; next = find_header(source, w, w->headers[place].name, next + 1, w->header_count))
        buf_addf(&joined, ", %s", w->headers[next].value);
    json_add_text(out, buf_bytes(&joined));
}

void webhook_source_add_headers(const struct webhook_source *source, const struct webhook *w, struct buf *out)
{
    bool later = false;
    buf_add_char(out, '{');
    for (size_t i = 0; i < w->header_count; i++) {
        char name[MAX_NAME];
        lower_name(w->headers[i].name, name);
        if (is_secret_name(name) || holds_secret(source, w->headers[i].value) ||
            find_header(source, w, w->headers[i].name, 0, i) < i)
            continue;
        if (later)
            buf_add_char(out, ',');
        later = true;
        add_header(source, w, i, name, out);
    }
    buf_add_char(out, '}');
}
