/*
 * The facade and its links against the scripted server: pipelines, outcomes, faults. Real
 * servers are in test_redis_server, Sentinel and Cluster in files of their own.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "fake_redis.h"
#include "redis_case.h"

static struct fake_redis *fake;

static int setup(void **state)
{
    (void)state;
    fake = xcalloc(1, sizeof(*fake));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (fake->port != 0) {
        fake_stop(fake);
    }
    free(fake);
    return 0;
}

static void start(struct redis_case *k, fake_script_fn *script)
{
    char url[64];
    if (fake->port == 0) {
        assert_true(fake_start(fake, script, 0));
    }
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", fake->port);
    case_start(k, url);
}

static void test_command_and_answer(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    expect_answer(&k, "GET a", "value of a");
    expect_answer(&k, "SET a b", "OK");
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    assert_int_equal(s.commands, 2);
    assert_int_equal(s.outcomes[REDIS_ANSWERED], 2);
    assert_int_equal(s.in_flight, 0);
    assert_int_equal(s.connects, 1);
    assert_int_equal(k.ups, 1);
    case_fini(&k);
}

/* ---- pipelines ----------------------------------------------------------------------------
 */

#define BATCH 200

struct batch {
    struct ask asks[BATCH];
    size_t n;
    unsigned refused;
};

/* GETs of keys that no other batch has, all in one turn. */
static void batch_send(struct redis_case *k, struct batch *b, size_t n, msec_t timeout)
{
    static unsigned serial;
    b->refused = 0;
    b->n = n;
    for (size_t i = 0; i < n; i++) {
        char words[64];
        snprintf(words, sizeof(words), "GET key-%u", serial++);
        b->asks[i].text.n = 0;
        if (!ask_send(k, &b->asks[i], REDIS_DATA, timeout, false, words)) {
            b->refused++;
            b->asks[i].done = true;
            b->asks[i].outcome = REDIS_NOT_SENT;
            b->asks[i].calls = 1;
        }
        b->asks[i].at = (msec_t)serial - 1; /* its own number, until it is done */
        b->asks[i].integer = (int64_t)serial - 1;
    }
}

static bool batch_done(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!b->asks[i].done) {
            return false;
        }
    }
    return true;
}

static int64_t numbers[BATCH];

static void batch_number(const struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        numbers[i] = b->asks[i].integer;
    }
}

/* Every answer is the answer to its own question, every end came once. */
static size_t batch_check(struct batch *b)
{
    size_t answered = 0;
    for (size_t i = 0; i < b->n; i++) {
        char canary[64];
        snprintf(canary, sizeof(canary), "value of key-%lld", (long long)numbers[i]);
        assert_int_equal(b->asks[i].calls, 1);
        if (b->asks[i].outcome == REDIS_ANSWERED) {
            answered++;
            if (!str_eq(strbuf_str(&b->asks[i].text), str_from(canary))) {
                fail_msg("%s got %.*s", canary, STR_ARG(strbuf_str(&b->asks[i].text)));
            }
        }
        strbuf_free(&b->asks[i].text);
    }
    return answered;
}

/* Sends n, runs until all have ended; how many were answered. */
static size_t batch_run(struct redis_case *k, struct batch *b, size_t n, msec_t timeout)
{
    batch_send(k, b, n, timeout);
    batch_number(b);
    RUN_UNTIL(k, batch_done(b));
    return batch_check(b);
}

static void test_pipeline(void **state)
{
    (void)state;
    struct redis_case k;
    static struct batch b;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    struct redis_stats before, after;
    redis_stats_get(k.r, &before);
    batch_send(&k, &b, BATCH, 5000);
    batch_number(&b);
    redis_stats_get(k.r, &after);
    assert_int_equal(after.bytes_out,
                     before.bytes_out); /* nothing before the end of the turn */
    loop_turn(k.loop, false);
    redis_stats_get(k.r, &after);
    assert_true(after.bytes_out > before.bytes_out + BATCH * 20); /* then everything */
    RUN_UNTIL(&k, batch_done(&b));
    assert_int_equal(batch_check(&b), BATCH);
    case_fini(&k);
}

static void test_pieces(void **state)
{
    (void)state;
    struct redis_case k;
    static struct batch b;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    for (size_t piece = 1; piece < 40; piece++) {
        atomic_store(&fake->piece, piece);
        assert_int_equal(batch_run(&k, &b, 40, 10000), 40);
    }
    case_fini(&k);
}

/* RST after k bytes of each connection: whatever was answered belongs to its question, and
 * everything else has one end. */
static void test_reset_after_each_byte(void **state)
{
    (void)state;
    struct redis_case k;
    static struct batch b;
    size_t answered = 0;
    case_init(&k);
    k.options.reconnect_step = 1;
    k.options.reconnect_max = 5;
    k.options.breaker_failures = 1000000;
    k.options.breaker_percent = 101;
    start(&k, NULL);
    case_ready(&k);
    size_t handshake = 5 + 27 + 7; /* +OK, ROLE, +PONG: shorter ones never become ready */
    for (size_t cut = 1; cut < handshake + 1300; cut += cut < 400 ? 1 : 13) {
        atomic_store(&fake->cut, cut);
        unsigned before = atomic_load(&fake->accepted);
        RUN_UNTIL(&k, atomic_load(&fake->accepted) > before || redis_ready(k.r, REDIS_DATA));
        answered += batch_run(&k, &b, 40, 5000);
    }
    assert_true(answered > 1000);
    atomic_store(&fake->cut, 0);
    RUN_UNTIL(&k, redis_ready(k.r, REDIS_DATA));
    while (batch_run(&k, &b, 40, 5000) < 40) {
        case_ready(&k);
    }
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    assert_true(s.outcomes[REDIS_LOST] > 100);
    assert_int_equal(s.protocol_errors, 0);
    assert_int_equal(s.in_flight, 0);
    case_fini(&k);
}

/* ---- time ---------------------------------------------------------------------------------
 */

static void test_timeout_closes(void **state)
{
    (void)state;
    struct redis_case k;
    static struct batch b;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    for (unsigned round = 0; round < 3; round++) {
        fake_freeze(fake, true);
        struct ask slow = {0};
        msec_t began = clock_monotonic();
        assert_true(ask_send(&k, &slow, REDIS_DATA, 50, false, "GET slow"));
        batch_send(&k, &b, 20, 3000);
        batch_number(&b);
        RUN_UNTIL(&k, slow.done && batch_done(&b));
        assert_int_equal(slow.outcome, REDIS_TIMED_OUT);
        assert_in_range(slow.at - began, 45, 1000);
        assert_int_equal(batch_check(&b), 0);
        for (size_t i = 0; i < b.n; i++) {
            assert_int_equal(b.asks[i].outcome, REDIS_LOST);
        }
        assert_false(redis_ready(k.r, REDIS_DATA));
        /* Refused at once meanwhile: no request waits for a server that hangs. */
        assert_false(ask_send(&k, &slow, REDIS_DATA, 50, false, "GET slow"));
        /* The old connection's replies come now, and must meet nobody. */
        fake_freeze(fake, false);
        case_ready(&k);
        assert_int_equal(batch_run(&k, &b, 20, 5000), 20);
    }
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    assert_int_equal(s.outcomes[REDIS_TIMED_OUT], 3);
    assert_int_equal(s.outcomes[REDIS_LOST], 60);
    case_fini(&k);
}

/* A turn of our own that took long is not the server's fault: its answer lies in the socket. */
static void test_own_delay_is_no_timeout(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    for (unsigned i = 0; i < 5; i++) {
        struct ask a = {0};
        unsigned before = atomic_load(&fake->commands);
        assert_true(ask_send(&k, &a, REDIS_DATA, 20, false, "GET late"));
        loop_turn(k.loop, false);
        msec_t until = clock_monotonic() + 60;
        while (atomic_load(&fake->commands) == before || clock_monotonic() < until) {
            usleep(1000);
        }
        RUN_UNTIL(&k, a.done);
        assert_int_equal(a.outcome, REDIS_ANSWERED);
        strbuf_free(&a.text);
    }
    case_fini(&k);
}

static void test_waiting_for_a_connection(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    struct ask now = {0}, later = {0}, never = {0};
    atomic_store(&fake->refuse, true);
    k.options.breaker_failures = 100;
    start(&k, NULL);
    assert_false(ask_send(&k, &now, REDIS_DATA, 1000, false, "GET now"));
    assert_true(ask_send(&k, &never, REDIS_DATA, 50, true, "GET never"));
    assert_true(ask_send(&k, &later, REDIS_DATA, 10000, true, "GET later"));
    RUN_UNTIL(&k, never.done);
    assert_int_equal(never.outcome, REDIS_NOT_SENT);
    assert_false(later.done);
    atomic_store(&fake->refuse, false);
    RUN_UNTIL(&k, later.done);
    assert_int_equal(later.outcome, REDIS_ANSWERED);
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    assert_int_equal(s.refused, 1);
    strbuf_free(&later.text);
    case_fini(&k);
}

/* Other roles connect with their first command. */
static void test_roles(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    start(&k, NULL);
    case_ready(&k);
    assert_int_equal(atomic_load(&fake->live), 1);
    struct ask a = {0};
    assert_false(redis_ready(k.r, REDIS_JOURNAL));
    assert_false(ask_send(&k, &a, REDIS_JOURNAL, 1000, false, "GET a"));
    assert_true(ask_send(&k, &a, REDIS_JOURNAL, 1000, true, "GET a"));
    RUN_UNTIL(&k, a.done);
    assert_int_equal(a.outcome, REDIS_ANSWERED);
    assert_true(redis_ready(k.r, REDIS_JOURNAL));
    assert_int_equal(atomic_load(&fake->live), 2);
    strbuf_free(&a.text);
    case_fini(&k);
}

/* ---- absence ------------------------------------------------------------------------------
 */

static void test_absent_at_start(void **state)
{
    (void)state;
    struct redis_case k;
    char url[64];
    case_init(&k);
    assert_true(fake_start(fake, NULL, 0));
    uint16_t port = fake->port;
    fake_stop(fake);
    memset(fake, 0, sizeof(*fake));
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", port);
    case_start(&k, url);
    struct redis_stats s = {0};
    while (s.failed_connects < 3) {
        loop_turn(k.loop, true);
        redis_stats_get(k.r, &s);
    }
    assert_false(redis_ready(k.r, REDIS_DATA));
    if (!fake_start(fake, NULL, port)) {
        fake->port = 0;
        skip(); /* somebody else was given the port */
    }
    case_ready(&k);
    expect_answer(&k, "GET a", "value of a");
    case_fini(&k);
}

static void test_reconnects_are_bounded(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    atomic_store(&fake->refuse, true);
    start(&k, NULL);
    msec_t until = clock_monotonic() + 1500;
    while (clock_monotonic() < until) {
        struct ask a = {0};
        if (ask_send(&k, &a, REDIS_DATA, 20, true, "GET a")) {
            RUN_UNTIL(&k, a.done);
        }
        loop_turn(k.loop, true);
    }
    /* 50, 100, 150 … ms less a fifth: about eight in 1.5 s, whatever the load. */
    assert_in_range(atomic_load(&fake->accepted), 3, 12);
    atomic_store(&fake->refuse, false);
    case_ready(&k);
    assert_true(redis_health_up(k.options.health, REDIS_DATA));
    case_fini(&k);
}

static void test_name_that_does_not_resolve(void **state)
{
    (void)state;
    struct redis_case k;
    case_init(&k);
    case_start(&k, "redis://no-such-host.invalid"); /* and no resolver at all */
    struct redis_stats s = {0};
    while (s.failed_connects < 3) {
        loop_turn(k.loop, true);
        redis_stats_get(k.r, &s);
    }
    assert_false(redis_ready(k.r, REDIS_DATA));
    case_fini(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_command_and_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipeline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_after_each_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timeout_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_delay_is_no_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_for_a_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reconnects_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_name_that_does_not_resolve, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
