/* The configuration of one process: read once from a Lua file, then shared read-only by all threads.
 *
 *   http     { listen = "0.0.0.0:8080", tls = { certificate = "…", key = "…" } }
 *   database { url = env("DATABASE_URL", "") }
 *   source "stripe" { kind = "stripe", signing_secrets = { env "STRIPE_SIGNING_SECRET" } }
 *
 * The file runs in a sandbox of its own. env("NAME") is a variable that must be set and not empty, env("NAME", default)
 * one that may be missing; file("/run/secrets/NAME") is the content of a file without its last line end. The sections
 * and their settings are one table (settings.c), which `answerd help configuration` prints. What the settings of a
 * source mean is the channels' business: commands/source_check.h.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "io/http_forwarded.h"
#include "io/json.h"

struct source_config {
    char *name;       /* as in /webhooks/NAME */
    char *kind;       /* a channel kind: "whatsapp", "stripe", … */
    json_t *settings; /* object; secrets resolved; arrays for settings that take several */
    int line;         /* in the file, for messages */
};

struct config {
    char *path;
    bool dev; /* --dev: allows sources without verification and relaxed checks */

    struct {
        char *listen;       /* "0.0.0.0:8080" */
        char *admin_listen; /* "127.0.0.1:8081" */
        char *public_url;   /* "https://answerd.example.com", for registration and Square; may be "" */
        size_t max_body_bytes;
        size_t max_header_bytes;
        size_t max_connections;
        size_t max_admin_connections; /* of the admin listener; no setting */
        size_t max_receiving_bytes;   /* of all requests that are not complete */
        msec_t read_deadline_ms;
        msec_t idle_ms;
        json_t *tls_certificates;     /* array of file names; empty when TLS is off */
        json_t *tls_keys;             /* as many, in the same order */
        char *tls_minimum;            /* "1.2" or "1.3" */
        json_t *trusted_proxies;      /* array of networks as written */
        struct http_networks proxies; /* the same, read */
        bool require_https;
    } http;

    struct {
        char *url; /* "" uses the PG* environment */
    } database;

    struct {
        size_t threads;    /* event loops that accept webhooks */
        size_t batch_rows; /* most webhooks in one commit */
        size_t queue_rows; /* webhooks waiting for a commit before 503 */
        msec_t commit_deadline_ms;
        unsigned refusals_per_minute; /* of one address, then 429 for the rest of the minute; 0: no such limit */
    } ingest;

    struct {
        size_t threads;
        size_t batch_events;
        unsigned attempts;  /* before an event is parked */
        unsigned max_depth; /* of causes */
        msec_t poll_ms;
    } engine;

    struct {
        size_t max_in_flight;
        msec_t timeout_ms;
        msec_t poll_ms;
        msec_t settle_ms;             /* how long an unknown outcome waits for the provider's echo */
        bool allow_private_addresses; /* outgoing webhooks to private addresses */
        json_t *allowed_networks;     /* array of networks as written */
        struct http_networks allowed; /* the same, read: private ones that outgoing webhooks may call */
    } deliver;

    struct {
        char *directory; /* default "rules" beside the configuration file */
        uint64_t max_instructions;
        size_t max_memory_bytes;
        size_t max_effects;
        msec_t max_wall_ms;
        unsigned quarantine_after; /* failures in a row */
        msec_t quarantine_ms;
        msec_t quarantine_longest_ms;
        uint64_t sends_per_hour;            /* of one rule; 0: no budget, as in the next two */
        uint64_t sends_per_minute;          /* of one rule: the guard against bursts */
        uint64_t sends_per_contact_per_day; /* of one rule */
        char *shadow;                       /* directory of the rules that run beside; "" when there are none */
        unsigned shadow_percent;            /* of the events */
        bool watch;                         /* reload when files change */
        bool follow_directory;              /* at the start, files that have changed go into force */
        bool run_tests;                     /* before rules go into force */
    } rules;

    struct {
        unsigned months; /* of raw webhooks, events, traces; 0 keeps for ever */
    } retention;

    struct {
        msec_t stalled_after_ms; /* an actor, then the process ends; 0: never */
    } process;

    struct {
        enum log_level level;
        bool json;
    } log;

    struct source_config *sources;
    size_t source_count;
};

/* Loads and checks the file. `path` NULL searches ./answerd.lua and /etc/answerd/answerd.lua.
 * All problems found are joined in the error text, one a line, each with file:line and a HINT. */
err_t config_load(const char *path, bool dev, struct config **ret_config, struct error *reterr) MUST_CHECK;
void config_free(struct config *config); /* wipes the secrets */

/* The same for who only looks at the file, the address of the database included; each problem is added to the array
 * `problems` as an object {file, line, severity: "error", text, hint}. `ret_config` is set whenever the file could be
 * read, also when there are problems: for who looks for more of them. */
err_t config_read(const char *path, bool dev, json_t *problems, struct config **ret_config,
                  struct error *reterr) MUST_CHECK;

/* Appends one problem as people read it: "file:line: error: text" and perhaps a second line "HINT: …". */
void config_add_problem_text(struct buf *out, const json_t *problem);
/* The line at or after `from_line` where the file at `path` sets `key`, or `from_line`. */
int config_line_of_key(const char *path, const char *key, int from_line);

/* Appends the manual of all sections and settings. */
void config_print_manual(struct buf *out);

const struct source_config *config_source(const struct config *config, const char *name); /* NULL when unknown */

#endif
