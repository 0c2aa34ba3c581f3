/* Runs the unit tests of a rule set: the real rules and the real desk in a world in memory with its own time.
 *
 * A test acts (t:message, t:event, t:tap, t:status, t:advance, …) and expects (t:expect_sent, …). Everything that an
 * act causes happens at once: events, internal events, timers that are due, deliveries that are due. A delivery is
 * accepted by the provider as soon as it leaves; whether it leaves as free text or as the approved template is decided
 * then, by the provider's window. server/domain/README.md lists the verbs.
 */
#ifndef DOMAIN_RULE_TEST_H
#define DOMAIN_RULE_TEST_H

#include "base/error.h"
#include "io/json.h"
#include "rules/rule_set.h"

struct rule_test_outcome {
    bool passed;
    char *report; /* for a person; several lines, each ends with a newline; "" when it passed */
};
void rule_test_outcome_done(struct rule_test_outcome *outcome);

/* Appends to `problems`, by file and line, the verbs that the tests of the set call and that there are not; runs
 * nothing. One that is near to a verb is an error, any other a warning: `t` may be something else there. */
err_t rule_test_review(struct rule_set *set, json_t *problems, struct error *reterr) MUST_CHECK;

/* Runs test number `index` of the set in a fresh world. `sources` as in desk_settings. The outcome depends on nothing
 * but the set and the test. `coverage` (object, may be NULL) counts the verdicts of rules, and what was sent:
 * {"rules": {"inbox": {"ran": 3, "skipped": 1}}, "templates": {"welcome": {"sent": 2}}, "surveys": …}. */
void rule_test_run(struct rule_set *set, size_t index, const json_t *sources, json_t *coverage,
                   struct rule_test_outcome *ret_outcome);

#endif
