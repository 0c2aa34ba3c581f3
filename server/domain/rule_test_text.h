/* How the reports of rule tests show values and what happened: as rules write them. Internal to domain/. */
#ifndef DOMAIN_RULE_TEST_TEXT_H
#define DOMAIN_RULE_TEST_TEXT_H

#include "io/json.h"

/* "  LABEL { … }" and a newline. */
void test_text_add_line(struct buf *out, const char *label, const json_t *value);
/* One line for a field that differs; two texts that are long are put one above the other, with a mark where they part.
 */
void test_text_add_difference(struct buf *out, const char *key, const json_t *expected, const json_t *got);
/* What rules did with each event: `traces` are trace rows with the "type" and the "at" of their event. */
void test_text_add_traces(struct buf *out, const json_t *traces);

#endif
