#include "deliver/retry.h"

#include "base/macros.h"

#define SECOND_MS ((msec_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define ASKED_MAX_MS (24 * HOUR_MS)

static const msec_t message_delays[] = {
    5 * SECOND_MS, 30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS,
    2 * HOUR_MS,   4 * HOUR_MS,    4 * HOUR_MS,   6 * HOUR_MS,    6 * HOUR_MS,
};

/* https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Deliverability" */
static const msec_t webhook_delays[] = {
    5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS,  5 * HOUR_MS,
    10 * HOUR_MS,  14 * HOUR_MS,  20 * HOUR_MS,   24 * HOUR_MS,
};

static const msec_t channel_down_delays[] = {
    5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS,      2 * HOUR_MS,  4 * HOUR_MS,
    8 * HOUR_MS,   12 * HOUR_MS,   12 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS,
};

static const struct {
    const msec_t *delays;
    size_t count;
} schedules[] = {
    [RETRY_MESSAGE] = { message_delays, ARRAY_LEN(message_delays) },
    [RETRY_WEBHOOK] = { webhook_delays, ARRAY_LEN(webhook_delays) },
    [RETRY_CHANNEL_DOWN] = { channel_down_delays, ARRAY_LEN(channel_down_delays) },
};

msec_t retry_delay(enum retry_schedule schedule, unsigned attempts, msec_t asked_ms, uint32_t random)
{
    size_t index = attempts > 0 ? attempts - 1 : 0;
    if (index >= schedules[schedule].count) {
        return -1;
    }
    msec_t planned = schedules[schedule].delays[index];
    msec_t jitter = planned / 2 * (msec_t)(random % 1024) / 1024;
    msec_t asked = asked_ms < ASKED_MAX_MS ? asked_ms : ASKED_MAX_MS;
    return (asked > planned ? asked : planned) + jitter;
}
