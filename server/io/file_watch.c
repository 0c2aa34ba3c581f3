#include "io/file_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/memory.h"

#define WANTED (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct file_watch {
    int fd;
};

err_t file_watch_new(struct file_watch **ret_watch, struct error *reterr)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return fail(reterr, ERR_LIMIT, "files cannot be watched: %s\nHINT: raise fs.inotify.max_user_instances",
                    strerror(errno));
    struct file_watch *watch = memory_new(sizeof(*watch));
    watch->fd = fd;
    *ret_watch = watch;
    return ERR_NONE;
}

void file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    close(watch->fd);
    free(watch);
}

err_t file_watch_add(struct file_watch *watch, const char *directory, struct error *reterr)
{
    if (inotify_add_watch(watch->fd, directory, WANTED) >= 0 || errno == ENOENT || errno == ENOTDIR)
        return ERR_NONE;
    return fail(reterr, ERR_LIMIT, "'%s' cannot be watched: %s\nHINT: raise fs.inotify.max_user_watches", directory,
                strerror(errno));
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Takes what is there to be read; was there anything about such a file? */
static bool take_events(struct file_watch *watch, const char *suffix)
{
    _Alignas(struct inotify_event) char block[16384];
    bool found = false;
    ssize_t length;
    while ((length = read(watch->fd, block, sizeof(block))) > 0) {
        for (const char *at = block; at < block + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            /* Too many events at once: some of them were of such a file, for all anybody knows. */
            found = found || (event->mask & IN_Q_OVERFLOW) ||
                    (event->len > 0 && event->name[0] != '.' && ends_with(event->name, suffix));
            at += sizeof(*event) + event->len;
        }
    }
    return found;
}

bool file_watch_wait(struct file_watch *watch, const char *suffix, int64_t quiet_ms, int64_t timeout_ms)
{
    msec_t end = timeout_ms < 0 ? 0 : clock_steady() + timeout_ms;
    bool changed = false;
    for (;;) {
        int64_t wait = changed ? quiet_ms : -1;
        if (!changed && timeout_ms >= 0)
            wait = end - clock_steady() > 0 ? end - clock_steady() : 0;
        struct pollfd entry = { .fd = watch->fd, .events = POLLIN };
        int ready = poll(&entry, 1, (int)wait);
        if (ready <= 0)
            return changed;
        changed = take_events(watch, suffix) || changed;
    }
}
