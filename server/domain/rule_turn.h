/* The rules' turn at an event: each that listens, in order, its effects applied before the next one sees the facts.
 * Internal to domain/. */
#ifndef DOMAIN_RULE_TURN_H
#define DOMAIN_RULE_TURN_H

#include "domain/scene.h"

/* Writes one trace row for each rule that listens to the event's type, and one for what the desk did itself. */
void rule_turn_run(struct scene *scene);

#endif
