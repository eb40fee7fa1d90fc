/*
 * Failures and what becomes of them: stale keep-alive connections, retries on the same server
 * and on others, what must never be asked twice, and the deadlines of each phase.
 */
#include "fetch_case.h"

#define SCRIPTS(...) ((const struct step *const[]){__VA_ARGS__})

static const struct step good[] = {
    {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(4) "good", 0}, {DEED_HANG, NULL, 0}};
static const struct step closes_early[] = {{DEED_HEAD, NULL, 0}, {DEED_CLOSE, NULL, 0}};
static const struct step resets_early[] = {{DEED_HEAD, NULL, 0}, {DEED_RESET, NULL, 0}};
static const struct step silent[] = {{DEED_HANG, NULL, 0}};
/* One good exchange; the next request on the connection meets its end. */
static const struct step once[] = {{DEED_HEAD, NULL, 0},
                                   {DEED_SEND, ANSWER(5) "first", 0},
                                   {DEED_HEAD, NULL, 0},
                                   {DEED_CLOSE, NULL, 0}};

static void start(const struct step *const *scripts, size_t n)
{
    case_start(scripts, n, "max_fails=0");
}

static void test_a_stale_connection_is_replaced(void **state)
{
    (void)state;
    start(SCRIPTS(once, good), 2);
    request.retries = 0; /* not counted: the server only ended an idle connection */
    case_run();
    assert_answer(200, "first");
    case_run();
    assert_answer(200, "good");
    assert_int_equal(origin->n_conns, 2);
}

static void test_many_stale_connections(void **state)
{
    (void)state;
    start(SCRIPTS(once, once, once, once, once, good), 6);
    request.retries = 0;
    struct exchange first[5] = {0};
    for (unsigned i = 0; i < 5; i++) {
        struct fetch *f =
            fetch_new(pool, set, origins_get(set, 0), &request, &case_ops, &first[i]);
        fetch_start(f);
    }
    for (unsigned i = 0; i < 5; i++) {
        RUN_UNTIL(l, first[i].dones > 0);
        strbuf_free(&first[i].body);
    }
    assert_int_equal(pool_idle(pool), 5);
    case_run(); /* gives up reusing after a few, and opens its own */
    assert_answer(200, "good");
    assert_int_equal(origin->n_conns, 6);
}

static void test_a_post_on_a_stale_connection_is_not_repeated(void **state)
{
    (void)state;
    start(SCRIPTS(once, good), 2);
    request.retries = 3;
    case_run();
    request.method = METHOD_POST;
    request.head = STR("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    case_run();
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 1);
}

static void test_a_get_is_repeated_within_its_retries(void **state)
{
    (void)state;
    start(SCRIPTS(closes_early, resets_early, good), 3);
    request.retries = 2;
    case_run();
    assert_answer(200, "good");
    assert_int_equal(origin->n_conns, 3);
    case_teardown(NULL);

    start(SCRIPTS(closes_early, resets_early, good), 3);
    request.retries = 1;
    case_run();
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 2);
}

static void test_no_retry_once_a_byte_of_an_answer_came(void **state)
{
    (void)state;
    static const struct step half[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, "H", 0}, {DEED_CLOSE, NULL, 0}};
    static const struct step interim[] = {{DEED_HEAD, NULL, 0},
                                          {DEED_SEND, "HTTP/1.1 103 Early Hints\r\n\r\n", 0},
                                          {DEED_CLOSE, NULL, 0}};
    start(SCRIPTS(half, good), 2);
    request.retries = 3;
    case_run();
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 1);
    case_teardown(NULL);
    start(SCRIPTS(interim, good), 2);
    request.retries = 3;
    case_run();
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 1);
}

static void test_retries_have_a_budget(void **state)
{
    (void)state;
    start(SCRIPTS(closes_early), 1);
    while (origin_take_retry(origins_get(set, 0))) {
    }
    request.retries = 3;
    case_run();
    assert_failed(FETCH_RESET);
    assert_int_equal(origin->n_conns, 1);
}

/* ---- several servers -------------------------------------------------------------------- */

/* Two servers: the first port is given, the second is the scripted one. */
static void start_pair(uint16_t first, const struct step *script, const char *options)
{
    static const struct step *scripts[1];
    scripts[0] = script;
    start(scripts, 1);
    const uint16_t ports[] = {first, origin->port};
    origins_unref(set);
    set = make_origins(ports, 2, options);
}

static void test_another_server_is_asked(void **state)
{
    (void)state;
    start_pair(closed_port(), good, "max_fails=0");
    request.retries = 1;
    for (unsigned i = 0; i < 4; i++) { /* whichever comes first */
        pool_drop_others(pool, NULL);
        case_run();
        assert_answer(200, "good");
        assert_int_equal(ex.fails, 0);
    }
}

static void test_nothing_sent_may_be_repeated_for_any_method(void **state)
{
    (void)state;
    start_pair(closed_port(), good, "max_fails=0");
    request.retries = 1;
    request.method = METHOD_POST;
    request.head = STR("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    for (unsigned i = 0; i < 2; i++) {
        pool_drop_others(pool, NULL);
        case_run();
        assert_answer(200, "good");
    }
}

static void test_failures_lead_to_a_mark(void **state)
{
    (void)state;
    start_pair(closed_port(), good, "max_fails=2 fail_timeout=60s");
    request.retries = 1;
    struct origin *o = origins_get(set, 0);
    for (unsigned i = 0; i < 8; i++) {
        pool_drop_others(pool, NULL);
        case_run();
        assert_answer(200, "good");
    }
    assert_int_equal(atomic_load(&o->servers[0].fails), 2); /* asked twice, then left alone */
    assert_true(atomic_load(&o->servers[0].down_until) > l->now);
    assert_int_equal(atomic_load(&o->servers[1].fails), 0);
}

static void test_nobody_there(void **state)
{
    (void)state;
    start(SCRIPTS(good), 1);
    uint16_t port = closed_port();
    origins_unref(set);
    set = make_origins(&port, 1, "");
    request.retries = 2;
    case_run();
    assert_failed(FETCH_CONNECT);
    assert_false(ex.heads);
}

static void test_nobody_healthy(void **state)
{
    (void)state;
    start(SCRIPTS(good), 1);
    atomic_store(&origins_get(set, 0)->servers[0].unhealthy, true);
    request.retries = 2;
    case_run();
    assert_failed(FETCH_NO_SERVER);
    assert_int_equal(origin->n_conns, 0);
    assert_int_equal(atomic_load(&origins_get(set, 0)->servers[0].fails), 0);
}

static void test_a_pinned_fetch_asks_that_server_and_leaves_no_mark(void **state)
{
    (void)state;
    start_pair(closed_port(), good, "max_fails=1 fail_timeout=60s");
    struct origin *o = origins_get(set, 0);
    request.pinned = &o->servers[0];
    for (unsigned i = 0; i < 3; i++) {
        case_run();
        assert_failed(FETCH_CONNECT);
    }
    assert_int_equal(atomic_load(&o->servers[0].fails), 0);
    request.pinned = &o->servers[1];
    atomic_store(&o->servers[1].unhealthy, true);
    atomic_store(&o->servers[1].fails, 7);
    for (unsigned i = 0; i < 3; i++) {
        pool_drop_others(pool, NULL);
        case_run();
        assert_answer(200, "good");
    }
    assert_int_equal(atomic_load(&o->servers[1].fails), 7);
}

/* ---- deadlines -------------------------------------------------------------------------- */

static void expect_timeout(msec_t at_least)
{
    msec_t before = clock_monotonic();
    case_run();
    msec_t took = clock_monotonic() - before;
    assert_failed(FETCH_TIMEOUT);
    assert_in_range(took, at_least - 15, at_least + 2000); /* the clock is coarse */
}

static void test_no_first_byte(void **state)
{
    (void)state;
    start(SCRIPTS(silent), 1);
    request.timeout.first_byte = 150;
    request.retries = 3; /* the only server: asking it again only makes it slower */
    expect_timeout(150);
    assert_int_equal(origin->n_conns, 1);
    assert_int_equal(pool_idle(pool), 0);
}

static void test_a_head_that_stops(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, "HTTP/1.1 200 OK\r\nX", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.timeout.first_byte = 150;
    expect_timeout(150);
}

static void test_a_body_that_stops(void **state)
{
    (void)state;
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_SEND, ANSWER(5) "hel", 0}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.timeout.idle = 150;
    expect_timeout(150);
    assert_int_equal(ex.heads, 1);
    assert_int_equal(ex.body.n, 3);
}

static void test_a_body_without_end_in_sight(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n";
    static const struct step script[] = {
        {DEED_HEAD, NULL, 0}, {DEED_PACED, text, 3}, {DEED_HANG, NULL, 0}};
    start(SCRIPTS(script), 1);
    request.timeout.total = 200;
    expect_timeout(200);
    assert_int_equal(ex.heads, 1);
}

static void test_no_connection_in_time(void **state)
{
    (void)state;
    /* A listener whose queue is full lets no further connection through. */
    start(SCRIPTS(silent), 1);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    int fillers[4];
    for (unsigned i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fillers[i], (struct sockaddr *)&addr, sizeof(addr));
    }
    uint16_t port = ntohs(addr.sin_port);
    origins_unref(set);
    set = make_origins(&port, 1, "");
    request.timeout.connect = 200;
    expect_timeout(200);
    for (unsigned i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(listener);
}

static void test_a_timeout_may_go_to_another_server(void **state)
{
    (void)state;
    start(SCRIPTS(good), 1);
    static const struct step *const scripts[] = {silent};
    struct scripted *mute = scripted_start(scripts, 1);
    const uint16_t ports[] = {mute->port, origin->port};
    origins_unref(set);
    set = make_origins(ports, 2, "max_fails=0");
    request.timeout.first_byte = 100;
    request.retries = 1;
    for (unsigned i = 0; i < 2; i++) {
        pool_drop_others(pool, NULL);
        case_run();
        assert_answer(200, "good");
    }
    assert_in_range(mute->n_conns, 1, 2);
    pool_drop_others(pool, NULL);
    scripted_stop(mute);
    scripted_free(mute);
}

/* ---- the end of a drain ----------------------------------------------------------------- */

static void test_abort_all_fails_every_exchange(void **state)
{
    (void)state;
    start(SCRIPTS(silent), 1);
    request.retries = 3;
    struct exchange many[5] = {0};
    for (unsigned i = 0; i < 5; i++) {
        struct fetch *f =
            fetch_new(pool, set, origins_get(set, 0), &request, &case_ops, &many[i]);
        fetch_start(f);
        if (i == 2) {
            RUN_UNTIL(l, origin->n_conns == 3);
        }
    }
    fetch_abort_all(pool);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(many[i].fails, 1);
        assert_int_equal(many[i].error, FETCH_RESET);
    }
    fetch_abort_all(pool);
    loop_turn(l, false);
    case_begin(); /* what begins later is not concerned */
    fetch_abort_all(pool);
    assert_int_equal(ex.fails, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_stale_connection_is_replaced, case_teardown),
        cmocka_unit_test_teardown(test_many_stale_connections, case_teardown),
        cmocka_unit_test_teardown(test_a_post_on_a_stale_connection_is_not_repeated,
                                  case_teardown),
        cmocka_unit_test_teardown(test_a_get_is_repeated_within_its_retries, case_teardown),
        cmocka_unit_test_teardown(test_no_retry_once_a_byte_of_an_answer_came, case_teardown),
        cmocka_unit_test_teardown(test_retries_have_a_budget, case_teardown),
        cmocka_unit_test_teardown(test_another_server_is_asked, case_teardown),
        cmocka_unit_test_teardown(test_nothing_sent_may_be_repeated_for_any_method,
                                  case_teardown),
        cmocka_unit_test_teardown(test_failures_lead_to_a_mark, case_teardown),
        cmocka_unit_test_teardown(test_nobody_there, case_teardown),
        cmocka_unit_test_teardown(test_nobody_healthy, case_teardown),
        cmocka_unit_test_teardown(test_a_pinned_fetch_asks_that_server_and_leaves_no_mark,
                                  case_teardown),
        cmocka_unit_test_teardown(test_no_first_byte, case_teardown),
        cmocka_unit_test_teardown(test_a_head_that_stops, case_teardown),
        cmocka_unit_test_teardown(test_a_body_that_stops, case_teardown),
        cmocka_unit_test_teardown(test_a_body_without_end_in_sight, case_teardown),
        cmocka_unit_test_teardown(test_no_connection_in_time, case_teardown),
        cmocka_unit_test_teardown(test_a_timeout_may_go_to_another_server, case_teardown),
        cmocka_unit_test_teardown(test_abort_all_fails_every_exchange, case_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
