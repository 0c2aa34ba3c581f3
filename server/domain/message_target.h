/* Which of the messages that we know an event is about. Internal to domain/. */
#ifndef DOMAIN_MESSAGE_TARGET_H
#define DOMAIN_MESSAGE_TARGET_H

#include "domain/scene.h"

/* The message that a status, an edit, a deletion, a reaction or an echo is about, or NULL: by the provider's id within
 * the event's source, and there in the chat of the person that the event names. A provider that does not know the
 * message by an id of its own may name it by ours (status.echo). That number proves nothing: it is not believed where
 * the message went to another person than the status names, or through another source than it came from. */
json_t *message_target_find(const struct scene *scene);

/* All messages that a deletion is about, `most` at most; returns how many. There are several when an edit came before
 * its original: then each is a message of its own. */
size_t message_target_withdrawn(const struct scene *scene, json_t **ret_messages, size_t most);

/* Why the delivery that the status names by our number is not what it is about; NULL when there is none. */
const char *message_target_refused(const struct scene *scene);

#endif
