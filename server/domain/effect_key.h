/* What makes two effects the same wish: the kind, and the name that it goes by.
 *
 * A replay asks so which effects have been made before, and a backtest which ones two rule sets have in common. Texts,
 * variables and line numbers do not count: a reminder with a corrected typo is still that reminder.
 */
#ifndef DOMAIN_EFFECT_KEY_H
#define DOMAIN_EFFECT_KEY_H

#include "io/json.h"

/* Appends the name of an effect as a rule asks for it: the template of a send, the tag, the timer's name, topic and
 * reference of an outreach; nothing for kinds that have none. */
void effect_add_name(const json_t *effect, struct buf *out);

/* Appends "KIND NAME". */
void effect_add_key(const json_t *effect, struct buf *out);

/* What else the effect says, as JSON text with sorted keys: all but kind, handle, line and what became of it. The
 * caller's to free(). */
char *effect_content(const json_t *effect);

#endif
