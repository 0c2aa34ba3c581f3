/* A ladder of messages with a goal that ends it: one durable row, one timer. Internal to domain/. */
#ifndef DOMAIN_OUTREACH_H
#define DOMAIN_OUTREACH_H

#include "domain/scene.h"

/* The effect. ERR_INVALID: the ladder makes no sense; refused: one is active for this topic and reference, or for the
 * same payment under another name (see reference.h). */
err_t outreach_start(struct scene *scene, const json_t *effect, json_t *made, const char **ret_refused,
                     struct error *reterr) MUST_CHECK;
/* outreach.step: the next step, if it is still wanted. False when the event came too late to matter. */
bool outreach_step(struct scene *scene);
/* Ends those whose goal this event is. */
void outreach_check_goals(struct scene *scene);
/* A status of one of its messages: notes that somebody was reached, goes on by another channel when it failed. */
void outreach_take_status(struct scene *scene, json_t *message);
/* The contact stopped this topic, or 'all'. */
void outreach_cancel_of_topic(struct scene *scene, const json_t *contact, const char *topic);

#endif
