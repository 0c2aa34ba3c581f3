/* A configuration while it is read. For config/ only. */
#ifndef CONFIG_LOADING_H
#define CONFIG_LOADING_H

#include "config/config.h"
#include "io/vm.h"

struct loading {
    struct config *config;
    const char *path;
    char *directory;  /* of the file, with the last '/'; "" for the working directory */
    struct buf text;  /* of the file; secrets may stand in it */
    json_t *problems; /* borrowed */
    int section_lines[16];
    char pending_source[65]; /* source "NAME", still without its table; "" when there is none */
    int pending_line;
};

/* Notes a problem of the file; `text` may end with a line "HINT: …". */
void loading_add_problem(struct loading *loading, int line, const char *text);
void loading_problem(struct loading *loading, int line, const char *format, ...) PRINTF_LIKE(3, 4);
/* The line at or after `from_line` that sets `key`, or `from_line`. */
int loading_line_of_key(const struct loading *loading, const char *key, int from_line);

/* Appends a file of at most `max` bytes. It may hold secrets: use buf_init_secret(). */
err_t config_read_file(const char *path, size_t max, struct buf *ret_content, struct error *reterr) MUST_CHECK;

/* Body for vm_protect(): makes the functions of the file known. The vm's host argument is the loading. */
int config_add_functions(lua_State *L);
/* Complains about a `source "NAME"` that no table followed. */
void loading_check_pending_source(struct loading *loading);

#endif
