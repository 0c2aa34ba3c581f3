#include "ingest/refusals.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/crypto.h"
#include "io/http_forwarded.h"

#define SETS 1024
#define WAYS 4
#define MINUTE_MS ((msec_t)60 * 1000)

struct refusal {
    struct http_address address;
    msec_t since; /* start of its minute */
    unsigned count;
};

struct refusals {
    unsigned per_minute;
    uint64_t seed; /* so that nobody can choose addresses that share a set with another's */
    pthread_mutex_t lock;
    struct refusal slots[SETS][WAYS];
};

struct refusals *refusals_new(unsigned per_minute)
{
    struct refusals *refusals = memory_new(sizeof(*refusals));
    refusals->per_minute = per_minute;
    crypto_random(&refusals->seed, sizeof(refusals->seed));
    pthread_mutex_init(&refusals->lock, NULL);
    return refusals;
}

void refusals_free(struct refusals *refusals)
{
    if (!refusals)
        return;
    pthread_mutex_destroy(&refusals->lock);
    free(refusals);
}

static bool read_address(const char *text, struct http_address *ret_address)
{
    if (!http_address_parse(bytes_of(text), ret_address))
        return false;
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(ret_address->bytes, mapped, sizeof(mapped)) != 0)
        memset(ret_address->bytes + 8, 0, 8);
    return true;
}

static struct refusal *set_of(struct refusals *refusals, const struct http_address *address)
{
    uint64_t halves[2];
    memcpy(halves, address->bytes, sizeof(halves));
    uint64_t hash = (halves[0] ^ refusals->seed) * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ (hash >> 29) ^ halves[1]) * UINT64_C(0xBF58476D1CE4E5B9);
    /* The last bytes of an IPv4 address stand at the top, and a product carries nothing downwards. */
    hash = (hash ^ (hash >> 32)) * UINT64_C(0x94D049BB133111EB);
    return refusals->slots[(hash >> 40) % SETS];
}

static struct refusal *find(struct refusal *set, const struct http_address *address, msec_t now)
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].count > 0 && now - set[i].since < MINUTE_MS &&
            memcmp(&set[i].address, address, sizeof(*address)) == 0)
            return &set[i];
    return NULL;
}

/* One that is over, or the one with the fewest. */
static struct refusal *room(struct refusal *set, msec_t now)
{
    struct refusal *least = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].count == 0 || now - set[i].since >= MINUTE_MS)
            return &set[i];
        if (set[i].count < least->count)
            least = &set[i];
    }
    return least;
}

void refusals_add(struct refusals *refusals, const char *text, msec_t now)
{
    struct http_address address;
    if (!refusals || !read_address(text, &address))
        return;
    pthread_mutex_lock(&refusals->lock);
    struct refusal *set = set_of(refusals, &address);
    struct refusal *found = find(set, &address, now);
    if (!found) {
        found = room(set, now);
        *found = (struct refusal){ .address = address, .since = now };
    }
    found->count++;
    pthread_mutex_unlock(&refusals->lock);
}

msec_t refusals_wait(struct refusals *refusals, const char *text, msec_t now)
{
    struct http_address address;
    if (!refusals || !read_address(text, &address))
        return 0;
    pthread_mutex_lock(&refusals->lock);
    const struct refusal *found = find(set_of(refusals, &address), &address, now);
    msec_t wait = found && found->count >= refusals->per_minute ? found->since + MINUTE_MS - now : 0;
    pthread_mutex_unlock(&refusals->lock);
    return wait;
}
