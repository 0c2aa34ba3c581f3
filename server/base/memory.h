/* Allocation that never returns NULL: sizes from outside were compared with limits before they came here. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

void *memory_new(size_t size);   /* zeroed */
void *memory_block(size_t size); /* not zeroed */
void *memory_resize(void *ptr, size_t size);
char *memory_text(const char *text);                  /* a copy; NULL gives NULL */
char *memory_text_n(const char *text, size_t length); /* a terminated copy of `length` bytes */

#endif
