/*
 * The index of invalidations (design section 6), local backend: records are applied in one
 * order under a writer lock; readers decide validity without one on the memoised path. The
 * Redis backend feeds the same index from the stream. Any thread.
 *
 * Rule: an entry is valid iff its epoch is the current one, its stamp is not older than the
 * horizon (the oldest record known), and no newer record matches its name, tags, type or route.
 */
#ifndef CACHE_JOURNAL_H
#define CACHE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"
#include "cache/entry.h"
#include "cache/glob.h"
#include "cache/stamp.h"

struct journal;

enum record_kind {
    RECORD_NAME, /* one exact name (covers its variants NAME#…) */
    RECORD_GLOB, /* glob over names, Redis's syntax */
    RECORD_TYPE,
    RECORD_TAG,
    RECORD_ROUTE,
    RECORD_ALL,
};

/* One invalidation. */
struct record {
    enum record_kind kind;
    struct str text; /* pattern, name, type, tag or route name; empty for RECORD_ALL */
    bool soft;       /* matches become stale instead of gone */
};

enum journal_verdict {
    JOURNAL_VALID,
    JOURNAL_SOFT,       /* stale: must be revalidated before use, may serve as stale */
    JOURNAL_INVALID,    /* never served again, not even as stale-if-error */
    JOURNAL_UNVERIFIED, /* from before the records that are known here: to be validated before
                           use */
};

/* max_patterns: distinct records kept before the oldest are coarsened (too much is invalidated,
 * never too little). */
struct journal *journal_new(size_t max_patterns) __attribute__((warn_unused_result));
void journal_free(struct journal *j);

/* The stamp for a fetch that starts now. */
struct stamp journal_stamp(const struct journal *j);

/* Records applied at a time; more count as RECORD_ALL. */
#define JOURNAL_RECORDS_MAX 1024

/* Applies records atomically, in order: when it returns, no entry with an older stamp that
 * matches is found valid by any thread. Returns the new local position. A RECORD_GLOB without
 * glob characters is treated as RECORD_NAME. */
uint64_t journal_apply(struct journal *j, const struct record *records, size_t n);

/* Is the entry usable? Memoises a positive answer in e->valid_gen until the next record. */
enum journal_verdict journal_check(const struct journal *j, struct entry *e);

/* The same for a fetch under way, by what its entry would carry (the joining rule). tags are as
 * in entry_spec. */
enum journal_verdict journal_check_stamp(const struct journal *j, const struct stamp *s,
                                         struct str name, struct str type, struct str route,
                                         struct str tags);

/* Forgets records no entry can be older than: those applied longer than `longest` ago, which is
 * the longest lifetime plus stale windows of any entry. Moves the horizon; entries stamped
 * before it are invalid from then on. */
void journal_trim(struct journal *j, msec_t longest);

/* Every entry stored so far becomes invalid on this node, at once. Memory-only, this is a new
 * epoch. */
void journal_new_epoch(struct journal *j);

/*
 * The stream backend (design section 6). One thread, the follower's, makes these calls; the
 * first one switches the journal to stream mode. Each record of the stream has a place in this
 * node's own order, JOURNAL_LOCAL_BITS wide; what journal_apply() adds in between (writes while
 * Redis is away) are steps within. Places only rise, over epochs too, so that a stamp of this
 * node can always be compared with what it has applied.
 */
#define JOURNAL_LOCAL_BITS 20

/* Begins to follow an epoch behind record seq: all that is known about its records up to there
 * is that they are over. Whatever was stamped before, here or elsewhere, is UNVERIFIED from now
 * on (INVALID if that is known already). */
void journal_stream_epoch(struct journal *j, uint64_t epoch, uint64_t seq);

/* Applies the records of stream entry seq, which must be larger than all before in this epoch.
 */
void journal_stream_apply(struct journal *j, uint64_t seq, const struct record *records,
                          size_t n);

/* Gives the stamp of an entry that was read from Redis its place in this node's order.
 * `asked` was taken before the read was sent: what has become known since then counts against
 * the entry, even if it is only known here. */
void journal_adopt_stamp(const struct journal *j, struct stamp *s, const struct stamp *asked);

/* Last record of the stream applied; 0 in memory-only mode. */
uint64_t journal_seq(const struct journal *j);

struct journal_stats {
    uint64_t position; /* records applied */
    uint64_t patterns; /* distinct records kept */
    uint64_t shapes;   /* glob shapes in the index */
    uint64_t coarsened;
};
void journal_stats(const struct journal *j, struct journal_stats *out);

#endif
