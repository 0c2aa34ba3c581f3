/* Waits until files change (Linux inotify): in directories that are named, not in those below them.
 *
 * A directory that does not exist is not watched, and one that is made later is not noticed, unless the directory above
 * it is watched, too. Not thread-safe.
 */
#ifndef IO_FILE_WATCH_H
#define IO_FILE_WATCH_H

#include "base/clock.h"
#include "base/error.h"

struct file_watch;

/* ERR_LIMIT: the system allows no more watches. */
err_t file_watch_new(struct file_watch **ret_watch, struct error *reterr) MUST_CHECK;
void file_watch_free(struct file_watch *watch);

/* A missing directory is fine. A directory may be added again. */
err_t file_watch_add(struct file_watch *watch, const char *directory, struct error *reterr) MUST_CHECK;

/* Waits until a file whose name ends with `suffix` was written, made, moved or removed, and then until nothing has
 * happened for `quiet_ms`: editors and checkouts write more than once. `timeout_ms` < 0: for ever.
 * True: something changed. False: the time is over, or a signal came (errno EINTR). */
bool file_watch_wait(struct file_watch *watch, const char *suffix, int64_t quiet_ms, int64_t timeout_ms);

#endif
