/* Small blocks of memory, each thread's own supply of them. JSON values and what scripts make come and go by the hundred for
 * each event; libc keeps few of them at hand for a thread, and puts the rest together and apart again each time.
 *
 * Blocks are libc's: one from malloc() may be given to block_free(), and one from here to realloc() and free(), by any
 * thread. A thread keeps at most 1 MiB, and gives it back when it ends.
 */
#ifndef BASE_BLOCK_CACHE_H
#define BASE_BLOCK_CACHE_H

#include <stddef.h>

void *block_new(size_t size); /* not zeroed; the program ends when there is no memory */
void block_free(void *ptr);   /* NULL is fine */

#endif
