/*
 * The journal's local backend: one order of records, one lock around the index, and the two
 * lock-free answers that nearly every lookup gets:
 *
 *   generation   changes with everything that can change a verdict. An entry remembers the one
 *                under which it was found valid: one load and one comparison.
 *   position     of the last record. A stamp that is not older has nothing newer against it.
 *
 * A record is in the index before the position that it has is published, and the generation is
 * published last (release); so who reads a new generation (acquire) and then takes the lock
 * finds the record, and who has seen journal_apply() return sees the new generation.
 */
#include "cache/journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"
#include "cache/hash.h"
#include "cache/journal_index.h"

#define MARKS_MAX  512
#define MARK_FIRST 1000 /* ms that one mark covers at first */

/* "The records up to `position` were applied at `time` or before." */
struct time_mark {
    msec_t time; /* monotonic */
    uint64_t position;
};

/* What the lock guards. */
struct guarded {
    pthread_rwlock_t lock;
    struct index index;
    struct time_mark marks[MARKS_MAX]; /* oldest first; the last one still grows */
    size_t n_marks;
    msec_t mark_since; /* when the last one began */
    msec_t mark_span;  /* how long one lasts */
};

struct journal {
    _Atomic uint64_t generation; /* from 1 on */
    _Atomic uint64_t position;   /* of the last record, from 1 on */
    _Atomic uint64_t epoch;
    _Atomic uint64_t seq;   /* last stream record applied; 0 in memory-only mode */
    _Atomic bool streaming; /* stream mode: other epochs are unverified, not invalid */
    struct guarded *g;
};

static uint64_t random_u64(void)
{
    uint64_t v = 0;
    if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v)) {
        v = hash_str(STR("epoch"), hash_seed() ^ (uint64_t)clock_monotonic());
    }
    return v;
}

struct journal *journal_new(size_t max_patterns)
{
    struct journal *j = xmalloc(sizeof(*j));
    struct guarded *g = xcalloc(1, sizeof(*g));
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Many readers must not keep a record from being applied. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&g->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    index_init(&g->index, max_patterns, hash_seed());
    g->mark_span = MARK_FIRST;
    j->g = g;
    atomic_init(&j->generation, 1);
    atomic_init(&j->position, 0);
    atomic_init(&j->epoch, random_u64());
    atomic_init(&j->seq, 0);
    atomic_init(&j->streaming, false);
    return j;
}

void journal_free(struct journal *j)
{
    if (j == NULL) {
        return;
    }
    index_fini(&j->g->index);
    pthread_rwlock_destroy(&j->g->lock);
    free(j->g);
    free(j);
}

struct stamp journal_stamp(const struct journal *j)
{
    /* The position first: if an epoch begins between the two loads, the stamp is merely older
     * than it could be. */
    uint64_t position = atomic_load_explicit(&j->position, memory_order_acquire);
    return (struct stamp){
        .epoch = atomic_load_explicit(&j->epoch, memory_order_acquire),
        .seq = atomic_load_explicit(&j->streaming, memory_order_relaxed)
                   ? position >> JOURNAL_LOCAL_BITS
                   : 0,
        .local = position,
    };
}

/* The stamp's place in this node's order of records; those of other nodes were translated by
 * journal_adopt_stamp(). */
static uint64_t stamp_position(const struct stamp *s)
{
    return s->local;
}

/* ---- applying ---------------------------------------------------------------------------- */

/* Remembers when this position was reached. */
static void mark_time(struct guarded *g, msec_t now, uint64_t position)
{
    if (g->n_marks == 0 || now - g->mark_since >= g->mark_span) {
        if (g->n_marks == MARKS_MAX) {
            /* Of two neighbours the later one speaks for both. */
            for (size_t i = 0; i < MARKS_MAX / 2; i++) {
                g->marks[i] = g->marks[2 * i + 1];
            }
            g->n_marks = MARKS_MAX / 2;
            g->mark_span *= 2;
        }
        g->n_marks++;
        g->mark_since = now;
    }
    g->marks[g->n_marks - 1] = (struct time_mark){now, position};
}

/* Under the lock; lets everybody see what was done to the index. */
static void publish(struct journal *j, uint64_t position)
{
    atomic_store_explicit(&j->position, position, memory_order_release);
    atomic_fetch_add_explicit(&j->generation, 1, memory_order_release);
}

uint64_t journal_apply(struct journal *j, const struct record *records, size_t n)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    uint64_t position = atomic_load_explicit(&j->position, memory_order_relaxed);
    if (n > 0) {
        for (size_t i = 0; i < n; i++) {
            index_put(&g->index, &records[i], ++position);
        }
        mark_time(g, clock_monotonic(), position);
        publish(j, position);
    }
    pthread_rwlock_unlock(&g->lock);
    return position;
}

/* Frees, a few at a time, what the floor made pointless. */
static void reap(struct guarded *g)
{
    bool more = true;
    while (more) {
        pthread_rwlock_wrlock(&g->lock);
        more = index_reap(&g->index);
        pthread_rwlock_unlock(&g->lock);
    }
}

void journal_trim(struct journal *j, msec_t longest)
{
    struct guarded *g = j->g;
    msec_t now = clock_monotonic();
    size_t past = 0;
    pthread_rwlock_wrlock(&g->lock);
    while (past < g->n_marks && now - g->marks[past].time > longest) {
        past++;
    }
    if (past > 0) {
        index_raise_floor(&g->index, g->marks[past - 1].position);
        memmove(g->marks, g->marks + past, (g->n_marks - past) * sizeof(g->marks[0]));
        g->n_marks -= past;
        publish(j, atomic_load_explicit(&j->position, memory_order_relaxed));
    }
    pthread_rwlock_unlock(&g->lock);
    if (past > 0) {
        reap(g);
    }
}

void journal_new_epoch(struct journal *j)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    uint64_t position = atomic_load_explicit(&j->position, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(&j->epoch, memory_order_relaxed);
    uint64_t epoch = random_u64();
    atomic_store_explicit(&j->epoch, epoch != old ? epoch : old + 1, memory_order_release);
    /* Whatever was recorded is about entries that are invalid now. */
    index_raise_floor(&g->index, position);
    publish(j, position);
    pthread_rwlock_unlock(&g->lock);
    reap(g);
}

/* ---- the stream -------------------------------------------------------------------------- */

static uint64_t stream_position(uint64_t seq)
{
    return seq << JOURNAL_LOCAL_BITS;
}

void journal_stream_epoch(struct journal *j, uint64_t epoch, uint64_t seq)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    uint64_t position = stream_position(seq);
    uint64_t before = atomic_load_explicit(&j->position, memory_order_relaxed);
    position = position > before ? position : before;
    atomic_store_explicit(&j->streaming, true, memory_order_relaxed);
    atomic_store_explicit(&j->epoch, epoch, memory_order_release);
    atomic_store_explicit(&j->seq, seq, memory_order_relaxed);
    publish(j, position);
    pthread_rwlock_unlock(&g->lock);
}

void journal_stream_apply(struct journal *j, uint64_t seq, const struct record *records,
                          size_t n)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    /* The last record of the entry has exactly the entry's position, so that a stamp of another
     * node, which knows only seq, is not older than any of them. */
    uint64_t position = stream_position(seq) - (n > 0 ? n - 1 : 0);
    for (size_t i = 0; i < n; i++) {
        index_put(&g->index, &records[i], position + i);
    }
    atomic_store_explicit(&j->seq, seq, memory_order_relaxed);
    mark_time(g, clock_monotonic(), stream_position(seq));
    publish(j, stream_position(seq));
    pthread_rwlock_unlock(&g->lock);
}

void journal_stream_horizon(struct journal *j, uint64_t seq)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    index_raise_floor(&g->index, stream_position(seq));
    publish(j, atomic_load_explicit(&j->position, memory_order_relaxed));
    pthread_rwlock_unlock(&g->lock);
    reap(g);
}

void journal_adopt_stamp(const struct journal *j, struct stamp *s)
{
    (void)j;
    s->local = stream_position(s->seq);
}

uint64_t journal_seq(const struct journal *j)
{
    return atomic_load_explicit(&j->seq, memory_order_relaxed);
}

/* ---- judging ----------------------------------------------------------------------------- */

/* Without the lock: is there nothing newer than the stamp? */
static bool is_current(const struct journal *j, const struct stamp *s)
{
    return stamp_position(s) >= atomic_load_explicit(&j->position, memory_order_acquire) &&
           s->epoch == atomic_load_explicit(&j->epoch, memory_order_acquire);
}

/* *generation: the one that the verdict is about. */
static enum journal_verdict judge(const struct journal *j, const struct stamp *s,
                                  const struct index_query *q, uint64_t *generation)
{
    struct guarded *g = j->g;
    pthread_rwlock_rdlock(&g->lock);
    *generation = atomic_load_explicit(&j->generation, memory_order_relaxed);
    enum journal_verdict v = atomic_load_explicit(&j->streaming, memory_order_relaxed)
                                 ? JOURNAL_UNVERIFIED
                                 : JOURNAL_INVALID;
    if (s->epoch == atomic_load_explicit(&j->epoch, memory_order_relaxed)) {
        v = index_judge(&g->index, stamp_position(s), q);
    }
    pthread_rwlock_unlock(&g->lock);
    return v;
}

enum journal_verdict journal_check(const struct journal *j, struct entry *e)
{
    uint64_t generation = atomic_load_explicit(&j->generation, memory_order_acquire);
    if (atomic_load_explicit(&e->valid_gen, memory_order_relaxed) == generation) {
        return JOURNAL_VALID;
    }
    if (is_current(j, &e->stamp)) {
        atomic_store_explicit(&e->valid_gen, generation, memory_order_relaxed);
        return JOURNAL_VALID;
    }
    const struct index_query q = {
        .name = entry_base_name(entry_name(e)),
        .type = entry_type(e),
        .route = entry_route(e),
        .tags = entry_tags(e),
    };
    enum journal_verdict v = judge(j, &e->stamp, &q, &generation);
    if (v == JOURNAL_VALID) {
        atomic_store_explicit(&e->valid_gen, generation, memory_order_relaxed);
    }
    return v;
}

enum journal_verdict journal_check_stamp(const struct journal *j, const struct stamp *s,
                                         struct str name, struct str type, struct str route,
                                         struct str tags)
{
    if (is_current(j, s)) {
        return JOURNAL_VALID;
    }
    const struct index_query q = {
        .name = entry_base_name(name),
        .type = type,
        .route = route,
        .tags = tags,
    };
    uint64_t generation;
    return judge(j, s, &q, &generation);
}

void journal_stats(const struct journal *j, struct journal_stats *out)
{
    struct guarded *g = j->g;
    pthread_rwlock_rdlock(&g->lock);
    out->position = atomic_load_explicit(&j->position, memory_order_relaxed);
    out->patterns = index_count(&g->index);
    out->shapes = shapes_count(&g->index.shapes);
    out->coarsened = g->index.coarsened;
    pthread_rwlock_unlock(&g->lock);
}
