/* Threads with one contact: finding, opening, changing state. Internal to domain/. */
#ifndef DOMAIN_CONVERSATION_H
#define DOMAIN_CONVERSATION_H

#include "domain/scene.h"

/* Sets scene->conversation: the one that the event names, or that its message belongs to; for other events the
 * contact's latest open one. NULL when there is none. */
void conversation_find(struct scene *scene);

struct conversation_wish {
    const char *topic;
    const char *reference;
    const char *channel;  /* source, or NULL */
    const json_t *tags;   /* array of text, may be NULL */
    const char *priority; /* may be NULL */
    msec_t reopen_ms;     /* reopen one that was resolved less than this ago; 0 never */
};
/* The open one of this contact, topic and reference; else a reopened or a new one. One that is open gets the tags that
 * it lacks, and the priority when that is higher than its own. Attaches the event's message when that has no
 * conversation yet. */
json_t *conversation_open(struct scene *scene, json_t *contact, const struct conversation_wish *wish);

/* The scene's inbound message belongs to it: wakes it up, moves it to the channel the customer writes on. */
void conversation_take_inbound(struct scene *scene, json_t *conversation);

void conversation_tag(struct scene *scene, json_t *conversation, const char *tag);
void conversation_untag(struct scene *scene, json_t *conversation, const char *tag);
void conversation_assign(struct scene *scene, json_t *conversation, const char *assignee); /* NULL: nobody */
/* `priority` is a known one. */
void conversation_prioritize(struct scene *scene, json_t *conversation, const char *priority);
void conversation_snooze(struct scene *scene, json_t *conversation, msec_t until);
void conversation_wake(struct scene *scene, json_t *conversation);
void conversation_resolve(struct scene *scene, json_t *conversation);

/* low, normal, high or urgent? */
bool conversation_knows_priority(const char *priority);
bool conversation_is_resolved(const json_t *conversation);
/* The contact's open conversation with the latest activity. With `source`: on this one, else one that has no channel
 * yet. */
json_t *conversation_latest_open(const struct desk *desk, const json_t *contact, const char *source);
json_t *conversation_contact(const struct desk *desk, const json_t *conversation);

#endif
