/* The second look at rules that load: what `answerd check` prints, and what reload refuses to put in force. */
#ifndef COMMANDS_RULE_CHECK_H
#define COMMANDS_RULE_CHECK_H

#include "config/config.h"
#include "rules/rule_set.h"

/* By file and line, from number `first` on; what is said of one line stays in its order. */
void problems_sort(json_t *problems, size_t first);

/* Appends to `problems`, in the form of rule_set_load(). `config` tells which sources there are; NULL: unknown. */
err_t rule_check(struct rule_set *set, const struct config *config, json_t *problems, struct error *reterr) MUST_CHECK;

/* How many are errors; the others are warnings. */
size_t problems_count_errors(const json_t *problems);

#endif
