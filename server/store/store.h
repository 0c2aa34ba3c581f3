/* The database as the program sees it: business names in front, SQL behind. Every SQL text of the program is in this
 * folder and in migrations/.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Is the database at the newest migration that this program knows? ERR_INVALID with a hint when it is older or newer,
 * ERR_NOT_FOUND when it has none at all. */
int store_schema_version(void);
err_t store_check_schema(struct pg *pg, struct error *reterr) MUST_CHECK;
/* May a program that runs already go on? Newer migrations are fine until one says that it ends programs as old as this
 * one (`-- Ends: programs before NNNN`, see CONTRIBUTING.md). */
err_t store_check_schema_fits(struct pg *pg, struct error *reterr) MUST_CHECK;

/* Asks what time it is there, and has clock_shared() go by that. */
err_t store_follow_clock(struct pg *pg, struct error *reterr) MUST_CHECK;

/* Applies what is missing, each migration in a transaction of its own; several programs may do so at the same time.
 * `applied` (may be NULL) is called after each. Refuses a database that is newer, or whose migrations differ from ours.
 */
typedef void migration_applied(const char *name, msec_t took_ms, void *arg);
err_t store_migrate(struct pg *pg, migration_applied *applied, void *arg, size_t *ret_count,
                    struct error *reterr) MUST_CHECK;
/* Array of {number, name, state: "applied"|"pending"|"changed"|"unknown", applied_at}, by number; new reference. */
err_t store_migration_status(struct pg *pg, json_t **ret_rows, struct error *reterr) MUST_CHECK;

/* --- ingest (asynchronous; one statement is one commit) --- */

#define EVENT_DIGEST_SIZE 16

/* An event as it is stored. */
struct ingest_event {
    int64_t id;
    int32_t lane;
    unsigned char digest[EVENT_DIGEST_SIZE]; /* of the key; the same as event_key_digest() in migrations/ */
    struct bytes type;
    struct bytes key;
    struct bytes occurred_at; /* ptr == NULL: when it was received */
    struct bytes doc;         /* object text, without what columns say */
};

/* The events of one webhook; the texts are theirs. All zero is none. */
struct ingest_events {
    struct ingest_event *list;
    size_t count;
    char *texts;
};
/* Of an array of canonical events; their ids and lanes are 0. `scratch` is used meanwhile. ERR_INTERNAL when one has no
 * type or key. */
err_t ingest_events_init(struct ingest_events *events, const json_t *canonical, struct buf *scratch,
                         struct error *reterr) MUST_CHECK;
void ingest_events_done(struct ingest_events *events);

struct ingest_row {
    int64_t webhook_id;
    const char *source;
    struct bytes headers_json; /* object text; secrets already removed */
    struct bytes body;
    const char *problem;               /* NULL, or why it could not be parsed */
    int parser;                        /* CHANNEL_PARSER_VERSION of what made the events; one for a batch */
    const struct ingest_event *events; /* with ids and lanes */
    size_t event_count;
};

/* The statement and the order of its parameters, for who measures what it costs. */
extern const char ingest_statement[];
enum ingest_parameter {
    INGEST_WEBHOOK_IDS,
    INGEST_SOURCES,
    INGEST_HEADERS,
    INGEST_BODIES,
    INGEST_PROBLEMS,
    INGEST_PARSER,
    INGEST_EVENT_IDS,
    INGEST_EVENT_WEBHOOKS,
    INGEST_EVENT_SOURCES,
    INGEST_TYPES,
    INGEST_KEYS,
    INGEST_DIGESTS,
    INGEST_LANES,
    INGEST_OCCURRED,
    INGEST_DOCS,
    INGEST_PARAMETERS
};

/* Appends webhooks, their events that are not known yet, and the work. `done` as for pg_async_run. */
err_t ingest_store_append(struct pg_async *pg, const struct ingest_row *rows, size_t count, msec_t deadline_ms,
                          pg_async_done *done, void *arg) MUST_CHECK;
/* How many of the events were new, from the result that `done` gets. */
size_t ingest_store_new_events(const struct pg_result *result);
/* A block of `count` ids that no other process has; the first one is in row 0, column 0 of the result. */
err_t ingest_store_reserve_ids(struct pg_async *pg, size_t count, msec_t deadline_ms, pg_async_done *done,
                               void *arg) MUST_CHECK;
/* When a session's plans are made again. A plan fits the tables as they are when it is made; one from when a table was
 * empty may read all of it later, and nothing else tells the session before the table is analyzed. Begin with zeros. */
struct plan_age {
    msec_t next;  /* steady clock */
    msec_t after; /* grows: tables change most when they are young */
};

/* Cheap to call often. Not inside a transaction. */
err_t store_renew_plans(struct pg *pg, struct plan_age *age, struct error *reterr) MUST_CHECK;

err_t store_reserve_ids(struct pg *pg, size_t count, int64_t *ret_first, struct error *reterr) MUST_CHECK;
err_t store_add_rejects(struct pg *pg, const char *source, const char *reason, int64_t count,
                        struct error *reterr) MUST_CHECK;

/* --- engine (blocking; one transaction from claim to commit or rollback) --- */

struct claim {
    json_t *work;  /* array of {position, attempts (failed ones before), event: {...}} in the order to run */
    json_t *facts; /* of all their people, see desk_add_case; contacts are locked until the end of the transaction */
    bool replays;  /* some of the events are replayed */
    int64_t rules_generation; /* of the rules that are in force now (struct rule_pointer); 0: none ever were */
};
/* Begins a transaction and claims up to `limit` events of free lanes. With nothing to do, `work` is empty and the
 * transaction is ended, and so it is after an error. */
err_t engine_store_claim(struct pg *pg, size_t limit, struct claim *ret_claim, struct error *reterr) MUST_CHECK;
void claim_done(struct claim *claim);
/* A word in the transaction of a claim: the server ends one in which nothing is said for long. */
err_t engine_store_stay(struct pg *pg, struct error *reterr) MUST_CHECK;
/* Writes the changes, removes the work and commits. ERR_CONFLICT: nothing was written; try the batch again with a new
 * claim, which will bring the facts that this one lacked. After an error the transaction is ended. */
/* The changes may also have "budgets": what goes beyond them is held, see hold_excess() in migrations/. */
err_t engine_store_commit(struct pg *pg, const json_t *changes, const int64_t *positions, size_t count, bool replays,
                          struct error *reterr) MUST_CHECK;
void engine_store_rollback(struct pg *pg);
/* Notes a failed try; parks the event after `max_attempts` (visible in parked_event). */
err_t engine_store_fail(struct pg *pg, int64_t position, const char *problem, unsigned max_attempts,
                        msec_t retry_after_ms, bool *ret_parked, struct error *reterr) MUST_CHECK;
/* Turns due timers into events with work, as server/domain/README.md says under "Timers"; returns how many, and when
 * the next one is due (0: none within a minute). Crons: rule_store.h. */
err_t engine_store_fire_timers(struct pg *pg, size_t limit, int64_t *ret_fired, msec_t *ret_next_due,
                               struct error *reterr) MUST_CHECK;
/* A worker is registered while the connection lives that started it. What it says to have in flight (nothing, with
 * `count` 0) is blamed on it when that connection ends before it says otherwise: those events become suspect and are
 * claimed alone; what was in flight at three deaths is parked. `pg` is not the connection of the claim. */
err_t engine_store_start_worker(struct pg *pg, int64_t worker_id, struct error *reterr) MUST_CHECK;
err_t engine_store_stop_worker(struct pg *pg, int64_t worker_id, struct error *reterr) MUST_CHECK;
err_t engine_store_note_in_flight(struct pg *pg, int64_t worker_id, const int64_t *positions, size_t count,
                                  struct error *reterr) MUST_CHECK;
err_t engine_store_blame_crashed(struct pg *pg, int64_t *ret_blamed, struct error *reterr) MUST_CHECK;
/* For fact_reader. New references. A statement that fails leaves the transaction broken. */
err_t engine_store_history(struct pg *pg, int64_t conversation_id, size_t limit, json_t **ret_messages,
                           struct error *reterr) MUST_CHECK;
err_t engine_store_conversations(struct pg *pg, int64_t contact_id, size_t limit, json_t **ret_conversations,
                                 struct error *reterr) MUST_CHECK;
err_t engine_store_raw(struct pg *pg, int64_t event_id, struct buf *ret_body, struct error *reterr) MUST_CHECK;

/* --- deliver (blocking, short transactions) --- */

/* Registers the connection as a sender for as long as it lives: when it ends, what the sender claimed and did not
 * record counts as unknown at once. `*sender` is 0 at first; after a lost connection the same number is asked for
 * again, and may become another one. */
err_t deliver_store_start_sender(struct pg *pg, int64_t *sender, struct error *reterr) MUST_CHECK;
/* Claims due deliveries, at most one per recipient, in order, with pace and outreach goals checked: array of objects
 * {id, created_at, kind, source, identity, address{last_inbound_at, unreachable_at}, contact{opted_out…}, request,
 *  attempts, first_attempt_at, message_id, …}. A claim is committed before it returns; one that is not recorded
 * within `lease_ms` counts as unknown. `paces` (may be NULL) is {source: {per_second, address_interval_ms,
 * address_burst, room}}. `sender` is the connection's own number; with 0 only the lease tells that it died. */
err_t deliver_store_claim(struct pg *pg, int64_t sender, size_t limit, msec_t lease_ms, const json_t *paces,
                          json_t **ret_deliveries, msec_t *ret_next_due, struct error *reterr) MUST_CHECK;
/* Records outcomes, an array of {id, created_at, number, outcome, …}; idempotent. The form is written above
 * deliver_record() in migrations/0009_outcomes.sql. */
err_t deliver_store_record(struct pg *pg, const json_t *outcomes, struct error *reterr) MUST_CHECK;
/* Marks sends whose process died as unknown, and settles unknown ones whose time is over by their policy. `sender` as
 * above: those of its own are never marked before their lease ends. */
err_t deliver_store_settle(struct pg *pg, int64_t sender, msec_t settle_ms, int64_t *ret_settled,
                           struct error *reterr) MUST_CHECK;
/* The same row by row, when it was refused: those to blame stay as they are, and are told: array of {delivery,
 * sqlstate, reason}; new reference. */
err_t deliver_store_settle_each(struct pg *pg, int64_t sender, msec_t settle_ms, int64_t *ret_settled,
                                json_t **ret_refused, struct error *reterr) MUST_CHECK;
/* Lets up to `most` of what failed because `target`, a source or "endpoint NAME", was out of order go at once. */
err_t deliver_store_let_failed_go(struct pg *pg, const char *target, size_t most, size_t *ret_count,
                                  struct error *reterr) MUST_CHECK;

/* --- upkeep --- */
err_t store_make_partitions(struct pg *pg,
                            struct error *reterr) MUST_CHECK; /* last month, this month and the next three */
/* Drops what is older, table by table: one that is in use for long keeps its months, and the error says so; the others
 * lose theirs. 0 months: only keys of events and statuses of messages nobody knows, which are kept no longer than
 * providers repeat. */
err_t store_drop_old_partitions(struct pg *pg, unsigned months, struct error *reterr) MUST_CHECK;
err_t store_record_rule_set(struct pg *pg, const char *version, const json_t *description,
                            struct error *reterr) MUST_CHECK;

#endif
