/*
 * Writes that were announced in the stream and have not ended yet, of all nodes
 * (journal_intent): found by their mid, and in the order in which they are due. Times are of
 * Redis's clock.
 *
 * Bounded: above INTENTS_BYTES of records an intent is kept as one of everything; above
 * INTENTS_MAX intents, one of everything stands for every further one. Too much is invalidated
 * then, never too little, and nothing before it is due.
 *
 * Pure bookkeeping, private to cache/journal_intent; belongs to the link's thread.
 */
#ifndef CACHE_JOURNAL_INTENT_TABLE_H
#define CACHE_JOURNAL_INTENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"
#include "cache/journal_table.h"
#include "cache/journal_wire.h"

#define INTENTS_MAX   10000u
#define INTENTS_BYTES (4u * 1024u * 1024u)

/* One write that was announced. */
struct open_intent {
    struct jnode node;               /* first; by the hash of its mid */
    struct open_intent *prev, *next; /* by due */
    msec_t due;                      /* when it counts as lost */
    msec_t deadline;                 /* ms that it had from its announcement on */
    uint32_t mid_n, records_n;
    char text[]; /* mid, records */
};

struct intents {
    struct jtable by_mid; /* ready if `ready` */
    bool ready;
    struct open_intent *first, *last; /* the first one is due first */
    size_t n;
    size_t bytes;     /* of their records */
    uint64_t seed;    /* of the hash */
    msec_t all_due;   /* when one of everything is due for those above the bound; 0: none … */
    msec_t all_again; /* … and another one for those that came after it; 0: none */
    msec_t all_deadline; /* the longest that one of them had */
};

static inline struct str open_intent_mid(const struct open_intent *it)
{
    return str_make(it->text, it->mid_n);
}

static inline struct str open_intent_records(const struct open_intent *it)
{
    return str_make(it->text + it->mid_n, it->records_n);
}

void intents_init(struct intents *t, uint64_t seed);
void intents_fini(struct intents *t);

/* It was announced, or announced again. */
void intents_put(struct intents *t, const struct journal_intent *intent, msec_t due);

/* It is over; false when it is not there. */
bool intents_close(struct intents *t, struct str mid);

/* Takes it out and frees it. */
void intents_drop(struct intents *t, struct open_intent *it);

/* When the next one is due; MSEC_MAX: there is none. */
msec_t intents_due(const struct intents *t);

/* Is it due to invalidate everything, for those above the bound? It is not any more then. */
bool intents_take_all(struct intents *t, msec_t now);

/* Another clock counts, and it shows `now`: all have their whole time again. */
void intents_rebase(struct intents *t, msec_t now);

/* This one is due later. */
void intents_postpone(struct intents *t, struct open_intent *it, msec_t due);

#endif
