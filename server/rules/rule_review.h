/* A second look at a rule set: what would go wrong when it runs, what can never run, what nobody uses.
 *
 * Of a set that does not load (rule_set_load_for_review()) it finds what has nothing to do with what is wrong already.
 * Reads the sources and runs nothing of them. Conservative: what only running would tell is not judged. Not part of
 * loading, for a set with such mistakes still runs as before.
 */
#ifndef RULES_RULE_REVIEW_H
#define RULES_RULE_REVIEW_H

#include "rules/rule_set.h"

/* Appends what was found to `problems`, as rule_set_load() does, by file and line. A problem that is there already, as
 * a warning of loading, is replaced by the one found here. `senders` are the sources that send, {name: kind}; borrowed,
 * NULL when they are not known. */
err_t rule_review(struct rule_set *set, const json_t *senders, json_t *problems, struct error *reterr) MUST_CHECK;

/* What the tests of the set call on the `t` of test("…", function(t) … end), as an array of {file, line, name}; new
 * reference. Empty for a set that was read without its tests. */
err_t rule_review_test_calls(struct rule_set *set, json_t **ret_calls, struct error *reterr) MUST_CHECK;

/* The names that rule files can use, each a sorted array of texts; new reference: {"globals", "fx", "contact",
 * "conversation", "calendar", "fields": {"event", PART…}, "options": {EFFECT…}}. For documentation and annotations. */
err_t rule_review_api(struct rule_set *set, json_t **ret_api, struct error *reterr) MUST_CHECK;

#endif
