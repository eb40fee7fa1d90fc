/*
 * Writes that are announced (`redis … intent=`): between the backend's commit and the append of
 * what it invalidates, a node may die. So an intent goes into the stream before the write is
 * forwarded: what it will invalidate, as far as that is known then, and a deadline. The record
 * of the write, once it is answered, names the intent and so ends it. One that nobody has ended
 * by its deadline, by Redis's clock, is healed: whichever node sees that appends the records
 * itself. Several may; that is harmless.
 *
 * Every node that follows keeps the open intents of all (journal_intent_table), one that starts
 * too: it reads them from the stream. They outlive epochs: the write may still reach its
 * backend after others have validated what it changes in the new one. For the same reason a
 * node announces its own again in a new epoch, and renews those that take long.
 *
 * The calls below are for any thread that runs a loop; all that they lead to, the table of open
 * intents above all, is the link's thread's alone.
 */
#ifndef CACHE_JOURNAL_INTENT_H
#define CACHE_JOURNAL_INTENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "cache/journal.h"
#include "cache/journal_link.h"

#define INTENTS_OWN_MAX 10000u /* announced by this node at a time; no more are */
#define INTENT_BYTES    8192u  /* of its records, encoded; more are announced as all */

/* What is announced. */
struct intent_call {
    const struct record *records; /* copied */
    size_t n;
    msec_t deadline; /* when it counts as lost: longer than the backend may take */
    msec_t renew;    /* announced again so often; less than what `deadline` is longer by */
};

/*
 * Announces. done is called on the loop within the link's budget and a bit: APPEND_DONE, Redis
 * has it, or APPEND_PENDING, that is not known: it may be there, or come to be there later.
 * *handle is for journal_append_cancel(). Returns the intent's number, never 0; it must be
 * ended with one of the next two, whatever was answered, even before that.
 */
uint64_t journal_intent_open(struct journal_link *l, struct loop *loop,
                             const struct intent_call *call, journal_append_fn *done, void *ctx,
                             struct journal_append **handle);

/* The write was answered: as journal_link_append(), with the end of the intent in one. spent:
 * of the link's budget, for the announcement. */
struct journal_append *journal_intent_commit(struct journal_link *l, struct loop *loop,
                                             uint64_t intent, msec_t spent,
                                             const struct record *records, size_t n,
                                             journal_append_fn *done, void *ctx);

/* There is nothing to invalidate. Nobody waits for it: many ends go into the stream together,
 * and one that is lost is healed. */
void journal_intent_close(struct journal_link *l, uint64_t intent);

#endif
