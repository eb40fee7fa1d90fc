/*
 * The backlog of a flight that nobody can join any more: pieces go once everybody has read
 * them, so that a body which is not going to be stored costs a bounded piece of memory. That
 * makes the slowest reader the measure of all; one that is much slower than another is left
 * behind.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "flow/flight.h"
#include "flow/flight_parts.h"

#define BACKLOG_HIGH (256u * 1024u)
#define BACKLOG_LOW  (64u * 1024u)

/* Tells the leader's loop that an outgrown body has been read. */
struct drain_note {
    struct mail mail;
    struct flight *flight; /* a reference */
};

void flight_drop_first_chunk(struct flight *f)
{
    struct chunk *c = f->first;
    f->first = c->next;
    chunk_unref(c);
}

/* Under the lock. */
static void find_slowest(struct flight *f)
{
    f->slowest = f->length;
    f->n_slowest = 0;
    for (const struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        if (r->offset < f->slowest) {
            f->slowest = r->offset;
            f->n_slowest = 0;
        }
        f->n_slowest += r->offset == f->slowest;
    }
}

static void on_drain_note(struct mail *m)
{
    struct drain_note *note = container_of(m, struct drain_note, mail);
    struct flight *f = note->flight;
    pthread_mutex_lock(&f->lock);
    void (*fn)(struct flight *, void *) = f->drained;
    void *ctx = f->drained_ctx;
    pthread_mutex_unlock(&f->lock);
    if (fn != NULL) {
        fn(f, ctx);
    }
    flight_unref(f);
    free(note);
}

/* Under the lock, dropping: unread bytes of the slowest reader. */
static size_t backlog_of(const struct flight *f)
{
    return f->n_readers > 0 ? f->length - f->slowest : 0;
}

/* Under the lock, dropping: notes that the backlog is too much, tells the leader when there is
 * room again. The end takes `drained` away, because the leader's loop may not outlive it. */
static void check_backlog(struct flight *f)
{
    size_t backlog = backlog_of(f);
    if (backlog > BACKLOG_HIGH) {
        f->choked = true;
    } else if (f->choked && backlog < BACKLOG_LOW) {
        f->choked = false;
        if (f->drained != NULL) {
            struct drain_note *note = xcalloc(1, sizeof(*note));
            note->mail.fn = on_drain_note;
            note->flight = flight_ref(f);
            loop_post(f->leader_loop, &note->mail);
        }
    }
}

void flight_trim(struct flight *f)
{
    size_t read = f->length - backlog_of(f);
    while (f->first != f->last && f->first->start + f->first->used <= read) {
        flight_drop_first_chunk(f);
    }
    check_backlog(f);
}

void flight_start_dropping(struct flight *f)
{
    f->dropping = true;
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        r->at = NULL;
    }
    find_slowest(f);
    flight_trim(f);
}

void flight_moved_on(struct flight *f, size_t from)
{
    if (f->dropping && from == f->slowest && --f->n_slowest == 0) {
        find_slowest(f);
        flight_trim(f);
    }
}

/* ---- for the leader --------------------------------------------------------------------- */

void flight_overflow(struct flight *f)
{
    flight_unlist(f);
    pthread_mutex_lock(&f->lock);
    flight_start_dropping(f);
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        flight_wake_reader(f, r);
    }
    pthread_mutex_unlock(&f->lock);
}

size_t flight_backlog(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    if (!f->dropping) {
        find_slowest(f);
    }
    size_t backlog = backlog_of(f);
    pthread_mutex_unlock(&f->lock);
    return backlog;
}

void flight_set_drained(struct flight *f, void (*fn)(struct flight *f, void *ctx), void *ctx)
{
    pthread_mutex_lock(&f->lock);
    f->drained = fn;
    f->drained_ctx = ctx;
    pthread_mutex_unlock(&f->lock);
}

/* Under the lock: is the leader waiting for readers while another one has all there is? */
static bool is_held_up(const struct flight *f)
{
    bool waits = false;
    for (const struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        waits = waits || (r->hungry && r->offset == f->length);
    }
    return f->choked && waits;
}

bool flight_held_up(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    bool yes = is_held_up(f);
    pthread_mutex_unlock(&f->lock);
    return yes;
}

void flight_leave_behind(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    for (struct flight_reader *r = f->readers; r != NULL && f->dropping; r = r->next) {
        if (f->length - r->offset >= BACKLOG_LOW) {
            r->behind = true;
            flight_wake_reader(f, r);
        }
    }
    pthread_mutex_unlock(&f->lock);
}
