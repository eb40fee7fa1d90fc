/*
 * Choice of servers: round robin, least connections, passive marks, health, retry budget, and
 * what survives a reload. No sockets.
 */
#include "origin_case.h"

static struct origins *set;
static struct origin *o;

static void make(const char *options)
{
    static const uint16_t ports[] = {1001, 1002, 1003};
    set = make_origins(ports, 3, options);
    o = origins_get(set, 0);
}

static int teardown(void **state)
{
    (void)state;
    origins_unref(set);
    set = NULL;
    return 0;
}

/* The index that origin_pick() gives, -1 for none. */
static int pick(uint64_t tried, msec_t now)
{
    struct origin_server *s = origin_pick(o, tried, now);
    return s != NULL ? (int)s->index : -1;
}

static void test_round_robin(void **state)
{
    (void)state;
    make("");
    unsigned counts[3] = {0};
    int before = pick(0, 0);
    for (unsigned i = 0; i < 300; i++) {
        int now = pick(0, 0);
        assert_int_equal(now, (before + 1) % 3);
        counts[now]++;
        before = now;
    }
    assert_int_equal(counts[0], 100);
    assert_int_equal(counts[1], 100);
    assert_int_equal(origins_count(set), 1);
}

static void test_tried_servers_are_left_out(void **state)
{
    (void)state;
    make("");
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(pick(5, 0), 1);
        assert_int_equal(pick(7, 0), -1);
        assert_int_not_equal(pick(1, 0), 0);
    }
}

static void test_least_connections(void **state)
{
    (void)state;
    make("balance=least_conn");
    atomic_store(&o->servers[0].in_flight, 2);
    atomic_store(&o->servers[1].in_flight, 1);
    atomic_store(&o->servers[2].in_flight, 3);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(pick(0, 0), 1);
        assert_int_equal(pick(2, 0), 0);
    }
    atomic_store(&o->servers[2].in_flight, 1);
    bool seen[3] = {false};
    for (unsigned i = 0; i < 6; i++) {
        seen[pick(0, 0)] = true;
    }
    assert_true(seen[1] && seen[2] && !seen[0]); /* equal ones take turns */
}

static void test_failures_mark_a_server(void **state)
{
    (void)state;
    make("max_fails=3 fail_timeout=10s");
    origin_server_failed(&o->servers[0], 100);
    origin_server_failed(&o->servers[0], 100);
    origin_server_succeeded(&o->servers[0]); /* in a row only */
    origin_server_failed(&o->servers[0], 100);
    origin_server_failed(&o->servers[0], 100);
    bool asked = false;
    for (unsigned i = 0; i < 3; i++) {
        asked = asked || pick(0, 200) == 0;
    }
    assert_true(asked);
    origin_server_failed(&o->servers[0], 100);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_not_equal(pick(0, 10099), 0);
    }
    asked = false;
    for (unsigned i = 0; i < 3; i++) {
        asked = asked || pick(0, 10100) == 0;
    }
    assert_true(asked); /* a trial after fail_timeout */
    origin_server_failed(&o->servers[0], 10100);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_not_equal(pick(0, 20000), 0); /* which failed: marked again at once */
    }
    origin_server_succeeded(&o->servers[0]);
    asked = false;
    for (unsigned i = 0; i < 3; i++) {
        asked = asked || pick(0, 20001) == 0;
    }
    assert_true(asked);
}

static void test_marked_servers_are_better_than_none(void **state)
{
    (void)state;
    make("max_fails=1 fail_timeout=10s");
    for (unsigned i = 0; i < 3; i++) {
        origin_server_failed(&o->servers[i], 0);
    }
    assert_int_not_equal(pick(0, 1), -1);
    assert_int_equal(pick(3, 1), 2);
}

static void test_max_fails_zero_marks_nothing(void **state)
{
    (void)state;
    make("max_fails=0");
    for (unsigned i = 0; i < 100; i++) {
        origin_server_failed(&o->servers[0], 0);
    }
    bool asked = false;
    for (unsigned i = 0; i < 3; i++) {
        asked = asked || pick(0, 1) == 0;
    }
    assert_true(asked);
}

static void test_unhealthy_servers_get_nothing(void **state)
{
    (void)state;
    make("");
    atomic_store(&o->servers[1].unhealthy, true);
    for (unsigned i = 0; i < 9; i++) {
        assert_int_not_equal(pick(0, 0), 1);
    }
    atomic_store(&o->servers[0].unhealthy, true);
    atomic_store(&o->servers[2].unhealthy, true);
    assert_int_equal(pick(0, 0), -1);
}

static void test_a_single_server_is_always_asked(void **state)
{
    (void)state;
    uint16_t port = 1001;
    set = make_origins(&port, 1, "max_fails=1");
    o = origins_get(set, 0);
    for (unsigned i = 0; i < 5; i++) {
        origin_server_failed(&o->servers[0], 0);
    }
    assert_int_equal(pick(0, 1), 0);
    atomic_store(&o->servers[0].unhealthy, true);
    assert_int_equal(pick(0, 1), -1);
}

/* What is shown of a server: bad from max_fails failures in a row to the next success, also
 * when it is asked all the same. */
static void test_a_failing_server_is_not_shown_as_up(void **state)
{
    (void)state;
    static const uint16_t ports[] = {1001, 1002};
    for (size_t n = 1; n <= 2; n++) {
        set = make_origins(ports, n, "max_fails=2 fail_timeout=10s");
        o = origins_get(set, 0);
        struct origin_server *s = &o->servers[0];
        origin_server_failed(s, 0);
        assert_true(origin_server_up(s, 1));
        origin_server_failed(s, 0);
        assert_false(origin_server_up(s, 1));
        assert_false(origin_server_up(s, 10000)); /* tried again, not seen to work yet */
        origin_server_succeeded(s);
        assert_true(origin_server_up(s, 1));
        atomic_store(&s->unhealthy, true);
        assert_false(origin_server_up(s, 1));
        origins_unref(set);
    }
    make("max_fails=0");
    origin_server_failed(&o->servers[0], 0);
    assert_true(origin_server_up(&o->servers[0], 1));
    origins_unref(set);
    make("max_fails=1 fail_timeout=10s health=/h");
    origin_server_failed(&o->servers[0], 0);
    assert_false(origin_server_up(&o->servers[0], 9999));
    assert_true(origin_server_up(&o->servers[0], 10000)); /* the check says so */
}

static void test_retries_are_a_tenth_of_the_requests(void **state)
{
    (void)state;
    make("");
    unsigned burst = 0;
    while (origin_take_retry(o)) {
        burst++;
    }
    assert_in_range(burst, 10, 200); /* what a quiet start allows */
    unsigned taken = 0;
    for (unsigned i = 0; i < 1000; i++) {
        origin_count_request(o);
        taken += origin_take_retry(o);
    }
    assert_in_range(taken, 99, 100);
    for (unsigned i = 0; i < 100000; i++) {
        origin_count_request(o); /* saved up, but not without bound */
    }
    for (taken = 0; origin_take_retry(o); taken++) {
    }
    assert_in_range(taken, 100, 101);
}

static void test_a_reload_keeps_what_is_known(void **state)
{
    (void)state;
    static const uint16_t ports[] = {1002, 1003, 1004};
    make("max_fails=1 fail_timeout=10s health=/h");
    atomic_store(&o->servers[1].unhealthy, true);
    origin_server_failed(&o->servers[2], 0);
    struct origins *next = make_origins(ports, 3, "max_fails=1 fail_timeout=10s health=/h");
    origins_adopt(next, set);
    struct origin *n = origins_get(next, 0);
    assert_true(atomic_load(&n->servers[0].unhealthy));
    assert_int_equal(atomic_load(&n->servers[1].down_until), 10000);
    assert_int_equal(atomic_load(&n->servers[1].fails), 1);
    assert_false(atomic_load(&n->servers[2].unhealthy));
    assert_int_equal(atomic_load(&n->servers[2].down_until), 0);
    origins_unref(next);
    /* Without checks nobody would ever take the verdict back. */
    next = make_origins(ports, 3, "");
    origins_adopt(next, set);
    assert_false(atomic_load(&origins_get(next, 0)->servers[0].unhealthy));
    origins_unref(next);
}

static void test_origins_outlive_their_settings(void **state)
{
    (void)state;
    make(""); /* has dropped its reference on the settings */
    struct origins *second = origins_ref(set);
    assert_true(str_eq(o->settings->name, STR("main")));
    struct addr addr;
    assert_true(origin_server_addr(&o->servers[2], &addr));
    assert_int_equal(addr_port(&addr), 1003);
    origins_unref(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_round_robin, teardown),
        cmocka_unit_test_teardown(test_tried_servers_are_left_out, teardown),
        cmocka_unit_test_teardown(test_least_connections, teardown),
        cmocka_unit_test_teardown(test_failures_mark_a_server, teardown),
        cmocka_unit_test_teardown(test_marked_servers_are_better_than_none, teardown),
        cmocka_unit_test_teardown(test_a_failing_server_is_not_shown_as_up, teardown),
        cmocka_unit_test_teardown(test_max_fails_zero_marks_nothing, teardown),
        cmocka_unit_test_teardown(test_unhealthy_servers_get_nothing, teardown),
        cmocka_unit_test_teardown(test_a_single_server_is_always_asked, teardown),
        cmocka_unit_test_teardown(test_retries_are_a_tenth_of_the_requests, teardown),
        cmocka_unit_test_teardown(test_a_reload_keeps_what_is_known, teardown),
        cmocka_unit_test_teardown(test_origins_outlive_their_settings, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
