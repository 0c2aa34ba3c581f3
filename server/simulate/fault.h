/* What is to go wrong next, for which source and how often. */
#ifndef SIMULATE_FAULT_H
#define SIMULATE_FAULT_H

#include "io/json.h"

enum fault_kind {
    /* instead of an answer */
    FAULT_RATE_LIMIT,
    FAULT_PAIR_LIMIT,
    FAULT_SERVER_ERROR, /* not accepted */
    FAULT_REFUSE,       /* with `number` as the provider's code */
    /* the message is accepted, the sender does not learn it */
    FAULT_DROP_ANSWER,
    FAULT_BAD_GATEWAY,
    FAULT_SLOW, /* answered after `number` ms */
    /* of the status webhooks */
    FAULT_DUPLICATE,
    FAULT_REORDER,
    FAULT_BATCH,
    FAULT_LATE_STATUS, /* `number` ms later */
    FAULT_NO_STATUS,
    FAULT_FAIL_STATUS, /* fails with `number` as the code after it was accepted */
    FAULT_KIND_COUNT,
};

struct fault {
    enum fault_kind kind;
    char source[64]; /* "" for any */
    int64_t number;  /* -1 when not given */
    int64_t times;   /* left; negative for ever */
};

#define MOST_FAULTS 64

struct fault_list {
    struct fault faults[MOST_FAULTS]; /* in the order they were asked for */
    size_t count;
};

const char *fault_name(enum fault_kind kind);

/* {"source", "kind", "times", "code" | "ms" | "number"} */
err_t fault_add_json(struct fault_list *list, const json_t *fault, struct error *reterr) MUST_CHECK;
/* "[SOURCE:]KIND[=NUMBER][*TIMES]", several with commas. */
err_t fault_add_text(struct fault_list *list, const char *text, struct error *reterr) MUST_CHECK;
json_t *fault_list_json(const struct fault_list *list); /* new reference */

/* Uses up one time of the first fault of `source` from `first` to `last`. */
bool fault_take(struct fault_list *list, const char *source, enum fault_kind first, enum fault_kind last,
                struct fault *ret_fault);

#endif
