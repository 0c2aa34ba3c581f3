/* What the files of the desk share: the desk, and the scene of one event on it. Internal to domain/. */
#ifndef DOMAIN_SCENE_H
#define DOMAIN_SCENE_H

#include "domain/desk.h"
#include "domain/rows.h"

/* The changes that are only ever appended to. */
enum desk_log {
    LOG_MESSAGE_EDITS,
    LOG_MESSAGE_STATES,
    LOG_DELIVERIES,
    LOG_CANCEL_DELIVERIES,
    LOG_TIMER_CANCELS,
    LOG_EVENTS,
    LOG_HANDLINGS,
    LOG_TRACES,
    LOG_RULE_HEALTH,
    LOG_COUNT,
};

/* See facts.h. */
struct contact_facts {
    json_t *document; /* owned; NULL: none */
    const json_t *row;
    uint64_t contacts; /* the versions of the tables that it was made of */
    uint64_t identities;
    uint64_t addresses;
};

/* See contact_find_or_make(). */
struct known_sender {
    json_t *event;     /* owned; NULL: none */
    json_t *contact;   /* the row that was found for it */
    uint64_t contacts; /* the versions of the tables that it was found in */
    uint64_t identities;
};

struct desk {
    struct desk_settings settings;
    struct rule_set *rules;
    struct rows *rows;
    json_t *logs[LOG_COUNT];
    json_t *happened;        /* array: {type, contact_id, conversation_id?} of each event that was handled */
    size_t marks[LOG_COUNT]; /* how long each was when the running rule's effects began */
    struct contact_facts contact_facts;
    struct known_sender known_senders[2]; /* of events from outside, and of our own */
};

/* Everything about the event at hand. Rows are borrowed from the desk. */
struct scene {
    struct desk *desk;
    const json_t *event;
    const char *type;
    int64_t event_id;
    msec_t now;
    unsigned depth;
    const char *source; /* the event's source, when it is one that sends; else NULL */

    json_t *contact;
    json_t *conversation;    /* "@" for effects */
    bool about_conversation; /* the event itself belongs to it; else it is only the contact's latest */
    json_t *message;         /* what the event recorded or refers to */
    json_t *survey;
    json_t *outreach;

    /* Who acts: a rule, an agent or the desk itself. */
    const char *rule; /* for the column `rule`; NULL when no rule acts */
    char author[192]; /* 'rule:NAME', 'agent:NAME' */
    bool is_agent;
    json_t *handles; /* of the rule call: "#1" -> conversation id */
    bool confirms_opt_out;

    bool consumed;           /* the desk dealt with the event itself; rules do not run */
    const char *stop_reason; /* why not, for the trace */
    json_t *built_in;        /* what the desk did itself: array of effect-like objects for the trace */
    const char *built_in_name;
    const char *problem; /* for handling.problem */
    json_t *skipped;     /* for handling.skipped; NULL: no rule was */

    json_t *replay;         /* see replay.h; NULL: the event is handled for the first time */
    json_t *replayed_event; /* the event without it */
};

int64_t desk_next_id(struct desk *desk);
/* The source's settings, borrowed; NULL when unknown. */
json_t *desk_source(const struct desk *desk, const char *source);
bool desk_source_sends(const struct desk *desk, const char *source);
const char *desk_rule_set_version(const struct desk *desk);
/* Declared object or NULL. */
json_t *desk_declaration(const struct desk *desk, const char *kind, const char *name);
/* Takes over `entry`. */
void desk_log_add(struct desk *desk, enum desk_log log, json_t *entry);

void scene_act_as_rule(struct scene *scene, const char *rule);
void scene_act_as_agent(struct scene *scene, const char *agent);
/* The desk itself, on behalf of `what` ("survey:csat"). `rule` is the rule that began it, or NULL. */
void scene_act_as_desk(struct scene *scene, const char *what, const char *rule);
/* One more thing that the desk did itself, for the trace; takes over `what`. */
void scene_note_built_in(struct scene *scene, const char *name, json_t *what);

/* An event that this one caused. `conversation` and `contact` may be NULL; takes over `body` (may be NULL) and `extra`
 * (keys to add to the document, may be NULL). Returns its id. */
int64_t scene_emit(struct scene *scene, const char *type, const json_t *contact, const json_t *conversation,
                   json_t *body, json_t *extra);

/* Small helpers on rows. */
int64_t row_id(const json_t *row);

#endif
