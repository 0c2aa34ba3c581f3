/* What the files of the memory store share. */
#ifndef DOMAIN_MEMORY_STORE_WORLD_H
#define DOMAIN_MEMORY_STORE_WORLD_H

#include "domain/memory_store.h"

struct memory_store {
    struct rows *rows;
    json_t *by_provider_id; /* object: "SOURCE ID" -> message row, or an array of them */
    json_t *deliveries;     /* array of rows, as made */
    size_t first_queued;    /* deliveries before this one have ended */
    json_t *events;         /* array: internal events that wait */
    size_t next_event;
};

/* The message that the source knows by this id, borrowed, or NULL. */
json_t *memory_store_by_provider_id(const struct memory_store *store, const char *source, const char *id);

#endif
