/* Questions with a score: asked once for each episode of a conversation, answered by a button, a number or a word,
 * perhaps with a comment after it. An answer never reopens the conversation. Internal to domain/. */
#ifndef DOMAIN_SURVEY_H
#define DOMAIN_SURVEY_H

#include "domain/scene.h"

/* The effect. As send_message: ERR_INVALID, a refusal, or asked. */
err_t survey_ask(struct scene *scene, json_t *conversation, const char *name, json_t *made, const char **ret_refused,
                 struct error *reterr) MUST_CHECK;

/* When the event's message answers or comments a survey, records that, marks the scene as consumed and returns true.
 * The message was recorded and has no conversation yet. */
bool survey_take_message(struct scene *scene);
/* An edited answer. `message` is the row as it was before. */
bool survey_take_edit(struct scene *scene, const json_t *message);
/* Its time is over (survey.expired). False: it was answered in the meantime. */
bool survey_expire(struct scene *scene);

/* 1 to `scale`, or 0 when the text is no answer: a number in the digits of any script, stars, keycaps, a label or a
 * word.
 * `*ret_rest` is what follows a number ("4, thank you"), or NULL. Pure. */
int survey_score_of(const json_t *declaration, int scale, const char *text, const char **ret_rest);

/* How good a word or emoji is, from 0 (worst) to 4 (best); -1 when it says nothing of the kind. */
int survey_word_quality(const char *text);
/* "three", "drei", "三": 1 to 10, or 0. */
int survey_word_number(const char *text);

#endif
