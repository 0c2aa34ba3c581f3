/* The effects that rules and agents ask for, applied to the facts. Internal to domain/. */
#ifndef DOMAIN_EFFECT_H
#define DOMAIN_EFFECT_H

#include "domain/scene.h"

/* Applies all of them in order, together or not at all. Each effect object gets `made` or `refused`. On failure the
 * facts are as before, and the error is "LINE: EFFECT: reason" or, when the line is unknown, "EFFECT: reason". */
err_t effects_apply(struct scene *scene, json_t *effects, struct error *reterr) MUST_CHECK;

#endif
