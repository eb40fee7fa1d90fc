/*
 * Flights. The leader appends into chunks that readers never see beyond `used`; `used`, state
 * and the list of readers change under the flight's lock. Waking is mail to the reader's loop,
 * at most one letter under way for each reader.
 */
#include "flow/flight.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/journal.h"

#define SHARDS       64u
#define BUCKETS      64u /* per shard; flights are few and short-lived */
#define CHUNK_MIN    (16u * 1024u)
#define CHUNK_MAX    (1024u * 1024u)
#define BACKLOG_HIGH (256u * 1024u)
#define BACKLOG_LOW  (64u * 1024u)

/* A letter to a reader's loop. Outlives the reader if it is under way when the reader leaves.
 */
struct flight_wake {
    struct mail mail;
    struct flight_reader *reader; /* NULL: left; the reader's thread only */
    bool queued;                  /* under the flight's lock */
    struct flight *flight;        /* a reference while queued */
};

/* Tells the leader's loop that an overflowing body has been read. */
struct drain_note {
    struct mail mail;
    struct flight *flight; /* a reference */
};

struct flight_shard {
    pthread_mutex_t lock;
    struct flight *buckets[BUCKETS];
};

struct flight_table {
    struct flight_shard shards[SHARDS];
};

struct flight_table *flight_table_new(void)
{
    struct flight_table *t = xcalloc(1, sizeof(*t));
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&t->shards[i].lock, NULL);
    }
    return t;
}

void flight_table_free(struct flight_table *t)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&t->shards[i].lock);
    }
    free(t);
}

static struct flight_shard *shard_of(struct flight_table *t, uint64_t hash)
{
    return &t->shards[hash % SHARDS];
}

static struct flight **bucket_of(struct flight_shard *s, uint64_t hash)
{
    return &s->buckets[hash / SHARDS % BUCKETS];
}

/* ---- lifetime --------------------------------------------------------------------------- */

static struct str own(struct str s)
{
    return str_make(str_dup(s), s.n);
}

static void disown(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

static struct flight *flight_new(struct journal *j, const struct flight_key *key,
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
    f->stamp = journal_stamp(j);
    arena_init(&f->arena, NULL, 0);
    return f;
}

struct flight *flight_ref(struct flight *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void chunk_unref(void *chunk)
{
    struct chunk *c = chunk;
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        free(c);
    }
}

void flight_unref(struct flight *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (f->first != NULL) {
        struct chunk *c = f->first;
        f->first = c->next;
        chunk_unref(c);
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

/* Under the lock. */
static void wake_reader(struct flight *f, struct flight_reader *r)
{
    if (!r->note->queued) {
        r->note->queued = true;
        r->note->flight = flight_ref(f);
        loop_post(r->loop, &r->note->mail);
    }
}

/* Under the lock. The leader's own reader is not woken by mail: its thread is here already. */
static void wake_all(struct flight *f)
{
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        if (!r->leading) {
            wake_reader(f, r);
        }
    }
}

/* Under the lock. */
static void add_reader(struct flight *f, struct flight_reader *r, struct loop *loop,
                       void (*wake)(struct flight_reader *r))
{
    struct flight_wake *note = xcalloc(1, sizeof(*note));
    note->mail.fn = on_wake;
    note->reader = r;
    *r = (struct flight_reader){
        .flight = flight_ref(f), .loop = loop, .wake = wake, .note = note};
    r->next = f->readers;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    f->readers = r;
}

void flight_read(struct flight *f, struct flight_reader *reader, struct loop *loop,
                 void (*wake)(struct flight_reader *r))
{
    pthread_mutex_lock(&f->lock);
    add_reader(f, reader, loop, wake);
    reader->leading =
        loop == f->leader_loop && f->state == FLIGHT_WAITING && f->readers->next == NULL;
    pthread_mutex_unlock(&f->lock);
}

/* ---- the table -------------------------------------------------------------------------- */

/* Under the shard's lock. */
static void unlist_locked(struct flight_shard *s, struct flight *f)
{
    struct flight **at = bucket_of(s, f->hash);
    while (*at != NULL && *at != f) {
        at = &(*at)->table_next;
    }
    if (*at == f) {
        *at = f->table_next;
        f->listed = false;
    }
}

void flight_unlist(struct flight *f)
{
    if (f->table == NULL) {
        return;
    }
    struct flight_shard *s = shard_of(f->table, f->hash);
    pthread_mutex_lock(&s->lock);
    bool was = f->listed;
    unlist_locked(s, f);
    pthread_mutex_unlock(&s->lock);
    if (was) {
        flight_unref(f);
    }
}

static bool same_key(const struct flight *f, const struct flight_key *key)
{
    return f->hash == key->hash && f->scope == key->scope && str_eq(f->name, key->name) &&
           str_eq(f->host, key->host);
}

/* Under the shard's lock: joins f unless it is over, or overtaken by an invalidation. */
static bool try_join(struct flight *f, struct journal *j, const struct flight_key *key,
                     struct flight_reader *reader, struct loop *loop,
                     void (*wake)(struct flight_reader *r))
{
    bool joined = false;
    pthread_mutex_lock(&f->lock);
    bool open = (f->state == FLIGHT_WAITING || f->state == FLIGHT_BODY) && !f->overflow;
    if (open && journal_check_stamp(j, &f->stamp, entry_base_name(key->name), key->type,
                                    key->route, f->tags) == JOURNAL_VALID) {
        add_reader(f, reader, loop, wake);
        joined = true;
    }
    pthread_mutex_unlock(&f->lock);
    return joined;
}

struct flight *flight_join(struct flight_table *t, struct journal *j,
                           const struct flight_key *key, struct flight_reader *reader,
                           struct loop *loop, void (*wake)(struct flight_reader *r),
                           bool *leader)
{
    struct flight_shard *s = shard_of(t, key->hash);
    struct flight *overtaken = NULL;
    *leader = false;
    pthread_mutex_lock(&s->lock);
    struct flight *f = *bucket_of(s, key->hash);
    while (f != NULL && !same_key(f, key)) {
        f = f->table_next;
    }
    if (f != NULL && !try_join(f, j, key, reader, loop, wake)) {
        unlist_locked(s, f);
        overtaken = f;
        f = NULL;
    }
    if (f == NULL) {
        f = flight_new(j, key, loop);
        f->table = t;
        f->listed = true;
        f->table_next = *bucket_of(s, key->hash);
        *bucket_of(s, key->hash) = flight_ref(f); /* the table's reference */
        *leader = true;
        add_reader(f, reader, loop, wake);
        reader->leading = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (overtaken != NULL) {
        flight_unref(overtaken);
    }
    return f;
}

struct flight *flight_new_alone(struct journal *j, const struct flight_key *key,
                                struct loop *loop)
{
    return flight_new(j, key, loop);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* Under the lock: unread bytes of the slowest reader. */
static size_t backlog_locked(const struct flight *f)
{
    size_t slowest = f->length;
    for (const struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        slowest = r->offset < slowest ? r->offset : slowest;
    }
    return f->length - slowest;
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

/* Under the lock: drops what everybody has read and tells the leader when there is room again.
 */
static void trim_locked(struct flight *f)
{
    if (!f->overflow) {
        return;
    }
    size_t backlog = backlog_locked(f);
    size_t read = f->length - backlog;
    while (f->first != NULL && f->first != f->last &&
           f->first->start + f->first->used <= read) {
        struct chunk *c = f->first;
        f->first = c->next;
        chunk_unref(c);
    }
    if (backlog > BACKLOG_HIGH) {
        f->choked = true;
    } else if (f->choked && backlog < BACKLOG_LOW) {
        f->choked = false;
        struct drain_note *note = xcalloc(1, sizeof(*note));
        note->mail.fn = on_drain_note;
        note->flight = flight_ref(f);
        loop_post(f->leader_loop, &note->mail);
    }
}

void flight_look(struct flight_reader *r, struct flight_view *out)
{
    struct flight *f = r->flight;
    *out = (struct flight_view){.state = FLIGHT_FAILED};
    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    out->state = f->state;
    out->entry = f->entry;
    out->error = f->error;
    struct chunk *c = r->at != NULL ? r->at : f->first;
    while (c != NULL && r->offset >= c->start + c->used && c->next != NULL) {
        c = c->next;
    }
    /* r->at may be dropped in overflow only when every reader, this one too, is past it. */
    if (c != NULL && r->offset < c->start + c->used) {
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        out->chunk = c;
        out->piece = str_make(c->data + (r->offset - c->start), c->start + c->used - r->offset);
        r->at = c;
    } else {
        r->at = NULL;
    }
    pthread_mutex_unlock(&f->lock);
}

void flight_advance(struct flight_reader *r, size_t n)
{
    struct flight *f = r->flight;
    pthread_mutex_lock(&f->lock);
    r->offset += n;
    if (f->overflow) {
        r->at = NULL;
        trim_locked(f);
    }
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
    bool under_way = note->queued;
    trim_locked(f);
    pthread_mutex_unlock(&f->lock);
    note->reader = NULL;
    if (!under_way) {
        free(note);
    }
    r->flight = NULL;
    flight_unref(f);
}

size_t flight_readers(struct flight *f)
{
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (const struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        n++;
    }
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- leading ---------------------------------------------------------------------------- */

void flight_publish_head(struct flight *f, const struct flight_head *head, struct str tags)
{
    pthread_mutex_lock(&f->lock);
    f->head = *head;
    f->tags = tags;
    f->state = FLIGHT_BODY;
    wake_all(f);
    pthread_mutex_unlock(&f->lock);
}

/* A chunk for bytes from offset `start` on: the whole body if its length is known and modest.
 */
static struct chunk *chunk_new(const struct flight *f, size_t start, size_t least)
{
    size_t cap = CHUNK_MIN;
    if (f->head.length > 0 && (uint64_t)f->head.length > start) {
        cap = (size_t)f->head.length - start;
    } else if (f->last != NULL) {
        cap = f->last->cap * 2;
    }
    cap = cap < CHUNK_MAX ? cap : CHUNK_MAX;
    cap = cap < least ? least : cap;
    struct chunk *c = xmalloc(sizeof(*c) + cap);
    *c = (struct chunk){.start = start, .cap = cap};
    atomic_init(&c->refs, 1);
    return c;
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
        more = chunk_new(f, f->length + first, piece.n - first);
        memcpy(more->data, piece.p + first, piece.n - first);
        more->used = piece.n - first;
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
    trim_locked(f);
    wake_all(f);
    pthread_mutex_unlock(&f->lock);
}

void flight_end(struct flight *f, enum flight_state state, struct entry *entry, int error)
{
    flight_unlist(f);
    pthread_mutex_lock(&f->lock);
    f->state = state;
    f->error = error;
    f->entry = entry != NULL ? entry_ref(entry) : NULL;
    f->drained = NULL;
    wake_all(f);
    pthread_mutex_unlock(&f->lock);
}

void flight_set_drained(struct flight *f, void (*fn)(struct flight *f, void *ctx), void *ctx)
{
    pthread_mutex_lock(&f->lock);
    f->drained = fn;
    f->drained_ctx = ctx;
    pthread_mutex_unlock(&f->lock);
}

size_t flight_overflow(struct flight *f)
{
    flight_unlist(f);
    pthread_mutex_lock(&f->lock);
    f->overflow = true;
    for (struct flight_reader *r = f->readers; r != NULL; r = r->next) {
        r->at = NULL;
    }
    trim_locked(f);
    size_t backlog = backlog_locked(f);
    pthread_mutex_unlock(&f->lock);
    return backlog;
}

size_t flight_backlog(struct flight *f)
{
    pthread_mutex_lock(&f->lock);
    size_t backlog = backlog_locked(f);
    f->choked = f->choked || backlog > BACKLOG_HIGH;
    pthread_mutex_unlock(&f->lock);
    return backlog;
}
