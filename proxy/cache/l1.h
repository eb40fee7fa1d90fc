/*
 * The memory tier: a sharded hash table of entries, bounded in bytes, with S3-FIFO eviction.
 * Any thread; each operation takes one shard lock for a few instructions, never across I/O.
 */
#ifndef CACHE_L1_H
#define CACHE_L1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/entry.h"

struct l1;

/* capacity in bytes, over all shards; counts each entry's whole allocation and its share of the
 * tables. max_object is the largest entry worth keeping: there are as many shards (at most 64)
 * as leave each of them room for several of that size. */
struct l1 *l1_new(uint64_t capacity, uint64_t max_object) __attribute__((warn_unused_result));
void l1_free(struct l1 *c);

/* A reference to the resident entry with exactly this name and host, or NULL. Counts a use. */
struct entry *l1_get(struct l1 *c, uint64_t hash, struct str name, struct str host)
    __attribute__((warn_unused_result));

/* The same without counting a use. */
struct entry *l1_peek(struct l1 *c, uint64_t hash, struct str name, struct str host)
    __attribute__((warn_unused_result));

/* Makes e resident (takes its own reference), replacing an entry of the same name and host,
 * whose place in the queues it takes. An entry is put once: false when it was put before, or is
 * larger than a shard (then nothing changes). */
bool l1_put(struct l1 *c, struct entry *e);

/* Removes e if it is still the resident entry of its name. */
void l1_remove(struct l1 *c, struct entry *e);

/* Removes everything. */
void l1_clear(struct l1 *c);

/* Changes the capacity (reload); evicts down to it. The number of shards stays. */
void l1_resize(struct l1 *c, uint64_t capacity);

struct l1_stats {
    uint64_t bytes;     /* charged: allocations and the entries' share of the tables */
    uint64_t entries;   /* resident */
    uint64_t evictions; /* entries that went for lack of room */
    uint64_t capacity;  /* bytes */
};
void l1_stats(struct l1 *c, struct l1_stats *out);

/* Calls fn for each resident entry, shard by shard, holding a reference but not the lock while
 * fn runs; entries that come or go meanwhile may be missed. fn returns false to stop. */
void l1_each(struct l1 *c, bool (*fn)(struct entry *e, void *ctx), void *ctx);

/* A place in a walk; zero is the start. Any values will do: what is out of range is the end. */
struct l1_place {
    uint64_t shard;
    uint64_t at;   /* a hash: order within the shard */
    uint64_t skip; /* entries that fn took before it stopped there */
};

/* One step of a walk that remembers its place: calls fn as l1_each() does for some 64 entries
 * or 512 chains, whichever comes first, and moves *p on. False at the end. When fn returns
 * false, *p stands before the entry that it was given: that one is not taken. */
bool l1_walk(struct l1 *c, struct l1_place *p, bool (*fn)(struct entry *e, void *ctx),
             void *ctx);

#endif
