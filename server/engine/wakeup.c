#include "engine/wakeup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/heartbeat.h"

/* Who has been at a batch for longer may be so for long: a rule that is slow, a database that is away. */
#define BUSY_MS 100
#define MAX_SLEEP_MS 60000

err_t wakeup_init(struct wakeup *wakeup, struct wakeup *next, struct error *reterr)
{
    wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wakeup->next = next;
    atomic_init(&wakeup->busy_from, 0);
    return wakeup->fd >= 0 ? ERR_NONE : fail(reterr, ERR_INTERNAL, "no event descriptor: %s", strerror(errno));
}

void wakeup_done(struct wakeup *wakeup)
{
    if (wakeup->fd >= 0) {
        close(wakeup->fd);
    }
}

void wakeup_wake(struct wakeup *wakeup)
{
    uint64_t one = 1;
    ssize_t written = write(wakeup->fd, &one, sizeof(one));
    (void)written; /* a full counter means that it is awake already */
}

void wakeup_call_next(struct wakeup *wakeup)
{
    if (wakeup->next != NULL) {
        wakeup_nudge(wakeup->next);
    }
}

void wakeup_nudge(struct wakeup *wakeup)
{
    msec_t from = atomic_load(&wakeup->busy_from);
    wakeup_wake(wakeup); /* should the next ones be busy, too, it looks again when it is done */
    if (from != 0 && clock_steady() - from > BUSY_MS) {
        wakeup_call_next(wakeup);
    }
}

void wakeup_look_round(struct wakeup *wakeup)
{
    atomic_store(&wakeup->busy_from, clock_steady());
}

void wakeup_sleep(struct wakeup *wakeup, msec_t timeout_ms)
{
    struct pollfd wait_for = { .fd = wakeup->fd, .events = POLLIN };
    int timeout = timeout_ms < 0 ? 0 : timeout_ms > MAX_SLEEP_MS ? MAX_SLEEP_MS : (int)timeout_ms;
    atomic_store(&wakeup->busy_from, 0);
    heartbeat_rest();
    if (poll(&wait_for, 1, timeout) > 0) {
        uint64_t count;
        ssize_t got = read(wakeup->fd, &count, sizeof(count));
        (void)got; /* nothing there is fine: the descriptor does not block */
    }
    heartbeat_beat();
    wakeup_look_round(wakeup);
}
