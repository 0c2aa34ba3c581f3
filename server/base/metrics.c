#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"

enum metric_type { COUNTER, GAUGE, HISTOGRAM };

/* Upper bounds in seconds: a commit on a local disk is the left end, a provider that times out the right one. */
static const double bounds[] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 };

struct metric {
    enum metric_type type;
    char *name;
    char *help;
    char *labels;
    _Atomic uint64_t value; /* the bits of a double: the value, or the sum of a histogram */
    _Atomic uint64_t count;
    _Atomic uint64_t buckets[ARRAY_LEN(bounds)]; /* not cumulative; printing adds up */
    struct metric *next;                         /* in the order of names, so that printing keeps families together */
    struct metric *next_in_bucket;               /* of `by_key` */
};

#define MAX_SERIES 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *first;
static struct metric *by_key[1024]; /* labels are looked up at every call of a rule */
static size_t series_count;

static int compare_key(const struct metric *m, const char *name, const char *labels)
{
    int order = strcmp(m->name, name);
    return order != 0 ? order : strcmp(m->labels, labels);
}

/* FNV-1a. */
static struct metric **bucket_of(const char *name, const char *labels)
{
    uint32_t hash = 2166136261u;
    for (const char *text = name; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    for (const char *text = labels; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return &by_key[hash % ARRAY_LEN(by_key)];
}

static struct metric *find(const char *name, const char *labels)
{
    struct metric *m = *bucket_of(name, labels);
    while (m && compare_key(m, name, labels) != 0)
        m = m->next_in_bucket;
    return m;
}

static struct metric *make(enum metric_type type, const char *name, const char *help, const char *labels)
{
    struct metric *made = memory_new(sizeof(*made));
    made->type = type;
    made->name = memory_text(name);
    made->help = memory_text(help ? help : "");
    made->labels = memory_text(labels);
    struct metric **at = &first;
    while (*at && compare_key(*at, name, labels) < 0)
        at = &(*at)->next;
    made->next = *at;
    *at = made;
    struct metric **bucket = bucket_of(name, labels);
    made->next_in_bucket = *bucket;
    *bucket = made;
    series_count++;
    return made;
}

static struct metric *find_or_make(enum metric_type type, const char *name, const char *help, const char *labels)
{
    if (!labels)
        labels = "";
    pthread_mutex_lock(&lock);
    struct metric *found = find(name, labels);
    /* Labels can come from outside; what they name must not become memory without end. */
    if (!found && series_count >= MAX_SERIES && labels[0] != '\0') {
        labels = "overflow=\"true\"";
        found = find(name, labels);
    }
    if (!found)
        found = make(type, name, help, labels);
    pthread_mutex_unlock(&lock);
    return found;
}

struct metric *metric_counter(const char *name, const char *help, const char *labels)
{
    return find_or_make(COUNTER, name, help, labels);
}

struct metric *metric_gauge(const char *name, const char *help, const char *labels)
{
    return find_or_make(GAUGE, name, help, labels);
}

struct metric *metric_histogram(const char *name, const char *help, const char *labels)
{
    return find_or_make(HISTOGRAM, name, help, labels);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void metric_add(struct metric *m, double value)
{
    uint64_t before = atomic_load_explicit(&m->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->value, &before, bits_of(from_bits(before) + value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metric_set(struct metric *m, double value)
{
    atomic_store_explicit(&m->value, bits_of(value), memory_order_relaxed);
}

void metric_observe(struct metric *m, double seconds)
{
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        if (seconds <= bounds[i]) {
            atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
            break;
        }
    }
    atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
    metric_add(m, seconds);
}

double metric_value(const struct metric *m)
{
    if (m->type == HISTOGRAM)
        return (double)atomic_load_explicit(&m->count, memory_order_relaxed);
    return from_bits(atomic_load_explicit(&m->value, memory_order_relaxed));
}

static void print_histogram(const struct metric *m, struct buf *out)
{
    const char *comma = m->labels[0] ? "," : "";
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        sum += atomic_load_explicit(&m->buckets[i], memory_order_relaxed);
        buf_addf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", m->name, m->labels, comma, bounds[i], (unsigned long long)sum);
    }
    /* Read last and at least the sum: another thread may be between its bucket and its count. */
    uint64_t count = atomic_load_explicit(&m->count, memory_order_relaxed);
    if (count < sum)
        count = sum;
    buf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", m->name, m->labels, comma, (unsigned long long)count);
    const char *open = m->labels[0] ? "{" : "";
    const char *close = m->labels[0] ? "}" : "";
    buf_addf(out, "%s_sum%s%s%s %.9g\n", m->name, open, m->labels, close,
             from_bits(atomic_load_explicit(&m->value, memory_order_relaxed)));
    buf_addf(out, "%s_count%s%s%s %llu\n", m->name, open, m->labels, close, (unsigned long long)count);
}

void metrics_print(struct buf *out)
{
    static const char *const type_names[] = { "counter", "gauge", "histogram" };
    pthread_mutex_lock(&lock);
    const char *family = "";
    for (const struct metric *m = first; m; m = m->next) {
        if (strcmp(family, m->name) != 0) {
            buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, type_names[m->type]);
            family = m->name;
        }
        if (m->type == HISTOGRAM)
            print_histogram(m, out);
        else if (m->labels[0])
            buf_addf(out, "%s{%s} %.17g\n", m->name, m->labels, metric_value(m));
        else
            buf_addf(out, "%s %.17g\n", m->name, metric_value(m));
    }
    pthread_mutex_unlock(&lock);
}
