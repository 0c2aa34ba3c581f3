/* The one table of settings: reading, range checks, suggestions and the manual come from it. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "config/config.h"

enum setting_kind {
    CONFIG_TEXT,     /* char * */
    CONFIG_TEXTS,    /* json_t *, array: from one text or a list; "" is an empty list */
    CONFIG_BOOL,     /* bool */
    CONFIG_COUNT,    /* size_t */
    CONFIG_UNSIGNED, /* unsigned */
    CONFIG_NUMBER,   /* uint64_t */
    CONFIG_SIZE,     /* size_t, from "4MiB" */
    CONFIG_DURATION, /* msec_t, from "10s" */
    CONFIG_LEVEL,    /* enum log_level, from its name */
};

struct setting {
    const char *section;
    const char *name; /* "tls.key" is `tls = { key = … }` */
    enum setting_kind kind;
    const char *standard; /* the value when nothing is said, as it would be written */
    int64_t least;        /* of numbers, bytes, milliseconds */
    int64_t most;
    size_t offset; /* of the field in struct config */
    const char *help;
};

extern const struct setting settings[]; /* by section; ends with a NULL section */

/* A section, for the manual. */
struct setting_section {
    const char *name;
    const char *help;
};
extern const struct setting_section setting_sections[]; /* ends with a NULL name */

/* Gives every field its standard value. */
void settings_set_standard(struct config *config);
/* Frees the texts. */
void settings_done(struct config *config);

/* Sets the field from a text, number or boolean (a json_t of that kind). ERR_INVALID says what it must be. */
err_t setting_set(const struct setting *setting, const json_t *value, struct config *config,
                  struct error *reterr) MUST_CHECK;

const struct setting *setting_find(const char *section, const char *name); /* NULL when unknown */
/* Fills a NULL-terminated list with the names of a section (the first parts of dotted ones), for suggestions. */
void setting_names(const char *section, const char *parent, const char **ret_names, size_t max);

/* "4MiB", "64KiB", "1GiB", "512" (bytes). */
bool setting_read_size(struct bytes text, int64_t *ret_bytes);

#endif
