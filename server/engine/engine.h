/* The engine actor: turns work into effects.
 *
 * One engine is one thread with its own database connections and its own rule set. Any number of engines may run in
 * any number of processes: they meet only in the tables. Stopping or killing an engine at any moment loses nothing,
 * because the work rows disappear in the transaction that holds their effects.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "config/config.h"
#include "rules/rule_feed.h"

struct engine;

struct engine_settings {
    const struct config *config;  /* outlives the engine */
    struct rule_feed *rules;      /* outlives the engine */
    const json_t *sources;        /* for desk_settings; copied */
    void (*committed)(void *arg); /* on the engine's thread, after a commit that left something to send; may be NULL */
    void *arg;
    struct engine *next; /* wakes when this one has too much to do; started before, joined after it; may be NULL */
    bool only_helps; /* another one has this one as its next: it sleeps again as soon as one alone can do what comes in
                      */
};

/* Starts the thread. ERR_INTERNAL when the system has no thread or descriptor for it. */
err_t engine_start(const struct engine_settings *settings, struct engine **ret_engine, struct error *reterr) MUST_CHECK;

/* There may be work: for this engine, or for the next one when this one is busy. Any thread. */
void engine_nudge(struct engine *engine);

/* Asks the thread to end after the batch at hand. Any thread; returns at once. */
void engine_stop(struct engine *engine);

/* Waits until the thread has ended. The engine may still be nudged, without effect, until it is freed. */
void engine_join(struct engine *engine);
void engine_free(struct engine *engine); /* NULL is fine */

/* Did the thread come round its loop lately, connected to the database? For readiness; any thread. */
bool engine_is_healthy(const struct engine *engine);

#endif
