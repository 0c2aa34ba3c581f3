/* Stable stand-ins for what tells who a person is, so that a recorded event can be shown to others.
 *
 * The same value always becomes the same stand-in within one object of this kind, and numbers, handles and addresses
 * stay what they are in form: rules find in a fixture what they found in the event.
 */
#ifndef COMMANDS_STAND_IN_H
#define COMMANDS_STAND_IN_H

#include "io/json.h"

struct stand_ins {
    json_t *known;  /* object: value -> stand-in */
    json_t *labels; /* object: kind -> how many */
    bool keep_text; /* what people wrote stays, but for names and numbers in it */
    int texts;      /* how many were replaced */
};

void stand_ins_init(struct stand_ins *stand_ins, bool keep_text);
void stand_ins_done(struct stand_ins *stand_ins);

/* Notes who the person is: {name, username, identities} of a contact's row or of an event. */
void stand_ins_learn(struct stand_ins *stand_ins, const json_t *contact);
/* A copy of the document in which nobody can be recognised; new reference. */
json_t *stand_ins_apply(struct stand_ins *stand_ins, const json_t *document);

#endif
