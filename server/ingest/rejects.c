#include "ingest/rejects.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "store/store.h"

/* Reasons are a handful for each source; what does not fit is counted as "other" of its source or of all. */
#define MAX_COUNTS 512
#define MAX_REASON 100

struct count {
    char *source;
    char *reason;
    int64_t pending;
    struct metric *metric;
};

struct rejects {
    pthread_mutex_t lock;
    struct count counts[MAX_COUNTS + 1]; /* the last one is for what does not fit */
    size_t used;
};

struct rejects *rejects_new(void)
{
    struct rejects *rejects = memory_new(sizeof(*rejects));
    pthread_mutex_init(&rejects->lock, NULL);
    return rejects;
}

void rejects_free(struct rejects *rejects)
{
    if (!rejects)
        return;
    for (size_t i = 0; i < ARRAY_LEN(rejects->counts); i++) {
        free(rejects->counts[i].source);
        free(rejects->counts[i].reason);
    }
    pthread_mutex_destroy(&rejects->lock);
    free(rejects);
}

static void count_init(struct count *count, const char *source, const char *reason)
{
    count->source = memory_text(source);
    count->reason = memory_text(reason);
    struct buf labels CLEANUP(buf_done);
    buf_init(&labels, 1024);
    buf_addf(&labels, "source=\"%s\",reason=\"", source);
    for (const char *c = reason; *c; c++)
        buf_add_char(&labels, *c == '"' || *c == '\\' ? '\'' : *c);
    buf_add_char(&labels, '"');
    count->metric =
        metric_counter("answerd_webhook_rejects_total", "Webhooks that were refused, by reason", labels.ptr);
}

static struct count *find_or_make(struct rejects *rejects, const char *source, const char *reason)
{
    for (size_t i = 0; i < rejects->used; i++)
        if (strcmp(rejects->counts[i].source, source) == 0 && strcmp(rejects->counts[i].reason, reason) == 0)
            return &rejects->counts[i];
    struct count *count = &rejects->counts[MAX_COUNTS];
    if (rejects->used < MAX_COUNTS) {
        count = &rejects->counts[rejects->used++];
        count_init(count, source, reason);
    } else if (!count->source) {
        count_init(count, "(other)", "other");
    }
    return count;
}

void rejects_add(struct rejects *rejects, const char *source, const char *reason)
{
    char cut[MAX_REASON + 1];
    size_t length = strcspn(reason, ":\n");
    if (length > MAX_REASON)
        length = MAX_REASON;
    memcpy(cut, reason, length);
    cut[length] = '\0';
    pthread_mutex_lock(&rejects->lock);
    struct count *count = find_or_make(rejects, source, cut);
    count->pending++;
    pthread_mutex_unlock(&rejects->lock);
    metric_add(count->metric, 1);
}

err_t rejects_flush(struct rejects *rejects, struct pg *pg, struct error *reterr)
{
    for (size_t i = 0; i < ARRAY_LEN(rejects->counts); i++) {
        struct count *count = &rejects->counts[i];
        pthread_mutex_lock(&rejects->lock);
        int64_t pending = count->pending;
        count->pending = 0;
        pthread_mutex_unlock(&rejects->lock);
        if (pending == 0)
            continue;
        /* The texts do not change once they are there. The lock is not held over the database's answer: it would stop
         * the loops. */
        err_t result = store_add_rejects(pg, count->source, count->reason, pending, reterr);
        if (result != ERR_NONE) {
            pthread_mutex_lock(&rejects->lock);
            count->pending += pending;
            pthread_mutex_unlock(&rejects->lock);
            return result;
        }
    }
    return ERR_NONE;
}
