#include "base/backoff.h"

msec_t backoff_delay(unsigned attempt, msec_t base, msec_t max, uint32_t random)
{
    if (base < 1)
        base = 1;
    if (max < base)
        max = base;
    msec_t delay = base;
    for (unsigned i = 1; i < attempt && delay < max; i++)
        delay = delay > max / 2 ? max : delay * 2;
    msec_t half = delay / 2;
    return delay - half + (msec_t)(random % (uint64_t)(half + 1));
}
