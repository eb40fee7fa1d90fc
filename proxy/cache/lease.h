/*
 * Leases across nodes (design section 7): of all nodes that share a Redis, one fetches what
 * none has, and the others wait for what it stores. A lease is a key with an expiry, renewed
 * while the fetch lasts; whoever finds it taken waits to be woken through a stream. However
 * long the fetch takes, he waits while the holder gives signs of life; once that one has been
 * silent for what is left of the waiter's budget, the waiter goes on without a lease. So
 * neither a node that died or was cut off nor an ill Redis holds up anybody for longer; `life`
 * is when such a lease may be taken anew.
 *
 *   {PREFIX:NAME}:lease:HASH   TOKEN|EPOCH|SEQ|, then `w` once somebody waits; in the slot of
 *                              the entry PREFIX:NAME. HASH: of the host and the scope
 *   {PREFIX}:wake              stream; k = hash of a lease's key, r = how its fetch ended; or
 *                              k = an instance, r = it holds leases and lives
 *
 * Nothing depends on it: when Redis is ill, slow or has forgotten, everybody fetches for
 * himself. The joining rule of design section 6 holds: nobody waits for a fetch that is older
 * than an invalidation of what it brings; he takes the lease over instead. Each lease has a
 * fence, Redis's time when it was taken; with it a late store never replaces what the holder
 * of a later lease has stored (cache/l2).
 *
 * An instance belongs to its worker's loop, like the redis instance that it is given.
 */
#ifndef CACHE_LEASE_H
#define CACHE_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/l2.h"
#include "cache/redis.h"
#include "cache/stamp.h"

struct journal;
struct lease;
struct leases;

/* What all instances of a process have done. Any thread. */
struct lease_counters {
    _Atomic uint64_t taken;     /* leases got */
    _Atomic uint64_t waited;    /* times that another node's was waited for */
    _Atomic uint64_t woken;     /* … until that node had stored its answer */
    _Atomic uint64_t unshared;  /* … which may not be shared */
    _Atomic uint64_t failed;    /* … whose fetch failed */
    _Atomic uint64_t expired;   /* … which did not come back */
    _Atomic uint64_t silent;    /* … which gave no sign of life */
    _Atomic uint64_t displaced; /* leases of fetches older than an invalidation, taken over */
    _Atomic uint64_t lost;      /* own ones that ran out or were taken over */
    _Atomic uint64_t repeated;  /* own ones whose giving back failed at first */
    _Atomic uint64_t fenced;    /* late stores that were refused */
    _Atomic uint64_t fallbacks; /* fetches without a lease because Redis gave no answer */
};

struct lease_options {
    struct redis *redis; /* must outlive the instance, as what follows */
    struct loop *loop;
    struct journal *journal;
    struct lease_counters *counters;
    struct str prefix; /* copied */
    msec_t life;       /* a lease that is not renewed is over then */
    msec_t beat;       /* between two signs of life; well below the others' budgets */
};

struct leases *leases_new(const struct lease_options *options)
    __attribute__((warn_unused_result));
/* No callback any more; leases held are left to run out. After l2_free(). */
void leases_free(struct leases *ls);

/* What a lease is wanted for. */
struct lease_quest {
    struct str name, host; /* of the entry; must stay until the end, as type and route */
    uint32_t scope;
    struct str type, route; /* for the joining rule */
    struct str seen;        /* l2_mark() of what was found in Redis under this name */
    msec_t budget;          /* for all commands together; and for a holder's silence */
    msec_t patience;        /* how long to wait for another node; -1: for as long as it takes */
};

enum lease_outcome {
    LEASE_GOT,      /* the caller fetches, and calls lease_release() in the end */
    LEASE_LOOK,     /* Redis holds something else than `seen` by now */
    LEASE_UNSHARED, /* another node's answer turned out not to be for sharing */
    LEASE_NONE,     /* nobody is to be waited for */
};

/* The end of a quest, from the loop, never from inside lease_seek(). Without LEASE_GOT the
 * lease is gone when this returns. */
typedef void lease_done_fn(void *ctx, struct lease *l, enum lease_outcome outcome);

/* NULL when it is refused at once; then no callback. */
struct lease *lease_seek(struct leases *ls, const struct lease_quest *quest,
                         lease_done_fn *done, void *ctx) __attribute__((warn_unused_result));

/* The key in Redis of the lease for an entry; appended. */
void lease_key(struct str prefix, struct str name, struct str host, uint32_t scope,
               struct strbuf *out);

/* Every quest under way ends now, with LEASE_NONE. */
void leases_give_up(struct leases *ls);

/* In lease_done_fn: the part of the budget that was used. */
msec_t lease_spent(const struct lease *l);

/* With LEASE_GOT: the stamp that others see, taken before the lease was. The fetch must have
 * this one. */
struct stamp lease_stamp(const struct lease *l);

/* Stores an entry under the lease's fence, without waiting. */
void lease_store(struct lease *l, struct l2 *t, const struct entry *e, msec_t now);

/* How a fetch ended, for those who wait on other nodes. */
enum lease_end {
    LEASE_STORED,       /* it is in Redis */
    LEASE_NOT_SHARED,   /* everybody goes to the origin, in parallel */
    LEASE_NOT_IN_REDIS, /* shared within a node only: each node fetches */
    LEASE_FAILED,       /* one of them succeeds */
};

/* Gives the lease back once what was stored has been written; l is not to be used any more. */
void lease_release(struct lease *l, enum lease_end end);

#endif
