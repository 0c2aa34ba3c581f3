/* A template as rules declare it, beside what a provider approved. */
#ifndef COMMANDS_TEMPLATE_COMPARE_H
#define COMMANDS_TEMPLATE_COMPARE_H

#include "io/json.h"

/* Appends to `problems`, in the form of rule_set_load(), what would be refused when it is sent. `part` is what the
 * declaration says for the provider, `approved` all templates of the account of `source` (as
 * channel_kind.read_templates makes them). */
void template_compare(const char *source, const json_t *declaration, const json_t *part, const json_t *approved,
                      json_t *problems);

#endif
