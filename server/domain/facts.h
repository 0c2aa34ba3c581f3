/* What rules see besides the event: the contact, their conversations, and what the event is about. */
#ifndef DOMAIN_FACTS_H
#define DOMAIN_FACTS_H

#include "domain/scene.h"

/* The facts as they are now, as rule_run() takes them; new reference. Parts of it are the rows themselves: it is read
 * before they change again, and nobody changes it. */
json_t *facts_make(const struct scene *scene);

/* A desk keeps the last contact's part, which is the same for most of their events. */
void facts_forget(struct contact_facts *kept);

#endif
