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
    size_t bytes;
    int state; /* of the thread: 0 has not begun, 1 keeps blocks, -1 is ending */
};

static _Thread_local struct cache cache;
static pthread_key_t key_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end_thread(void *arg)
{
    struct cache *ending = arg;
    ending->state = -1;
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

static bool begin_thread(void)
{
    if (cache.state < 0)
        return false;
    pthread_once(&once, make_key);
    if (pthread_setspecific(key_end, &cache) != 0)
        return false;
    cache.state = 1;
    return true;
}

void *block_new(size_t size)
{
    size_t class = size <= SMALLEST ? 0 : (size - SMALLEST + STEP - 1) / STEP;
    if (class < CLASSES && cache.first[class]) {
        struct block *block = cache.first[class];
        cache.first[class] = block->next;
        cache.bytes -= SMALLEST + class * STEP;
        return block;
    }
    return memory_resize(NULL, size);
}

void block_free(void *ptr)
{
    size_t size = ptr && KEEPS_BLOCKS ? malloc_usable_size(ptr) : 0;
    size_t class = (size - SMALLEST) / STEP;
    if (size < SMALLEST || class >= CLASSES || cache.bytes > MAX_KEPT_BYTES || (cache.state != 1 && !begin_thread())) {
        free(ptr);
        return;
    }
    struct block *block = ptr;
    block->next = cache.first[class];
    cache.first[class] = block;
    cache.bytes += SMALLEST + class * STEP;
}
