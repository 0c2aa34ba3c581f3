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
/* The event's channel says itself that the handle is the contact's, which may have been somebody's word until now. Does
 * nothing to what another contact owns. */
void identity_prove(struct scene *scene, const json_t *contact, const char *identity);
/* The person left this handle: it finds nobody any more, and nothing is sent to it when there is another way. */
void identity_give_up(struct scene *scene, const char *identity);

/* A phone number that came with a payment or an order, typed by whoever paid: it names somebody, but proves nobody.
 * `row` is an identity. What a rule or the API said, and what a channel proved, is no claim. */
bool identity_is_claim(const struct desk *desk, const json_t *row);
/* Has the contact a handle that its channel itself reported, so that they are somebody apart from their claims? */
bool identity_is_proven(const struct desk *desk, const json_t *contact);
/* Who has the number proved it: it moves to them, and nothing is sent to it for who claimed it or had it before. */
void identity_take_over(struct scene *scene, const json_t *contact, json_t *row);

/* Moves everything that the younger of the two has to the older, and returns the older. */
json_t *identity_merge(struct scene *scene, json_t *a, json_t *b);

/* Do two handles of WhatsApp have one phone number, which is written with a digit more or less in Argentina, Brazil and
 * Mexico? */
bool identity_same_number(const char *a, const char *b);

bool identity_is_handle(const char *identity); /* of a provider, that is neither phone: nor email: */
/* The text after "PREFIX:", or NULL. */
const char *identity_value(const char *identity, const char *prefix);

#endif
