/* What the targets share. An input is lines of text followed by a rest, so that a person can read and write one. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Like assert(), and whatever the build type. */
#define MUST_HOLD(condition)                                                                                           \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* The next line as a text of its own, without NUL; free() it. */
static inline char *fuzz_line(struct bytes *rest)
{
    struct bytes line = text_next_field(rest, '\n');
    size_t length = line.len > 0 ? strnlen(line.ptr, line.len) : 0;
    return memory_text_n(line.ptr ? line.ptr : "", length);
}

#endif
