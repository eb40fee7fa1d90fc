/*
 * The link's state and what its parts call of each other: journal_link (life, connections, what
 * others ask), journal_sync (which epoch, from where), journal_follow (reading and proof),
 * journal_append (writing) and journal_intent (writes that are announced). Private to them; all
 * of it on the link's thread but for the atomics.
 */
#ifndef CACHE_JOURNAL_LINK_STATE_H
#define CACHE_JOURNAL_LINK_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "cache/journal_intent_table.h"
#include "cache/journal_link.h"
#include "cache/journal_outbox.h"
#include "cache/redis.h"

#define COMMAND_MS   1000 /* time of a short command */
#define NODE_LIFE_MS 5000 /* a node that has not registered for this long is gone */
#define MARK_WATCHED '!'  /* end of the mark of a record whose applying is waited for */

/*
 *   DOWN -> SYNCING -> CATCHING_UP -> FOLLOWING
 *     ^________|____________|____________|        whatever goes wrong
 *
 * DOWN waits for `retry`; in every other state a command is under way whose end moves it on.
 */
enum link_state {
    LINK_DOWN,
    LINK_SYNCING,
    LINK_CATCHING_UP,
    LINK_FOLLOWING,
};

/* Commands of the following connection, at most one of each. */
enum link_slot {
    SLOT_SYNC,
    SLOT_REGISTER,
    SLOT_WAIT,
    SLOT_READ,
    SLOT_EPOCH,
    LINK_SLOTS,
};

struct own_intent;

/* Writes that were announced: journal_intent's. */
struct link_intents {
    struct intents open;     /* of all nodes, as read from the stream */
    struct own_intent *mine; /* list: of this node, not ended; newest first */
    struct jtable by_number; /* the same; ready if `ready` */
    bool ready;
    size_t n_mine;
    struct strbuf closing; /* mids of those that ended without records, to be told … */
    size_t n_closing;
    struct strbuf closing_sent; /* … and those that are on their way; empty: none */
    size_t n_closing_sent;
    struct deferred close_due;
    struct deadline heal; /* when the next open one may be due */
    msec_t slack;         /* of this node's, so that not all do it at once */
    msec_t ahead;         /* Redis's clock less the monotonic one */
    bool clock_known;     /* `ahead` is, in this epoch */
    bool rebase;          /* another clock counts from the next look at it on */

    atomic_uint_fast64_t given;  /* last number of an own one */
    atomic_size_t n_open;        /* open.n */
    atomic_uint_fast64_t healed; /* invalidated here because nobody had ended them */
    atomic_uint_fast64_t failed; /* own ones that could not be announced */
};

struct journal_link {
    struct journal *journal;
    struct loop *loop;
    struct redis *redis;
    struct redis_info *info;
    unsigned advised; /* what was said about it: redis_advice_log() */
    pthread_t thread;
    struct journal_link_options options; /* strings owned */
    struct str key_stream, key_epoch, key_nodes, key_applied, key_probe;
    char node[17];   /* random id of this process, hex */
    char fresh[17];  /* random id for an epoch, should the sync under way begin one */
    bool replicated; /* Sentinel: proof needs the master's replicas */

    enum link_state state;
    struct redis_command *slots[LINK_SLOTS];
    struct deadline retry;  /* DOWN: next attempt */
    struct deferred resync; /* DOWN: the connection is there, at once */
    msec_t retry_ms;        /* before the next attempt */
    msec_t following_since; /* FOLLOWING: loop time */
    bool said_up, said_down;

    /* The epoch followed. */
    char epoch[17];      /* id, hex; empty: none yet */
    uint64_t epoch_n;    /* how many there have been */
    char cursor[48];     /* stream id of the last entry read */
    char older[48];      /* SYNCING: entries behind this id and up to … */
    char older_end[48];  /* … this one are to be looked through for intents; empty: none */
    uint64_t last_seq;   /* its number */
    uint64_t passed;     /* records up to this one were trimmed before they could be read */
    uint64_t newest;     /* number of the newest record when that was last looked at … */
    msec_t newest_at;    /* … in a turn whose read had been sent at this time */
    bool gap;            /* a record was missing: the next sync looks into it */
    uint64_t connection; /* that the sync ran on */

    /* One turn of following. */
    msec_t read_sent;     /* monotonic time before its commands were sent */
    bool read_whole;      /* its XREAD returned all there was */
    msec_t registered_at; /* loop time; 0: not on this connection */
    uint64_t replicas;    /* most that this master has had */
    msec_t written;       /* read_sent of the turn whose registration was taken */
    msec_t mastered;      /* read_sent of the last turn that proved a master; 0: none */

    struct outbox outbox;
    struct deferred told; /* answers those that began to wait, once they are safe */
    msec_t estranged;     /* loop time since which appends meet another epoch; 0: they do not */
    struct journal_wait *waits; /* list */
    struct link_intents intents;
    bool closing; /* ends when nothing is on its way any more */
    struct deadline last_call;

    _Atomic msec_t lookback; /* the longest deadline of an intent so far */
    _Atomic msec_t proof;    /* monotonic; 0: never */
    atomic_bool following;
    atomic_uint_fast64_t nodes;    /* last count; 0: never counted */
    atomic_size_t waiting;         /* outbox.waiting */
    atomic_uint_fast64_t appended; /* read back */
    atomic_uint_fast64_t epochs;   /* how often all began anew */
};

static inline struct segment link_text(const char *s)
{
    return (struct segment){.p = s, .n = strlen(s)};
}

/* ---- journal_link.c ---------------------------------------------------------------------- */

/* Something went wrong: commands of the following connection are forgotten, and all begins with
 * a sync, after a while. */
void link_down(struct journal_link *l, const char *why);

/* Sends a command of the following connection; link_down() and false if that is refused. */
bool link_send(struct journal_link *l, enum link_slot slot, const struct redis_call *call);

/* A command's end that is not its answer: why. */
const char *link_why(const struct redis_result *result);

/* 16 random hex digits and a NUL. */
void link_random(char out[17]);

/* The link is to end: does, once nothing is on its way any more. */
void link_check_closing(struct journal_link *l);

/* ---- journal_sync.c ---------------------------------------------------------------------- */

void sync_start(struct journal_link *l);

/* ---- journal_follow.c -------------------------------------------------------------------- */

/* Looks through entries from before the epoch, for intents; *last: the id of the last one.
 * False when they make no sense. */
bool follow_older(struct journal_link *l, const struct redis_reply *entries, struct str *last);

/* One read, with the epoch right behind it; goes on by itself until link_down(). */
void follow_turn(struct journal_link *l);

/* ---- journal_wait.c ---------------------------------------------------------------------- */

/* The link ends: nobody is answered any more. */
void wait_drop_all(struct journal_link *l);

/* ---- journal_append.c -------------------------------------------------------------------- */

void append_init(struct journal_link *l);

/* Sends what is queued, in order, a bounded number at a time. */
void append_flush(struct journal_link *l);

/* An entry with this mark was read. True when it is one of this process's own. */
bool append_returned(struct journal_link *l, struct str mark);

/* Another epoch is taken up; ours: this node began it just now. */
void append_epoch(struct journal_link *l, bool ours);

/* Records up to last_seq were trimmed before they were read. */
void append_passed(struct journal_link *l);

/* This node is current as of `proof`. */
void append_proof(struct journal_link *l, msec_t proof);

/* Invalidates what `wire` says, as if asked to, and ends the intent `mid`. */
void append_own(struct journal_link *l, struct str wire, struct str mid);

/* Sends one entry to the stream, all its strings copied: records, mark, and a further field of
 * this name (one letter; "": none). NULL when it is refused. */
struct redis_command *append_send(struct journal_link *l, struct str records, struct str mark,
                                  const char *field, struct str value, redis_done_fn *done,
                                  void *ctx);

/* Looks at the end of such a command, and at what that says of the connection. Was the entry,
 * sent when `behind` was the number of the last one read, taken into the epoch it was for?
 * returned: it was read back already, or that is not known. */
bool append_taken(struct journal_link *l, uint64_t behind, bool returned,
                  const struct redis_result *result);

/* ---- journal_intent.c -------------------------------------------------------------------- */

void intent_init(struct journal_link *l);
/* After the thread has ended. */
void intent_fini(struct journal_link *l);

/* An entry with this id was read that has further fields: `i` and `c`, p == NULL for none. */
void intent_seen(struct journal_link *l, struct str id, struct str announced, struct str ended);

/* Redis's clock showed this just before its answer was sent. */
void intent_clock(struct journal_link *l, msec_t redis_now);

/* Another epoch is followed, or records were trimmed before they were read. */
void intent_epoch(struct journal_link *l);

/* The stream is followed (again): what is to be said is said. Now and then, too. */
void intent_flush(struct journal_link *l);

/* Is there an end that the stream has not been told yet? */
bool intent_unsaid(const struct journal_link *l);

/* The intent of this number ends with what is appended now: its mid, appended to `mid`, unless
 * the stream has never been told of it. */
void intent_commit(struct journal_link *l, uint64_t number, struct strbuf *mid);

#endif
