/*
 * A circuit breaker: CLOSED lets everything through; after some consecutive failures, or too
 * many among the last ones, it is OPEN for a back-off; then HALF_OPEN, and one probe decides.
 * Pure: time and randomness are given. Used by redis_peer, one for each role and server.
 */
#ifndef CACHE_REDIS_BREAKER_H
#define CACHE_REDIS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define REDIS_BREAKER_MAX_WINDOW 64

struct redis_breaker_settings {
    unsigned failures; /* consecutive ones that open it */
    unsigned percent;  /* of failures among the last `window` that open it; over 100: never */
    unsigned window;   /* 1 to REDIS_BREAKER_MAX_WINDOW */
    msec_t min;        /* first back-off */
    msec_t max;        /* longest; each opening soon after a closing doubles it */
};

enum redis_breaker_state {
    REDIS_BREAKER_CLOSED,
    REDIS_BREAKER_OPEN,      /* nothing goes through until retry_at */
    REDIS_BREAKER_HALF_OPEN, /* one probe is under way */
    REDIS_BREAKER_STATES
};

struct redis_breaker {
    const struct redis_breaker_settings *settings;
    enum redis_breaker_state state;
    unsigned consecutive; /* failures */
    uint64_t history;     /* last results, newest in bit 0; 1: failure */
    unsigned n_history;   /* results in it */
    msec_t backoff;       /* of the last opening; 0: none yet */
    msec_t retry_at;      /* OPEN: when a probe is due */
    msec_t closed_at;     /* when it last closed */
};

void redis_breaker_init(struct redis_breaker *b, const struct redis_breaker_settings *settings);

static inline bool redis_breaker_allows(const struct redis_breaker *b)
{
    return b->state == REDIS_BREAKER_CLOSED;
}

/* Something that went through went well. */
void redis_breaker_success(struct redis_breaker *b);

/* … or failed. True when this opens it. A failure while it is open does not prolong that. */
bool redis_breaker_failure(struct redis_breaker *b, msec_t now, uint32_t random);

/* OPEN and due: becomes HALF_OPEN, and the caller sends a probe. */
bool redis_breaker_try(struct redis_breaker *b, msec_t now);

/* The end of the probe, or other proof while it is open. True when it closes. */
bool redis_breaker_probed(struct redis_breaker *b, bool ok, msec_t now, uint32_t random);

#endif
