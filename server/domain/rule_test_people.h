/* The people of a rule test. Internal to domain/. */
#ifndef DOMAIN_RULE_TEST_PEOPLE_H
#define DOMAIN_RULE_TEST_PEOPLE_H

#include "domain/rule_test_world.h"

/* t:contact {…} */
json_t *world_act_contact(struct world *world, const json_t *first, const json_t *second, struct error *reterr);
/* What t:event's `contact = { email = … }` stands for; new reference. */
json_t *world_person_of_fields(const json_t *fields);

#endif
