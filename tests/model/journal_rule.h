/*
 * A model of the invalidation journal's rule (design section 6), small enough to try every
 * order in which its steps can happen. Two nodes, A and B, share one entry in L2 and one Redis,
 * which may fail over once. A client writes through A. On the node that is looked at others
 * read; on the other one somebody fills L2, and somewhere something is invalidated that has
 * nothing to do with all that. In some worlds A announces its write (`intent=`) and dies with
 * it.
 *
 * Every step below is atomic in the real thing: one script in Redis, one record under the
 * journal's lock, one look at a word of memory. What a step abstracts from is said there. The
 * model has one name and records match it always, so the index itself is not in it (that is
 * tests/unit/test_journal_model.c).
 */
#ifndef TESTS_MODEL_JOURNAL_RULE_H
#define TESTS_MODEL_JOURNAL_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What Redis is. */
enum rule_redis {
    REDIS_CRASHES,    /* one server: comes back without the last of its records */
    REDIS_FAILS_OVER, /* Sentinel: a replica takes over, and the old master goes on for those
                         who still talk to it */
};

/* Where the readers are. */
enum rule_view {
    READS_ON_WRITER, /* on A: nothing older than what A has acknowledged */
    READS_ELSEWHERE, /* on B: nothing older than what was known to all when B last proved that
                        it is current */
    RULE_VIEWS
};

/* Mistakes that can be switched on; the model has to find each of them. */
enum rule_bug {
    BUG_NONE,
    BUG_STAMP_AFTER_FETCH,     /* the stamp is taken when the answer is there */
    BUG_ACK_BEFORE_APPLY,      /* the write is answered when Redis has the record */
    BUG_NO_EPOCH_MOVE,         /* another master is followed as if it were the same */
    BUG_EPOCH_KEEPS_ENTRIES,   /* … or a new epoch is, but old stamps still count */
    BUG_PENDING_NOT_APPLIED,   /* Redis is away: answered, but not applied here */
    BUG_PENDING_BELIEVES_L2,   /* … applied, but entries from Redis are believed meanwhile */
    BUG_PENDING_BEFORE_STAMP,  /* … asked for, but before the stamp is taken */
    BUG_PENDING_ENDS_EARLY,    /* … until Redis has the record, not until it is read back */
    BUG_ADOPT_AT_FACE_VALUE,   /* an entry from Redis counts from its own stamp alone */
    BUG_DONE_WITHOUT_REPLICAS, /* Sentinel: the answer does not wait for the replicas */
    BUG_HEAL_EARLY,            /* an intent's deadline is shorter than the backend takes */
    BUG_ANNOUNCE_LATE,         /* the write is forwarded before Redis has its intent */
    BUG_EPOCH_ENDS_INTENTS,    /* open intents are forgotten when the epoch moves */
    BUG_OLDER_NOT_READ,        /* … those that were not read before are not looked for */
    BUG_NOT_ANNOUNCED_AGAIN,   /* … or their own node does not announce them in the new one */
    RULE_BUGS
};

/* What to explore. */
struct rule_setup {
    enum rule_redis redis;
    enum rule_view view;
    unsigned readers; /* on the node that is looked at: 1 or 2 */
    bool filler;      /* on the other one */
    bool failover;
    bool other; /* the invalidation of something else */
    enum rule_bug bug;
    bool dies;   /* A may, at any time from the forwarding of its write on */
    bool intent; /* the write is announced */
    bool no_l2; /* a smaller world: readers do without it, and the second one fetches nothing */
};

struct rule_result {
    size_t states;         /* different ones */
    const char *violation; /* what was violated, or NULL */
    size_t steps;          /* of the way there … */
    const char *trace[96]; /* … and their names */
};

/* Explores everything. Returns with the first violation, or when there is nothing left. */
void rule_explore(const struct rule_setup *setup, struct rule_result *out);

#endif
