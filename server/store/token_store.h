/* The tokens of the API: only their digests are kept. Blocking. */
#ifndef STORE_TOKEN_STORE_H
#define STORE_TOKEN_STORE_H

#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* `digest` is the SHA-256 of the token as it is sent. */
err_t token_store_add(struct pg *pg, const char *name, struct bytes digest, const struct bytes *scopes,
                      size_t scope_count, int64_t *ret_id, struct error *reterr) MUST_CHECK;
/* Array of {id, name, scopes, created_at, last_used_at, revoked_at}, oldest first. */
err_t token_store_list(struct pg *pg, json_t **ret_tokens, struct error *reterr) MUST_CHECK;
/* ERR_NOT_FOUND: there is none with this id that is in force. */
err_t token_store_revoke(struct pg *pg, int64_t id, struct error *reterr) MUST_CHECK;

#endif
