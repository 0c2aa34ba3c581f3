/* Posts signed webhooks to answerd, and tries again until they are taken, as the providers do.
 *
 * Driven by a timer of the loop: libcurl's transfers make progress at each tick.
 */
#ifndef SIMULATE_POSTER_H
#define SIMULATE_POSTER_H

#include "config/config.h"

struct loop;
struct poster;

/* The body of an answer that took a webhook of `source`, when it has one: some providers read it. Borrowed. */
typedef void poster_answer(const struct source_config *source, struct bytes body, void *arg);

struct poster *poster_new(struct loop *loop, const char *target, poster_answer *answer, void *arg);
void poster_free(struct poster *poster); /* `done` of what waits is not called */

/* `status` of the first attempt: an HTTP status, or 0 when there was no answer; `error` says why then. */
typedef void poster_done(int status, const char *error, void *arg);

/* Posts `body` (copied) to /webhooks/SOURCE after `after_ms`, signed anew at each attempt with the first secret of the
 * source. `done` is called after the first attempt and may be NULL. ERR_INVALID when this kind cannot be signed. */
err_t poster_add(struct poster *poster, const struct source_config *source, struct bytes body, msec_t after_ms,
                 poster_done *done, void *arg, struct error *reterr) MUST_CHECK;

size_t poster_waiting(const struct poster *poster);
void poster_clear(struct poster *poster); /* drops what was not taken yet, and has no `done` */

#endif
