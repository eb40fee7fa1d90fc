/*
 * A short memory of names whose origin has just failed, so that a dead origin is not asked
 * again for each request that a stale copy can serve. A small, lossy table: a forgotten mark
 * costs one more try. Any thread; no locks.
 */
#ifndef FLOW_BACKOFF_H
#define FLOW_BACKOFF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define BACKOFF_SLOTS 4096u
#define BACKOFF_MS    2000 /* how long a name's origin is left alone */

struct backoff {
    _Atomic uint64_t slots[BACKOFF_SLOTS]; /* high half of the hash, then 100 ms ticks */
};

static inline uint64_t backoff_tick(msec_t now)
{
    return (uint64_t)(now / 100) & 0xffffffffu;
}

/* The origin failed for the name with this hash; now is monotonic. */
static inline void backoff_mark(struct backoff *b, uint64_t hash, msec_t now)
{
    uint64_t mark = (hash & 0xffffffff00000000u) | backoff_tick(now + BACKOFF_MS);
    atomic_store_explicit(&b->slots[hash % BACKOFF_SLOTS], mark, memory_order_relaxed);
}

/* Did it fail less than BACKOFF_MS ago? */
static inline bool backoff_active(struct backoff *b, uint64_t hash, msec_t now)
{
    uint64_t mark = atomic_load_explicit(&b->slots[hash % BACKOFF_SLOTS], memory_order_relaxed);
    return (mark & 0xffffffff00000000u) == (hash & 0xffffffff00000000u) &&
           (mark & 0xffffffffu) > backoff_tick(now);
}

#endif
