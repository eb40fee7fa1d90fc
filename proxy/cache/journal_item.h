/*
 * The items of the journal's index, and what its three files share. Private to journal_item.c
 * (keeping items), journal_index.c (records and verdicts) and journal_bound.c (swallowing,
 * coarsening, forgetting).
 */
#ifndef CACHE_JOURNAL_ITEM_H
#define CACHE_JOURNAL_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/journal_index.h"

enum item_list { LIST_FINE, LIST_COARSE };

struct index_item {
    struct jnode node; /* first; in `exact` or, for globs, in `globs` */
    struct index_item *older, *newer;
    struct index_marks at;
    uint32_t text_n;
    uint8_t kind;            /* enum record_kind */
    uint8_t list;            /* enum item_list */
    uint8_t shape;           /* of a glob */
    bool simple;             /* a glob that is head, `*`, tail */
    uint16_t head_n, tail_n; /* a glob's literal ends */
    char text[];
};

static inline struct str index_text(const struct index_item *it)
{
    return str_make(it->text, it->text_n);
}

static inline uint64_t index_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Marks can only rise. */
static inline void index_raise_marks(struct index_marks *at, struct index_marks by)
{
    at->hard = index_later(at->hard, by.hard);
    at->soft = index_later(at->soft, by.soft);
}

/* The verdict of these marks for a stamp at `after`. */
static inline enum journal_verdict index_verdict(struct index_marks at, uint64_t after)
{
    if (at.hard > after) {
        return JOURNAL_INVALID;
    }
    return at.soft > after ? JOURNAL_SOFT : JOURNAL_VALID;
}

/* ---- journal_item.c ---------------------------------------------------------------------- */

/* The item of this name, type, tag or route, or NULL. */
struct index_item *index_find_exact(const struct index *ix, enum record_kind kind,
                                    struct str text);

/* Raises the marks of the item with this text, which is made if it is not there. */
void index_mark_exact(struct index *ix, enum record_kind kind, struct str text,
                      struct index_marks at);

/* The same for a glob, which has a wildcard and at most GLOB_MAX bytes. `which` says to which
 * list a new item goes, and whether an old one becomes as good as new (LIST_FINE). */
void index_mark_glob(struct index *ix, struct str text, struct index_marks at,
                     enum item_list which);

/* Marks everything. */
void index_mark_all(struct index *ix, struct index_marks at);

/* Takes an item out and frees it. */
void index_drop(struct index *ix, struct index_item *it);

/* ---- journal_index.c --------------------------------------------------------------------- */

/* The verdict of the globs alone; `prefixes`: only of those that match whatever begins with
 * `name`. */
enum journal_verdict index_judge_globs(const struct index *ix, uint64_t after, struct str name,
                                       bool prefixes);

/* ---- journal_bound.c --------------------------------------------------------------------- */

/* After each record: some swallowing, and as much coarsening as the bound demands. */
void index_sweep(struct index *ix);
void index_make_room(struct index *ix);

#endif
