/* From "send this" to a queued message: which text, which address, and whether it may go at all. Internal to domain/.
 */
#ifndef DOMAIN_SEND_H
#define DOMAIN_SEND_H

#include "domain/scene.h"

struct send_wish {
    json_t *conversation;
    /* {text | template | media, vars, language, buttons, on_unknown, quiet, reply_to, quoted_on, channel}; `quoted_on`:
     * the source of the message that `reply_to` names, where it is known */
    const json_t *what;
    const char *topic;              /* for opt-outs; NULL: the template's, or the conversation's */
    bool is_outreach;               /* preferred channel first */
    bool approved_only;             /* without the text: the provider holds its window for closed */
    const json_t *excluded_sources; /* array, or NULL */
    int64_t outreach_id;
    int64_t survey_id;
    const char *survey_template; /* the approved template that may carry a survey's question, or NULL */
    const json_t *extra_content; /* object to merge into message.content, or NULL */
};

/* Queues it. ERR_INVALID: it can never be sent like this (undeclared template, missing variable). When it is merely not
 * allowed or not possible now, `*ret_refused` says why (a constant text) and nothing is queued; else it is NULL. Adds
 * the ids of what it made to `made`. */
err_t send_message(struct scene *scene, const struct send_wish *wish, json_t *made, const char **ret_refused,
                   struct error *reterr) MUST_CHECK;

#endif
