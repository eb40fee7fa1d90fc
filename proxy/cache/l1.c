/*
 * The memory tier: chooses the shard, locks it, and does outside the lock whatever need not be
 * inside: comparing names, freeing entries, calling back. An entry is found by its 64-bit
 * seeded hash alone; the names are compared after that, and a collision is a miss.
 */
#include "cache/l1.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cache/l1_shard.h"

#define SHARDS_MAX 64
/* A shard has room for this many objects of the largest size, and never less than this. */
#define SHARD_OBJECTS 2
#define SHARD_MIN     ((uint64_t)4 << 20)

struct l1 {
    size_t n_shards; /* a power of two */
    struct l1_shard *shards;
};

struct l1 *l1_new(uint64_t capacity, uint64_t max_object)
{
    struct l1 *c = xmalloc(sizeof(*c));
    c->n_shards = SHARDS_MAX;
    while (c->n_shards > 1 && (capacity / c->n_shards < SHARD_MIN ||
                               capacity / c->n_shards / SHARD_OBJECTS < max_object)) {
        c->n_shards /= 2;
    }
    c->shards = aligned_alloc(_Alignof(struct l1_shard), c->n_shards * sizeof(*c->shards));
    if (c->shards == NULL) {
        abort();
    }
    for (size_t i = 0; i < c->n_shards; i++) {
        l1_shard_init(&c->shards[i], capacity / c->n_shards);
    }
    return c;
}

void l1_free(struct l1 *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->n_shards; i++) {
        l1_shard_fini(&c->shards[i]);
    }
    free(c->shards);
    free(c);
}

/* By the low bits: the shard's table uses the high ones. */
static struct l1_shard *shard_of(struct l1 *c, uint64_t hash)
{
    return &c->shards[hash & (c->n_shards - 1)];
}

/* A 64-bit hash may be another name's: compared without the lock. */
static struct entry *checked(struct entry *e, struct str name, struct str host)
{
    if (e != NULL && !(str_eq(entry_name(e), name) && str_eq(entry_host(e), host))) {
        entry_unref(e);
        return NULL;
    }
    return e;
}

struct entry *l1_get(struct l1 *c, uint64_t hash, struct str name, struct str host)
{
    struct l1_shard *s = shard_of(c, hash);
    pthread_mutex_lock(&s->lock);
    struct entry *e = l1_shard_find(s, hash);
    if (e != NULL) {
        entry_ref(e);
    }
    pthread_mutex_unlock(&s->lock);
    return checked(e, name, host);
}

struct entry *l1_peek(struct l1 *c, uint64_t hash, struct str name, struct str host)
{
    struct l1_shard *s = shard_of(c, hash);
    pthread_mutex_lock(&s->lock);
    struct entry *e = l1_shard_peek(s, hash);
    if (e != NULL) {
        entry_ref(e);
    }
    pthread_mutex_unlock(&s->lock);
    return checked(e, name, host);
}

/* Evicts in steps, so that nobody waits long for the lock. */
static void shard_shrink(struct l1_shard *s)
{
    bool more = true;
    while (more) {
        struct l1_trash trash = {0};
        pthread_mutex_lock(&s->lock);
        more = l1_shard_evict(s, &trash);
        pthread_mutex_unlock(&s->lock);
        l1_trash_empty(&trash);
    }
}

bool l1_put(struct l1 *c, struct entry *e)
{
    struct l1_shard *s = shard_of(c, e->hash);
    struct l1_trash trash = {0};
    uint64_t cost = l1_cost(e);
    entry_ref(e);
    pthread_mutex_lock(&s->lock);
    bool in = cost <= s->capacity && l1_shard_insert(s, e, &trash);
    bool over = l1_shard_evict(s, &trash);
    pthread_mutex_unlock(&s->lock);
    l1_trash_empty(&trash);
    if (!in) {
        entry_unref(e);
    }
    if (over) {
        shard_shrink(s);
    }
    return in;
}

void l1_remove(struct l1 *c, struct entry *e)
{
    struct l1_shard *s = shard_of(c, e->hash);
    struct l1_trash trash = {0};
    pthread_mutex_lock(&s->lock);
    l1_shard_remove(s, e, &trash);
    pthread_mutex_unlock(&s->lock);
    l1_trash_empty(&trash);
}

void l1_clear(struct l1 *c)
{
    for (size_t i = 0; i < c->n_shards; i++) {
        struct l1_shard *s = &c->shards[i];
        bool more = true;
        while (more) {
            struct l1_trash trash = {0};
            pthread_mutex_lock(&s->lock);
            more = l1_shard_clear(s, &trash);
            pthread_mutex_unlock(&s->lock);
            l1_trash_empty(&trash);
        }
    }
}

void l1_resize(struct l1 *c, uint64_t capacity)
{
    for (size_t i = 0; i < c->n_shards; i++) {
        struct l1_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        s->capacity = capacity / c->n_shards;
        pthread_mutex_unlock(&s->lock);
        shard_shrink(s);
    }
}

void l1_stats(struct l1 *c, struct l1_stats *out)
{
    *out = (struct l1_stats){0};
    for (size_t i = 0; i < c->n_shards; i++) {
        struct l1_shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        out->bytes += s->small.bytes + s->main.bytes;
        out->entries += s->count;
        out->evictions += s->evictions;
        out->capacity += s->capacity;
        pthread_mutex_unlock(&s->lock);
    }
}

/* ---- walking ----------------------------------------------------------------------------- */

#define BATCH_ENTRIES 64  /* referenced under one lock, at least one chain */
#define BATCH_CHAINS  512 /* looked at under one lock */

/* Referenced entries; grows when a chain is long. */
struct batch {
    struct entry **list;
    size_t n, cap;
};

static void batch_add(struct batch *b, struct entry *e)
{
    if (b->n == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : 2 * BATCH_ENTRIES;
        b->list = xrealloc(b->list, b->cap * sizeof(struct entry *));
    }
    b->list[b->n++] = entry_ref(e);
}

static void batch_fill(struct batch *b, struct l1_shard *s, uint64_t *cursor)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < BATCH_CHAINS && b->n < BATCH_ENTRIES; i++) {
        struct entry *e = l1_shard_chain(s, cursor);
        for (; e != NULL; e = e->l1_next) {
            batch_add(b, e);
        }
        if (*cursor == 0) {
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* Hands the batch out and empties it; after a false of fn the rest is only given back. */
static bool batch_call(struct batch *b, bool (*fn)(struct entry *e, void *ctx), void *ctx)
{
    bool on = true;
    for (size_t i = 0; i < b->n; i++) {
        on = on && fn(b->list[i], ctx);
        entry_unref(b->list[i]);
    }
    b->n = 0;
    return on;
}

void l1_each(struct l1 *c, bool (*fn)(struct entry *e, void *ctx), void *ctx)
{
    struct batch batch = {0};
    bool on = true;
    for (size_t i = 0; i < c->n_shards && on; i++) {
        uint64_t cursor = 0;
        do {
            batch_fill(&batch, &c->shards[i], &cursor);
            on = batch_call(&batch, fn, ctx);
        } while (on && cursor != 0);
    }
    free(batch.list);
}

bool l1_walk(struct l1 *c, struct l1_place *p, bool (*fn)(struct entry *e, void *ctx),
             void *ctx)
{
    if (p->shard >= c->n_shards) {
        return false;
    }
    struct batch batch = {0};
    uint64_t next = p->at;
    batch_fill(&batch, &c->shards[p->shard], &next);
    size_t i = p->skip < batch.n ? (size_t)p->skip : batch.n;
    bool on = true;
    while (i < batch.n && on) {
        on = fn(batch.list[i], ctx);
        i += on;
    }
    for (size_t k = 0; k < batch.n; k++) {
        entry_unref(batch.list[k]);
    }
    free(batch.list);
    if (!on) {
        p->skip = i;
        return true;
    }
    p->at = next;
    p->skip = 0;
    p->shard += next == 0;
    return p->shard < c->n_shards;
}
