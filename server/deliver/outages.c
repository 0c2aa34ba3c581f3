#include "deliver/outages.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct outage {
    char *target;
    size_t failures; /* in a row */
    msec_t since;    /* the first of them */
    bool proven;     /* something was accepted since the start */
    size_t share;    /* how many may go with the next acceptance; 0: nothing has to */
    size_t wanted;   /* how many may go now */
};

/* As many as there are targets: sources and endpoints. */
struct outages {
    struct outage *items;
    size_t count;
};

struct outages *outages_new(void)
{
    return memory_new(sizeof(struct outages));
}

void outages_free(struct outages *outages)
{
    if (outages == NULL) {
        return;
    }
    for (size_t i = 0; i < outages->count; i++) {
        free(outages->items[i].target);
    }
    free(outages->items);
    free(outages);
}

static struct outage *find(struct outages *outages, const char *target)
{
    for (size_t i = 0; i < outages->count; i++) {
        if (strcmp(outages->items[i].target, target) == 0) {
            return &outages->items[i];
        }
    }
    outages->items = memory_resize(outages->items, (outages->count + 1) * sizeof(*outages->items));
    outages->items[outages->count] = (struct outage){ .target = memory_text(target) };
    return &outages->items[outages->count++];
}

void outages_failed(struct outages *outages, const char *target, msec_t now)
{
    struct outage *outage = find(outages, target);
    if (outage->failures++ == 0) {
        outage->since = now;
    }
    if (outage->failures >= OUTAGE_FAILURES) {
        outage->share = 0;
        outage->wanted = 0;
    }
}

void outages_accepted(struct outages *outages, const char *target, msec_t now)
{
    struct outage *outage = find(outages, target);
    bool was_out = outage->failures >= OUTAGE_FAILURES && now - outage->since >= OUTAGE_MS;
    if (was_out || !outage->proven) {
        outage->share = 1;
    }
    outage->failures = 0;
    outage->proven = true;
    outage->wanted += outage->share;
    outage->wanted = outage->wanted < OUTAGE_MOST_AT_ONCE ? outage->wanted : OUTAGE_MOST_AT_ONCE;
    outage->share = outage->share * 2 < OUTAGE_MOST_AT_ONCE ? outage->share * 2 : OUTAGE_MOST_AT_ONCE;
}

const char *outages_recovering(const struct outages *outages, size_t *ret_most)
{
    for (size_t i = 0; i < outages->count; i++) {
        if (outages->items[i].wanted > 0) {
            *ret_most = outages->items[i].wanted;
            return outages->items[i].target;
        }
    }
    return NULL;
}

void outages_let_go(struct outages *outages, const char *target, size_t count)
{
    struct outage *outage = find(outages, target);
    if (count < outage->wanted) {
        outage->share = 0;
    }
    outage->wanted = 0;
}
