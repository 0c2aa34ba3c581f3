/* Handles of people: which contact owns one, attaching, and merging two contacts. Internal to domain/. */
#ifndef DOMAIN_IDENTITY_H
#define DOMAIN_IDENTITY_H

#include "domain/scene.h"

/* The row of `identity`, or of what proves the same person: phone:N and whatsapp:N find each other. Handles that were
 * given up (a changed number) find nobody. NULL when unknown. */
json_t *identity_find(const struct desk *desk, const char *identity);
json_t *identity_owner(const struct desk *desk, const char *identity); /* contact row, merges followed */
json_t *identity_follow_merge(const struct desk *desk, json_t *contact);

/* False when another contact owns it. */
bool identity_attach(struct scene *scene, json_t *contact, const char *identity, const char *proven_by);
/* The person left this handle: it finds nobody any more, and nothing is sent to it when there is another way. */
void identity_give_up(struct scene *scene, const char *identity);

/* Moves everything that the younger of the two has to the older, and returns the older. */
json_t *identity_merge(struct scene *scene, json_t *a, json_t *b);

bool identity_is_handle(const char *identity); /* of a provider, that is neither phone: nor email: */
/* The text after "PREFIX:", or NULL. */
const char *identity_value(const char *identity, const char *prefix);

#endif
