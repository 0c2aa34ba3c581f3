#include "rules/rule_feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

/* Sources that at least one thread is loading from, or that are in force. */
struct shared_sources {
    struct rule_sources *sources;
    unsigned users;
};

struct rule_feed {
    pthread_mutex_t lock; /* of `current` and of all user counts */
    struct shared_sources *current;
    atomic_uint_fast64_t generation;
};

static struct shared_sources *shared_new(struct rule_sources *sources)
{
    struct shared_sources *shared = memory_new(sizeof(*shared));
    shared->sources = sources;
    shared->users = 1;
    return shared;
}

/* The lock is held. */
static void shared_release(struct shared_sources *shared)
{
    if (--shared->users > 0) {
        return;
    }
    rule_sources_free(shared->sources);
    free(shared);
}

struct rule_feed *rule_feed_new(struct rule_sources *sources)
{
    struct rule_feed *feed = memory_new(sizeof(*feed));
    pthread_mutex_init(&feed->lock, NULL);
    feed->current = shared_new(sources);
    atomic_init(&feed->generation, 1);
    return feed;
}

void rule_feed_free(struct rule_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    shared_release(feed->current);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

void rule_feed_publish(struct rule_feed *feed, struct rule_sources *sources)
{
    pthread_mutex_lock(&feed->lock);
    shared_release(feed->current);
    feed->current = shared_new(sources);
    atomic_fetch_add(&feed->generation, 1);
    pthread_mutex_unlock(&feed->lock);
}

uint64_t rule_feed_generation(const struct rule_feed *feed)
{
    return atomic_load(&feed->generation);
}

err_t rule_feed_load(struct rule_feed *feed, const struct rule_limits *limits, uint64_t *ret_generation,
                     struct rule_set **ret_set, struct error *reterr)
{
    pthread_mutex_lock(&feed->lock);
    struct shared_sources *shared = feed->current;
    shared->users++;
    *ret_generation = atomic_load(&feed->generation);
    pthread_mutex_unlock(&feed->lock);

    err_t err = rule_set_load(shared->sources, limits, NULL, ret_set, reterr);

    pthread_mutex_lock(&feed->lock);
    shared_release(shared);
    pthread_mutex_unlock(&feed->lock);
    return err;
}
