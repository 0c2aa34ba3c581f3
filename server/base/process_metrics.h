/* What the process uses, under the names that every Prometheus client library gives them. */
#ifndef BASE_PROCESS_METRICS_H
#define BASE_PROCESS_METRICS_H

/* Brings them up to date: once at the start, which is then the time of the start, and by whoever prints the metrics.
 * Any thread. */
void process_metrics_update(void);

#endif
