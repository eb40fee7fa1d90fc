/*
 * Flights: fetches that fill the cache, shared by every request for the same name while they
 * are under way, on all workers of the node (design section 7; hardening C10). A flight is a
 * growing body with a head in front and an end that is good or bad; readers follow it at their
 * own speed.
 *
 * Threads: a flight is written by the worker that leads it and read by any; its fields are
 * under its lock but for what is said to be the leader's. Readers belong to their own worker
 * and are woken there by mail. Locks are taken in the order shard of the table, flight,
 * journal or mailbox. Knows nothing of fetches, clients or policy: flow/fill leads,
 * flow/deliver reads.
 */
#ifndef FLOW_FLIGHT_H
#define FLOW_FLIGHT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/entry.h"
#include "cache/stamp.h"
#include "flow/chunk.h"

struct flight;
struct flight_table;
struct journal;

enum flight_state {
    FLIGHT_WAITING,  /* no head yet */
    FLIGHT_BODY,     /* the head is known and storable; the body grows */
    FLIGHT_DONE,     /* complete; entry is set if it was stored */
    FLIGHT_FAILED,   /* the fetch failed; error says how */
    FLIGHT_UNSHARED, /* the answer may not be shared: everybody goes alone */
    FLIGHT_MOVED,    /* what was wanted is stored by now, under other names: look again */

    /* What one reader is shown instead: its request came after an invalidation of what the
     * flight turned out to carry, which its fetch is older than. The reader looks elsewhere. */
    FLIGHT_OVERTAKEN,

    /* Likewise: it was too slow for the others. It has not got the whole body and will not. */
    FLIGHT_LEFT_BEHIND,
};

/* How a flight was done; flight_end's error with FLIGHT_DONE. */
enum flight_outcome {
    FLIGHT_FILLED,      /* a new answer */
    FLIGHT_REVALIDATED, /* the stored one was confirmed (304) */
};

struct flight_wake;

/* A request's place in a flight. Zero-initialised: in none. What has no remark belongs to the
 * reader's thread. */
struct flight_reader {
    struct flight *flight; /* a reference; NULL: in none */
    struct loop *loop;     /* where it is woken */
    void (*wake)(struct flight_reader *r);
    struct flight_reader *prev, *next; /* the flight's list; under its lock */
    struct flight_wake *note;          /* mail to its loop */
    struct stamp joined;               /* when it joined, in the journal's order */
    size_t offset;    /* body bytes taken so far; changed under the flight's lock */
    struct chunk *at; /* where that is; NULL: look for it. Under the flight's lock */
    bool leading;     /* the leader's own: not woken by mail */
    bool hungry;      /* has seen all there was, wants to know of more; under the lock */
    bool overtaken;   /* sees FLIGHT_OVERTAKEN; under the lock */
    bool behind;      /* sees FLIGHT_LEFT_BEHIND; under the lock */
};

/* What a reader sees at one moment. */
struct flight_view {
    enum flight_state state;
    struct entry *entry; /* FLIGHT_DONE and stored: valid while the reader stays */
    struct chunk *chunk; /* next piece (a reference taken for the caller), or NULL */
    struct str piece;    /* bytes of it from the reader's offset */
    size_t length;       /* body bytes so far */
    bool outgrown;       /* FLIGHT_BODY: the body has outgrown what may be stored */
    int error;           /* FLIGHT_FAILED: the leader's enum fetch_error; FLIGHT_DONE: enum
                            flight_outcome */
};

/* What the leader publishes with the head; slices live in the flight. */
struct flight_head {
    int status;
    struct str head; /* stored form, as entry_spec.head */
    struct str etag, date, last_modified;
    struct str vary;    /* names it varies on, as vary_list() writes them; empty: none */
    struct str variant; /* full name of the variant it is */
    int64_t length;     /* of the body, -1 unknown */
    msec_t born;        /* wall time at which the answer's age was 0 (RFC 9111 4.2.3) */
};

struct flight {
    atomic_uint refs;
    struct flight *table_next;  /* chain; under the shard's lock */
    bool listed;                /* in the table; under the shard's lock */
    struct flight_table *table; /* NULL: never was in one */

    /* never change */
    uint64_t hash;
    struct str name, host; /* owned */
    uint32_t scope;
    struct str type, route; /* owned */
    struct stamp stamp;     /* of the fetch */
    struct journal *journal;
    struct loop *leader_loop; /* not used after the end */

    struct arena arena; /* the leader's, for the head's slices; not touched once published */

    pthread_mutex_t lock;
    enum flight_state state;
    msec_t begun;                  /* monotonic: when the fetch was; 0: held back */
    int error;                     /* with FLIGHT_FAILED and FLIGHT_DONE, as in the view */
    struct flight_head head;       /* immutable from FLIGHT_BODY on */
    struct str tags;               /* set with the head */
    struct chunk *first, *last;    /* the body; only the leader adds */
    size_t length;                 /* body bytes so far; only the leader changes it */
    struct entry *entry;           /* a reference; set at the end */
    struct flight_reader *readers; /* newest first */
    size_t n_readers;
    bool dropping;    /* nobody can join any more: pieces go once everybody has read them */
    bool choked;      /* outgrown: the backlog was over the high-water mark */
    size_t slowest;   /* dropping: the least offset of a reader … */
    size_t n_slowest; /* … and how many readers are there */
    void (*drained)(struct flight *f, void *ctx); /* see flight_set_drained() */
    void *drained_ctx;
};

struct flight_table *flight_table_new(void) __attribute__((warn_unused_result));
/* Every flight of the table has ended. */
void flight_table_free(struct flight_table *t);

/* What a flight is for. */
struct flight_key {
    uint64_t hash; /* entry_hash(name, host) */
    struct str name, host;
    uint32_t scope;
    struct str type, route;
};

/*
 * Joins the flight for this key as a reader, or makes a new one (then *leader is set and the
 * caller leads, with a reference of its own in *flight). A flight whose stamp a newer record
 * has overtaken is replaced by its successor (the joining rule of design section 6). The stamp
 * of a new flight is taken inside, so that nothing comes between. `reader` is in no flight.
 */
struct flight *flight_join(struct flight_table *t, struct journal *j,
                           const struct flight_key *key, struct flight_reader *reader,
                           struct loop *loop, void (*wake)(struct flight_reader *r),
                           bool *leader);

/* A flight that a request could join, as somebody sees it who does not. */
struct flight_facts {
    bool held;      /* the fetch has not begun: another node is waited for */
    msec_t since;   /* ms that the fetch is under way */
    size_t readers; /* requests that get its answer */
    size_t length;  /* body bytes so far */
};

/* Would flight_join() join one now? Changes nothing. */
bool flight_peek(struct flight_table *t, const struct flight_key *key, msec_t now,
                 struct flight_facts *out);
/* For the table: the facts, unless nobody can join the flight any more. */
bool flight_get_facts(struct flight *f, msec_t now, struct flight_facts *out);

/* A flight outside the table, for a request that goes alone but still fills; the caller leads
 * it on this loop and has the reference. */
struct flight *flight_new_alone(struct journal *j, const struct flight_key *key,
                                struct loop *loop) __attribute__((warn_unused_result));

/* Adds the leader's own reader, on the leader's loop, before anything is published. It gets no
 * mail: its thread makes all the news. */
void flight_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                 void (*wake)(struct flight_reader *r));

/* For the table: adds a reader unless the flight is over, has outgrown max_object or is
 * overtaken by an invalidation; false then. */
bool flight_try_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                     void (*wake)(struct flight_reader *r));

/*
 * Looks at what there is from the reader's offset on. A reader that has been shown no piece is
 * woken once when there is more, and must look again then; every reader is woken when the head
 * comes and when the flight ends. A wake may be for nothing. Of tags nothing is known before
 * the head: a reader that joined after an invalidation that now turns out to match sees
 * FLIGHT_OVERTAKEN.
 */
void flight_look(struct flight_reader *r, struct flight_view *out);
/* Takes n bytes of the piece looked at. Nothing if the reader has left. */
void flight_advance(struct flight_reader *r, size_t n);
/* Leaves; idempotent. No wake comes after it; the reader may join another flight or be freed
 * at once, even from inside its wake. */
void flight_leave(struct flight_reader *r);
/* Number of readers now. */
size_t flight_readers(struct flight *f);

/* The leader waits for another node before it fetches. */
void flight_hold(struct flight *f);
/* It fetches now, with a stamp taken just before (readers have joined before that). */
void flight_begin(struct flight *f, const struct stamp *stamp, msec_t now);
/* For how long a reader that allows the fetch `limit` ms is to wait on: what is left of them,
 * all of them while the fetch is held back. */
msec_t flight_time_left(struct flight *f, msec_t limit, msec_t now);

/* Leader, in this order: head, body, end; a head or an end must not come twice. */

/* Publishes the head (slices must be in f->arena). */
void flight_publish_head(struct flight *f, const struct flight_head *head, struct str tags);
/* Appends body bytes and wakes readers. */
void flight_append(struct flight *f, struct str piece);
/* Ends it: out of the table, state set, readers woken. entry (may be NULL) is referenced. */
void flight_end(struct flight *f, enum flight_state state, struct entry *entry, int error);
/* Out of the table, so that nobody joins any more. */
void flight_unlist(struct flight *f);
/* The body has outgrown what may be stored: nobody joins any more, pieces that everybody has
 * read are dropped, readers are woken. */
void flight_overflow(struct flight *f);
/* Unread bytes of the slowest reader, 0 without readers. */
size_t flight_backlog(struct flight *f);
/* fn is called on the leader's loop when, after flight_overflow(), a backlog over 256 KiB has
 * fallen below 64 KiB. NULL: no more; nor after the end. */
void flight_set_drained(struct flight *f, void (*fn)(struct flight *f, void *ctx), void *ctx);

/* After flight_overflow(): is the backlog too much, while a reader has read all there is? */
bool flight_held_up(struct flight *f);
/* Readers that are 64 KiB or more behind see FLIGHT_LEFT_BEHIND from now on, and should leave.
 */
void flight_leave_behind(struct flight *f);

void flight_unref(struct flight *f);
struct flight *flight_ref(struct flight *f);

#endif
