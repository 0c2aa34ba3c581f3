/* Counters, gauges and histograms that all threads update and /metrics prints (Prometheus text format). */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"

struct metric;

/* Finds or makes the series `name{labels}`. `labels` is ready text such as `source="stripe",reason="signature"`,
 * or "". Safe from any thread; keep the pointer where the call is hot. It is never freed.
 * The number of series is bounded: beyond the bound a shared overflow series is returned. */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
struct metric *metric_histogram(const char *name, const char *help, const char *labels); /* seconds */

void metric_add(struct metric *m, double value); /* counters and gauges */
void metric_set(struct metric *m, double value); /* gauges, and counters that somebody else counts */
void metric_observe(struct metric *m, double seconds);
double metric_value(const struct metric *m);

void metrics_print(struct buf *out);

#endif
