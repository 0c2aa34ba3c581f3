#include "commands/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/service_manager.h"

#define LOOK_EVERY_MS 1000
#define PATIENCE_MS 3000
#define LAST_WORDS_SECONDS 5

struct watchdog {
    msec_t stalled_after_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool stop;
};

/* What stalls the actor may stall the log as well: the alarm ends the process then. */
static void end_process(const char *actor, msec_t stalled_ms)
{
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    alarm(LAST_WORDS_SECONDS);
    log_error("an actor is stalled: this process ends, others take over its work", "stalled=%s stalled_ms=%lld", actor,
              (long long)stalled_ms);
    abort();
}

static void look(const struct watchdog *watchdog, struct stall_watch *watch)
{
    msec_t now = clock_steady();
    msec_t beat_at = now;
    const char *actor = heartbeat_oldest(&beat_at);
    msec_t stalled_ms = stall_watch_look(watch, now, PATIENCE_MS, beat_at);
    if (actor != NULL && watchdog->stalled_after_ms > 0 && stalled_ms > watchdog->stalled_after_ms) {
        end_process(actor, stalled_ms);
    }
    service_manager_tell("WATCHDOG=1");
}

static struct timespec next_look(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += LOOK_EVERY_MS / 1000;
    return at;
}

static void *watchdog_main(void *arg)
{
    struct watchdog *watchdog = arg;
    struct stall_watch watch = { 0 };
    log_set_actor("watchdog");
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->stop) {
        look(watchdog, &watch);
        const struct timespec at = next_look();
        pthread_cond_timedwait(&watchdog->stopped, &watchdog->lock, &at);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

static void watchdog_free(struct watchdog *watchdog)
{
    pthread_cond_destroy(&watchdog->stopped);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

err_t watchdog_start(msec_t stalled_after_ms, struct watchdog **ret_watchdog, struct error *reterr)
{
    struct watchdog *watchdog = memory_new(sizeof(*watchdog));
    watchdog->stalled_after_ms = stalled_after_ms;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->stopped, &steady);
    pthread_condattr_destroy(&steady);
    int failure = pthread_create(&watchdog->thread, NULL, watchdog_main, watchdog);
    if (failure != 0) {
        watchdog_free(watchdog);
        return fail(reterr, ERR_INTERNAL, "no thread for the watchdog: %s", strerror(failure));
    }
    *ret_watchdog = watchdog;
    return ERR_NONE;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog == NULL) {
        return;
    }
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stop = true;
    pthread_cond_signal(&watchdog->stopped);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    watchdog_free(watchdog);
}
