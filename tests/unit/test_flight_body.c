/*
 * Bodies of flights: how they lie in chunks, whatever length the head claims, and what becomes
 * of one that has outgrown what may be stored.
 */
#include "unit.h"

#include "flight_case.h"

/* ---- chunks ----------------------------------------------------------------------------- */

/* A body of `real` bytes of which the head said `said`, in pieces; returns the bytes that were
 * allocated for it. */
static size_t fill(struct world *w, int64_t said, size_t real, size_t piece)
{
    struct probe a = {0}, b = {0};
    size_t cap = 0, start = 0;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, said, "");
    while (f->length < real) {
        append(f, real - f->length < piece ? real - f->length : piece);
        read_some(&b, 1000);
    }
    for (const struct chunk *c = f->first; c != NULL; c = c->next) {
        assert_int_equal(c->start, start);
        assert_true(c->used <= c->cap);
        start += c->used;
        cap += c->cap;
    }
    assert_int_equal(start, real);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    read_all(&a);
    read_all(&b);
    assert_int_equal(a.got, real);
    assert_int_equal(b.got, real);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
    return cap;
}

/* What is counted is what is held, by the flight or by a send. */
static void test_memory(void **state)
{
    struct world *w = *state;
    struct probe a = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    publish(f, 500, "");
    append(f, 500);
    size_t one = chunk_memory();
    assert_true(one >= 500 && one < 700);
    append(f, 500);
    assert_true(chunk_memory() >= one + 500);
    flight_look(&a.r, &v);
    flight_leave(&a.r);
    finish(f, FLIGHT_DONE);
    assert_int_equal(chunk_memory(), one);
    chunk_unref(v.chunk);
    assert_int_equal(chunk_memory(), 0);
}

static void test_lengths(void **state)
{
    struct world *w = *state;
    assert_int_equal(fill(w, 1000, 1000, 100), 1000);
    assert_int_equal(fill(w, 100000, 100000, 7777), 100000);
    assert_int_equal(fill(w, 1, 1, 1), 1);
    /* unknown: doubling, so at most about twice of what is needed */
    assert_int_equal(fill(w, -1, 1, 1), 16 * KIB);
    assert_true(fill(w, -1, 300000, 5000) < 700000);
    /* larger than a chunk may be */
    assert_int_equal(fill(w, 3 * 1024 * KIB + 5, 3 * 1024 * KIB + 5, 65536),
                     3 * 1024 * KIB + 5);
    /* a piece larger than a chunk may be */
    assert_int_equal(fill(w, -1, 2 * 1024 * KIB, 2 * 1024 * KIB), 2 * 1024 * KIB);
}

/* What the head says decides about comfort only. */
static void test_lengths_that_lie(void **state)
{
    struct world *w = *state;
    static const size_t reals[] = {1, 2, 3, 1000, 100000, 2 * 1024 * KIB};
    static const int64_t said[] = {0, 1, 2, 999, 99999, 1024 * KIB, INT64_MAX};
    for (size_t r = 0; r < sizeof(reals) / sizeof(reals[0]); r++) {
        for (size_t s = 0; s < sizeof(said) / sizeof(said[0]); s++) {
            size_t cap = fill(w, said[s], reals[r], reals[r] < 5000 ? 1 : 4999);
            assert_true(cap <= 3 * reals[r] + 1024 * KIB);
        }
    }
}

/* ---- outgrown bodies -------------------------------------------------------------------- */

static unsigned drained;

static void on_drained(struct flight *f, void *ctx)
{
    assert_non_null(f);
    assert_ptr_equal(ctx, &drained);
    drained++;
}

static size_t held(const struct flight *f)
{
    size_t n = 0;
    for (const struct chunk *c = f->first; c != NULL; c = c->next) {
        n += c->cap;
    }
    return n;
}

/* Two readers of a body that has outgrown what may be stored, after 100 KiB. */
static struct flight *outgrow(struct world *w, struct probe *a, struct probe *b)
{
    drained = 0;
    struct flight *f = lead(w, "GET /a", a);
    follow(w, "GET /a", b);
    publish(f, -1, "");
    append(f, 100 * KIB);
    read_all(a);
    read_some(b, 10 * KIB);
    flight_set_drained(f, on_drained, &drained);
    flight_overflow(f);
    assert_int_equal(flight_backlog(f), 90 * KIB);
    return f;
}

static void test_overflow(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0}, c = {0};
    struct flight *f = outgrow(w, &a, &b);
    struct flight *g = lead(w, "GET /a", &c); /* nobody can join any more */
    assert_ptr_not_equal(f, g);
    append(f, 300 * KIB);
    read_all(&a);
    assert_int_equal(flight_backlog(f), 390 * KIB);
    read_some(&b, 320 * KIB);
    assert_int_equal(flight_backlog(f), 70 * KIB);
    turn(w);
    assert_int_equal(drained, 0);
    read_some(&b, 10 * KIB);
    assert_int_equal(drained, 0); /* never from inside a call */
    turn(w);
    assert_int_equal(drained, 1);
    read_all(&b);
    turn(w);
    assert_int_equal(drained, 1); /* once for each time it was full */
    assert_int_equal(flight_backlog(f), 0);
    append(f, 300 * KIB);
    read_all(&a);
    read_all(&b);
    turn(w);
    assert_int_equal(drained, 2);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    assert_int_equal(look(&b), FLIGHT_DONE);
    flight_unref(f);
    assert_int_equal(a.got, 700 * KIB);
    assert_int_equal(b.got, 700 * KIB);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
    finish(g, FLIGHT_FAILED);
}

/* What everybody has read is dropped, but not what somebody still sends. */
static void test_dropping(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = outgrow(w, &a, &b);
    flight_look(&b.r, &v);
    assert_true(v.piece.n > 0);
    read_all(&b);
    for (int i = 0; i < 100; i++) {
        append(f, 20 * KIB);
        read_all(&a);
        read_all(&b);
        assert_true(held(f) <= 2 * 64 * KIB);
    }
    assert_memory_equal(v.piece.p, body_at(10 * KIB), v.piece.n);
    chunk_unref(v.chunk);
    assert_int_equal(a.got, 2100 * KIB);
    assert_int_equal(b.got, 2100 * KIB);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_FAILED);
}

/* A reader that has looked but not read keeps its piece while another runs ahead. */
static void test_dropping_between_look_and_advance(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = outgrow(w, &a, &b);
    for (int i = 0; i < 20; i++) {
        flight_look(&b.r, &v);
        append(f, 64 * KIB);
        read_all(&a);
        assert_memory_equal(v.piece.p, body_at(b.got), v.piece.n);
        b.got += v.piece.n;
        flight_advance(&b.r, v.piece.n);
        chunk_unref(v.chunk);
    }
    read_all(&b);
    assert_int_equal(a.got, 1380 * KIB);
    assert_int_equal(b.got, 1380 * KIB);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
}

/* The slow one leaves: that is room, too. */
static void test_slowest_leaves(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = outgrow(w, &a, &b);
    append(f, 300 * KIB);
    read_all(&a);
    turn(w);
    assert_int_equal(drained, 0);
    flight_leave(&b.r);
    assert_int_equal(flight_backlog(f), 0);
    assert_true(held(f) <= 364 * KIB); /* the chunk that is written to */
    turn(w);
    assert_int_equal(drained, 1);
    append(f, 300 * KIB);
    flight_leave(&a.r);
    assert_int_equal(flight_readers(f), 0);
    turn(w);
    assert_int_equal(drained, 2); /* a leader that waits must find out that it is alone */
    append(f, 300 * KIB);
    assert_int_equal(flight_backlog(f), 0);
    finish(f, FLIGHT_FAILED);
}

/* Who holds up others is left behind; who is only a little slower, or slow alone, is not. */
static void test_left_behind(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = outgrow(w, &a, &b);
    read_all(&a);
    read_all(&b);
    append(f, 300 * KIB);
    assert_false(flight_held_up(f)); /* too much, but nobody has seen it yet */
    read_some(&a, 200 * KIB);
    assert_false(flight_held_up(f)); /* both have something to read */
    read_all(&a);
    assert_true(flight_held_up(f));
    read_some(&b, 236 * KIB + 1);
    assert_false(flight_held_up(f)); /* the leader may go on */
    append(f, 256 * KIB);
    read_all(&a);
    assert_true(flight_held_up(f));
    turn(w);
    unsigned wakes = b.wakes;
    flight_leave_behind(f);
    assert_int_equal(look(&a), FLIGHT_BODY);
    assert_int_equal(look(&b), FLIGHT_LEFT_BEHIND);
    turn(w);
    assert_int_equal(b.wakes, wakes + 1); /* it is told */
    assert_int_equal(flight_backlog(f), 320 * KIB - 1);
    flight_leave(&b.r);
    assert_int_equal(flight_backlog(f), 0);
    assert_false(flight_held_up(f));
    turn(w);
    assert_true(drained > 0); /* and the leader too */
    flight_leave_behind(f);
    assert_int_equal(look(&a), FLIGHT_BODY);
    finish(f, FLIGHT_DONE);
    assert_int_equal(look(&a), FLIGHT_DONE);
    flight_leave(&a.r);
}

/* Before a body has outgrown what is kept, everybody may be as slow as he is. */
static void test_nobody_is_left_behind_early(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, -1, "");
    append(f, 1024 * KIB);
    read_all(&a);
    assert_false(flight_held_up(f));
    flight_leave_behind(f);
    assert_int_equal(look(&b), FLIGHT_BODY);
    read_all(&b);
    finish(f, FLIGHT_DONE);
    flight_leave(&a.r);
    flight_leave(&b.r);
}

static void test_drained_no_more(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = outgrow(w, &a, &b);
    append(f, 300 * KIB);
    read_all(&a);
    read_all(&b);
    flight_set_drained(f, NULL, NULL); /* the note is under way */
    turn(w);
    assert_int_equal(drained, 0);
    flight_set_drained(f, on_drained, &drained);
    append(f, 300 * KIB);
    read_all(&a);
    read_all(&b);
    flight_end(f, FLIGHT_FAILED, NULL, 0); /* again */
    turn(w);
    assert_int_equal(drained, 0);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
}

/* A worker has gone; readers on another still read what it led. */
static void test_leader_loop_gone(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct loop *other = loop_new();
    const struct flight_key key = key_of("GET /a");
    bool leader = false;
    struct flight *f = flight_join(w->table, w->journal, &key, &a.r, other, on_wake, &leader);
    assert_true(leader);
    follow(w, "GET /a", &b);
    publish(f, -1, "");
    flight_set_drained(f, on_drained, &drained);
    flight_overflow(f);
    append(f, 1000 * KIB);
    flight_leave(&a.r);
    finish(f, FLIGHT_DONE);
    loop_free(other);
    read_all(&b);
    assert_int_equal(b.got, 1000 * KIB);
    flight_leave(&b.r);
}

/* After the end, too, what all have read goes. */
static void test_dropping_after_end(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 3072 * KIB, "");
    append(f, 1024 * KIB);
    append(f, 1024 * KIB);
    append(f, 1024 * KIB);
    read_some(&b, 1500 * KIB);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    assert_int_equal(held(f), 3072 * KIB);
    flight_leave(&a.r);
    assert_int_equal(held(f), 2048 * KIB);
    read_some(&b, 1000 * KIB);
    assert_int_equal(held(f), 1024 * KIB);
    read_all(&b);
    assert_int_equal(b.got, 3072 * KIB);
    flight_unref(f);
    flight_leave(&b.r);
}

#define CROWD 40

/* Where the slowest of them is. */
static size_t slowest_of(const struct probe *p, size_t n, size_t length)
{
    size_t slowest = length;
    for (size_t i = 0; i < n; i++) {
        if (p[i].r.flight != NULL && p[i].got < slowest) {
            slowest = p[i].got;
        }
    }
    return slowest;
}

/* Many readers at random speeds, under a leader that pauses, against a model that searches. */
static void test_crowd(void **state)
{
    struct world *w = *state;
    struct probe p[CROWD] = {0};
    unsigned expected = 0;
    bool choked = false;
    srandom(4711);
    drained = 0;
    struct flight *f = lead(w, "GET /a", &p[0]);
    for (int i = 1; i < CROWD; i++) {
        follow(w, "GET /a", &p[i]);
    }
    publish(f, -1, "");
    flight_set_drained(f, on_drained, &drained);
    flight_overflow(f);
    for (int step = 0; step < 20000; step++) {
        struct probe *one = &p[random() % CROWD];
        if (random() % 1000 == 0) {
            flight_leave(&one->r);
        } else if (!choked && random() % 3 == 0) {
            append(f, (size_t)random() % (64 * KIB));
        } else if (one->r.flight != NULL) {
            read_some(one, (size_t)random() % (100 * KIB));
        }
        size_t slowest = slowest_of(p, CROWD, f->length);
        size_t backlog = f->length - slowest;
        assert_int_equal(flight_backlog(f), backlog);
        assert_true(f->first == f->last || f->first->start + f->first->used > slowest);
        expected += choked && backlog < 64 * KIB;
        choked = backlog > 256 * KIB || (choked && backlog >= 64 * KIB);
        turn(w);
        assert_int_equal(drained, expected);
    }
    assert_true(expected > 10);
    assert_true(flight_readers(f) > 0 && flight_readers(f) < CROWD);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    size_t length = f->length;
    flight_unref(f);
    for (int i = 0; i < CROWD; i++) {
        if (p[i].r.flight != NULL) {
            read_all(&p[i]);
            assert_int_equal(p[i].got, length);
        }
        flight_leave(&p[i].r);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_memory),
        TEST(test_lengths),
        TEST(test_lengths_that_lie),
        TEST(test_overflow),
        TEST(test_dropping),
        TEST(test_dropping_between_look_and_advance),
        TEST(test_slowest_leaves),
        TEST(test_left_behind),
        TEST(test_nobody_is_left_behind_early),
        TEST(test_drained_no_more),
        TEST(test_leader_loop_gone),
        TEST(test_dropping_after_end),
        TEST(test_crowd),
    };
#undef TEST
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
