/*
 * One thread's event loop: libevent underneath, with a cached clock, deadlines that cost a
 * store to move, work deferred to the end of a turn, and a mailbox for other threads.
 *
 * Everything belongs to the thread that runs the loop, except loop_post() and loop_stop(),
 * which any thread may call.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"

#define LOOP_SCRATCH_SIZE (64u * 1024u)

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * A point in time at which fn is called once, embedded in what waits for it. Zero-initialised
 * is unarmed. Precision: fires up to LOOP_TICK_MS late, never early.
 */
struct deadline;
typedef void deadline_fn(struct deadline *d);
struct deadline {
    struct deadline *prev, *next; /* wheel slot; next == NULL: not in the wheel */
    msec_t when;                  /* monotonic; MSEC_MAX: not armed */
    msec_t slot_time;             /* start of the slot it is in; when >= slot_time */
    deadline_fn *fn;              /* set by deadline_init */
};

#define LOOP_TICK_MS    8
#define LOOP_NEAR_SLOTS 1024 /* x 8 ms: the next 8 s */
#define LOOP_FAR_MS     (LOOP_TICK_MS * LOOP_NEAR_SLOTS)
#define LOOP_FAR_SLOTS  256 /* x 8 s: 35 min; later ones are looked at again once a lap */

/* Work for the end of the current turn (freeing what callbacks may still hold, error delivery).
 * Embedded; may be queued once at a time. */
struct deferred {
    struct deferred *next;
    void (*fn)(struct deferred *d);
    bool queued;
};

/* How far a loop's clock may be behind: one tick of a kernel that counts a hundred a second. */
#define LOOP_COARSE_MS 10

/* A message to a loop from any thread; the sender allocates, fn frees or reuses. */
struct mail {
    struct mail *next;
    void (*fn)(struct mail *m);
};

struct loop {
    struct event_base *base;
    msec_t (*clock)(void); /* coarse monotonic time; tests put their own here */
    msec_t now;            /* monotonic, as of the last event; coarse: see LOOP_COARSE_MS */
    msec_t wall;           /* wall time, same moment */
    msec_t wall_offset;    /* wall - now, measured again every 100 ms */
    msec_t offset_at;      /* monotonic time of that measurement */
    char *scratch; /* LOOP_SCRATCH_SIZE bytes that any callback may use until it returns */

    struct deadline near[LOOP_NEAR_SLOTS]; /* list heads */
    struct deadline far[LOOP_FAR_SLOTS];
    msec_t swept;    /* everything before this slot time has fired */
    msec_t timer_at; /* when the libevent timer is armed for; MSEC_MAX: not armed */
    struct event timer;

    struct deferred *deferred_head, **deferred_tail;

    pthread_mutex_t mail_lock;
    struct mail *mail_head, **mail_tail; /* under mail_lock */
    int mail_fd;                         /* eventfd */
    struct event mail_event;

    atomic_bool stopping;
};

/* Heap-allocated because of its size. NULL (with a log line) if the kernel refuses an fd. */
struct loop *loop_new(void) __attribute__((warn_unused_result));
/* After the thread is done; undelivered mail is delivered first. */
void loop_free(struct loop *l);

/* Runs until loop_stop(). */
void loop_run(struct loop *l);

/* One turn: waits at most until an event, then runs what is due. For tests and drain. */
void loop_turn(struct loop *l, bool block);

/* Any thread. The loop ends after the current turn. */
void loop_stop(struct loop *l);

/* Refreshes now and wall; called by the library at each event. */
void loop_touch(struct loop *l);

void deadline_init(struct deadline *d, deadline_fn *fn);
/* Arms or moves; `after` in ms from l->now, -1 cancels. Moving later is only a store. */
void deadline_set(struct loop *l, struct deadline *d, msec_t after);
/* Idempotent; must be called before d's memory goes away. */
void deadline_cancel(struct deadline *d);

/* Cancels with a store, for hot paths: it leaves the wheel when its slot comes up, so d must
 * stay alive until deadline_cancel(). */
static inline void deadline_disarm(struct deadline *d)
{
    d->when = MSEC_MAX;
}

static inline bool deadline_armed(const struct deadline *d)
{
    return d->next != NULL && d->when != MSEC_MAX;
}

/* Queues d once; it runs at the end of this turn. */
void loop_defer(struct loop *l, struct deferred *d);

/* Takes d back if it is queued; its memory may go away afterwards. */
void loop_defer_cancel(struct loop *l, struct deferred *d);

/* Any thread: fn runs on the loop's thread, in order of posting. */
void loop_post(struct loop *l, struct mail *m);

#endif
