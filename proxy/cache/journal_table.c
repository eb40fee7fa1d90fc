/* See journal_table.h. The same way of growing as in l1_shard.c, for readers under a lock. */
#include "cache/journal_table.h"

#include <stdlib.h>

#include "base/mem.h"

#define BITS_MIN  8
#define MOVE_STEP 8 /* old chains moved at each insertion */

static void chains_init(struct jchains *c, unsigned bits)
{
    c->bits = bits;
    c->heads = xcalloc((size_t)1 << bits, sizeof(struct jnode *));
    c->filter = xcalloc((size_t)1 << bits, sizeof(uint16_t));
}

static void chains_fini(struct jchains *c)
{
    free(c->heads);
    free(c->filter);
    *c = (struct jchains){0};
}

static size_t chain_index(const struct jchains *c, uint64_t key)
{
    return key >> (64 - c->bits);
}

static uint16_t filter_bit(uint64_t key)
{
    return (uint16_t)(1u << (key >> 20 & 15));
}

static void chains_add(struct jchains *c, struct jnode *n)
{
    size_t i = chain_index(c, n->key);
    n->next = c->heads[i];
    c->heads[i] = n;
    c->filter[i] |= filter_bit(n->key);
}

static void chains_remove(struct jchains *c, struct jnode *node)
{
    size_t i = chain_index(c, node->key);
    uint16_t filter = 0;
    struct jnode **link = &c->heads[i];
    while (*link != NULL) {
        if (*link == node) {
            *link = node->next;
        } else {
            filter |= filter_bit((*link)->key);
            link = &(*link)->next;
        }
    }
    c->filter[i] = filter;
}

/* The array that holds or would hold this key. */
static bool in_old(const struct jtable *t, uint64_t key)
{
    return t->old.heads != NULL && chain_index(&t->old, key) >= t->moved;
}

void jtable_init(struct jtable *t)
{
    *t = (struct jtable){0};
    chains_init(&t->now, BITS_MIN);
}

void jtable_fini(struct jtable *t)
{
    chains_fini(&t->now);
    chains_fini(&t->old);
}

struct jnode *jtable_first(const struct jtable *t, uint64_t key)
{
    const struct jchains *c = in_old(t, key) ? &t->old : &t->now;
    struct jnode *n = c->heads[chain_index(c, key)];
    while (n != NULL && n->key != key) {
        n = n->next;
    }
    return n;
}

struct jnode *jtable_next(const struct jnode *node)
{
    struct jnode *n = node->next;
    while (n != NULL && n->key != node->key) {
        n = n->next;
    }
    return n;
}

static void move_some(struct jtable *t)
{
    size_t size = (size_t)1 << t->old.bits;
    for (int i = 0; i < MOVE_STEP && t->moved < size; i++) {
        struct jnode *n = t->old.heads[t->moved++];
        while (n != NULL) {
            struct jnode *next = n->next;
            chains_add(&t->now, n);
            n = next;
        }
    }
    if (t->moved == size) {
        chains_fini(&t->old);
    }
}

void jtable_add(struct jtable *t, struct jnode *node)
{
    chains_add(in_old(t, node->key) ? &t->old : &t->now, node);
    t->count++;
    if (t->old.heads != NULL) {
        move_some(t);
    } else if (t->count > (size_t)1 << t->now.bits) {
        t->old = t->now;
        t->moved = 0;
        chains_init(&t->now, t->old.bits + 1);
    }
}

void jtable_remove(struct jtable *t, struct jnode *node)
{
    chains_remove(in_old(t, node->key) ? &t->old : &t->now, node);
    t->count--;
}
