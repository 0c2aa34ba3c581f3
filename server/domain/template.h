/* Declared templates as texts to send: language, variables, and the form that a provider has approved. Pure. */
#ifndef DOMAIN_TEMPLATE_H
#define DOMAIN_TEMPLATE_H

#include "base/error.h"
#include "io/json.h"

/* Appends `text` with each {{name}} replaced. A variable that `vars` (object, may be NULL) lacks is ERR_INVALID when
 * `strict`, else it is left out: "Hi, {{name}}!" becomes "Hi!". */
err_t template_fill(const char *text, const json_t *vars, bool strict, struct buf *out,
                    struct error *reterr) MUST_CHECK;

/* The key of `by_language` that suits best: exactly `wanted`, its base ("pt" for "pt-BR"), another region of the same
 * base, `fallback`, the first. NULL when it is empty. Borrowed. */
const char *template_language(const json_t *by_language, const char *wanted, const char *fallback);

/* A text, or one by language ({"en": "…"}), as declarations give it. Borrowed; NULL when there is none. */
const char *template_localized(const json_t *value, const char *wanted, const char *fallback);

struct rendered {
    json_t *free;         /* {"text", "buttons"?}, new */
    json_t *approved;     /* as in delivery.request, new; NULL when `provider` has not approved one */
    const char *language; /* borrowed from the declaration */
};
/* `declaration` is what rule_set_declaration("template", …) gives. `buttons` (array, may be NULL) replaces the
 * template's own. ERR_INVALID names the missing variable. */
err_t template_render(const json_t *declaration, const json_t *vars, const char *wanted_language, const char *provider,
                      const json_t *buttons, struct rendered *ret_rendered, struct error *reterr) MUST_CHECK;
void rendered_done(struct rendered *rendered);

#endif
