/*
 * One order of records on this node, one lock around the index, and the two lock-free answers
 * that nearly every lookup gets:
 *
 *   generation   changes with everything that can change a verdict. An entry remembers the one
 *                under which it was found valid: one load and one comparison.
 *   position     of the last record. A stamp that is not older has nothing newer against it.
 *
 * A record is in the index before the position that it has is published, and the generation is
 * published last (release); so who reads a new generation (acquire) and then takes the lock
 * finds the record, and who has seen journal_apply() return sees the new generation.
 *
 * Following a stream, the positions are laid out in blocks, one for each stream record of the
 * epoch followed; the record has the first position of its block, and what is applied here
 * alone until the next one comes takes the others:
 *
 *     | older epochs | first: seq s, local, local … | seq s+1 … | seq s+2, local … |
 *
 * A new epoch begins at a block of its own behind all that was used before.
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
#define BLOCK      ((uint64_t)1 << JOURNAL_LOCAL_BITS)

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

    /* The stream. Written under the lock; read together, see read_view(). */
    _Atomic uint64_t version;  /* odd while these and the two above change */
    _Atomic uint64_t seq;      /* last stream record applied; 0 in memory-only mode */
    _Atomic uint64_t first;    /* where this epoch begins here; 0: memory only */
    _Atomic uint64_t base;     /* position of stream record base_seq */
    _Atomic uint64_t base_seq; /* behind which the epoch was taken up */
    struct guarded *g;
};

/* One consistent look at the journal's place. */
struct view {
    uint64_t position, epoch, seq, first, base, base_seq;
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
    struct journal *j = xcalloc(1, sizeof(*j));
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
    atomic_init(&j->epoch, random_u64());
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

/* ---- looking ----------------------------------------------------------------------------- */

static uint64_t read_u64(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_acquire);
}

static struct view read_fields(const struct journal *j)
{
    return (struct view){
        .position = read_u64(&j->position),
        .epoch = read_u64(&j->epoch),
        .seq = read_u64(&j->seq),
        .first = read_u64(&j->first),
        .base = read_u64(&j->base),
        .base_seq = read_u64(&j->base_seq),
    };
}

/* Any thread, without the lock unless a writer is at it right now. The fields are loaded with
 * acquire and stored with release: a new value seen makes the version seen a new one too. */
static struct view read_view(const struct journal *j)
{
    uint64_t version = read_u64(&j->version);
    struct view v = read_fields(j);
    if (version % 2 != 0 || read_u64(&j->version) != version) {
        pthread_rwlock_rdlock(&j->g->lock);
        v = read_fields(j);
        pthread_rwlock_unlock(&j->g->lock);
    }
    return v;
}

struct stamp journal_stamp(const struct journal *j)
{
    struct view v = read_view(j);
    return (struct stamp){.epoch = v.epoch, .seq = v.seq, .local = v.position};
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

static void write_u64(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_release);
}

/* Under the lock; lets everybody see what was done to the index. */
static void publish(struct journal *j, const struct view *v)
{
    uint64_t version = atomic_load_explicit(&j->version, memory_order_relaxed);
    write_u64(&j->version, version + 1);
    write_u64(&j->position, v->position);
    write_u64(&j->epoch, v->epoch);
    write_u64(&j->seq, v->seq);
    write_u64(&j->first, v->first);
    write_u64(&j->base, v->base);
    write_u64(&j->base_seq, v->base_seq);
    write_u64(&j->version, version + 2);
    atomic_fetch_add_explicit(&j->generation, 1, memory_order_release);
}

/* First position of a stream record's block; seq >= base_seq. */
static uint64_t block_of(const struct view *v, uint64_t seq)
{
    return v->base + ((seq - v->base_seq) << JOURNAL_LOCAL_BITS);
}

/* Under the lock, streaming: the block of the last stream record is used up by records that are
 * known here only. The next block takes its place; whatever is older is invalid. */
static void next_block(struct guarded *g, struct view *v)
{
    v->base += BLOCK;
    v->position = block_of(v, v->seq);
    index_raise_floor(&g->index, v->position);
}

/* Of more records than an entry may have, the one that says as much as all of them. */
static const struct record *bounded(const struct record *records, size_t *n)
{
    static const struct record all = {.kind = RECORD_ALL};
    if (*n <= JOURNAL_RECORDS_MAX) {
        return records;
    }
    *n = 1;
    return &all;
}

uint64_t journal_apply(struct journal *j, const struct record *records, size_t n)
{
    struct guarded *g = j->g;
    records = bounded(records, &n);
    pthread_rwlock_wrlock(&g->lock);
    struct view v = read_fields(j);
    if (n > 0) {
        if (v.first != 0 && v.position + n + JOURNAL_RECORDS_MAX > block_of(&v, v.seq + 1)) {
            next_block(g, &v);
        }
        for (size_t i = 0; i < n; i++) {
            index_put(&g->index, &records[i], ++v.position);
        }
        mark_time(g, clock_monotonic(), v.position);
        publish(j, &v);
    }
    pthread_rwlock_unlock(&g->lock);
    return v.position;
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
        struct view v = read_fields(j);
        index_raise_floor(&g->index, g->marks[past - 1].position);
        memmove(g->marks, g->marks + past, (g->n_marks - past) * sizeof(g->marks[0]));
        g->n_marks -= past;
        publish(j, &v);
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
    struct view v = read_fields(j);
    if (v.first == 0) {
        uint64_t epoch = random_u64();
        v.epoch = epoch != v.epoch ? epoch : epoch + 1;
    } else {
        next_block(g, &v); /* the epoch is not ours alone */
        v.position++;
    }
    /* Whatever was recorded is about entries that are invalid now. */
    index_raise_floor(&g->index, v.position);
    publish(j, &v);
    pthread_rwlock_unlock(&g->lock);
    reap(g);
}

/* ---- the stream -------------------------------------------------------------------------- */

void journal_stream_epoch(struct journal *j, uint64_t epoch, uint64_t seq)
{
    struct guarded *g = j->g;
    pthread_rwlock_wrlock(&g->lock);
    struct view v = read_fields(j);
    v.position = (v.position / BLOCK + 1) * BLOCK;
    v.first = v.base = v.position;
    v.epoch = epoch;
    v.seq = v.base_seq = seq;
    publish(j, &v);
    pthread_rwlock_unlock(&g->lock);
}

void journal_stream_apply(struct journal *j, uint64_t seq, const struct record *records,
                          size_t n)
{
    struct guarded *g = j->g;
    records = bounded(records, &n);
    pthread_rwlock_wrlock(&g->lock);
    struct view v = read_fields(j);
    v.seq = seq;
    v.position = block_of(&v, seq);
    /* The last of the records has exactly the block's position, so that the stamp of another
     * node, which knows only seq, is not older than any of them. */
    for (size_t i = 0; i < n; i++) {
        index_put(&g->index, &records[i], v.position - (n - 1 - i));
    }
    mark_time(g, clock_monotonic(), v.position);
    publish(j, &v);
    pthread_rwlock_unlock(&g->lock);
}

/*
 * A record that this node has applied since `asked` has a position above asked->local, wherever
 * the other node stood when it made the stamp: so the older of the two counts. A stamp that is
 * older than all that is known gets the last position before it.
 */
void journal_adopt_stamp(const struct journal *j, struct stamp *s, const struct stamp *asked)
{
    struct view v = read_view(j);
    uint64_t place = asked->local;
    if (s->epoch == v.epoch && s->seq < v.seq) {
        place = s->seq >= v.base_seq ? block_of(&v, s->seq) : v.first - 1;
    }
    s->local = place < asked->local ? place : asked->local;
}

uint64_t journal_seq(const struct journal *j)
{
    return read_u64(&j->seq);
}

/* ---- judging ----------------------------------------------------------------------------- */

/* Without the lock: is there nothing newer than the stamp? */
static bool is_current(const struct journal *j, const struct stamp *s)
{
    return s->local >= read_u64(&j->position) && s->epoch == read_u64(&j->epoch);
}

/* Under the lock. Records of older epochs stay in the index and in their places, so what they
 * hit remains invalid; the rest from before this epoch is unknown. */
static enum journal_verdict judge_locked(const struct journal *j, const struct stamp *s,
                                         const struct index_query *q)
{
    struct view v = read_fields(j);
    if (s->epoch == v.epoch && s->local >= v.first) {
        return index_judge(&j->g->index, s->local, q);
    }
    bool streaming = v.first != 0;
    return streaming && index_judge(&j->g->index, s->local, q) != JOURNAL_INVALID
               ? JOURNAL_UNVERIFIED
               : JOURNAL_INVALID;
}

/* *generation: the one that the verdict is about. */
static enum journal_verdict judge(const struct journal *j, const struct stamp *s,
                                  const struct index_query *q, uint64_t *generation)
{
    pthread_rwlock_rdlock(&j->g->lock);
    *generation = read_u64(&j->generation);
    enum journal_verdict v = judge_locked(j, s, q);
    pthread_rwlock_unlock(&j->g->lock);
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
    out->position = read_u64(&j->position);
    out->patterns = index_count(&g->index);
    out->shapes = shapes_count(&g->index.shapes);
    out->coarsened = g->index.coarsened;
    pthread_rwlock_unlock(&g->lock);
}
