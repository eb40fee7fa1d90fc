/*
 * One shard of the memory tier: hash table, the three queues of S3-FIFO, byte account. Private
 * to l1.c, which holds the shard's lock around every call but init, fini and l1_trash_empty().
 * Nothing is freed under the lock: what goes is put on the caller's trash.
 *
 *   table   chains by the hash's high bits; grows by doubling, a few buckets at each insertion.
 *           Bucket order is hash order, so a walk's cursor (a hash) survives growth.
 *   small   new entries, a tenth of the bytes; used there: on to main, else to the ghost
 *   main    entries that proved themselves; evicted when not used since the last look
 *   ghost   fingerprints of what small lost lately; who comes back goes straight to main
 *
 * S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023).
 */
#ifndef CACHE_L1_SHARD_H
#define CACHE_L1_SHARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/entry.h"

/* Doubly linked through q_prev and q_next; new entries at the head. */
struct l1_queue {
    struct entry *head, *tail;
    uint64_t bytes;
};

struct l1_shard {
    pthread_mutex_t lock;
    struct entry **buckets; /* 2^bits chains, for up to half as many entries again */
    unsigned bits;
    unsigned old_bits;
    struct entry **old; /* while growing: the former table, NULL otherwise */
    size_t moved;       /* its buckets below this are in the new table already */
    size_t count;       /* resident entries */
    struct l1_queue small, main;
    uint32_t *ghost; /* 2^bits fingerprints in sets of four, newest first in each */
    uint64_t capacity;
    uint64_t evictions;
} __attribute__((aligned(64)));

/* What the caller releases after unlocking. */
struct l1_trash {
    struct entry *entries; /* through l1_next; one reference each */
    void *blocks[4];       /* former tables */
    size_t n_blocks;
};

void l1_shard_init(struct l1_shard *s, uint64_t capacity);

/* Gives all references back. */
void l1_shard_fini(struct l1_shard *s);

/* Bytes charged for an entry. */
uint64_t l1_cost(const struct entry *e);

/* The resident entry with this hash, or NULL; counts a use. */
struct entry *l1_shard_find(struct l1_shard *s, uint64_t hash);

/* The same without counting. */
struct entry *l1_shard_peek(struct l1_shard *s, uint64_t hash);

/* Makes e resident, consuming one reference if it returns true; replaces what has its hash. */
bool l1_shard_insert(struct l1_shard *s, struct entry *e, struct l1_trash *trash);

/* Removes e if it is resident. */
void l1_shard_remove(struct l1_shard *s, struct entry *e, struct l1_trash *trash);

/* Does a bounded amount of eviction; true when the shard still exceeds its capacity. */
bool l1_shard_evict(struct l1_shard *s, struct l1_trash *trash);

/* Removes a bounded number of entries; true when there are more. */
bool l1_shard_clear(struct l1_shard *s, struct l1_trash *trash);

/* The chain that a walk has reached at *cursor (0 to start with); moves the cursor to the next
 * one, 0 after the last. */
struct entry *l1_shard_chain(const struct l1_shard *s, uint64_t *cursor);

void l1_trash_empty(struct l1_trash *trash);

#endif
