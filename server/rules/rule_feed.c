#include "rules/rule_feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "rules/rule_internal.h"

struct rule_feed {
    pthread_mutex_t lock;   /* of `current` and `shadow`; sources themselves are shared by count */
    pthread_mutex_t follow; /* one thread at a time reads the database */
    struct rule_sources *current;
    struct rule_sources *shadow; /* NULL: none */
    atomic_uint_fast64_t generation;
    atomic_int_fast64_t pointer;
};

struct rule_feed *rule_feed_new(struct rule_sources *sources)
{
    struct rule_feed *feed = memory_new(sizeof(*feed));
    pthread_mutex_init(&feed->lock, NULL);
    pthread_mutex_init(&feed->follow, NULL);
    feed->current = sources;
    atomic_init(&feed->generation, 1);
    atomic_init(&feed->pointer, 0);
    return feed;
}

void rule_feed_free(struct rule_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    rule_sources_free(feed->current);
    rule_sources_free(feed->shadow);
    pthread_mutex_destroy(&feed->lock);
    pthread_mutex_destroy(&feed->follow);
    free(feed);
}

uint64_t rule_feed_generation(const struct rule_feed *feed)
{
    return atomic_load(&feed->generation);
}

int64_t rule_feed_pointer(const struct rule_feed *feed)
{
    return atomic_load(&feed->pointer);
}

void rule_feed_version(struct rule_feed *feed, char ret_version[VERSION_BYTES])
{
    pthread_mutex_lock(&feed->lock);
    snprintf(ret_version, VERSION_BYTES, "%s", rule_sources_version(feed->current));
    pthread_mutex_unlock(&feed->lock);
}

/* --- sources in the database -------------------------------------------------------------------------------------- */

err_t rule_feed_read_stored(struct pg *pg, const char *version, struct rule_sources **ret_sources, struct error *reterr)
{
    struct stored_files stored;
    err_t err = version_store_files(pg, version, &stored, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct rule_source_file *files = memory_new((stored.count + 1) * sizeof(*files));
    for (size_t i = 0; i < stored.count; i++) {
        files[i] = (struct rule_source_file){ stored.items[i].name, { stored.items[i].text, stored.items[i].length } };
    }
    struct rule_sources *sources = NULL;
    err = rule_sources_make(stored.directory, files, stored.count, &sources, reterr);
    free(files);
    stored_files_done(&stored);
    if (err == ERR_NONE && strcmp(rule_sources_version(sources), version) != 0) {
        err = fail(reterr, ERR_INVALID, "the stored files of rule version %s are not what was stored", version);
        rule_sources_free(sources);
    }
    if (err == ERR_NONE) {
        *ret_sources = sources;
    }
    return err;
}

err_t rule_feed_store(struct pg *pg, const struct rule_sources *sources, struct error *reterr)
{
    struct stored_files files = { .count = rule_sources_count(sources), .directory = sources->directory };
    files.items = memory_new((files.count + 1) * sizeof(*files.items));
    for (size_t i = 0; i < files.count; i++) {
        const struct rule_source *source = &sources->items[i];
        files.items[i] = (struct stored_file){ source->name, source->text, source->length };
    }
    err_t err = version_store_record(pg, rule_sources_version(sources), &files, reterr);
    free(files.items);
    return err;
}

/* --- following ------------------------------------------------------------------------------------------------------
 */

/* Those that this process has already, or else the database's. NULL for the version "". */
static err_t find_sources(const struct rule_feed *feed, struct pg *pg, const char *version,
                          struct rule_sources **ret_sources, struct error *reterr)
{
    const struct rule_sources *known[] = { feed->current, feed->shadow };
    *ret_sources = NULL;
    if (version[0] == '\0') {
        return ERR_NONE;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i] != NULL && strcmp(rule_sources_version(known[i]), version) == 0) {
            *ret_sources = rule_sources_share(known[i]);
            return ERR_NONE;
        }
    }
    return rule_feed_read_stored(pg, version, ret_sources, reterr);
}

static bool is_same(const struct rule_sources *left, const struct rule_sources *right)
{
    if (left == NULL || right == NULL) {
        return left == right;
    }
    return strcmp(rule_sources_version(left), rule_sources_version(right)) == 0;
}

/* The lock of following is held, so nobody else changes the sources. */
static err_t follow_to(struct rule_feed *feed, struct pg *pg, const struct rule_pointer *pointer, bool *ret_changed,
                       struct error *reterr)
{
    struct rule_sources *current = NULL;
    struct rule_sources *shadow = NULL;
    err_t err = find_sources(feed, pg, pointer->current, &current, reterr);
    if (err == ERR_NONE && (err = find_sources(feed, pg, pointer->shadow, &shadow, reterr)) != ERR_NONE) {
        rule_sources_free(current);
    }
    if (err != ERR_NONE) {
        return err;
    }
    *ret_changed = !is_same(feed->current, current) || !is_same(feed->shadow, shadow);
    pthread_mutex_lock(&feed->lock);
    struct rule_sources *old_current = feed->current;
    struct rule_sources *old_shadow = feed->shadow;
    feed->current = current;
    feed->shadow = shadow;
    if (*ret_changed) {
        atomic_fetch_add(&feed->generation, 1);
    }
    pthread_mutex_unlock(&feed->lock);
    rule_sources_free(old_current);
    rule_sources_free(old_shadow);
    return ERR_NONE;
}

err_t rule_feed_follow(struct rule_feed *feed, struct pg *pg, bool *ret_changed, struct error *reterr)
{
    bool changed = false;
    struct rule_pointer pointer;
    pthread_mutex_lock(&feed->follow);
    err_t err = version_store_pointer(pg, &pointer, reterr);
    if (err == ERR_NONE && pointer.generation != atomic_load(&feed->pointer)) {
        err = follow_to(feed, pg, &pointer, &changed, reterr);
        /* Files that are not there will not be there the next time: the old rules go on until the next change. */
        if (err == ERR_NONE || err == ERR_NOT_FOUND || err == ERR_INVALID || err == ERR_TOO_BIG) {
            atomic_store(&feed->pointer, pointer.generation);
        }
    }
    pthread_mutex_unlock(&feed->follow);
    if (ret_changed != NULL) {
        *ret_changed = changed;
    }
    return err;
}

/* --- loading --------------------------------------------------------------------------------------------------------
 */

err_t rule_feed_load(struct rule_feed *feed, const struct rule_limits *limits, uint64_t *ret_generation,
                     struct rule_set **ret_set, struct error *reterr)
{
    pthread_mutex_lock(&feed->lock);
    struct rule_sources *sources = rule_sources_share(feed->current);
    *ret_generation = atomic_load(&feed->generation);
    pthread_mutex_unlock(&feed->lock);
    err_t err = rule_set_load(sources, limits, NULL, ret_set, reterr);
    rule_sources_free(sources);
    return err;
}

err_t rule_feed_load_shadow(struct rule_feed *feed, const struct rule_limits *limits, struct rule_set **ret_set,
                            struct error *reterr)
{
    pthread_mutex_lock(&feed->lock);
    struct rule_sources *sources = feed->shadow != NULL ? rule_sources_share(feed->shadow) : NULL;
    pthread_mutex_unlock(&feed->lock);
    if (sources == NULL) {
        *ret_set = NULL;
        return ERR_NONE;
    }
    err_t err = rule_set_load(sources, limits, NULL, ret_set, reterr);
    rule_sources_free(sources);
    return err;
}

struct rule_sources *rule_feed_sources(struct rule_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    struct rule_sources *sources = rule_sources_share(feed->current);
    pthread_mutex_unlock(&feed->lock);
    return sources;
}
