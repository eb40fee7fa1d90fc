/*
 * Flights. The leader appends into chunks that readers never see beyond `used`; `used`, state
 * and the list of readers change under the flight's lock. Waking is mail to the reader's loop,
 * at most one letter under way for each reader. flight_backlog.c drops what has been read.
 */
#include "flow/flight.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/journal.h"
#include "flow/flight_parts.h"

#define CHUNK_MIN     (16u * 1024u)
#define CHUNK_MAX     (1024u * 1024u)
#define CHUNK_DROPPED (64u * 1024u) /* at most, when chunks are dropped as they are read */

/* A letter to a reader's loop. Outlives the reader if it is under way when the reader leaves.
 */
struct flight_wake {
    struct mail mail;
    struct flight_reader *reader; /* NULL: left; the reader's thread only */
    bool queued;                  /* under the flight's lock */
    struct flight *flight;        /* a reference while queued */
};

/* ---- lifetime --------------------------------------------------------------------------- */

static struct str own(struct str s)
{
    return str_make(str_dup(s), s.n);
}

static void disown(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

struct flight *flight_new_alone(struct journal *j, const struct flight_key *key,
                                struct loop *loop)
{
    struct flight *f = xcalloc(1, sizeof(*f));
    atomic_init(&f->refs, 1);
    pthread_mutex_init(&f->lock, NULL);
    f->hash = key->hash;
    f->name = own(key->name);
    f->host = own(key->host);
    f->type = own(key->type);
    f->route = own(key->route);
    f->scope = key->scope;
    f->leader_loop = loop;
    f->journal = j;
    f->stamp = journal_stamp(j);
    f->begun = loop->now;
    arena_init(&f->arena, NULL, 0);
    return f;
}

struct flight *flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void flight_unref(struct flight *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (f->first != NULL) {
        flight_drop_first_chunk(f);
    }
    if (f->entry != NULL) {
        entry_unref(f->entry);
    }
    disown(f->name);
    disown(f->host);
    disown(f->type);
    disown(f->route);
    arena_reset(&f->arena);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* ---- waking ----------------------------------------------------------------------------- */

/* On the reader's loop. The reader may leave in its wake and even be freed; then the note is
 * gone too, or, if a letter is under way again, freed by that one. */
static void on_wake(struct mail *m)
{
    struct flight_wake *note = container_of(m, struct flight_wake, mail);
    struct flight *f = note->flight;
    pthread_mutex_lock(&f->lock);
    note->queued = false;
    pthread_mutex_unlock(&f->lock);
    if (note->reader != NULL) {
        note->reader->wake(note->reader);
    } else {
        free(note);
    }
    flight_unref(f);
}

void flight_wake_reader(struct flight *f, struct flight_reader *r)
{
    r->hungry = false;
    if (!r->leading && !r->note->queued) {
        r->note->queued = true;
        r->note->flight = flight_ref(f);
        loop_post(r->loop, &r->note->mail);
    }
}

/* Under the lock. */
static void wake_readers(struct flight *f, bool hungry_only)
{
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        if (r->hungry || !hungry_only) {
            flight_wake_reader(f, r);
        }
    }
}

/* ---- joining ---------------------------------------------------------------------------- */

/* Under the lock. */
static void add_reader(struct flight *f, struct flight_reader *r, struct loop *loop,
                       void (*wake)(struct flight_reader *r))
{
    assert(r->flight == NULL && !f->dropping);
    struct flight_wake *note = xcalloc(1, sizeof(*note));
    note->mail.fn = on_wake;
    note->reader = r;
    *r = (struct flight_reader){
        .flight = flight_ref(f),
        .loop = loop,
        .wake = wake,
        .next = f->readers,
        .note = note,
        .joined = journal_stamp(f->journal),
        .hungry = true,
    };
    if (r->next != NULL) {
        r->next->prev = r;
    }
    f->readers = r;
    f->n_readers++;
}

void flight_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                 void (*wake)(struct flight_reader *r))
{
    assert(loop == f->leader_loop);
    pthread_mutex_lock(&f->lock);
    add_reader(f, reader, loop, wake);
    reader->leading = true;
    pthread_mutex_unlock(&f->lock);
}

/* Is nothing known against the fetch, for an answer with these tags? */
static bool is_valid(const struct flight *f, struct str tags)
{
    return journal_check_stamp(f->journal, &f->stamp, f->name, f->type, f->route, tags) ==
           JOURNAL_VALID;
}

/* Under the lock: can it be joined? */
static bool is_open(const struct flight *f)
{
    bool open = (f->state == FLIGHT_WAITING || f->state == FLIGHT_BODY) && !f->dropping;
    return open && is_valid(f, f->tags);
}

bool flight_get_facts(struct flight *f, msec_t now, struct flight_facts *out)
{
    pthread_mutex_lock(&f->lock);
    bool open = is_open(f);
    *out = (struct flight_facts){.held = f->begun == 0,
                                 .since = f->begun > 0 && f->begun < now ? now - f->begun : 0,
                                 .readers = f->n_readers,
                                 .length = f->length};
    pthread_mutex_unlock(&f->lock);
    return open;
}

bool flight_try_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                     void (*wake)(struct flight_reader *r))
{
    pthread_mutex_lock(&f->lock);
    bool joins = is_open(f);
    if (joins) {
        add_reader(f, reader, loop, wake);
    }
    pthread_mutex_unlock(&f->lock);
    return joins;
}

/* Under the lock, when the tags become known: what flight_try_read() could not check. Who has
 * joined before any record is safe; of the others it is not known which record they precede. */
static void mark_overtaken(struct flight *f, struct str tags)
{
    if (is_valid(f, tags)) {
        return;
    }
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        bool first = r->joined.local <= f->stamp.local && r->joined.epoch == f->stamp.epoch;
        r->overtaken = !r->leading && !first;
    }
}

/* ---- reading ---------------------------------------------------------------------------- */

/* Under the lock: the next piece. */
static void look_at_body(struct flight *f, struct flight_reader *r, struct flight_view *out)
{
    struct chunk *c = r->at != NULL ? r->at : f->first;
    while (c != NULL && r->offset >= c->start + c->used && c->next != NULL) {
        c = c->next;
    }
    r->at = f->dropping ? NULL : c;
    if (c != NULL && r->offset < c->start + c->used) {
        size_t at = r->offset - c->start;
        chunk_ref(c);
        out->chunk = c;
        out->piece = str_make(c->data + at, c->used - at);
    }
    r->hungry = out->chunk == NULL;
}

void flight_look(struct flight_reader *r, struct flight_view *out)
{
    struct flight *f = r->flight;
    *out = (struct flight_view){.state = FLIGHT_FAILED};
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    out->state = r->overtaken ? FLIGHT_OVERTAKEN : r->behind ? FLIGHT_LEFT_BEHIND : f->state;
    if (!r->overtaken && !r->behind) {
        out->entry = f->entry;
        out->error = f->error;
        out->length = f->length;
        out->outgrown = f->state == FLIGHT_BODY && f->dropping;
        look_at_body(f, r, out);
    }
    pthread_mutex_unlock(&f->lock);
}

void flight_advance(struct flight_reader *r, size_t n)
{
    struct flight *f = r->flight;
    if (f == NULL || n == 0) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    size_t from = r->offset;
    r->offset += n;
    flight_moved_on(f, from);
    pthread_mutex_unlock(&f->lock);
}

void flight_leave(struct flight_reader *r)
{
    struct flight *f = r->flight;
    if (f == NULL) {
        return;
    }
    struct flight_wake *note = r->note;
    pthread_mutex_lock(&f->lock);
    *(r->prev != NULL ? &r->prev->next : &f->readers) = r->next;
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    f->n_readers--;
    flight_moved_on(f, r->offset);
    bool under_way = note->queued;
    pthread_mutex_unlock(&f->lock);
    note->reader = NULL;
    if (!under_way) {
        free(note);
    }
    *r = (struct flight_reader){0};
    flight_unref(f);
}

size_t flight_readers(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_readers;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- leading ---------------------------------------------------------------------------- */

void flight_hold(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    f->begun = 0;
    pthread_mutex_unlock(&f->lock);
}

void flight_begin(struct flight *f, const struct stamp *stamp, msec_t now)
{
    pthread_mutex_lock(&f->lock);
    f->begun = now;
    f->stamp = *stamp;
    pthread_mutex_unlock(&f->lock);
}

msec_t flight_time_left(struct flight *f, msec_t limit, msec_t now)
{
    pthread_mutex_lock(&f->lock);
    msec_t left = f->begun == 0 ? limit : f->begun + limit - now;
    pthread_mutex_unlock(&f->lock);
    return left;
}

void flight_publish_head(struct flight *f, const struct flight_head *head, struct str tags)
{
    pthread_mutex_lock(&f->lock);
    f->head = *head;
    f->tags = tags;
    f->state = FLIGHT_BODY;
    mark_overtaken(f, tags);
    wake_readers(f, false);
    pthread_mutex_unlock(&f->lock);
}

/* How large a chunk for bytes from offset `start` on is to be: the whole body if its length is
 * known and modest, else twice the last one. A length is what the origin says, so it buys
 * CHUNK_MAX at most. */
static size_t chunk_size(const struct flight *f, size_t start, size_t least)
{
    size_t cap = CHUNK_MIN;
    if (f->head.length > 0 && (uint64_t)f->head.length > start) {
        uint64_t rest = (uint64_t)f->head.length - start;
        cap = rest < CHUNK_MAX ? (size_t)rest : CHUNK_MAX;
    } else if (f->last != NULL) {
        cap = f->last->cap < CHUNK_MAX / 2 ? f->last->cap * 2 : CHUNK_MAX;
    }
    if (f->dropping && cap > CHUNK_DROPPED) {
        cap = CHUNK_DROPPED;
    }
    return cap < least ? least : cap;
}

void flight_append(struct flight *f, struct str piece)
{
    if (piece.n == 0) {
        return;
    }
    /* Only the leader appends, and readers do not look beyond `used`: the copy needs no lock.
     */
    struct chunk *tail = f->last;
    size_t room = tail != NULL ? tail->cap - tail->used : 0;
    size_t first = piece.n < room ? piece.n : room;
    if (first > 0) {
        memcpy(tail->data + tail->used, piece.p, first);
    }
    struct chunk *more = NULL;
    if (first < piece.n) {
        size_t start = f->length + first, rest = piece.n - first;
        more = chunk_new(start, chunk_size(f, start, rest));
        memcpy(more->data, piece.p + first, rest);
        more->used = rest;
    }
    pthread_mutex_lock(&f->lock);
    if (tail != NULL) {
        tail->used += first;
    }
    if (more != NULL) {
        *(tail != NULL ? &tail->next : &f->first) = more;
        f->last = more;
    }
    f->length += piece.n;
    if (f->dropping) {
        flight_trim(f);
    }
    wake_readers(f, true);
    pthread_mutex_unlock(&f->lock);
}

void flight_end(struct flight *f, enum flight_state state, struct entry *entry, int error)
{
    flight_unlist(f);
    pthread_mutex_lock(&f->lock);
    if (f->state == FLIGHT_WAITING && entry != NULL) {
        mark_overtaken(f, entry_tags(entry)); /* a stored answer was confirmed */
    }
    f->state = state;
    f->error = error;
    f->entry = entry != NULL ? entry_ref(entry) : NULL;
    f->drained = NULL;
    flight_start_dropping(f);
    wake_readers(f, false);
    pthread_mutex_unlock(&f->lock);
}
