/* Running an event again. Internal to domain/.
 *
 * The event's document has `replay`: {id, handled, consumed, contact_id, conversation_id, settled: [rule], stopped_by,
 * effects: [{rule, effects}]}, as the SQL function replay_of() makes it. What the desk did itself (a message recorded,
 * a survey answered, a step of an outreach) is never done again. A rule that had its say then is not asked again;
 * others run on the facts of today, and an effect that the same rule was given before is suppressed: same kind and name
 * (see effect_key.h), as often as there were.
 */
#ifndef DOMAIN_REPLAY_H
#define DOMAIN_REPLAY_H

#include "domain/scene.h"

/* Takes `replay` out of the event, so that rules do not see it. Call replay_done() in the end. */
void replay_set_up(struct scene *scene);
void replay_done(struct scene *scene);

/* Was the event handled before? Then this sets the scene as it was, instead of all that the desk does itself. False:
 * it is handled for the first time, as any other. */
bool replay_enter(struct scene *scene);

/* Did this rule (or "agent:NAME") decide then, for good? */
bool replay_is_settled(const struct scene *scene, const char *rule);
/* Did it end the event's rules then? */
bool replay_has_stopped(const struct scene *scene, const char *rule);

/* Marks the effects of this rule (or "agent:NAME") that it was given before with `suppressed`, and tells what they
 * made. */
void replay_suppress(struct scene *scene, const char *rule, json_t *effects);
/* Makes a suppressed effect's handle stand for what it made then. */
void replay_apply_former(struct scene *scene, const json_t *effect);

#endif
