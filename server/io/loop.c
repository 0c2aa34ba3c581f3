#include "io/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"

#define HEARTBEAT_SECONDS 1

struct loop {
    struct event_base *base;
    int wake_fd; /* written by any thread, read by ours */
    struct event *wake;
    atomic_bool stop;
    void (*nudged)(void *arg);
    void *nudged_arg;
};

struct loop_timer {
    struct event *event;
    void (*fired)(void *arg);
    void *arg;
};

static void library_log(int severity, const char *message)
{
    log_debug("libevent", "severity=%d text='%s'", severity, message);
}

static void set_library_log(void)
{
    event_set_log_callback(library_log);
}

static void woken(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *loop = arg;
    uint64_t count;
    /* Several wake-ups are one. When there is nothing to read, the next one comes with its own event. */
    if (read(fd, &count, sizeof(count)) < 0)
        return;
    if (loop->nudged && !atomic_load(&loop->stop))
        loop->nudged(loop->nudged_arg);
    if (atomic_load(&loop->stop))
        event_base_loopbreak(loop->base);
}

struct loop *loop_new(void)
{
    static pthread_once_t log_is_set = PTHREAD_ONCE_INIT;
    pthread_once(&log_is_set, set_library_log);
    struct loop *loop = memory_new(sizeof(*loop));
    struct event_config *config = event_config_new();
    /* The change list saves an epoll_ctl() for most of the adds and deletes of a request: 10 to 15 % more requests.
     * It must not be used with descriptors that were cloned by dup(); we and our libraries have none in a loop. */
#ifndef __SANITIZE_THREAD__
    /* A delete may reach epoll after the descriptor was closed and its number given to another thread, which has no
     * effect there, but which the sanitizer takes for a race on that thread's descriptor. */
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
#endif
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!loop->base || loop->wake_fd < 0) {
        log_error("no event loop", "");
        abort();
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, woken, loop);
    event_add(loop->wake, NULL);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    event_free(loop->wake);
    event_base_free(loop->base);
    close(loop->wake_fd);
    free(loop);
}

static void beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    heartbeat_beat();
}

void loop_run(struct loop *loop)
{
    struct event *heart = NULL;
    if (heartbeat_is_kept()) {
        heart = event_new(loop->base, -1, EV_PERSIST, beat, NULL);
        event_add(heart, &(struct timeval){ .tv_sec = HEARTBEAT_SECONDS });
    }
    while (!atomic_load(&loop->stop))
        event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    if (heart)
        event_free(heart);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    /* It can only fail when the counter is full, and then the loop has a wake-up to come. */
    ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));
    (void)ignored;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}

void loop_nudge(struct loop *loop)
{
    wake(loop);
}

void loop_on_nudge(struct loop *loop, void (*nudged)(void *arg), void *arg)
{
    loop->nudged = nudged;
    loop->nudged_arg = arg;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *timer = arg;
    timer->fired(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fired)(void *arg), void *arg)
{
    struct loop_timer *timer = memory_new(sizeof(*timer));
    timer->fired = fired;
    timer->arg = arg;
    timer->event = event_new(loop->base, -1, 0, timer_fired, timer);
    return timer;
}

void loop_timer_set(struct loop_timer *timer, msec_t after_ms)
{
    if (after_ms < 0)
        after_ms = 0;
    struct timeval after = { .tv_sec = (time_t)(after_ms / 1000), .tv_usec = (suseconds_t)(after_ms % 1000) * 1000 };
    event_add(timer->event, &after);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    event_del(timer->event);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    event_free(timer->event);
    free(timer);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}
