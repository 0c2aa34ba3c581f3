/* Putting rules in force: from a directory, through every check and their own tests, into the database that all nodes
 * follow. What `answerd reload`, `shadow`, `promote` and `rollback`, SIGHUP, the API and the start have in common.
 */
#ifndef COMMANDS_RULE_RELEASE_H
#define COMMANDS_RULE_RELEASE_H

#include "config/config.h"
#include "io/pg.h"
#include "rules/rule_set.h"

struct rule_release {
    struct rule_sources *sources;
    struct rule_set *set; /* without tests */
    json_t *report; /* {version, directory, rules, tests, problems: […], failed_tests: […], warnings: […]} */
};
void rule_release_done(struct rule_release *release);

/* Reads a directory, loads it in a fresh state, looks at it as `answerd check` does and runs its tests there, unless
 * the configuration says not to. Warnings are in the report; errors of either look and failing tests are failures. On
 * failure `ret_release` has the report and nothing else, and the error says the first thing that is wrong. */
err_t rule_release_read(const struct config *config, const char *directory, struct rule_release *ret_release,
                        struct error *reterr) MUST_CHECK;
/* A version that the database keeps. ERR_NOT_FOUND. */
err_t rule_release_read_stored(const struct config *config, struct pg *pg, const char *version,
                               struct rule_release *ret_release, struct error *reterr) MUST_CHECK;

/* Keeps the files and puts them in force or makes them the shadow, as version_store_change() says. The report gets
 * `changed`, and warnings of what waits and would find no rule or template under this version. */
err_t rule_release_put(struct pg *pg, struct rule_release *release, const char *action, const char *by,
                       struct error *reterr) MUST_CHECK;

/* The shadow directory of the configuration, in the same way; nothing happens when there is none, or when it is what is
 * in force already. The report of the other rules gets `shadow`, a version, or `shadow_problem`. */
void rule_release_put_shadow(const struct config *config, struct pg *pg, const char *by, json_t *report);

/* "ann@host", or "serve@host" for the server itself. */
#define RELEASE_BY_BYTES 200
const char *rule_release_by(const char *who, char text[RELEASE_BY_BYTES]);

/* One source of each kind, under the kind's name: what tests of rules find. New reference. */
json_t *rule_test_sources(void);

#endif
