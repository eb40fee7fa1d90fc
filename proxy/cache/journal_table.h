/*
 * Chained hash table over 64-bit keys with the link inside the item; several items may have one
 * key. Grows by doubling, a few chains at each insertion. Most lookups are for keys that are
 * not there: a filter of two bytes for each chain, small enough to stay in the processor's
 * cache, answers nearly all of them. Private to the journal, which locks.
 */
#ifndef CACHE_JOURNAL_TABLE_H
#define CACHE_JOURNAL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of every item. */
struct jnode {
    struct jnode *next;
    uint64_t key; /* well mixed: the table uses its high bits */
};

/* One array of 2^bits chains. */
struct jchains {
    struct jnode **heads;
    uint16_t *filter; /* for each chain, a bit for each item, chosen by its key */
    unsigned bits;
};

struct jtable {
    struct jchains now;
    struct jchains old; /* the former array while growing, else heads is NULL */
    size_t moved;       /* chains of `old` below this are in `now` already */
    size_t count;
};

void jtable_init(struct jtable *t);

/* Releases the table, not the items. */
void jtable_fini(struct jtable *t);

/* False: there is no item with this key. True: there may be one. */
static inline bool jtable_maybe(const struct jtable *t, uint64_t key)
{
    const struct jchains *c = &t->now;
    if (t->old.heads != NULL && key >> (64 - t->old.bits) >= t->moved) {
        c = &t->old;
    }
    return c->filter[key >> (64 - c->bits)] >> (key >> 20 & 15) & 1;
}

/* The first item with this key, the next one after it; NULL when there is none. */
struct jnode *jtable_first(const struct jtable *t, uint64_t key);
struct jnode *jtable_next(const struct jnode *node);

/* Adds an item whose key is set. */
void jtable_add(struct jtable *t, struct jnode *node);

/* Takes an item out that is in. */
void jtable_remove(struct jtable *t, struct jnode *node);

#endif
