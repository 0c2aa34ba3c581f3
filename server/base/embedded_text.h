/* A file that was made part of the program by the build (cmake/EmbedText.cmake). */
#ifndef BASE_EMBEDDED_TEXT_H
#define BASE_EMBEDDED_TEXT_H

#include <stddef.h>

struct embedded_text {
    int number;       /* what the file's name starts with ("0002_views.sql": 2); 0 when it has none */
    const char *name; /* without its folder, or the path below one that the build names */
    const char *text; /* followed by a NUL that `length` does not count */
    size_t length;
};

#endif
