/* Versions of the rules: their files, and which of them is in force on all nodes. Blocking. */
#ifndef STORE_VERSION_STORE_H
#define STORE_VERSION_STORE_H

#include <stdbool.h>

#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

#define VERSION_BYTES 16

/* What is in force. Versions that there are not are "". */
struct rule_pointer {
    int64_t generation; /* counts up with each change; 0: nothing was ever in force */
    char current[VERSION_BYTES];
    char shadow[VERSION_BYTES];
    char previous[VERSION_BYTES];
    char directory[VERSION_BYTES]; /* of the rules directory when it was last put in force */
};
err_t version_store_pointer(struct pg *pg, struct rule_pointer *ret_pointer, struct error *reterr) MUST_CHECK;

struct stored_file {
    char *name;
    char *text; /* may hold zero bytes */
    size_t length;
};
struct stored_files {
    char *directory;
    struct stored_file *items;
    size_t count;
};
void stored_files_done(struct stored_files *files);

/* Keeps the files of a version; old versions' files go. Only `name`, `text` and `length` of the items are read. */
err_t version_store_record(struct pg *pg, const char *version, const struct stored_files *files,
                           struct error *reterr) MUST_CHECK;
/* ERR_NOT_FOUND: they are not kept. */
err_t version_store_files(struct pg *pg, const char *version, struct stored_files *ret_files,
                          struct error *reterr) MUST_CHECK;

/* Puts another version in force, or sets the shadow: `action` is start, reload, shadow, promote or rollback, as
 * change_rules() in migrations/ says; `version` may be NULL where that does. ERR_INVALID: it cannot be done, and why.
 */
err_t version_store_change(struct pg *pg, const char *action, const char *version, const char *by, bool *ret_changed,
                           struct error *reterr) MUST_CHECK;

/* What still waits that was armed under other versions: {timers: [{name, count}], templates: [{name, count}]}; the
 * templates are those that steps of active outreaches name. New reference. */
err_t version_store_pending(struct pg *pg, json_t **ret_pending, struct error *reterr) MUST_CHECK;

/* Versions, the last used first, and changes, the newest first; for people. New references. */
err_t version_store_list(struct pg *pg, size_t limit, json_t **ret_versions, json_t **ret_changes,
                         struct error *reterr) MUST_CHECK;

#endif
