/* Inside store/ only: everything known about the people whom events name. */
#ifndef STORE_ENGINE_PEOPLE_H
#define STORE_ENGINE_PEOPLE_H

#include "store/event_names.h"

/* The facts as desk_add_case takes them: the rows of each table, without the tables that have none. In the transaction
 * at hand. `locking`: nobody else changes these people until it ends. New reference in `*ret_facts`. */
err_t engine_read_people(struct pg *pg, const struct event_names *names, bool locking, json_t **ret_facts,
                         struct error *reterr) MUST_CHECK;

#endif
