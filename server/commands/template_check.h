/* Are the templates of the rules those that the providers approved? A message in a form that was not approved is
 * refused when it is sent, to the customer whose window is closed. */
#ifndef COMMANDS_TEMPLATE_CHECK_H
#define COMMANDS_TEMPLATE_CHECK_H

#include "config/config.h"
#include "rules/rule_set.h"

/* Asks the provider of each source that approves templates, and appends to `problems`, in the form of rule_set_load().
 */
void templates_check(const struct rule_set *set, const struct config *config, json_t *problems);

#endif
