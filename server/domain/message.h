/* Messages: what came in, what goes out with its delivery, and what happens to them later. Internal to domain/. */
#ifndef DOMAIN_MESSAGE_H
#define DOMAIN_MESSAGE_H

#include "domain/scene.h"

/* Records the event's message (direction "in", or "out" for one sent with another tool), without a conversation as
 * yet; becomes scene->message. */
json_t *message_record(struct scene *scene, const char *direction);
void message_note(struct scene *scene, const json_t *conversation, const char *text);

void message_edit(struct scene *scene, json_t *message);
void message_delete(struct scene *scene, json_t *message);
/* Records the status in the ledger; `message` may be NULL when the message is not known (yet), or when the status is
 * about everything until `status.up_to`. */
void message_take_status(struct scene *scene, json_t *message);

/* Sets columns of a message also when its row was written by an earlier batch. Takes over `columns`. */
void message_change(struct scene *scene, json_t *message, json_t *columns);

struct message_draft {
    const char *kind;       /* "text", "template", "image", … */
    const char *text;       /* as the customer reads it; may be NULL */
    json_t *content;        /* for the message row: taken over */
    json_t *free;           /* of the request: taken over; may be NULL */
    json_t *approved;       /* taken over; may be NULL */
    const char *on_unknown; /* never NULL */
    const char *topic;      /* for opt-outs; may be NULL */
    const char *reply_to;
    const char *quiet; /* "respect" or NULL */
    int64_t outreach_id;
    int64_t survey_id;
};
/* Queues a message to this address; returns its row. */
json_t *message_queue(struct scene *scene, json_t *contact, json_t *conversation, const json_t *address,
                      struct message_draft *draft, int64_t *ret_delivery_id);

void message_cancel_queued_of_outreach(struct scene *scene, int64_t outreach_id);

#endif
