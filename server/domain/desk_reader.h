/* What rules read beyond the facts of their event, with what the desk knows already and the store does not: messages
 * and conversations of this event, and of earlier ones of the same batch. So history() tells the same however events
 * are batched. Internal to domain/. */
#ifndef DOMAIN_DESK_READER_H
#define DOMAIN_DESK_READER_H

#include "domain/scene.h"

/* Borrows both; `store` may be NULL. The reader's functions live as long as `*reader`. */
struct desk_reader {
    const struct desk *desk;
    const struct fact_reader *store;
};
struct fact_reader desk_reader_begin(struct desk_reader *reader, const struct desk *desk);

#endif
