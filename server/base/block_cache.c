#include "base/block_cache.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

/* The sizes that malloc() rounds to: 24, 40, 56, … bytes. */
#define SMALLEST 24
#define STEP 16
#define CLASSES 32
#define MAX_KEPT_BYTES ((size_t)1024 * 1024)

/* Sanitizers want to see each block come and go, but in the test of this file. */
#if (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)) && !defined(BLOCK_CACHE_TEST)
#define KEEPS_BLOCKS 0
#else
#define KEEPS_BLOCKS 1
#endif

struct block {
    struct block *next;
};

struct cache {
    struct block *first[CLASSES];
    size_t room; /* bytes that may be kept more; none before the thread has begun, and when it is ending */
    bool has_begun;
};

static _Thread_local struct cache cache;
static pthread_key_t key_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end_thread(void *arg)
{
    struct cache *ending = arg;
    ending->room = 0;
    for (size_t i = 0; i < CLASSES; i++) {
        while (ending->first[i]) {
            struct block *block = ending->first[i];
            ending->first[i] = block->next;
            free(block);
        }
    }
}

static void make_key(void)
{
    if (pthread_key_create(&key_end, end_thread) != 0)
        abort();
}

static void begin_thread(void)
{
    cache.has_begun = true;
    pthread_once(&once, make_key);
    if (pthread_setspecific(key_end, &cache) == 0)
        cache.room = MAX_KEPT_BYTES;
}

void *block_new(size_t size)
{
    size_t class = size <= SMALLEST ? 0 : (size - SMALLEST + STEP - 1) / STEP;
    if (class < CLASSES && cache.first[class]) {
        struct block *block = cache.first[class];
        cache.first[class] = block->next;
        cache.room += SMALLEST + class * STEP;
        return block;
    }
    return memory_resize(NULL, size);
}

void block_free(void *ptr)
{
    size_t class = KEEPS_BLOCKS ? (malloc_usable_size(ptr) - SMALLEST) / STEP : CLASSES; /* beyond all for NULL */
    size_t size = SMALLEST + class * STEP;
    if (class < CLASSES && !cache.has_begun)
        begin_thread();
    if (class >= CLASSES || cache.room < size) {
        free(ptr);
        return;
    }
    struct block *block = ptr;
    block->next = cache.first[class];
    cache.first[class] = block;
    cache.room -= size;
}
