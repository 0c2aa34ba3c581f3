/* The supply of small blocks: what comes out holds what was asked for, and every thread gives back what it keeps. */
#include "base/block_cache.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "support.h"

#define BLOCKS 4000

static void fill_and_look(unsigned char **blocks, size_t *sizes)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        sizes[i] = i * 7 % 700 + 1;
        blocks[i] = block_new(sizes[i]);
        memset(blocks[i], (int)(i % 251), sizes[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(blocks[i][at], i % 251);
}

static void blocks_do_not_overlap(void **state)
{
    (void)state;
    static unsigned char *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    for (int round = 0; round < 3; round++) {
        fill_and_look(blocks, sizes);
        for (size_t i = 0; i < BLOCKS; i++)
            block_free(blocks[i * 1009 % BLOCKS]);
    }
    block_free(NULL);
}

static void blocks_are_those_of_libc(void **state)
{
    (void)state;
    for (size_t size = 1; size < 1000; size++) {
        block_free(malloc(size));
        char *block = block_new(size);
        block = realloc(block, size * 2);
        assert_non_null(block);
        memset(block, 1, size * 2);
        free(block);
    }
}

static void *free_all(void *arg)
{
    unsigned char **blocks = arg;
    for (size_t i = 0; i < BLOCKS; i++)
        block_free(blocks[i]);
    block_free(block_new(100));
    return NULL;
}

static void another_thread_may_free(void **state)
{
    (void)state;
    static unsigned char *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    for (int round = 0; round < 4; round++) {
        fill_and_look(blocks, sizes);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_all, blocks), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_do_not_overlap),
        cmocka_unit_test(blocks_are_those_of_libc),
        cmocka_unit_test(another_thread_may_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
