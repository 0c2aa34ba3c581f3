#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

err_t(fail)(struct error *e, err_t code, const char *format, ...)
{
    if (e) {
        /* Formatted aside: the values may point into `e` itself, when a function adds to the text of another. */
        char text[sizeof(e->text)];
        va_list values;
        va_start(values, format);
        vsnprintf(text, sizeof(text), format, values);
        va_end(values);
        e->code = code;
        e->sqlstate[0] = '\0';
        snprintf(e->text, sizeof(e->text), "%s", text);
    }
    return code;
}

const char *err_name(err_t code)
{
    switch (code) {
    case ERR_NONE:
        return "none";
    case ERR_INVALID:
        return "invalid";
    case ERR_DENIED:
        return "denied";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_TOO_BIG:
        return "too_big";
    case ERR_BUSY:
        return "busy";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_LOST:
        return "lost";
    case ERR_LIMIT:
        return "limit";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}
