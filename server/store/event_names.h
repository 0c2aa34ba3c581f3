/* Inside store/ only: by what the events of a batch name people. */
#ifndef STORE_EVENT_NAMES_H
#define STORE_EVENT_NAMES_H

#include "io/json.h"
#include "io/pg.h"

struct texts {
    struct bytes *list; /* they belong to the documents, or to `made` of the names */
    size_t count, room;
};

struct numbers {
    int64_t *list;
    size_t count, room;
};

/* Texts are borrowed from the events, which live longer. */
struct event_names {
    struct texts handles, status_sources, status_ids, references;
    struct texts message_sources, message_ids; /* of messages that are edited, answered or reported on */
    struct numbers contacts, conversations, echoes;
    struct numbers replayed; /* positions */
    json_t *made;
};

void event_names_init(struct event_names *names);
void event_names_done(struct event_names *names);

void event_names_add(struct event_names *names, const json_t *event);
void event_names_add_handles(struct event_names *names, const json_t *identities);
void event_names_add_replayed(struct event_names *names, int64_t position);
/* Takes the reference: a document whose texts are among the names. */
void event_names_keep(struct event_names *names, json_t *document);

#endif
