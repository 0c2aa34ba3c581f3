/* What commands that run rules themselves need: rule sets from directories or in force, and the sources as the desk
 * sees them. */
#ifndef COMMANDS_RULE_WORLD_H
#define COMMANDS_RULE_WORLD_H

#include "commands/commands.h"
#include "io/pg.h"
#include "rules/rule_set.h"

/* The configured sources: object by name, {kind, provider, sends, window_ms}; new reference. */
json_t *rule_world_sources(const struct config *config);
struct rule_limits rule_world_limits(const struct config *config);

/* A rule set with the files it came from. */
struct loaded_rules {
    struct rule_sources *sources;
    struct rule_set *set;
};
/* Loads the rules of a directory with the limits of the configuration. Problems are printed on stderr; the exit code.
 */
int loaded_rules_read(const struct command *command, const struct config *config, const char *directory,
                      struct loaded_rules *ret_rules);
/* The same for the version that is in force on all nodes; where none ever was, the configured directory. */
int loaded_rules_in_force(const struct command *command, const struct config *config, struct pg *pg,
                          struct loaded_rules *ret_rules);
void loaded_rules_done(struct loaded_rules *rules);

/* "7d" (so long before `now`) or a time such as 2026-11-23T08:00:00Z; false when it is neither. */
bool parse_moment(const char *text, msec_t now, msec_t *ret_at);

/* A line on stderr that is drawn again and again, when that is a terminal. */
struct progress {
    const char *what; /* "events" */
    int64_t expected; /* 0: unknown */
    int64_t done;
    msec_t began; /* steady clock */
    msec_t drawn;
    bool visible;
};
bool progress_is_shown(void); /* otherwise nobody sees how many are expected */
void progress_begin(struct progress *progress, const char *what, int64_t expected);
void progress_step(struct progress *progress); /* one more is done */
void progress_end(struct progress *progress);  /* wipes the line */

#endif
