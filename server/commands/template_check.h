/* Are the templates of the rules those that the providers approved? A message in a form that was not approved is
 * refused when it is sent, to the customer whose window is closed. */
#ifndef COMMANDS_TEMPLATE_CHECK_H
#define COMMANDS_TEMPLATE_CHECK_H

#include "config/config.h"
#include "rules/rule_set.h"

/* Asks each provider that approves templates, and appends to `problems`, in the form of rule_set_load(). */
void templates_check(const struct rule_set *set, const struct config *config, json_t *problems);

/* The same for one declared template and what the account of `source` has (see channel_kind.read_templates). `part` is
 * what the declaration says for the provider. */
void template_compare(const char *source, const json_t *declaration, const json_t *part, const json_t *approved,
                      json_t *problems);

#endif
