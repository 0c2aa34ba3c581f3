/* Who an event is about: found by identities, made when new, merged when a provider proves two to be one. */
#ifndef DOMAIN_CONTACT_H
#define DOMAIN_CONTACT_H

#include "domain/scene.h"

/* Sets scene->contact (NULL when the event names nobody) and brings names, identities and addresses up to date. */
void contact_find_or_make(struct scene *scene);
void contact_forget_sender(struct known_sender *known); /* whom the desk's last event was from */

/* Its first provider handle, else its first identity; NULL when it has none. */
const char *contact_primary_identity(const struct desk *desk, const json_t *contact);

/* Does the contact refuse messages of this topic? `topic` NULL: only 'all' counts. */
bool contact_refuses(const json_t *contact, const char *topic);
/* For effects and provider events. False when nothing changed. */
bool contact_opt_out(struct scene *scene, json_t *contact, const char *topic);
bool contact_opt_in(struct scene *scene, json_t *contact, const char *topic);

#endif
