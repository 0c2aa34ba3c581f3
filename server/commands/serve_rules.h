/* The rules of one `answerd serve` process: what it puts in force itself, and what others put in force on all nodes. */
#ifndef COMMANDS_SERVE_RULES_H
#define COMMANDS_SERVE_RULES_H

#include "config/config.h"
#include "rules/rule_feed.h"

struct serve_rules;

/* Takes over `sources`, the files of the rules directory; `config` outlives it. */
struct serve_rules *serve_rules_new(const struct config *config, struct rule_sources *sources);
void serve_rules_free(struct serve_rules *rules); /* NULL is fine */
struct rule_feed *serve_rules_feed(struct serve_rules *rules);

/* To be called every second on one thread: the first time it settles with the database what is in force, later it
 * follows what others put in force, and reloads when files have changed and are watched. `*ret_changed`: other rules
 * are in force.
 *
 * At the start, files that differ from what the directory held when it was last put in force go into force themselves,
 * when the configuration says so and their tests pass; otherwise what is in force in the database stays: so a rollback
 * outlives a restart. */
err_t serve_rules_keep(struct serve_rules *rules, struct pg *pg, bool *ret_changed, struct error *reterr) MUST_CHECK;

/* Reads the directories again, checks and tests them and puts them in force on all nodes; on failure the ones before
 * stay. Logs what it did. `ret_report` (new reference, may be NULL): see struct rule_release. Any thread; makes a
 * connection of its own. */
err_t serve_rules_reload(struct serve_rules *rules, json_t **ret_report, struct error *reterr) MUST_CHECK;

/* Loads the set once to see whether it is right. Logs each problem. */
err_t serve_rules_check(const struct config *config, const struct rule_sources *sources,
                        struct error *reterr) MUST_CHECK;

#endif
