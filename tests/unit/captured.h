/* What is written to stderr, the log above all, for a test of it. */
#ifndef TESTS_UNIT_CAPTURED_H
#define TESTS_UNIT_CAPTURED_H

#include "support.h"

#include <unistd.h>

struct capture {
    int real, end;
};

static inline void capture_begin(struct capture *capture)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    capture->real = dup(STDERR_FILENO);
    capture->end = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

/* The text since then, no more than a pipe holds; valid until the next call. */
static inline const char *capture_end(struct capture *capture)
{
    static char text[8192];
    dup2(capture->real, STDERR_FILENO);
    close(capture->real);
    ssize_t length = read(capture->end, text, sizeof(text) - 1);
    close(capture->end);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

#endif
