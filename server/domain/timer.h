/* Timers: events that will happen later. One for each conversation and name, for each outreach, for each survey.
 * Internal to domain/. */
#ifndef DOMAIN_TIMER_H
#define DOMAIN_TIMER_H

#include "domain/scene.h"

struct timer_wish {
    const char *name;
    msec_t due;
    const json_t *unless; /* array of "reply" and event types; may be NULL */
    const json_t *data;   /* object; may be NULL */
};
/* Arms it anew when there is one of that name. Returns the row. */
json_t *timer_arm(struct scene *scene, const json_t *conversation, const struct timer_wish *wish);
json_t *timer_arm_outreach(struct scene *scene, const json_t *outreach, msec_t due, const json_t *data);
json_t *timer_arm_survey(struct scene *scene, const json_t *survey, msec_t due);
/* Before the provider's window over this conversation closes, when some rule wants to know. */
void timer_arm_window_closing(struct scene *scene, const json_t *conversation);

bool timer_cancel(struct scene *scene, int64_t conversation_id, const char *name); /* false: there was none */
void timer_cancel_of_conversation(struct scene *scene, int64_t conversation_id);
void timer_cancel_of_outreach(struct scene *scene, int64_t outreach_id);
void timer_cancel_of_survey(struct scene *scene, int64_t survey_id);

/* Cancels the conversation's timers whose `unless` names `happened` (an event type, or "reply"). */
void timer_cancel_answered(struct scene *scene, int64_t conversation_id, const char *happened);
/* The same for everything that the scene's event is. */
void timer_cancel_pointless(struct scene *scene);

/* Remembers the scene's event for timers that have fired already and wait behind it. */
void timer_note_happened(struct scene *scene);

/* For a timer's own event: why it came too late to matter, or NULL. */
const char *timer_pointless(const struct scene *scene);

#endif
