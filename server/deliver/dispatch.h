/* Pure: what may leave, and how, decided at the moment of sending and not when the rule ran. */
#ifndef DELIVER_DISPATCH_H
#define DELIVER_DISPATCH_H

#include "base/clock.h"
#include "channel/channel.h"
#include "io/json.h"

enum dispatch_verdict {
    DISPATCH_FREE,     /* send the free form */
    DISPATCH_APPROVED, /* send the approved template */
    DISPATCH_BLOCKED,  /* must not be sent; `reason` is recorded */
};

struct dispatch {
    enum dispatch_verdict verdict;
    const char *code;   /* of a block: "opted_out", "unreachable", "window_closed", "erased", "nothing_to_send" */
    const char *reason; /* of a block, for a person; a constant */
};

/* `delivery` is one claimed message as deliver_store_claim() gives it; `kind` is that of its source. */
struct dispatch dispatch_decide(const json_t *delivery, const struct channel_kind *kind, msec_t now);

#endif
