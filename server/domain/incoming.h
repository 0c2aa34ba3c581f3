/* What an event means by itself, before any rule: messages recorded, statuses in the ledger, surveys answered, goals
 * reached. Internal to domain/. */
#ifndef DOMAIN_INCOMING_H
#define DOMAIN_INCOMING_H

#include "domain/scene.h"

void incoming_handle(struct scene *scene);
/* The survey and the outreach that the event is about, when nothing has found them yet. */
void incoming_find_related(struct scene *scene);

#endif
