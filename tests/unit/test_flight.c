/*
 * Flights on one thread: who leads and who joins, what readers see while the body grows, when
 * they are woken, how they leave, what the end means, and the joining rule after invalidations.
 * Bodies as such: test_flight_body.c; threads: test_flight_race.c.
 */
#include "unit.h"

#include "flight_case.h"

/* ---- joining ---------------------------------------------------------------------------- */

static void test_lead_and_follow(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    assert_ptr_equal(follow(w, "GET /a", &b), f);
    assert_int_equal(flight_readers(f), 2);
    flight_leave(&b.r);
    assert_int_equal(flight_readers(f), 1);
    assert_null(b.r.flight);
    flight_leave(&a.r);
    finish(f, FLIGHT_FAILED);
}

/* A flight without readers goes on and may be joined. */
static void test_leader_leaves(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    flight_leave(&a.r);
    publish(f, 3, "");
    append(f, 3);
    assert_ptr_equal(follow(w, "GET /a", &b), f);
    read_all(&b);
    assert_int_equal(b.got, 3);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
}

/* Each part of the key tells flights apart, the hash alone does not. */
static void test_keys(void **state)
{
    struct world *w = *state;
    struct flight_key keys[5];
    struct flight *flights[5];
    struct probe probes[5] = {0};
    for (int i = 0; i < 5; i++) {
        keys[i] = key_of("GET /a");
    }
    keys[1].name = STR("GET /b");
    keys[2].host = STR("other");
    keys[3].scope = 7;
    keys[4].hash ^= (uint64_t)1 << 63;
    for (int i = 0; i < 5; i++) {
        bool leader = false;
        flights[i] = join_key(w, &keys[i], &probes[i], &leader);
        assert_true(leader);
    }
    for (int i = 4; i >= 0; i--) {
        struct probe p = {0};
        bool leader = true;
        assert_ptr_equal(join_key(w, &keys[i], &p, &leader), flights[i]);
        assert_false(leader);
        flight_leave(&p.r);
    }
    for (int i = 0; i < 5; i++) {
        flight_leave(&probes[i].r);
        finish(flights[i], FLIGHT_FAILED);
    }
}

static void test_ended_is_not_joined(void **state)
{
    struct world *w = *state;
    static const enum flight_state ends[] = {FLIGHT_DONE, FLIGHT_FAILED, FLIGHT_UNSHARED};
    for (size_t i = 0; i < 3; i++) {
        struct probe a = {0}, b = {0};
        struct flight *f = lead(w, "GET /a", &a);
        flight_end(f, ends[i], NULL, 0);
        struct flight *g = lead(w, "GET /a", &b);
        assert_ptr_not_equal(f, g);
        flight_unref(f);
        flight_leave(&a.r);
        flight_leave(&b.r);
        finish(g, FLIGHT_FAILED);
    }
}

/* Nor does one that was found in the table a moment before. */
static void test_no_way_in(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0}, c = {0};
    struct flight *f = lead(w, "GET /a", &a);
    assert_true(flight_try_read(f, &b.r, w->loop, on_wake));
    publish(f, -1, "");
    flight_leave(&b.r);
    assert_true(flight_try_read(f, &b.r, w->loop, on_wake));
    flight_overflow(f);
    assert_false(flight_try_read(f, &c.r, w->loop, on_wake));
    assert_null(c.r.flight);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
    f = lead(w, "GET /a", &a);
    flight_end(f, FLIGHT_FAILED, NULL, 0);
    assert_false(flight_try_read(f, &c.r, w->loop, on_wake));
    flight_leave(&a.r);
    flight_unref(f);
}

/* What is only looked at has no reader more, and nobody is woken. */
static void test_peek(void **state)
{
    struct world *w = *state;
    struct probe a = {0};
    struct flight_facts facts;
    struct flight_key key = key_of("GET /a");
    assert_false(flight_peek(w->table, &key, 1000, &facts));
    struct flight *f = lead(w, "GET /a", &a);
    flight_hold(f);
    assert_true(flight_peek(w->table, &key, 1000, &facts));
    assert_true(facts.held && facts.since == 0 && facts.readers == 1 && facts.length == 0);
    struct stamp stamp = journal_stamp(w->journal);
    flight_begin(f, &stamp, 1000);
    publish(f, -1, "");
    append(f, 5);
    assert_true(flight_peek(w->table, &key, 1120, &facts));
    assert_true(!facts.held && facts.since == 120 && facts.readers == 1 && facts.length == 5);
    key.scope = 7;
    assert_false(flight_peek(w->table, &key, 1120, &facts));
    key = key_of("GET /a");
    assert_int_equal(flight_readers(f), 1);
    flight_overflow(f); /* nobody can join any more */
    assert_false(flight_peek(w->table, &key, 1120, &facts));
    flight_leave(&a.r);
    finish(f, FLIGHT_DONE);
    assert_false(flight_peek(w->table, &key, 1120, &facts));
}

static void test_unlist(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    flight_unlist(f);
    flight_unlist(f);
    struct flight *g = lead(w, "GET /a", &b);
    flight_unlist(f); /* must not take its successor away */
    struct probe c = {0};
    assert_ptr_equal(follow(w, "GET /a", &c), g);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
    finish(f, FLIGHT_FAILED);
    finish(g, FLIGHT_FAILED);
}

static void test_alone(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    const struct flight_key key = key_of("GET /a");
    struct flight *f = flight_new_alone(w->journal, &key, w->loop);
    flight_read(f, &a.r, w->loop, on_wake);
    struct flight *g = lead(w, "GET /a", &b);
    assert_ptr_not_equal(f, g);
    publish(f, 5, "");
    append(f, 5);
    read_all(&a);
    assert_int_equal(a.got, 5);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    assert_int_equal(look(&a), FLIGHT_DONE);
    turn(w);
    assert_int_equal(a.wakes, 0);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(g, FLIGHT_FAILED);
}

/* ---- reading ---------------------------------------------------------------------------- */

static void test_read_while_filling(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0}, c = {0};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    assert_int_equal(look(&b), FLIGHT_WAITING);
    publish(f, -1, "");
    assert_int_equal(look(&b), FLIGHT_BODY);
    assert_int_equal(b.r.flight->head.status, 200);
    append(f, 10);
    read_some(&b, 4);
    assert_int_equal(b.got, 4);
    append(f, 100 * KIB);
    read_all(&b);
    assert_int_equal(b.got, 100 * KIB + 10);
    follow(w, "GET /a", &c); /* late, and still from the start */
    read_all(&c);
    assert_int_equal(c.got, 100 * KIB + 10);
    append(f, 1);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    flight_unref(f);
    read_all(&a);
    read_all(&b);
    read_all(&c);
    assert_int_equal(look(&a), FLIGHT_DONE);
    assert_int_equal(a.got, 100 * KIB + 11);
    assert_int_equal(b.got, 100 * KIB + 11);
    assert_int_equal(c.got, 100 * KIB + 11);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
}

static void test_empty_body(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 0, "");
    flight_append(f, STR(""));
    assert_null(f->first);
    flight_look(&b.r, &v);
    assert_int_equal(v.state, FLIGHT_BODY);
    assert_null(v.chunk);
    flight_advance(&b.r, 0);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    flight_look(&b.r, &v);
    assert_int_equal(v.state, FLIGHT_DONE);
    assert_null(v.chunk);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
}

/* The entry stays while a reader does, though the leader is gone. */
static void test_done_with_entry(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 6, "");
    struct entry *e = make_entry(w, "GET /a", STR(""));
    flight_end(f, FLIGHT_DONE, e, FLIGHT_REVALIDATED);
    entry_unref(e);
    flight_leave(&a.r);
    flight_unref(f);
    flight_look(&b.r, &v);
    assert_int_equal(v.state, FLIGHT_DONE);
    assert_int_equal(v.error, FLIGHT_REVALIDATED);
    assert_true(str_eq(entry_body(v.entry), STR("stored")));
    flight_leave(&b.r);
}

static void test_failed(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 100, "");
    append(f, 10);
    read_some(&b, 3);
    flight_end(f, FLIGHT_FAILED, NULL, 5);
    flight_unref(f);
    turn(w);
    assert_int_equal(b.wakes, 1);
    flight_look(&b.r, &v);
    assert_int_equal(v.state, FLIGHT_FAILED);
    assert_int_equal(v.error, 5);
    assert_int_equal(v.piece.n, 7);
    chunk_unref(v.chunk);
    flight_leave(&a.r);
    flight_leave(&b.r);
}

static void test_unshared(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b[3] = {0};
    struct flight *f = lead(w, "GET /a", &a);
    for (int i = 0; i < 3; i++) {
        follow(w, "GET /a", &b[i]);
    }
    flight_leave(&a.r);
    finish(f, FLIGHT_UNSHARED);
    turn(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b[i].wakes, 1);
        assert_int_equal(look(&b[i]), FLIGHT_UNSHARED);
        flight_leave(&b[i].r);
    }
}

/* Bytes that are being sent outlive the reader, the leader and the flight. */
static void test_piece_outlives(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 1000, "");
    append(f, 500);
    flight_look(&b.r, &v);
    assert_int_equal(v.piece.n, 500);
    append(f, 500);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
    turn(w);
    assert_memory_equal(v.piece.p, body_at(0), 500);
    chunk_unref(v.chunk);
}

/* ---- waking ----------------------------------------------------------------------------- */

static void test_wakes(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    turn(w);
    assert_int_equal(b.wakes, 0);
    publish(f, -1, "");
    assert_int_equal(b.wakes, 0); /* never from inside a call */
    turn(w);
    assert_int_equal(b.wakes, 1);
    read_all(&b);
    append(f, 10);
    append(f, 10); /* one letter for both */
    turn(w);
    assert_int_equal(b.wakes, 2);
    read_some(&b, 5);
    append(f, 10); /* there was something left to read: its client is what it waits for */
    turn(w);
    assert_int_equal(b.wakes, 2);
    read_all(&b);
    append(f, 10);
    turn(w);
    assert_int_equal(b.wakes, 3);
    append(f, 10); /* it knows already */
    turn(w);
    assert_int_equal(b.wakes, 3);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED); /* of the end all are told */
    turn(w);
    assert_int_equal(b.wakes, 4);
    assert_int_equal(a.wakes, 0); /* the leader knows */
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
}

static void leave_now(struct probe *p)
{
    flight_leave(&p->r);
}

static void test_leave_in_wake(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {.then = leave_now};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, -1, "");
    turn(w);
    assert_int_equal(b.wakes, 1);
    assert_int_equal(flight_readers(f), 1);
    append(f, 10);
    turn(w);
    assert_int_equal(b.wakes, 1);
    flight_leave(&b.r);
    flight_leave(&a.r);
    finish(f, FLIGHT_DONE);
}

/* The last reference to a flight may go in a wake. */
static void test_last_leaves_in_wake(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {.then = leave_now};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    flight_leave(&a.r);
    finish(f, FLIGHT_FAILED);
    turn(w);
    assert_int_equal(b.wakes, 1);
}

/* A letter is under way when the reader goes and its memory is used for something else. */
static void test_leave_with_letter(void **state)
{
    struct world *w = *state;
    struct probe a = {0};
    struct probe *b = xcalloc(1, sizeof(*b));
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", b);
    publish(f, -1, "");
    flight_leave(&b->r);
    memset(b, 0xee, sizeof(*b));
    free(b);
    flight_leave(&a.r);
    finish(f, FLIGHT_DONE);
    turn(w); /* the letter holds the flight's last reference */
}

/* The same struct joins another flight while letters of the first are under way. */
static void test_join_another_at_once(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0}, c = {0};
    struct flight *f = lead(w, "GET /a", &a);
    struct flight *g = lead(w, "GET /b", &b);
    follow(w, "GET /a", &c);
    publish(f, -1, "");
    flight_leave(&c.r);
    follow(w, "GET /b", &c);
    turn(w);
    assert_int_equal(c.wakes, 0); /* that was for its former life */
    publish(g, -1, "");
    flight_leave(&c.r);
    follow(w, "GET /a", &c);
    flight_leave(&c.r);
    follow(w, "GET /b", &c);
    append(g, 10);
    read_all(&c);
    assert_int_equal(c.got, 10);
    turn(w);
    assert_int_equal(c.wakes, 1);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
    finish(f, FLIGHT_FAILED);
    finish(g, FLIGHT_FAILED);
}

static struct world *now_world;

static void lead_successor(struct probe *p)
{
    p->then = NULL;
    flight_leave(&p->r);
    lead(now_world, "GET /a", p);
}

/* Leader failed: a follower, in its wake, leads the next with the same struct. */
static void test_succeed_in_wake(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {.then = lead_successor}, c = {0};
    now_world = w;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    flight_leave(&a.r);
    finish(f, FLIGHT_FAILED);
    turn(w);
    assert_int_equal(b.wakes, 1);
    struct flight *g = b.r.flight;
    assert_ptr_equal(follow(w, "GET /a", &c), g);
    publish(g, -1, "");
    append(g, 20);
    turn(w);
    assert_int_equal(b.wakes, 1); /* it leads now */
    assert_int_equal(c.wakes, 1);
    read_all(&b);
    assert_int_equal(b.got, 20);
    flight_leave(&b.r);
    flight_leave(&c.r);
    finish(g, FLIGHT_DONE);
}

static struct probe *victim;

static void leave_other(struct probe *p)
{
    (void)p;
    flight_leave(&victim->r);
}

/* One reader's wake ends another whose letter is in the same mail. */
static void test_leave_in_others_wake(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {.then = leave_other}, c = {.then = leave_other};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    follow(w, "GET /a", &c);
    publish(f, -1, "");
    victim = f->readers == &b.r ? &c : &b; /* letters go out in the order of the list */
    struct probe *first = victim == &b ? &c : &b;
    turn(w);
    assert_int_equal(first->wakes, 1);
    assert_int_equal(victim->wakes, 0);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
    finish(f, FLIGHT_DONE);
}

static void append_more(struct probe *p)
{
    p->then = NULL;
    read_all(p);
    append(p->r.flight, 10); /* a letter to itself, from its own wake */
    flight_leave(&p->r);
}

static void test_leave_with_letter_in_wake(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {.then = append_more};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, -1, "");
    turn(w);
    turn(w);
    assert_int_equal(b.wakes, 1);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
}

static void test_leave_order(void **state)
{
    struct world *w = *state;
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int o = 0; o < 6; o++) {
        struct probe p[3] = {0};
        struct flight *f = lead(w, "GET /a", &p[0]);
        follow(w, "GET /a", &p[1]);
        follow(w, "GET /a", &p[2]);
        for (size_t i = 0; i < 3; i++) {
            flight_leave(&p[orders[o][i]].r);
            flight_leave(&p[orders[o][i]].r);
            assert_int_equal(flight_readers(f), 2 - i);
        }
        finish(f, FLIGHT_FAILED);
    }
}

static void test_after_leaving(void **state)
{
    struct world *w = *state;
    struct probe a = {0};
    struct flight *f = lead(w, "GET /a", &a);
    publish(f, -1, "");
    append(f, 10);
    flight_leave(&a.r);
    flight_advance(&a.r, 10);
    assert_int_equal(look(&a), FLIGHT_FAILED);
    finish(f, FLIGHT_DONE);
}

/* Mail that nobody has fetched when the loop goes. */
static void test_letters_at_loop_free(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct loop *other = loop_new();
    const struct flight_key key = key_of("GET /a");
    bool leader = true;
    struct flight *f = lead(w, "GET /a", &a);
    flight_join(w->table, w->journal, &key, &b.r, other, on_wake, &leader);
    assert_false(leader);
    publish(f, -1, "");
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
    loop_free(other);
    assert_int_equal(b.wakes, 0);
}

/* ---- the joining rule ------------------------------------------------------------------- */

/* After the record a newcomer starts a successor; who reads the old flight goes on. */
static void expect_successor(struct world *w, enum record_kind kind, const char *text,
                             bool soft)
{
    struct probe a = {0}, b = {0}, c = {0}, d = {0};
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 20, "red");
    append(f, 10);
    read_all(&b);
    invalidate(w, kind, text, soft);
    struct flight *g = lead(w, "GET /a", &c);
    assert_ptr_not_equal(f, g);
    append(f, 10);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED); /* leaves the successor in the table */
    assert_ptr_equal(follow(w, "GET /a", &d), g);
    read_all(&b);
    assert_int_equal(look(&b), FLIGHT_DONE);
    assert_int_equal(b.got, 20);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&b.r);
    flight_leave(&c.r);
    flight_leave(&d.r);
    finish(g, FLIGHT_FAILED);
}

static void test_joining_rule(void **state)
{
    struct world *w = *state;
    expect_successor(w, RECORD_NAME, "GET /a", false);
    expect_successor(w, RECORD_NAME, "GET /a", true);
    expect_successor(w, RECORD_TYPE, "books", false);
    expect_successor(w, RECORD_ROUTE, "/v1/*", false);
    expect_successor(w, RECORD_TAG, "red", false);
    expect_successor(w, RECORD_ALL, "", false);
}

static void test_other_records(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    publish(f, 20, "red");
    invalidate(w, RECORD_NAME, "GET /b", false);
    invalidate(w, RECORD_TYPE, "films", false);
    invalidate(w, RECORD_TAG, "blue", false);
    assert_ptr_equal(follow(w, "GET /a", &b), f);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_FAILED);
}

/* The records that count are those since the fetch began. */
static void test_older_records(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    invalidate(w, RECORD_NAME, "GET /a", false);
    invalidate(w, RECORD_TAG, "red", false);
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &b);
    publish(f, 20, "red");
    assert_int_equal(look(&b), FLIGHT_BODY);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_FAILED);
}

/* A variant is named by its base name's records. */
static void test_variant_name(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a#0123456789abcdef", &a);
    assert_true(str_eq(entry_base_name(f->name), STR("GET /a")));
    invalidate(w, RECORD_NAME, "GET /a", false);
    struct flight *g = lead(w, "GET /a#0123456789abcdef", &b);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_FAILED);
    finish(g, FLIGHT_FAILED);
}

/* The tags come with the head: who joined after an invalidation of one of them is sent away
 * then, who was there before it is not. */
static void test_tags_known_late(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, before = {0}, after = {0}, again = {0};
    struct flight_view v;
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &before);
    invalidate(w, RECORD_TAG, "red", false);
    assert_ptr_equal(follow(w, "GET /a", &after), f);
    publish(f, 20, "red");
    append(f, 20);
    turn(w);
    assert_int_equal(after.wakes, 1);
    flight_look(&after.r, &v);
    assert_int_equal(v.state, FLIGHT_OVERTAKEN);
    assert_null(v.chunk);
    assert_null(v.entry);
    assert_int_equal(look(&a), FLIGHT_BODY);
    assert_int_equal(look(&before), FLIGHT_BODY);
    flight_leave(&after.r);
    struct flight *g = lead(w, "GET /a", &after);
    assert_ptr_equal(follow(w, "GET /a", &again), g);
    flight_end(f, FLIGHT_DONE, NULL, FLIGHT_FILLED);
    read_all(&before);
    assert_int_equal(before.got, 20);
    flight_unref(f);
    flight_leave(&a.r);
    flight_leave(&before.r);
    flight_leave(&after.r);
    flight_leave(&again.r);
    finish(g, FLIGHT_FAILED);
}

static void test_other_tags_known_late(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, b = {0};
    struct flight *f = lead(w, "GET /a", &a);
    invalidate(w, RECORD_TAG, "blue", false);
    follow(w, "GET /a", &b);
    publish(f, 20, "red");
    assert_int_equal(look(&b), FLIGHT_BODY);
    flight_leave(&a.r);
    flight_leave(&b.r);
    finish(f, FLIGHT_DONE);
}

/* A fetch that confirms a stored answer has no head of its own: the entry's tags count. */
static void test_tags_of_confirmed(void **state)
{
    struct world *w = *state;
    struct probe a = {0}, before = {0}, after = {0};
    struct entry *e = make_entry(w, "GET /a", STR("red"));
    struct flight *f = lead(w, "GET /a", &a);
    follow(w, "GET /a", &before);
    invalidate(w, RECORD_TAG, "red", true);
    follow(w, "GET /a", &after);
    flight_end(f, FLIGHT_DONE, e, FLIGHT_REVALIDATED);
    entry_unref(e);
    flight_unref(f);
    assert_int_equal(look(&a), FLIGHT_DONE);
    assert_int_equal(look(&before), FLIGHT_DONE);
    assert_int_equal(look(&after), FLIGHT_OVERTAKEN);
    flight_leave(&a.r);
    flight_leave(&before.r);
    flight_leave(&after.r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lead_and_follow),
        TEST(test_leader_leaves),
        TEST(test_keys),
        TEST(test_ended_is_not_joined),
        TEST(test_no_way_in),
        TEST(test_peek),
        TEST(test_unlist),
        TEST(test_alone),
        TEST(test_read_while_filling),
        TEST(test_empty_body),
        TEST(test_done_with_entry),
        TEST(test_failed),
        TEST(test_unshared),
        TEST(test_piece_outlives),
        TEST(test_wakes),
        TEST(test_leave_in_wake),
        TEST(test_last_leaves_in_wake),
        TEST(test_leave_with_letter),
        TEST(test_join_another_at_once),
        TEST(test_succeed_in_wake),
        TEST(test_leave_in_others_wake),
        TEST(test_leave_with_letter_in_wake),
        TEST(test_leave_order),
        TEST(test_after_leaving),
        TEST(test_letters_at_loop_free),
        TEST(test_joining_rule),
        TEST(test_other_records),
        TEST(test_older_records),
        TEST(test_variant_name),
        TEST(test_tags_known_late),
        TEST(test_other_tags_known_late),
        TEST(test_tags_of_confirmed),
    };
#undef TEST
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
