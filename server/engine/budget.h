/* How much rules may send: what they declare, or else what the configuration says. */
#ifndef ENGINE_BUDGET_H
#define ENGINE_BUDGET_H

#include "rules/rule_set.h"

/* Puts the budgets of all rules whose messages are among the deliveries into `changes`, as "budgets": {rule:
 * {sends_per_hour?, sends_per_minute?, sends_per_contact_per_day?}}. Nothing when none of them has a limit. */
void budget_put(const struct rule_budget *standard, const struct rule_set *rules, json_t *changes);

#endif
