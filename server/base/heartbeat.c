#include "base/heartbeat.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/memory.h"

struct heartbeat {
    const char *actor;
    atomic_int_fast64_t at; /* steady clock; 0 while it rests */
    struct heartbeat *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct heartbeat *all;
static _Thread_local struct heartbeat *own;

void heartbeat_start(const char *actor)
{
    struct heartbeat *heartbeat = memory_new(sizeof(*heartbeat));
    heartbeat->actor = actor;
    atomic_store(&heartbeat->at, clock_steady());
    pthread_mutex_lock(&lock);
    heartbeat->next = all;
    all = heartbeat;
    pthread_mutex_unlock(&lock);
    own = heartbeat;
}

void heartbeat_beat(void)
{
    if (own != NULL) {
        atomic_store_explicit(&own->at, clock_steady(), memory_order_relaxed);
    }
}

void heartbeat_rest(void)
{
    if (own != NULL) {
        atomic_store_explicit(&own->at, 0, memory_order_relaxed);
    }
}

void heartbeat_end(void)
{
    if (own == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    struct heartbeat **link = &all;
    while (*link != own) {
        link = &(*link)->next;
    }
    *link = own->next;
    pthread_mutex_unlock(&lock);
    free(own);
    own = NULL;
}

bool heartbeat_is_kept(void)
{
    return own != NULL;
}

const char *heartbeat_oldest(msec_t *ret_at)
{
    const char *actor = NULL;
    pthread_mutex_lock(&lock);
    for (struct heartbeat *heartbeat = all; heartbeat != NULL; heartbeat = heartbeat->next) {
        msec_t at = atomic_load_explicit(&heartbeat->at, memory_order_relaxed);
        if (at != 0 && (actor == NULL || at < *ret_at)) {
            actor = heartbeat->actor;
            *ret_at = at;
        }
    }
    pthread_mutex_unlock(&lock);
    return actor;
}

msec_t stall_watch_look(struct stall_watch *watch, msec_t now, msec_t patience_ms, msec_t beat_at)
{
    if (watch->last_look == 0 || now - watch->last_look > patience_ms) {
        watch->counted_from = now;
    }
    watch->last_look = now;
    msec_t from = beat_at > watch->counted_from ? beat_at : watch->counted_from;
    return now > from ? now - from : 0;
}
