/*
 * Patience with slow peers. A pause of `timeout` ends the patience, and so does a peer that
 * keeps moving but for so little that it would hold its place for ever: after the first
 * `timeout` it must have moved `rate` bytes for each second that was waited for it (hardening
 * R1). Only time spent waiting for the peer counts; who is held up by others is not slow.
 *
 * Used by flow/client for request bodies and for what it sends. Plain arithmetic on times that
 * the caller gives; owns nothing.
 */
#ifndef FLOW_PACE_H
#define FLOW_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

/* Zero-initialised: not waiting, nothing moved. */
struct pace {
    msec_t waited; /* before the current wait */
    msec_t since;  /* start of the current wait */
    int64_t base;  /* the peer's count of bytes at the start */
    int64_t last;  /* the same when it was looked at last */
    bool waiting;
};

/* Begins anew at this count of bytes, waiting. */
void pace_start(struct pace *p, msec_t now, int64_t bytes);

/* Waits again after pace_pause(); idempotent. */
void pace_resume(struct pace *p, msec_t now);
/* It is no longer the peer who is waited for; idempotent. */
void pace_pause(struct pace *p, msec_t now);

/* The wait is still on and the peer's count is `bytes` now: how many ms it may take until the
 * next byte, 0 when it has been too slow, at most `timeout`. rate: bytes per second, 0: any. */
msec_t pace_patience(struct pace *p, msec_t now, int64_t bytes, msec_t timeout, size_t rate);

/* Has nothing moved since pace_patience() was asked last (or since the start)? */
bool pace_stalled(const struct pace *p, int64_t bytes);

#endif
