/*
 * The allowance is timeout + moved / rate; patience is what is left of it.
 */
#include "flow/pace.h"

void pace_start(struct pace *p, msec_t now, int64_t bytes)
{
    *p = (struct pace){.since = now, .base = bytes, .last = bytes, .waiting = true};
}

void pace_resume(struct pace *p, msec_t now)
{
    if (!p->waiting) {
        p->since = now;
        p->waiting = true;
    }
}

void pace_pause(struct pace *p, msec_t now)
{
    if (p->waiting) {
        p->waited += now - p->since;
        p->waiting = false;
    }
}

msec_t pace_patience(struct pace *p, msec_t now, int64_t bytes, msec_t timeout, size_t rate)
{
    p->last = bytes;
    if (rate == 0) {
        return timeout;
    }
    int64_t moved = bytes > p->base ? bytes - p->base : 0;
    /* Beyond this many bytes the allowance exceeds anything that was waited for. */
    if (moved > INT64_MAX / 1000) {
        return timeout;
    }
    msec_t left = timeout + moved * 1000 / (int64_t)rate - p->waited;
    if (p->waiting) {
        left -= now - p->since;
    }
    if (left < 0) {
        return 0;
    }
    return left < timeout ? left : timeout;
}

bool pace_stalled(const struct pace *p, int64_t bytes)
{
    return bytes <= p->last;
}
