#include "config/settings.h"

#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define FIELD(name) offsetof(struct config, name)

const struct setting_section setting_sections[] = {
    { "http", "the listeners: webhooks on one, health, metrics and the API on the other" },
    { "database", "PostgreSQL" },
    { "ingest", "from a webhook to its commit" },
    { "engine", "events, rules and timers" },
    { "deliver", "messages and webhooks that leave" },
    { "rules", "where the rules are, and what one call of a rule may use" },
    { "retention", "what is dropped when it is old" },
    { "process", "the server as a whole" },
    { "log", "the log on stderr" },
    { NULL, NULL },
};

/* clang-format off */
const struct setting settings[] = {
    { "http", "listen", CONFIG_TEXT, "0.0.0.0:8080", 0, 0, FIELD(http.listen),
      "address and port for the providers' webhooks" },
    { "http", "admin", CONFIG_TEXT, "127.0.0.1:8081", 0, 0, FIELD(http.admin_listen),
      "address and port for health, metrics and the API; never open it to the public" },
    { "http", "public_url", CONFIG_TEXT, "", 0, 0, FIELD(http.public_url),
      "how providers reach us, like https://hooks.example.com; for registration and for providers that sign the URL" },
    { "http", "max_body", CONFIG_SIZE, "4MiB", KIB, 64 * MIB, FIELD(http.max_body_bytes),
      "larger requests get 413" },
    { "http", "max_header", CONFIG_SIZE, "16KiB", KIB, MIB, FIELD(http.max_header_bytes),
      "larger headers get 431" },
    { "http", "max_connections", CONFIG_COUNT, "4096", 1, 1000000, FIELD(http.max_connections),
      "open connections of one listener; beyond, silent, idle and slow ones make room. Each takes a file descriptor (`ulimit -n`)" },
    { "http", "max_receiving", CONFIG_SIZE, "256MiB", MIB, 64 * GIB, FIELD(http.max_receiving_bytes),
      "memory for requests that are not complete; beyond it the largest one is cut off" },
    { "http", "read_deadline", CONFIG_DURATION, "10s", 100, 5 * MINUTE, FIELD(http.read_deadline_ms),
      "time a client may take to send a whole request" },
    { "http", "idle", CONFIG_DURATION, "60s", 100, HOUR, FIELD(http.idle_ms),
      "time a connection may wait for its next request" },
    { "http", "tls.certificate", CONFIG_TEXTS, "", 0, 0, FIELD(http.tls_certificates),
      "file with the certificate chain in PEM, or a list of files: the name that a client asks for chooses; empty: no TLS" },
    { "http", "tls.key", CONFIG_TEXTS, "", 0, 0, FIELD(http.tls_keys),
      "file with the private key in PEM, or a list, one for each certificate in the same order" },
    { "http", "tls.minimum", CONFIG_TEXT, "1.2", 0, 0, FIELD(http.tls_minimum),
      "oldest version of TLS that is spoken: 1.2 or 1.3" },
    { "http", "trusted_proxies", CONFIG_TEXTS, "", 0, 0, FIELD(http.trusted_proxies),
      "address or network of the proxy before us, or a list: its X-Forwarded-For and X-Forwarded-Proto are believed" },
    { "http", "require_https", CONFIG_BOOL, "false", 0, 0, FIELD(http.require_https),
      "refuse webhooks that did not come by HTTPS, to us or to a trusted proxy" },

    { "database", "url", CONFIG_TEXT, "", 0, 0, FIELD(database.url),
      "a libpq URL or keyword string; empty: the PG* environment variables" },

    { "ingest", "threads", CONFIG_COUNT, "1", 1, 64, FIELD(ingest.threads),
      "event loops that accept webhooks; one makes the largest batches, more use more cores than two" },
    { "ingest", "batch_rows", CONFIG_COUNT, "128", 1, 4096, FIELD(ingest.batch_rows),
      "most webhooks in one commit" },
    { "ingest", "queue_rows", CONFIG_COUNT, "2048", 1, 1000000, FIELD(ingest.queue_rows),
      "webhooks of one loop that may wait for a commit; the next ones get 503" },
    { "ingest", "commit_deadline", CONFIG_DURATION, "8s", 100, 5 * MINUTE, FIELD(ingest.commit_deadline_ms),
      "time a commit may take before its webhooks get 503" },
    { "ingest", "refusals_per_minute", CONFIG_UNSIGNED, "0", 0, 1000000, FIELD(ingest.refusals_per_minute),
      "webhooks of one address that may fail verification in a minute, then it gets 429; 0: any number" },

    { "engine", "threads", CONFIG_COUNT, "2", 1, 64, FIELD(engine.threads),
      "threads that run rules; another one joins when more events wait than one can take" },
    { "engine", "batch_events", CONFIG_COUNT, "256", 1, 1000, FIELD(engine.batch_events),
      "most events in one transaction; fewer when they take long" },
    { "engine", "attempts", CONFIG_UNSIGNED, "5", 1, 100, FIELD(engine.attempts),
      "tries before an event is parked" },
    { "engine", "max_depth", CONFIG_UNSIGNED, "8", 1, 100, FIELD(engine.max_depth),
      "events that cause events: deeper ones run no rules" },
    { "engine", "poll", CONFIG_DURATION, "500ms", 10, MINUTE, FIELD(engine.poll_ms),
      "how often to look for work of other processes and due timers" },

    { "deliver", "max_in_flight", CONFIG_COUNT, "64", 1, 10000, FIELD(deliver.max_in_flight),
      "calls to providers at the same time" },
    { "deliver", "timeout", CONFIG_DURATION, "15s", 100, 5 * MINUTE, FIELD(deliver.timeout_ms),
      "time one call may take" },
    { "deliver", "poll", CONFIG_DURATION, "500ms", 10, MINUTE, FIELD(deliver.poll_ms),
      "how often to look for deliveries of other processes and retries" },
    { "deliver", "settle", CONFIG_DURATION, "5m", SECOND, DAY, FIELD(deliver.settle_ms),
      "how long a send with an unknown outcome waits for the provider's report" },
    { "deliver", "allow_private_addresses", CONFIG_BOOL, "false", 0, 0, FIELD(deliver.allow_private_addresses),
      "let outgoing webhooks call private, loopback and link-local addresses, all of them" },
    { "deliver", "allowed_networks", CONFIG_TEXTS, "", 0, 0, FIELD(deliver.allowed_networks),
      "private address or network that outgoing webhooks may call all the same, or a list, like 10.1.2.0/24" },

    { "rules", "directory", CONFIG_TEXT, "rules", 0, 0, FIELD(rules.directory),
      "folder of the rules; relative to the configuration file" },
    { "rules", "max_instructions", CONFIG_NUMBER, "1000000", 1000, 1000000000, FIELD(rules.max_instructions),
      "Lua instructions of one call" },
    { "rules", "max_memory", CONFIG_SIZE, "64MiB", MIB, 4 * GIB, FIELD(rules.max_memory_bytes),
      "memory of one engine thread's rules" },
    { "rules", "max_effects", CONFIG_COUNT, "100", 1, 10000, FIELD(rules.max_effects),
      "effects of one call" },
    { "rules", "max_wall", CONFIG_DURATION, "250ms", 1, MINUTE, FIELD(rules.max_wall_ms),
      "processor time of one call" },
    { "rules", "quarantine_after", CONFIG_UNSIGNED, "5", 1, 1000, FIELD(rules.quarantine_after),
      "times in a row that a rule may fail before it is left out for a while" },
    { "rules", "quarantine", CONFIG_DURATION, "10m", SECOND, 30 * DAY, FIELD(rules.quarantine_ms),
      "how long it is left out; then it is tried on one event, and left out twice as long when it fails" },
    { "rules", "quarantine_longest", CONFIG_DURATION, "6h", SECOND, 30 * DAY, FIELD(rules.quarantine_longest_ms),
      "the longest that it is left out" },
    { "rules", "sends_per_hour", CONFIG_NUMBER, "0", 0, 1000000000, FIELD(rules.sends_per_hour),
      "messages that one rule may send in an hour, the others are held; 0: any number" },
    { "rules", "sends_per_minute", CONFIG_NUMBER, "0", 0, 1000000000, FIELD(rules.sends_per_minute),
      "the same for a minute, against bursts; 0: any number" },
    { "rules", "sends_per_contact_per_day", CONFIG_NUMBER, "500", 0, 1000000000, FIELD(rules.sends_per_contact_per_day),
      "messages that one rule may send to one contact in a day, the others are held; 0: any number" },
    { "rules", "shadow", CONFIG_TEXT, "", 0, 0, FIELD(rules.shadow),
      "folder of rules that run beside the others and are only recorded, see the view shadow_diff; empty: none" },
    { "rules", "shadow_percent", CONFIG_UNSIGNED, "100", 0, 100, FIELD(rules.shadow_percent),
      "share of the events on which the shadow rules are tried" },
    { "rules", "watch", CONFIG_BOOL, "false", 0, 0, FIELD(rules.watch),
      "put rules in force when their files change, as answerd reload does" },
    { "rules", "follow_directory", CONFIG_BOOL, "true", 0, 0, FIELD(rules.follow_directory),
      "at the start, put rules in force whose files have changed; false: only answerd reload does" },
    { "rules", "run_tests", CONFIG_BOOL, "true", 0, 0, FIELD(rules.run_tests),
      "run the rules' own *_test.lua before they go into force" },

    { "retention", "months", CONFIG_UNSIGNED, "0", 0, 1200, FIELD(retention.months),
      "months that webhooks, events and traces are kept, at least 3; 0: for ever" },

    { "process", "stalled_after", CONFIG_DURATION, "60s", 0, HOUR, FIELD(process.stalled_after_ms),
      "an actor that is stuck for so long ends the process: others take over its work; 0s: never" },

    { "log", "level", CONFIG_LEVEL, "info", 0, 0, FIELD(log.level),
      "debug, info, warn or error" },
    { "log", "json", CONFIG_BOOL, "false", 0, 0, FIELD(log.json),
      "lines as JSON instead of logfmt" },
    { NULL, NULL, CONFIG_TEXT, NULL, 0, 0, 0, NULL },
};
/* clang-format on */

bool setting_read_size(struct bytes text, int64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        int64_t bytes;
    } units[] = { { "KiB", KIB }, { "MiB", MIB }, { "GiB", GIB }, { "B", 1 }, { "", 1 } };
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct bytes unit = { text.ptr + digits, text.len - digits };
    int64_t number;
    if (!text_to_i64((struct bytes){ text.ptr, digits }, &number))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!bytes_equal(unit, bytes_of(units[i].unit)))
            continue;
        if (number > INT64_MAX / units[i].bytes)
            return false;
        *ret_bytes = number * units[i].bytes;
        return true;
    }
    return false;
}

static void add_size(struct buf *out, int64_t bytes)
{
    if (bytes % GIB == 0 && bytes > 0)
        buf_addf(out, "%lldGiB", (long long)(bytes / GIB));
    else if (bytes % MIB == 0 && bytes > 0)
        buf_addf(out, "%lldMiB", (long long)(bytes / MIB));
    else if (bytes % KIB == 0 && bytes > 0)
        buf_addf(out, "%lldKiB", (long long)(bytes / KIB));
    else
        buf_addf(out, "%lld", (long long)bytes);
}

static void add_value(struct buf *out, enum setting_kind kind, int64_t value)
{
    if (kind == CONFIG_SIZE)
        add_size(out, value);
    else if (kind == CONFIG_DURATION)
        text_add_duration(out, value);
    else
        buf_addf(out, "%lld", (long long)value);
}

static void *field_of(const struct setting *setting, struct config *config)
{
    return (char *)config + setting->offset;
}

static void set_number(const struct setting *setting, int64_t number, struct config *config)
{
    void *field = field_of(setting, config);
    switch (setting->kind) {
    case CONFIG_COUNT:
    case CONFIG_SIZE:
        *(size_t *)field = (size_t)number;
        break;
    case CONFIG_UNSIGNED:
        *(unsigned *)field = (unsigned)number;
        break;
    case CONFIG_NUMBER:
        *(uint64_t *)field = (uint64_t)number;
        break;
    default:
        *(msec_t *)field = number;
        break;
    }
}

static err_t wrong_kind(const struct setting *setting, const char *wanted, struct error *reterr)
{
    return fail(reterr, ERR_INVALID, "%s.%s must be %s\nHINT: for example %s", setting->section, setting->name, wanted,
                setting->standard);
}

static err_t set_ranged(const struct setting *setting, int64_t number, struct config *config, struct error *reterr)
{
    if (number < setting->least || number > setting->most) {
        struct buf range;
        buf_init(&range, 200);
        add_value(&range, setting->kind, setting->least);
        buf_add_text(&range, " to ");
        add_value(&range, setting->kind, setting->most);
        err_t err = fail(reterr, ERR_INVALID, "%s.%s is out of range\nHINT: it may be from %s", setting->section,
                         setting->name, range.ptr);
        buf_done(&range);
        return err;
    }
    set_number(setting, number, config);
    return ERR_NONE;
}

/* The number that a value says; false when it is of another kind. */
static bool read_number(const struct setting *setting, const json_t *value, int64_t *ret_number)
{
    if (setting->kind == CONFIG_DURATION)
        return json_is_string(value) && text_to_duration(bytes_of(json_string_value(value)), ret_number);
    if (setting->kind == CONFIG_SIZE && json_is_string(value))
        return setting_read_size(bytes_of(json_string_value(value)), ret_number);
    if (json_is_string(value)) /* what env() gives is text */
        return text_to_i64(bytes_of(json_string_value(value)), ret_number);
    if (!json_is_integer(value))
        return false;
    *ret_number = json_integer_value(value);
    return true;
}

static bool read_bool(const json_t *value, bool *ret_bool)
{
    const char *text = json_string_value(value);
    if (!json_is_boolean(value) && !text)
        return false;
    bool yes = text ? strcmp(text, "true") == 0 : json_is_true(value);
    if (text && !yes && strcmp(text, "false") != 0)
        return false;
    *ret_bool = yes;
    return true;
}

#define MAX_TEXTS 64

static err_t set_texts(const struct setting *setting, const json_t *value, json_t **field, struct error *reterr)
{
    json_t *texts = json_array();
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    bool correct = count <= MAX_TEXTS;
    for (size_t i = 0; i < count && correct; i++) {
        const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;
        correct = json_is_string(one) && (one == value || json_string_length(one) > 0);
        if (correct && json_string_length(one) > 0)
            json_array_append_new(texts, json_string(json_string_value(one)));
    }
    if (!correct) {
        json_decref(texts);
        return wrong_kind(setting, "a text, or a list of texts", reterr);
    }
    json_decref(*field);
    *field = texts;
    return ERR_NONE;
}

err_t setting_set(const struct setting *setting, const json_t *value, struct config *config, struct error *reterr)
{
    void *field = field_of(setting, config);
    int64_t number;
    switch (setting->kind) {
    case CONFIG_TEXT:
        if (!json_is_string(value))
            return wrong_kind(setting, "a text", reterr);
        free(*(char **)field);
        *(char **)field = memory_text(json_string_value(value));
        return ERR_NONE;
    case CONFIG_TEXTS:
        return set_texts(setting, value, field, reterr);
    case CONFIG_BOOL:
        return read_bool(value, field) ? ERR_NONE : wrong_kind(setting, "true or false", reterr);
    case CONFIG_LEVEL:
        if (!json_is_string(value) || !log_level_from_name(json_string_value(value), field))
            return wrong_kind(setting, "debug, info, warn or error", reterr);
        return ERR_NONE;
    case CONFIG_DURATION:
        if (!read_number(setting, value, &number))
            return wrong_kind(setting, "a duration in text, like \"10s\" or \"1h30m\"", reterr);
        break;
    case CONFIG_SIZE:
        if (!read_number(setting, value, &number))
            return wrong_kind(setting, "a size, like \"64KiB\" or \"4MiB\"", reterr);
        break;
    case CONFIG_COUNT:
    case CONFIG_UNSIGNED:
    case CONFIG_NUMBER:
        if (!read_number(setting, value, &number))
            return wrong_kind(setting, "a whole number", reterr);
        break;
    }
    return set_ranged(setting, number, config, reterr);
}

void settings_set_standard(struct config *config)
{
    for (const struct setting *setting = settings; setting->section; setting++) {
        json_t *value = json_string(setting->standard);
        struct error e;
        if (setting_set(setting, value, config, &e)) {
            log_error("the table of settings is wrong", "reason='%s'", e.text);
            abort();
        }
        json_decref(value);
    }
}

void settings_done(struct config *config)
{
    for (const struct setting *setting = settings; setting->section; setting++) {
        void *field = field_of(setting, config);
        if (setting->kind == CONFIG_TEXTS) {
            json_decref(*(json_t **)field);
        } else if (setting->kind == CONFIG_TEXT) {
            char *text = *(char **)field; /* the database's URL may hold a password */
            if (text)
                crypto_wipe(text, strlen(text));
            free(text);
        }
    }
}

const struct setting *setting_find(const char *section, const char *name)
{
    for (const struct setting *setting = settings; setting->section; setting++)
        if (strcmp(setting->section, section) == 0 && strcmp(setting->name, name) == 0)
            return setting;
    return NULL;
}

void setting_names(const char *section, const char *parent, const char **ret_names, size_t max)
{
    static const char tls[] = "tls"; /* the one setting that is a table */
    size_t count = 0;
    for (const struct setting *setting = settings; setting->section && count + 1 < max; setting++) {
        if (strcmp(setting->section, section) != 0)
            continue;
        const char *dot = strchr(setting->name, '.');
        if (parent) {
            size_t length = strlen(parent);
            if (dot && (size_t)(dot - setting->name) == length && memcmp(setting->name, parent, length) == 0)
                ret_names[count++] = dot + 1;
        } else if (!dot) {
            ret_names[count++] = setting->name;
        } else if (count == 0 || ret_names[count - 1] != tls) {
            ret_names[count++] = tls;
        }
    }
    ret_names[count] = NULL;
}

static const char *kind_name(enum setting_kind kind)
{
    switch (kind) {
    case CONFIG_TEXT:
        return "text";
    case CONFIG_TEXTS:
        return "text or list";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_SIZE:
        return "size";
    case CONFIG_DURATION:
        return "duration";
    case CONFIG_LEVEL:
        return "name";
    default:
        return "number";
    }
}

void config_print_manual(struct buf *out)
{
    for (const struct setting_section *section = setting_sections; section->name; section++) {
        buf_addf(out, "%s { … }    %s\n", section->name, section->help);
        for (const struct setting *setting = settings; setting->section; setting++) {
            if (strcmp(setting->section, section->name) != 0)
                continue;
            bool quoted = setting->kind == CONFIG_TEXT || setting->kind == CONFIG_TEXTS ||
                          setting->kind == CONFIG_SIZE || setting->kind == CONFIG_DURATION ||
                          setting->kind == CONFIG_LEVEL;
            buf_addf(out, "  %-24s %s%s%s\n", setting->name, quoted ? "\"" : "", setting->standard, quoted ? "\"" : "");
            buf_addf(out, "      %s", setting->help);
            if (setting->most > 0) {
                buf_addf(out, " (%s, ", kind_name(setting->kind));
                add_value(out, setting->kind, setting->least);
                buf_add_text(out, " to ");
                add_value(out, setting->kind, setting->most);
                buf_add_char(out, ')');
            }
            buf_add_char(out, '\n');
        }
        buf_add_char(out, '\n');
    }
}
