/* Inside store/ only: events with the facts about their people, as an engine claims them. */
#ifndef STORE_ENGINE_CLAIM_H
#define STORE_ENGINE_CLAIM_H

#include "store/store.h"

/* The events of a replay that are to be handled, of the transaction at hand; nobody is locked. */
err_t engine_claim_replay(struct pg *pg, int64_t replay_id, struct claim *ret_claim, struct error *reterr) MUST_CHECK;

#endif
