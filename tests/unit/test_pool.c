/*
 * Upstream connections between exchanges: order of reuse, bounds, and that nothing with a sign
 * of life is ever lent again (F22).
 */
#include "origin_case.h"

#include "upstream/pool.h"

static struct loop *l;
static struct pool *pool;
static struct scripted *origin;
static struct origins *set;
static struct origin_server *server;
static unsigned connected, failed;

static void on_connected(struct stream *s)
{
    (void)s;
    connected++;
}

static void on_readable(struct stream *s)
{
    (void)s;
}

static void on_failed(struct stream *s, enum stream_error e)
{
    (void)s;
    (void)e;
    failed++;
}

static const struct stream_ops ops = {
    .connected = on_connected,
    .readable = on_readable,
    .failed = on_failed,
};

static const struct step silent[] = {{DEED_HANG, NULL, 0}};
static const struct step talks[] = {
    {DEED_GATE, NULL, 0}, {DEED_SEND, "x", 0}, {DEED_HANG, NULL, 0}};
static const struct step ends[] = {{DEED_GATE, NULL, 0}, {DEED_END, NULL, 0}};
static const struct step resets[] = {{DEED_GATE, NULL, 0}, {DEED_RESET, NULL, 0}};

static void start(const struct step *script, const char *options)
{
    static const struct step *scripts[1];
    scripts[0] = script;
    connected = failed = 0;
    l = loop_new();
    pool = pool_new(l);
    origin = scripted_start(scripts, 1);
    set = make_origins(&origin->port, 1, options);
    server = &origins_get(set, 0)->servers[0];
}

static int teardown(void **state)
{
    (void)state;
    pool_free(pool);
    scripted_stop(origin);
    scripted_free(origin);
    origins_unref(set);
    loop_free(l);
    return 0;
}

/* A connection that stands. */
static struct upconn *connect_one(void)
{
    unsigned before = connected;
    struct upconn *uc = pool_connect(pool, set, server, &ops, &connected);
    assert_non_null(uc);
    RUN_UNTIL(l, connected > before);
    return uc;
}

static void test_a_connection_is_lent_again(void **state)
{
    (void)state;
    start(silent, "");
    assert_null(pool_get(pool, server));
    struct upconn *uc = connect_one();
    assert_int_equal(uc->exchanges, 0);
    pool_put(uc);
    assert_int_equal(pool_idle(pool), 1);
    assert_ptr_equal(pool_get(pool, server), uc);
    assert_int_equal(uc->exchanges, 1);
    assert_int_equal(pool_idle(pool), 0);
    assert_null(pool_get(pool, server));
    pool_put(uc);
}

static void test_the_newest_goes_first(void **state)
{
    (void)state;
    start(silent, "");
    struct upconn *a = connect_one(), *b = connect_one(), *c = connect_one();
    pool_put(a);
    pool_put(b);
    pool_put(c);
    assert_ptr_equal(pool_get(pool, server), c);
    assert_ptr_equal(pool_get(pool, server), b);
    pool_put(c);
    assert_ptr_equal(pool_get(pool, server), c);
    assert_ptr_equal(pool_get(pool, server), a);
    upconn_close(a, false);
    upconn_close(b, true);
    upconn_close(c, false);
}

static void test_no_more_than_keepalive_are_kept(void **state)
{
    (void)state;
    start(silent, "keepalive=2");
    struct upconn *conns[5];
    for (unsigned i = 0; i < 5; i++) {
        conns[i] = connect_one();
    }
    for (unsigned i = 0; i < 5; i++) {
        pool_put(conns[i]);
    }
    assert_int_equal(pool_idle(pool), 2);
    assert_ptr_equal(pool_get(pool, server), conns[4]);
    assert_ptr_equal(pool_get(pool, server), conns[3]);
    upconn_close(conns[4], false);
    upconn_close(conns[3], false);
}

static void test_keepalive_0_keeps_none(void **state)
{
    (void)state;
    start(silent, "keepalive=0");
    pool_put(connect_one());
    assert_int_equal(pool_idle(pool), 0);
}

static void test_idle_connections_end_in_time(void **state)
{
    (void)state;
    start(silent, "keepalive_timeout=100ms");
    pool_put(connect_one());
    msec_t before = clock_monotonic();
    RUN_UNTIL(l, pool_idle(pool) == 0);
    assert_in_range(clock_monotonic() - before, 80, 2000);
}

/* What the peer does while nobody uses the connection ends it, by event … */
static void check_idle_event(const struct step *script)
{
    start(script, "");
    pool_put(connect_one());
    pool_put(connect_one());
    atomic_store(&origin->gate, true);
    RUN_UNTIL(l, pool_idle(pool) < 2);
    RUN_UNTIL(l, pool_idle(pool) == 0);
    assert_int_equal(failed, 0); /* the borrower of old is not told */
}

/* … or, when the event has not been seen yet, at the moment of lending. */
static void check_lending(const struct step *script)
{
    start(script, "");
    struct upconn *uc = connect_one();
    pool_put(uc);
    atomic_store(&origin->gate, true);
    msec_t limit = clock_monotonic() + 10000;
    while (!stream_peek_dirty(&uc->stream)) {
        assert_true(clock_monotonic() < limit);
        usleep(500);
    }
    assert_null(pool_get(pool, server));
    assert_int_equal(pool_idle(pool), 0);
}

static void test_an_end_while_idle(void **state)
{
    (void)state;
    check_idle_event(ends);
}

static void test_a_reset_while_idle(void **state)
{
    (void)state;
    check_idle_event(resets);
}

static void test_bytes_while_idle(void **state)
{
    (void)state;
    check_idle_event(talks);
}

static void test_an_end_before_lending(void **state)
{
    (void)state;
    check_lending(ends);
}

static void test_a_reset_before_lending(void **state)
{
    (void)state;
    check_lending(resets);
}

static void test_bytes_before_lending(void **state)
{
    (void)state;
    check_lending(talks);
}

static void test_other_configurations_are_dropped(void **state)
{
    (void)state;
    start(silent, "");
    struct origins *next = make_origins(&origin->port, 1, "");
    struct origin_server *same = &origins_get(next, 0)->servers[0];
    pool_put(connect_one());
    pool_put(connect_one());
    struct upconn *lent = connect_one();
    struct upconn *uc = pool_connect(pool, next, same, &ops, &connected);
    RUN_UNTIL(l, connected == 4);
    pool_put(uc);
    assert_int_equal(pool_idle(pool), 3);
    pool_drop_others(pool, next);
    assert_int_equal(pool_idle(pool), 1);
    assert_null(pool_get(pool, server));
    assert_ptr_equal(pool_get(pool, same), uc);
    pool_put(uc);
    /* Its own references keep the old configuration's servers as long as they are needed. */
    origins_unref(set);
    set = next;
    pool_put(lent);
    assert_int_equal(pool_idle(pool), 2);
    pool_drop_others(pool, NULL);
    assert_int_equal(pool_idle(pool), 0);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    start(silent, "");
    uint16_t port = closed_port();
    struct origins *none = make_origins(&port, 1, "");
    struct upconn *uc =
        pool_connect(pool, none, &origins_get(none, 0)->servers[0], &ops, &connected);
    RUN_UNTIL(l, failed == 1);
    assert_int_equal(connected, 0);
    upconn_close(uc, false);
    loop_turn(l, false);
    origins_unref(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_connection_is_lent_again, teardown),
        cmocka_unit_test_teardown(test_the_newest_goes_first, teardown),
        cmocka_unit_test_teardown(test_no_more_than_keepalive_are_kept, teardown),
        cmocka_unit_test_teardown(test_keepalive_0_keeps_none, teardown),
        cmocka_unit_test_teardown(test_idle_connections_end_in_time, teardown),
        cmocka_unit_test_teardown(test_an_end_while_idle, teardown),
        cmocka_unit_test_teardown(test_a_reset_while_idle, teardown),
        cmocka_unit_test_teardown(test_bytes_while_idle, teardown),
        cmocka_unit_test_teardown(test_an_end_before_lending, teardown),
        cmocka_unit_test_teardown(test_a_reset_before_lending, teardown),
        cmocka_unit_test_teardown(test_bytes_before_lending, teardown),
        cmocka_unit_test_teardown(test_other_configurations_are_dropped, teardown),
        cmocka_unit_test_teardown(test_nobody_listens, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
