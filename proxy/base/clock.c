/* The two clocks, through the vDSO: a call costs some 20 ns, so loops keep a copy per turn. */
#include "base/clock.h"

#include <time.h>

static msec_t clock_read(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (msec_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

msec_t clock_monotonic(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

msec_t clock_wall(void)
{
    return clock_read(CLOCK_REALTIME);
}
