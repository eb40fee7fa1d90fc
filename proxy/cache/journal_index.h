/*
 * What the journal knows: for every distinct name, type, tag, route and glob the positions of
 * the latest hard and the latest soft record. Pure data; journal.c locks around every call.
 *
 * Bounded in two ways, and both invalidate too much, never too little: records older than any
 * entry can be are forgotten by raising the floor (an entry stamped before the floor is
 * invalid); and above `max` items the oldest are coarsened: a name or glob into its part up to
 * the last `:` and a `*`, a tag into "any tag", the rest into the floor. A coarser item keeps
 * the position of what it replaces, so that it touches only entries older than that.
 *
 * A broader, newer record swallows narrower ones of the same or lesser hardness: "all" by the
 * floor, `x*` by a sweep over some items at each put. The order of the two lists below only
 * decides what goes first; no answer depends on it.
 */
#ifndef CACHE_JOURNAL_INDEX_H
#define CACHE_JOURNAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/journal.h"
#include "cache/journal_shape.h"
#include "cache/journal_table.h"

struct index_item;

/* By age of the latest record. */
struct index_list {
    struct index_item *oldest, *newest;
    size_t count;
};

/* Positions of the latest hard and soft record; 0: none. */
struct index_marks {
    uint64_t hard, soft;
};

struct index {
    struct jtable exact; /* names, types, tags, routes */
    struct jtable globs; /* by anchor */
    struct shapes shapes;
    struct index_list fine;      /* as recorded */
    struct index_list coarse;    /* made by coarsening */
    uint64_t floor;              /* position; entries stamped before it are invalid */
    uint64_t all_soft;           /* latest soft "all" */
    struct index_marks any_tag;  /* coarsened tags */
    uint64_t newest[RECORD_ALL]; /* latest position of each kind, to skip lookups */
    struct index_item *sweep;    /* next item to look at */
    size_t sweep_left;           /* items still to look at */
    bool sweep_wanted;           /* once more, from the start */
    size_t max;                  /* items */
    uint64_t coarsened;          /* items that were, ever */
    uint64_t seed;
};

void index_init(struct index *ix, size_t max, uint64_t seed);
void index_fini(struct index *ix);

/* Takes up one record; position is larger than all before. Bounded work. */
void index_put(struct index *ix, const struct record *r, uint64_t position);

/* What an index lookup is about; slices as in entry_spec, the name without variant suffix. */
struct index_query {
    struct str name, type, route, tags;
};

/* The verdict for an entry stamped at position `after`. */
enum journal_verdict index_judge(const struct index *ix, uint64_t after,
                                 const struct index_query *q);

/* Raises the floor. */
void index_raise_floor(struct index *ix, uint64_t position);

/* Frees some of the items that the floor made pointless; true when there may be more. */
bool index_reap(struct index *ix);

/* Items kept. */
static inline size_t index_count(const struct index *ix)
{
    return ix->fine.count + ix->coarse.count;
}

#endif
