/*
 * Flights: fetches that fill the cache, shared by every request for the same name while they
 * are under way, on all workers of the node (design section 7; hardening C10). A flight is a
 * growing body with a head in front and an end that is good or bad; readers follow it at their
 * own speed.
 *
 * Threads: a flight is written by the worker that leads it and read by any; its fields are
 * under its lock but for what is said to be the leader's. Readers belong to their own worker
 * and are woken there by mail. Knows nothing of fetches, clients or policy: flow/fill leads,
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

struct flight;
struct flight_table;
struct journal;

enum flight_state {
    FLIGHT_WAITING,  /* no head yet */
    FLIGHT_BODY,     /* the head is known and storable; the body grows */
    FLIGHT_DONE,     /* complete; entry is set if it was stored */
    FLIGHT_FAILED,   /* the fetch failed; error says how */
    FLIGHT_UNSHARED, /* the answer may not be shared: everybody goes alone */
};

/* How a flight was done; flight_end's error with FLIGHT_DONE. */
enum flight_outcome {
    FLIGHT_FILLED,      /* a new answer */
    FLIGHT_REVALIDATED, /* the stored one was confirmed (304) */
};

/* A piece of the body; immutable up to `used`, which only grows. */
struct chunk {
    struct chunk *next;
    atomic_uint refs; /* the flight's and one for each send under way */
    size_t start;     /* offset of its first byte in the body */
    size_t used;      /* bytes filled; under the flight's lock */
    size_t cap;
    char data[];
};

struct flight_wake;

/* A request's place in a flight. Zero-initialised: in none. */
struct flight_reader {
    struct flight *flight; /* a reference; NULL: in none */
    struct loop *loop;     /* where it is woken */
    void (*wake)(struct flight_reader *r);
    struct flight_reader *prev, *next; /* the flight's list; under its lock */
    struct flight_wake *note;          /* mail to its loop */
    size_t offset;                     /* body bytes taken so far */
    struct chunk *at; /* where that is; under the flight's lock; NULL: look for it */
    bool leading;     /* the leader's own: not woken by mail */
};

/* What a reader sees at one moment. */
struct flight_view {
    enum flight_state state;
    struct entry *entry; /* FLIGHT_DONE and stored: valid while the reader stays */
    struct chunk *chunk; /* next piece (a reference taken for the caller), or NULL */
    struct str piece;    /* bytes of it from the reader's offset */
    int error;           /* FLIGHT_FAILED: the leader's enum fetch_error */
};

/* What the leader publishes with the head; slices live in the flight. */
struct flight_head {
    int status;
    struct str head; /* stored form, as entry_spec.head */
    struct str etag, date, last_modified;
    struct str vary;    /* names it varies on, as vary_list() writes them; empty: none */
    struct str variant; /* full name of the variant it is */
    int64_t length;     /* of the body, -1 unknown */
};

struct flight {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct flight *table_next; /* chain; under the table's lock */
    bool listed;               /* in the table; under the table's lock */
    struct flight_table *table;
    uint64_t hash;
    struct str name; /* owned */
    struct str host; /* owned */
    uint32_t scope;
    struct stamp stamp;
    struct str type, route; /* owned */

    enum flight_state state;
    int error;
    struct arena arena;      /* the head's slices */
    struct flight_head head; /* set before FLIGHT_BODY, immutable after */
    struct str tags;         /* set with the head */
    struct chunk *first, *last;
    size_t length; /* body bytes so far */
    struct flight_reader *readers;
    struct entry *entry;
    bool choked;   /* overflow: the backlog was over the high-water mark */
    bool overflow; /* outgrew max_object: pieces are dropped once read by all */
    void (*drained)(struct flight *f, void *ctx); /* leader's, called on the leader's loop … */
    void *drained_ctx;
    struct loop *leader_loop;
};

struct flight_table *flight_table_new(void) __attribute__((warn_unused_result));
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
 * of a new flight is taken inside, so that nothing comes between.
 */
struct flight *flight_join(struct flight_table *t, struct journal *j,
                           const struct flight_key *key, struct flight_reader *reader,
                           struct loop *loop, void (*wake)(struct flight_reader *r),
                           bool *leader);

/* A flight outside the table (a background refresh already under its own mark, or a request
 * that goes alone but still fills). */
struct flight *flight_new_alone(struct journal *j, const struct flight_key *key,
                                struct loop *loop);

/* Adds a reader to a flight at hand. */
void flight_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                 void (*wake)(struct flight_reader *r));

/* Looks at what there is from the reader's offset on. */
void flight_look(struct flight_reader *r, struct flight_view *out);
/* Takes n bytes of the piece looked at. */
void flight_advance(struct flight_reader *r, size_t n);
/* Leaves; idempotent. No wake comes after it. */
void flight_leave(struct flight_reader *r);
/* Number of readers now. */
size_t flight_readers(struct flight *f);

/* Leader. Publishes the head (slices must be in f->arena). */
void flight_publish_head(struct flight *f, const struct flight_head *head, struct str tags);
/* Appends body bytes and wakes readers. */
void flight_append(struct flight *f, struct str piece);
/* Ends it: out of the table, state set, readers woken. entry (may be NULL) is referenced. */
void flight_end(struct flight *f, enum flight_state state, struct entry *entry, int error);
/* Out of the table, so that nobody joins any more. */
void flight_unlist(struct flight *f);
/* Leader: fn is called on the leader's loop when a backlog over 256 KiB has fallen below 64 KiB
 * (overflow only). NULL: no more. */
void flight_set_drained(struct flight *f, void (*fn)(struct flight *f, void *ctx), void *ctx);
/* From now on pieces that everybody has read are dropped; returns unread bytes of the slowest.
 */
size_t flight_overflow(struct flight *f);
size_t flight_backlog(struct flight *f);

void flight_unref(struct flight *f);
struct flight *flight_ref(struct flight *f);

void chunk_unref(void *chunk);

#endif
