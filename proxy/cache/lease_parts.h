/*
 * What the files of leases share. Private to cache/lease*.c.
 */
#ifndef CACHE_LEASE_PARTS_H
#define CACHE_LEASE_PARTS_H

#include "cache/lease.h"

enum lease_state {
    LEASE_ASKING,  /* a command that takes it is under way */
    LEASE_WAITING, /* for another node; on the list of those */
    LEASE_HELD,
    LEASE_ENDING, /* released: entries are being written, then the key goes */
};

struct lease {
    struct lease *prev, *next; /* one of the instance's two lists */
    struct leases *set;
    enum lease_state state;
    struct lease_quest quest; /* ASKING, WAITING; slices are the caller's */
    lease_done_fn *done;
    void *ctx;
    char seen[L2_MARK]; /* quest.seen */
    struct strbuf key;  /* in Redis */
    struct strbuf entry;
    uint64_t wake_hash;            /* as wakes name it */
    struct redis_command *command; /* under way: take, renew, give back or wake */
    msec_t asked_at;               /* monotonic; when that was sent */
    msec_t spent;                  /* of the budget */
    msec_t until;                  /* monotonic: the end of patience; MSEC_MAX: none */
    msec_t over_at;        /* monotonic: WAITING: the other's lease may be over; later: the own
                              one is, unless it is renewed */
    msec_t quiet_at;       /* WAITING: monotonic: the holder has been silent for too long */
    uint64_t holder;       /* WAITING: whose instance has it */
    struct deadline timer; /* WAITING: the first of these ends; HELD: renewal; ENDING: repeat */
    struct stamp stamp;    /* of the attempt under way or that got it */
    char head[64];         /* of the value: the token and what ends it */
    size_t head_n;
    char other[64]; /* the same of a lease to be taken over; empty: none */
    size_t other_n;
    unsigned displaced, failures; /* attempts of their kind */
    bool overdue;                 /* ASKING: because over_at has come */
    bool woken; /* ASKING: a wake came, perhaps before the answer that says to wait */
    uint64_t fence;
    unsigned writes;    /* entries being written */
    bool unwritten;     /* one of them was not */
    bool lost;          /* ran out or was taken over */
    bool repeated;      /* ENDING: an attempt to give it back has failed */
    bool telling;       /* ENDING: it is given back, those who wait are being told */
    enum lease_end end; /* ENDING */
};

/* Reading the stream of wakes: only while somebody waits, and a little longer. */
struct lease_reader {
    enum {
        LEASE_READER_IDLE,
        LEASE_READER_FINDING, /* where the stream ends */
        LEASE_READER_READING, /* everything behind the cursor comes */
    } state;
    struct redis_command *command;
    uint64_t connection; /* the cursor was found on */
    msec_t used_at;      /* monotonic: when somebody waited last */
    char cursor[48];     /* id of the last wake seen */
};

struct leases {
    struct redis *redis;
    struct loop *loop;
    struct journal *journal;
    struct lease_counters *counters;
    struct str prefix; /* owned */
    struct str wake;   /* owned; key of the stream */
    msec_t life;
    msec_t beat;
    struct deadline heart;         /* while leases are held: the next beat */
    struct redis_command *beating; /* the last one, under way */
    size_t held;                   /* leases in LEASE_HELD */
    struct lease *waiting;         /* LEASE_WAITING */
    struct lease *others;
    struct lease_reader reader;
    uint64_t id;     /* random; with the serial a token */
    uint64_t serial; /* of the last token */
};

static inline void lease_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* In the stream of wakes, besides enum lease_end: an instance that holds leases lives. */
enum { LEASE_ALIVE = LEASE_FAILED + 1 };

/* lease.c */
void lease_set_state(struct lease *l, enum lease_state state);
void lease_free(struct lease *l);

/* lease_hold.c: it has been got. */
void lease_hold(struct lease *l);
/* lease_hold.c: beats while leases are held. */
void lease_on_heart(struct deadline *d);
void lease_heart_stop(struct leases *ls);

/* lease.c: a waiting one is done, or tries again. */
void lease_finish(struct lease *l, enum lease_outcome outcome);
void lease_try_again(struct lease *l);
/* lease.c: the holder has ended so. */
void lease_wake(struct lease *l, enum lease_end end);
/* lease.c: this instance, which holds leases, lives. */
void leases_heard(struct leases *ls, uint64_t holder);

/* lease_reader.c: somebody waits. */
void lease_reader_want(struct leases *ls);
void lease_reader_fini(struct leases *ls);

#endif
