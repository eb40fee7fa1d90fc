/*
 * Flights on four loops with a thread each: thousands of flights that are joined, filled, read,
 * overtaken, outgrown, ended and left at random, and a thousand readers of one. Readers act
 * only when they are woken, or when their pretended client can take more, so that a lost wake
 * shows as a test that does not end. Every byte is compared with what its leader announced; a
 * request's memory is poisoned and freed as soon as it has left. Meant for TSan and ASan, too.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flight_case.h"

#define WORKERS    4u
#define SLOTS_MAX  250u
#define FILLS_MAX  SLOTS_MAX
#define NAMES      3u
#define TIME_LIMIT 100 /* seconds, after which the test has hung */

/* Threads cannot use cmocka's assertions. */
#define REQUIRE(what)                                                            \
    do {                                                                         \
        if (!(what)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                             \
        }                                                                        \
    } while (0)

/* What a leader announces in the head: which part of the body it will send. */
struct announce {
    uint64_t offset;
    uint64_t length;
};

/* A request that reads. */
struct request {
    struct flight_reader reader;
    struct worker *worker;
    struct request **slot;
    struct announce is;
    bool begun;         /* the head is known */
    bool blocked;       /* its client cannot take more at the moment */
    size_t got;         /* bytes read */
    struct chunk *sent; /* a piece that is being sent; NULL: none */
    struct str piece;   /* of it */
    const char *expect; /* what is in the piece */
    uint64_t floor;     /* records of its name and tag that came before it joined */
};

/* A flight that is led. */
struct fill {
    struct flight *flight; /* NULL: free */
    struct worker *worker;
    struct announce is;
    unsigned name;
    size_t piece; /* bytes at a time, at most */
    bool paused;
    bool outgrown;
};

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct mail tick;
    bool ticking; /* the tick is in the mail */
    unsigned seed;
    unsigned ops; /* random steps to go; then what has begun is finished */
    struct request *slots[SLOTS_MAX];
    struct fill fills[FILLS_MAX];
};

static struct flight_table *table;
static struct journal *journal;
static struct worker workers[WORKERS];
static _Atomic uint64_t floors[NAMES]; /* position of the last record for name or tag */
static atomic_uint led, joined, read_whole, overtaken, cut, alone;
static unsigned expect_joined; /* leaders wait for so many before they begin */

static const char *const names[NAMES] = {"GET /0", "GET /1", "GET /2"};
static const char *const tags[NAMES] = {"t0", "t1", "t2"};

static unsigned dice(struct worker *w, unsigned sides)
{
    return (unsigned)rand_r(&w->seed) % sides;
}

static void on_tick(struct mail *m);

static void kick(struct worker *w)
{
    if (!w->ticking) {
        w->ticking = true;
        loop_post(w->loop, &w->tick);
    }
}

/* ---- requests --------------------------------------------------------------------------- */

static void end_send(struct request *rq)
{
    if (rq->sent != NULL) {
        REQUIRE(memcmp(rq->piece.p, rq->expect, rq->piece.n) == 0);
        chunk_unref(rq->sent);
        rq->sent = NULL;
    }
}

static void end_request(struct request *rq)
{
    struct worker *w = rq->worker;
    flight_leave(&rq->reader);
    end_send(rq);
    *rq->slot = NULL;
    memset(rq, 0xdd, sizeof(*rq));
    free(rq);
    kick(w);
}

/* The head is there: what comes, and may this request have it? */
static void begin(struct request *rq, const struct flight_view *v)
{
    const struct flight *f = rq->reader.flight;
    rq->begun = true;
    REQUIRE(f->stamp.local >= rq->floor);
    if (v->entry == NULL) {
        REQUIRE(f->head.variant.n == sizeof(rq->is));
        memcpy(&rq->is, f->head.variant.p, sizeof(rq->is));
    }
}

/* Reads until there is no more or the client is full; false when it is. */
static bool read_pieces(struct request *rq, struct flight_view *v)
{
    size_t budget = 1 + dice(rq->worker, 50000);
    while (v->chunk != NULL) {
        if (budget == 0) {
            chunk_unref(v->chunk);
            return false;
        }
        size_t n = v->piece.n < budget ? v->piece.n : budget;
        const char *expect = body_at(rq->is.offset + rq->got);
        REQUIRE(memcmp(v->piece.p, expect, n) == 0);
        end_send(rq);
        if (dice(rq->worker, 3) == 0) {
            rq->sent = v->chunk;
            rq->piece = str_make(v->piece.p, n);
            rq->expect = expect;
        } else {
            chunk_unref(v->chunk);
        }
        rq->got += n;
        budget -= n;
        flight_advance(&rq->reader, n);
        flight_look(&rq->reader, v);
    }
    return true;
}

static void end_counted(struct request *rq, const struct flight_view *v, atomic_uint *counter)
{
    if (v->chunk != NULL) {
        chunk_unref(v->chunk);
    }
    atomic_fetch_add(counter, 1);
    end_request(rq);
}

static void pump(struct request *rq)
{
    struct flight_view v;
    flight_look(&rq->reader, &v);
    rq->blocked = false;
    if (v.state == FLIGHT_WAITING) {
        REQUIRE(v.chunk == NULL && v.entry == NULL && !rq->begun);
        return;
    }
    if (v.state == FLIGHT_OVERTAKEN) {
        REQUIRE(!rq->begun && v.chunk == NULL && v.entry == NULL);
        end_counted(rq, &v, &overtaken);
        return;
    }
    if (v.state == FLIGHT_UNSHARED || v.state == FLIGHT_FAILED) {
        REQUIRE(v.state == FLIGHT_FAILED || (!rq->begun && v.chunk == NULL));
        end_counted(rq, &v, v.state == FLIGHT_FAILED ? &cut : &alone);
        return;
    }
    if (!rq->begun) {
        begin(rq, &v);
        if (v.entry != NULL) {
            REQUIRE(str_eq(entry_body(v.entry), STR("stored")));
            end_counted(rq, &v, &read_whole);
            return;
        }
    }
    if (!read_pieces(rq, &v)) {
        rq->blocked = true;
        kick(rq->worker);
    } else if (v.state == FLIGHT_FAILED) {
        end_counted(rq, &v, &cut);
    } else if (v.state == FLIGHT_DONE) {
        REQUIRE(rq->got == rq->is.length);
        end_counted(rq, &v, &read_whole);
    }
}

static void on_request_wake(struct flight_reader *r)
{
    struct request *rq = container_of(r, struct request, reader);
    REQUIRE(rq->reader.flight != NULL);
    REQUIRE(pthread_equal(pthread_self(), rq->worker->thread));
    pump(rq);
}

static struct fill *free_fill(struct worker *w)
{
    struct fill *fill = w->fills;
    while (fill->flight != NULL) {
        fill++;
    }
    return fill;
}

/* Joins, or leads if nobody does. At most as many fills as slots can be under way. */
static void start_request(struct worker *w, struct request **slot, unsigned name)
{
    struct request *rq = xcalloc(1, sizeof(*rq));
    const struct flight_key key = key_of(names[name]);
    bool leader = false;
    rq->worker = w;
    rq->slot = slot;
    rq->floor = atomic_load(&floors[name]);
    *slot = rq;
    struct flight *f =
        flight_join(table, journal, &key, &rq->reader, w->loop, on_request_wake, &leader);
    if (leader) {
        struct fill *fill = free_fill(w);
        *fill =
            (struct fill){.flight = f, .worker = w, .name = name, .piece = 1 + dice(w, 20000)};
        fill->is.offset = dice(w, BODY_PERIOD);
        fill->is.length = dice(w, 4) > 0 ? dice(w, 2000) : dice(w, 1000 * KIB);
        if (expect_joined > 0) {
            fill->is.length = 2000 * KIB; /* outgrown after 500 */
        }
        atomic_fetch_add(&led, 1);
    }
    atomic_fetch_add(&joined, 1);
    if (!leader) {
        pump(rq);
    }
}

/* ---- fills ------------------------------------------------------------------------------ */

/* The leader's own reader, if it is still there, hears nothing but this. */
static void tell_own(struct fill *fill)
{
    struct worker *w = fill->worker;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct request *rq = w->slots[i];
        if (rq != NULL && rq->reader.flight == fill->flight && rq->reader.leading) {
            pump(rq);
            return;
        }
    }
}

static void end_fill(struct fill *fill, enum flight_state state, struct entry *e)
{
    flight_end(fill->flight, state, e, 0);
    tell_own(fill);
    flight_unref(fill->flight);
    fill->flight = NULL;
}

static struct entry *stored_entry(const struct fill *fill)
{
    const struct entry_spec spec = {
        .name = str_from(names[fill->name]),
        .stamp = fill->flight->stamp,
        .tags = str_from(tags[fill->name]),
        .status = 200,
        .head = STR("HTTP/1.1 200 OK\r\n"),
        .body = STR("stored"),
        .body_length = 6,
    };
    struct entry *e = entry_new(&spec);
    REQUIRE(e != NULL);
    return e;
}

static void end_with_entry(struct fill *fill)
{
    struct entry *e = stored_entry(fill);
    end_fill(fill, FLIGHT_DONE, e);
    entry_unref(e);
}

static void announce(struct fill *fill)
{
    struct flight *f = fill->flight;
    const struct str is = str_make((const char *)&fill->is, sizeof(fill->is));
    unsigned how = dice(fill->worker, 3);
    const struct flight_head head = {
        .status = 200,
        .variant = arena_dup(&f->arena, is),
        .length = how == 0   ? -1
                  : how == 1 ? (int64_t)fill->is.length
                             : dice(fill->worker, 5000),
    };
    flight_publish_head(f, &head, arena_dup(&f->arena, str_from(tags[fill->name])));
}

static void on_fill_drained(struct flight *f, void *ctx)
{
    struct fill *fill = ctx;
    REQUIRE(fill->flight == f && fill->outgrown);
    REQUIRE(pthread_equal(pthread_self(), fill->worker->thread));
    fill->paused = false;
    kick(fill->worker);
}

static void outgrow(struct fill *fill)
{
    fill->outgrown = true;
    flight_set_drained(fill->flight, on_fill_drained, fill);
    flight_overflow(fill->flight);
}

static void step_body(struct fill *fill)
{
    struct flight *f = fill->flight;
    size_t rest = fill->is.length - f->length;
    size_t n = 1 + dice(fill->worker, (unsigned)fill->piece);
    n = n < rest ? n : rest;
    flight_append(f, str_make(body_at(fill->is.offset + f->length), n));
    fill->paused = fill->outgrown && flight_backlog(f) > 256 * KIB;
    tell_own(fill);
}

static void step_fill(struct fill *fill)
{
    struct worker *w = fill->worker;
    struct flight *f = fill->flight;
    bool calm = expect_joined > 0;
    if (fill->paused || atomic_load(&joined) < expect_joined) {
        return;
    }
    if (f->state == FLIGHT_WAITING) {
        unsigned how = calm ? 9 : dice(w, 10);
        if (how == 0) {
            end_fill(fill, FLIGHT_UNSHARED, NULL);
        } else if (how == 1) {
            end_with_entry(fill);
        } else {
            announce(fill);
            tell_own(fill);
        }
    } else if (!calm && dice(w, 100) == 0) {
        end_fill(fill, FLIGHT_FAILED, NULL);
    } else if (!fill->outgrown && f->length > 500 * KIB && dice(w, 2) == 0) {
        outgrow(fill);
    } else if (f->length < fill->is.length) {
        step_body(fill);
    } else if (!fill->outgrown && dice(w, 2) == 0) {
        end_with_entry(fill);
    } else {
        end_fill(fill, FLIGHT_DONE, NULL);
    }
}

/* ---- workers ---------------------------------------------------------------------------- */

static void invalidate_something(struct worker *w)
{
    unsigned i = dice(w, NAMES);
    bool name = dice(w, 2) == 0;
    const struct record r = {
        .kind = name ? RECORD_NAME : RECORD_TAG,
        .text = str_from(name ? names[i] : tags[i]),
        .soft = dice(w, 2) == 0,
    };
    uint64_t position = journal_apply(journal, &r, 1);
    uint64_t seen = atomic_load(&floors[i]);
    while (seen < position && !atomic_compare_exchange_weak(&floors[i], &seen, position)) {
    }
}

static void random_step(struct worker *w)
{
    unsigned i = dice(w, SLOTS_MAX) % 24;
    struct request *rq = w->slots[i];
    if (rq == NULL) {
        start_request(w, &w->slots[i], dice(w, NAMES));
    } else if (rq->blocked) {
        pump(rq);
    } else if (dice(w, 20) == 0) {
        end_request(rq); /* the client has left, whatever is under way */
    }
    for (unsigned k = 0; k < FILLS_MAX && k < 24; k++) {
        if (w->fills[k].flight != NULL && dice(w, 10) == 0) {
            step_fill(&w->fills[k]);
        }
    }
    if (dice(w, 50) == 0) {
        invalidate_something(w);
    }
}

/* Everything that can move moves; true if there is more of it to do without a wake. */
static bool finish_step(struct worker *w)
{
    bool more = false, left = false;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (w->slots[i] != NULL && w->slots[i]->blocked) {
            pump(w->slots[i]);
        }
        if (w->fills[i].flight != NULL) {
            step_fill(&w->fills[i]);
        }
    }
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        left = left || w->slots[i] != NULL || w->fills[i].flight != NULL;
        more = more || (w->slots[i] != NULL && w->slots[i]->blocked) ||
               (w->fills[i].flight != NULL && !w->fills[i].paused);
    }
    if (!left) {
        loop_stop(w->loop);
    }
    return more;
}

static void on_tick(struct mail *m)
{
    struct worker *w = container_of(m, struct worker, tick);
    w->ticking = false;
    if (w->ops > 0) {
        w->ops--;
        random_step(w);
        kick(w);
    } else if (finish_step(w)) {
        kick(w);
    }
}

static pthread_barrier_t start_line;

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    w->thread = pthread_self(); /* pthread_create() may not have written it yet */
    pthread_barrier_wait(&start_line);
    if (expect_joined > 0) {
        for (unsigned i = 0; i < expect_joined / WORKERS; i++) {
            start_request(w, &w->slots[i], 0);
        }
    }
    kick(w);
    loop_run(w->loop);
    return NULL;
}

static void run_workers(unsigned ops, unsigned readers)
{
    table = flight_table_new();
    journal = journal_new(1000);
    expect_joined = readers;
    led = joined = read_whole = overtaken = cut = alone = 0;
    pthread_barrier_init(&start_line, NULL, WORKERS);
    memset(workers, 0, sizeof(workers));
    memset(floors, 0, sizeof(floors));
    alarm(TIME_LIMIT);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].loop = loop_new();
        assert_non_null(workers[i].loop);
        workers[i].tick.fn = on_tick;
        workers[i].seed = 1000 + i;
        workers[i].ops = ops;
    }
    pthread_t threads[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    alarm(0);
    for (unsigned i = 0; i < WORKERS; i++) {
        loop_free(workers[i].loop);
    }
    pthread_barrier_destroy(&start_line);
    flight_table_free(table);
    journal_free(journal);
    assert_int_equal(chunk_memory(), 0);
}

/* Everything at once; each way to end must have happened often enough to mean something. */
static void test_mix(void **state)
{
    (void)state;
    run_workers(30000, 0);
    print_message("%u flights, %u joins: %u whole, %u cut, %u alone, %u overtaken\n", led,
                  joined, read_whole, cut, alone, overtaken);
    assert_true(led > 500 && joined > led + 500);
    assert_true(read_whole > 500 && cut > 50 && alone > 50 && overtaken > 0);
}

/* A thousand requests come at once: one of them leads, all get everything. */
static void test_thousand(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        run_workers(0, 1000);
        assert_int_equal(led, 1);
        assert_int_equal(joined, 1000);
        assert_int_equal(read_whole, 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_thousand),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
