/*
 * The breaker. The back-off doubles when it opens again soon after it closed, so that a server
 * that answers probes and nothing else is left alone for longer and longer.
 */
#include "cache/redis_breaker.h"

void redis_breaker_init(struct redis_breaker *b, const struct redis_breaker_settings *settings)
{
    *b = (struct redis_breaker){.settings = settings, .closed_at = INT64_MIN / 2};
}

static void history_add(struct redis_breaker *b, bool failure)
{
    b->history = b->history << 1 | failure;
    if (b->n_history < b->settings->window) {
        b->n_history++;
    }
}

static unsigned history_failures(const struct redis_breaker *b)
{
    uint64_t mask =
        b->settings->window >= 64 ? UINT64_MAX : (UINT64_C(1) << b->settings->window) - 1;
    return (unsigned)__builtin_popcountll(b->history & mask);
}

/* Three quarters of the back-off and up to a quarter more of it. */
static msec_t jittered(msec_t backoff, uint32_t random)
{
    msec_t quarter = backoff / 4;
    return backoff - quarter + (msec_t)(random % (uint32_t)(2 * quarter + 1));
}

static void open_for(struct redis_breaker *b, msec_t backoff, msec_t now, uint32_t random)
{
    b->state = REDIS_BREAKER_OPEN;
    b->backoff = backoff < b->settings->max ? backoff : b->settings->max;
    b->retry_at = now + jittered(b->backoff, random);
    b->consecutive = 0;
    b->history = 0;
    b->n_history = 0;
}

void redis_breaker_success(struct redis_breaker *b)
{
    b->consecutive = 0;
    if (b->state == REDIS_BREAKER_CLOSED) {
        history_add(b, false);
    }
}

bool redis_breaker_failure(struct redis_breaker *b, msec_t now, uint32_t random)
{
    const struct redis_breaker_settings *s = b->settings;
    if (b->state != REDIS_BREAKER_CLOSED) {
        return false;
    }
    b->consecutive++;
    history_add(b, true);
    bool many =
        b->n_history == s->window && history_failures(b) * 100 >= s->percent * s->window;
    if (b->consecutive < s->failures && !many) {
        return false;
    }
    bool soon = b->backoff > 0 && now - b->closed_at < 2 * s->max;
    open_for(b, soon ? b->backoff * 2 : s->min, now, random);
    return true;
}

bool redis_breaker_try(struct redis_breaker *b, msec_t now)
{
    if (b->state != REDIS_BREAKER_OPEN || now < b->retry_at) {
        return false;
    }
    b->state = REDIS_BREAKER_HALF_OPEN;
    return true;
}

bool redis_breaker_probed(struct redis_breaker *b, bool ok, msec_t now, uint32_t random)
{
    if (b->state == REDIS_BREAKER_CLOSED) {
        return false;
    }
    if (!ok) {
        if (b->state == REDIS_BREAKER_HALF_OPEN) {
            open_for(b, b->backoff * 2, now, random);
        }
        return false;
    }
    b->state = REDIS_BREAKER_CLOSED;
    b->closed_at = now;
    return true;
}
