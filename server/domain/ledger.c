#include "domain/ledger.h"

#include <string.h>

static const struct {
    const char *name;
    int rank;
    const char *time_column;
} states[] = {
    { "queued", 1, "queued_at" }, { "sending", 2, NULL },
    { "unknown", 3, NULL },       { "blocked", 4, NULL },
    { "canceled", 4, NULL },      { "sent", 5, "sent_at" },
    { "failed", 6, "failed_at" }, { "delivered", 7, "delivered_at" },
    { "read", 8, "read_at" },
};

static int find(const char *name)
{
    if (name && strcmp(name, "played") == 0)
        name = "read";
    for (size_t i = 0; name && i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(states[i].name, name) == 0)
            return (int)i;
    return -1;
}

bool ledger_is_reported(const char *state)
{
    int index = find(state);
    return index >= 0 && states[index].rank >= 5;
}

const char *ledger_merge(const char *current, const char *arriving)
{
    int now = find(current), then = find(arriving);
    if (then < 0 || (now >= 0 && states[then].rank <= states[now].rank))
        return current;
    return states[then].name;
}

void ledger_apply(json_t *message, const char *state, msec_t at, const char *error_code, const char *reason)
{
    int index = find(state);
    if (index < 0)
        return;
    const char *column = states[index].time_column;
    msec_t known = column ? json_time(message, column, 0) : 0;
    if (column && (known == 0 || at < known))
        json_put_time(message, column, at);
    const char *current = json_str_or(message, "state", "");
    const char *merged = ledger_merge(current, state);
    if (strcmp(merged, current) == 0)
        return;
    json_put_str(message, "state", merged);
    if (strcmp(merged, "failed") == 0) {
        json_put_str(message, "error_code", error_code);
        json_put_str(message, "reason", reason);
    } else {
        json_object_del(message, "error_code");
        json_object_del(message, "reason");
    }
}
