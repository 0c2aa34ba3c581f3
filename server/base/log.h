/* One line per fact on stderr, as logfmt or JSON. Never a secret, never the text of a message.
 *
 * Libraries below the actors do not log above debug level: they return errors, and the actor that owns
 * the work logs once. Thread-safe: a line is one write.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/macros.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_configure(enum log_level least, bool json);
bool log_level_from_name(const char *name, enum log_level *ret_level);

/* Names the actor of the calling thread in each of its lines ("ingest", "engine", …). `name` must stay valid. */
void log_set_actor(const char *name);

/* `message` is a constant phrase; `format` gives the fields as `key=value` or `key='value'`, and may be "".
 *   log_write(LOG_WARN, "delivery parked", "delivery=%lld attempts=%u reason='%s'", …) */
void log_write(enum log_level level, const char *message, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* True at most once per `every_ms` for one call site; `*ret_swallowed` says how many were skipped since. */
struct log_throttle {
    long long last_ms;
    unsigned swallowed;
};
bool log_allowed(struct log_throttle *throttle, long long every_ms, unsigned *ret_swallowed);

#endif
