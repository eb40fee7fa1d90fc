/* See l1_shard.h; the work done in one call is bounded, as the shard is locked meanwhile. */
#include "cache/l1_shard.h"

#include <stdlib.h>

#include "base/mem.h"

#define BITS_MIN    6
#define REHASH_STEP 4   /* old buckets moved at each insertion */
#define EVICT_STEPS 128 /* entries looked at in one call of l1_shard_evict */
#define SPARED_MAX  64  /* entries of main passed over before one goes all the same */
#define GHOST_WAYS  4
/* Chosen by the traces of tests/unit/test_l1.c: one use in small earns a place in main, and two
 * rounds without a use lose it. The paper's 2 and 3 hit less on each of them. */
#define FREQ_PROMOTE 1
#define FREQ_MAX     2

/* Share of the tables: a bucket (5 to 11 bytes) and a fingerprint (3 to 5). */
#define TABLE_COST 12

/* Values of entry.q. */
enum queue {
    Q_NEVER, /* not put yet */
    Q_SMALL,
    Q_MAIN,
    Q_GONE, /* was resident */
};

uint64_t l1_cost(const struct entry *e)
{
    /* glibc: 8 bytes in front, rounded up to 16. */
    return ((entry_size(e) + 8 + 15) & ~(uint64_t)15) + TABLE_COST;
}

void l1_shard_init(struct l1_shard *s, uint64_t capacity)
{
    *s = (struct l1_shard){.bits = BITS_MIN, .capacity = capacity};
    pthread_mutex_init(&s->lock, NULL);
    s->buckets = xcalloc((size_t)1 << s->bits, sizeof(struct entry *));
    s->ghost = xcalloc((size_t)1 << s->bits, sizeof(uint32_t));
}

void l1_shard_fini(struct l1_shard *s)
{
    bool more = true;
    while (more) {
        struct l1_trash trash = {0};
        more = l1_shard_clear(s, &trash);
        l1_trash_empty(&trash);
    }
    free(s->buckets);
    free(s->old);
    free(s->ghost);
    pthread_mutex_destroy(&s->lock);
}

/* ---- trash ------------------------------------------------------------------------------- */

static void discard_entry(struct l1_trash *trash, struct entry *e)
{
    e->q = Q_GONE;
    e->l1_next = trash->entries;
    trash->entries = e;
}

static void discard_block(struct l1_trash *trash, void *block)
{
    trash->blocks[trash->n_blocks++] = block;
}

void l1_trash_empty(struct l1_trash *trash)
{
    while (trash->entries != NULL) {
        struct entry *e = trash->entries;
        trash->entries = e->l1_next;
        entry_unref(e);
    }
    while (trash->n_blocks > 0) {
        free(trash->blocks[--trash->n_blocks]);
    }
}

/* ---- table ------------------------------------------------------------------------------- */

/* The chain that holds or would hold this hash. */
static struct entry **chain_of(const struct l1_shard *s, uint64_t hash)
{
    if (s->old != NULL) {
        size_t i = hash >> (64 - s->old_bits);
        if (i >= s->moved) {
            return &s->old[i];
        }
    }
    return &s->buckets[hash >> (64 - s->bits)];
}

/* The link that points to the entry with this hash, or to NULL at the chain's end. */
static struct entry **link_of(const struct l1_shard *s, uint64_t hash)
{
    struct entry **link = chain_of(s, hash);
    while (*link != NULL && (*link)->hash != hash) {
        link = &(*link)->l1_next;
    }
    return link;
}

static void table_move_some(struct l1_shard *s, struct l1_trash *trash)
{
    size_t size = (size_t)1 << s->old_bits;
    for (int i = 0; i < REHASH_STEP && s->moved < size; i++) {
        struct entry *e = s->old[s->moved++];
        while (e != NULL) {
            struct entry *next = e->l1_next;
            struct entry **to = &s->buckets[e->hash >> (64 - s->bits)];
            e->l1_next = *to;
            *to = e;
            e = next;
        }
    }
    if (s->moved == size) {
        discard_block(trash, s->old);
        s->old = NULL;
    }
}

/* The ghost starts anew at each growth: mostly it is empty then, as nothing was evicted. */
static void table_grow(struct l1_shard *s, struct l1_trash *trash)
{
    discard_block(trash, s->ghost);
    s->old = s->buckets;
    s->old_bits = s->bits;
    s->moved = 0;
    s->bits++;
    s->buckets = xcalloc((size_t)1 << s->bits, sizeof(struct entry *));
    s->ghost = xcalloc((size_t)1 << s->bits, sizeof(uint32_t));
}

static void table_care(struct l1_shard *s, struct l1_trash *trash)
{
    if (s->old != NULL) {
        table_move_some(s, trash);
    } else if (s->count > (size_t)3 << s->bits >> 1) {
        table_grow(s, trash);
    }
}

struct entry *l1_shard_chain(const struct l1_shard *s, uint64_t *cursor)
{
    struct entry *chain = *chain_of(s, *cursor);
    bool in_old = s->old != NULL && *cursor >> (64 - s->old_bits) >= s->moved;
    unsigned shift = 64 - (in_old ? s->old_bits : s->bits);
    *cursor = ((*cursor >> shift) + 1) << shift;
    return chain;
}

/* ---- queues ------------------------------------------------------------------------------ */

static void queue_push(struct l1_shard *s, enum queue q, struct entry *e)
{
    struct l1_queue *queue = q == Q_MAIN ? &s->main : &s->small;
    e->q = (uint8_t)q;
    e->q_prev = NULL;
    e->q_next = queue->head;
    if (queue->head != NULL) {
        queue->head->q_prev = e;
    } else {
        queue->tail = e;
    }
    queue->head = e;
    queue->bytes += l1_cost(e);
}

static void queue_remove(struct l1_shard *s, struct entry *e)
{
    struct l1_queue *queue = e->q == Q_MAIN ? &s->main : &s->small;
    if (e->q_prev != NULL) {
        e->q_prev->q_next = e->q_next;
    } else {
        queue->head = e->q_next;
    }
    if (e->q_next != NULL) {
        e->q_next->q_prev = e->q_prev;
    } else {
        queue->tail = e->q_prev;
    }
    queue->bytes -= l1_cost(e);
}

/* Four fingerprints that this hash may be among. */
static uint32_t *ghost_set(const struct l1_shard *s, uint64_t hash)
{
    size_t sets = ((size_t)1 << s->bits) / GHOST_WAYS;
    return &s->ghost[(hash >> 8 & (sets - 1)) * GHOST_WAYS];
}

static uint32_t fingerprint(uint64_t hash)
{
    uint32_t f = (uint32_t)(hash >> 32);
    return f != 0 ? f : 1;
}

static void ghost_add(struct l1_shard *s, uint64_t hash)
{
    uint32_t *set = ghost_set(s, hash);
    memmove(set + 1, set, (GHOST_WAYS - 1) * sizeof(*set));
    set[0] = fingerprint(hash);
}

/* Was it there? It is not any more. */
static bool ghost_take(struct l1_shard *s, uint64_t hash)
{
    uint32_t *set = ghost_set(s, hash);
    for (int i = 0; i < GHOST_WAYS; i++) {
        if (set[i] == fingerprint(hash)) {
            set[i] = 0;
            return true;
        }
    }
    return false;
}

/* ---- operations -------------------------------------------------------------------------- */

struct entry *l1_shard_find(struct l1_shard *s, uint64_t hash)
{
    struct entry *e = *link_of(s, hash);
    if (e != NULL) {
        /* Others only read it under this lock; a store that changes nothing is left out, so
         * that a hot entry's cache line stays shared. */
        unsigned freq = atomic_load_explicit(&e->freq, memory_order_relaxed);
        if (freq < FREQ_MAX) {
            atomic_store_explicit(&e->freq, (uint8_t)(freq + 1), memory_order_relaxed);
        }
    }
    return e;
}

struct entry *l1_shard_peek(struct l1_shard *s, uint64_t hash)
{
    return *link_of(s, hash);
}

static void unlink_entry(struct l1_shard *s, struct entry **link, struct l1_trash *trash)
{
    struct entry *e = *link;
    *link = e->l1_next;
    queue_remove(s, e);
    s->count--;
    discard_entry(trash, e);
}

bool l1_shard_insert(struct l1_shard *s, struct entry *e, struct l1_trash *trash)
{
    struct entry **link = link_of(s, e->hash);
    if (e->q != Q_NEVER) {
        return false;
    }
    enum queue q = Q_SMALL;
    if (*link != NULL) {
        q = (enum queue)(*link)->q;
        atomic_store_explicit(&e->freq, atomic_load(&(*link)->freq), memory_order_relaxed);
        unlink_entry(s, link, trash);
    } else if (ghost_take(s, e->hash)) {
        q = Q_MAIN;
    }
    struct entry **chain = chain_of(s, e->hash);
    e->l1_next = *chain;
    *chain = e;
    queue_push(s, q, e);
    s->count++;
    table_care(s, trash);
    return true;
}

void l1_shard_remove(struct l1_shard *s, struct entry *e, struct l1_trash *trash)
{
    struct entry **link = link_of(s, e->hash);
    if (*link == e) {
        unlink_entry(s, link, trash);
    }
}

static void evict(struct l1_shard *s, struct entry *e, struct l1_trash *trash)
{
    unlink_entry(s, link_of(s, e->hash), trash);
    s->evictions++;
}

static void evict_small(struct l1_shard *s, struct l1_trash *trash)
{
    struct entry *e = s->small.tail;
    if (atomic_load_explicit(&e->freq, memory_order_relaxed) >= FREQ_PROMOTE) {
        queue_remove(s, e);
        atomic_store_explicit(&e->freq, 0, memory_order_relaxed);
        queue_push(s, Q_MAIN, e);
    } else {
        ghost_add(s, e->hash);
        evict(s, e, trash);
    }
}

/* True when an entry went, false when one was spared. */
static bool evict_main(struct l1_shard *s, bool spare, struct l1_trash *trash)
{
    struct entry *e = s->main.tail;
    unsigned freq = atomic_load_explicit(&e->freq, memory_order_relaxed);
    if (freq > 0 && spare) {
        queue_remove(s, e);
        atomic_store_explicit(&e->freq, (uint8_t)(freq - 1), memory_order_relaxed);
        queue_push(s, Q_MAIN, e);
        return false;
    }
    evict(s, e, trash);
    return true;
}

bool l1_shard_evict(struct l1_shard *s, struct l1_trash *trash)
{
    int spared = 0;
    for (int i = 0; i < EVICT_STEPS && s->small.bytes + s->main.bytes > s->capacity; i++) {
        if (s->main.tail == NULL ||
            (s->small.tail != NULL && s->small.bytes > s->capacity / 10)) {
            evict_small(s, trash);
        } else {
            spared = evict_main(s, spared < SPARED_MAX, trash) ? 0 : spared + 1;
        }
    }
    return s->small.bytes + s->main.bytes > s->capacity;
}

bool l1_shard_clear(struct l1_shard *s, struct l1_trash *trash)
{
    for (int i = 0; i < EVICT_STEPS && s->count > 0; i++) {
        struct entry *e = s->small.tail != NULL ? s->small.tail : s->main.tail;
        unlink_entry(s, link_of(s, e->hash), trash);
    }
    return s->count > 0;
}
