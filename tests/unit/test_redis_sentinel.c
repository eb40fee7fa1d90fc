/*
 * Finding the master by scripted sentinels: majorities, silence, lies, and a master that is
 * none. Real sentinels are in test_redis_failover.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "fake_redis.h"
#include "redis_case.h"

#define SENTINELS 3
#define MASTERS   2

static struct fake_redis *sentinels[SENTINELS];
static struct fake_redis *masters[MASTERS];
static struct redis_case k;
static atomic_int says[SENTINELS]; /* which master; -1: knows none; -2: nonsense; -3: silent */
static atomic_bool replica[MASTERS];
static atomic_uint questions, auths;

static enum fake_action on_sentinel(const struct fake_command *c, struct strbuf *out)
{
    size_t i = 0;
    while (sentinels[i] != c->server) {
        i++;
    }
    auths += fake_is(c, "AUTH");
    if (!fake_is(c, "SENTINEL")) {
        return FAKE_DEFAULT;
    }
    questions++;
    if (c->argc != 3 || !str_eq(c->argv[2], STR("shop"))) {
        strbuf_addf(out, "-ERR what?\r\n");
        return FAKE_SEND;
    }
    int master = says[i];
    if (master >= 0) {
        char port[16];
        snprintf(port, sizeof(port), "%u", masters[master]->port);
        strbuf_addf(out, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
    } else if (master == -1) {
        strbuf_addf(out, "*-1\r\n");
    } else if (master == -2) {
        strbuf_addf(out, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n99999\r\n");
    }
    return master == -3 ? FAKE_SILENT : FAKE_SEND;
}

static enum fake_action on_master(const struct fake_command *c, struct strbuf *out)
{
    size_t i = c->server == masters[1];
    if (fake_is(c, "ROLE")) {
        strbuf_addf(out, replica[i] ? "*1\r\n$5\r\nslave\r\n" : "*1\r\n$6\r\nmaster\r\n");
        return FAKE_SEND;
    }
    if (fake_is(c, "GET")) {
        strbuf_addf(out, "$8\r\nmaster-%zu\r\n", i);
        return FAKE_SEND;
    }
    if (fake_is(c, "SET") && replica[i]) {
        strbuf_addf(out, "-READONLY You can't write against a read only replica.\r\n");
        return FAKE_SEND;
    }
    return FAKE_DEFAULT;
}

/* From now on Sentinel says so. */
static void fail_over_to(int master)
{
    for (size_t i = 0; i < SENTINELS; i++) {
        says[i] = master;
    }
    for (int i = 0; i < MASTERS; i++) {
        replica[i] = i != master;
    }
}

static int setup(void **state)
{
    (void)state;
    questions = auths = 0;
    case_init(&k);
    k.options.reconnect_step = 10;
    fail_over_to(0);
    return fake_start_all(sentinels, SENTINELS, on_sentinel) &&
                   fake_start_all(masters, MASTERS, on_master)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    fake_stop_all(sentinels, SENTINELS);
    fake_stop_all(masters, MASTERS);
    return 0;
}

static void start(void)
{
    char url[160];
    snprintf(url, sizeof(url), "redis-sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/shop",
             sentinels[0]->port, sentinels[1]->port, sentinels[2]->port);
    case_start(&k, url);
}

static void wait_questions(unsigned n)
{
    unsigned before = questions;
    RUN_UNTIL(&k, questions >= before + n);
}

static void test_finds_the_master(void **state)
{
    (void)state;
    start();
    expect_answer(&k, "GET a", "master-0");
    assert_in_range(questions, 2, 3);
    assert_int_equal(auths, 0);
    /* Nothing stays open at the sentinels. */
    RUN_UNTIL(&k, atomic_load(&sentinels[0]->live) == 0);
}

static void test_majority_against_an_old_master(void **state)
{
    (void)state;
    says[0] = 1; /* cut off, the first of the list, and quick */
    replica[1] = false;
    start();
    expect_answer(&k, "GET a", "master-0");
}

static void test_one_sentinel_is_enough(void **state)
{
    (void)state;
    says[0] = -1;
    says[2] = -2;
    start();
    expect_answer(&k, "GET a", "master-0");
}

static void test_silent_sentinels_delay_but_do_not_stop(void **state)
{
    (void)state;
    k.options.connect_timeout = 100;
    says[0] = says[2] = -3;
    start();
    expect_answer(&k, "GET a", "master-0");
}

static void test_absent_sentinels(void **state)
{
    (void)state;
    atomic_store(&sentinels[0]->refuse, true);
    atomic_store(&sentinels[1]->refuse, true);
    start();
    expect_answer(&k, "GET a", "master-0");
}

static void test_unknown_name_until_it_is_known(void **state)
{
    (void)state;
    fail_over_to(-1);
    start();
    struct ask a = {0};
    wait_questions(4 * SENTINELS);
    assert_false(redis_ready(k.r, REDIS_DATA));
    assert_false(ask_send(&k, &a, REDIS_DATA, 100, false, "GET a"));
    fail_over_to(1);
    case_ready(&k);
    expect_answer(&k, "GET a", "master-1");
}

static void test_failover_after_loss(void **state)
{
    (void)state;
    start();
    expect_answer(&k, "GET a", "master-0");
    atomic_store(&masters[0]->refuse, true);
    fake_drop_all(masters[0]);
    RUN_UNTIL(&k, k.downs == 1);
    wait_questions(SENTINELS); /* it is asked again before each attempt */
    fail_over_to(1);
    case_ready(&k);
    expect_answer(&k, "GET a", "master-1");
}

/* The old master lives on as a replica and says so. */
static void test_failover_by_readonly(void **state)
{
    (void)state;
    start();
    expect_answer(&k, "GET a", "master-0");
    struct ask a = {0};
    fail_over_to(1);
    ask_run(&k, &a, "SET a b");
    assert_int_equal(a.error, REDIS_E_READONLY);
    case_ready(&k);
    expect_answer(&k, "GET a", "master-1");
    expect_answer(&k, "SET a b", "OK");
    strbuf_free(&a.text);
}

/* Sentinel is ahead: it names a server that is not a master yet. */
static void test_master_that_is_none_yet(void **state)
{
    (void)state;
    replica[0] = true;
    start();
    wait_questions(4 * SENTINELS);
    assert_false(redis_ready(k.r, REDIS_DATA));
    replica[0] = false;
    case_ready(&k);
    expect_answer(&k, "GET a", "master-0");
}

/* A failover that the old connection does not notice: the poll does. */
static void test_poll_moves(void **state)
{
    (void)state;
    k.options.sentinel_poll = 50;
    start();
    expect_answer(&k, "GET a", "master-0");
    unsigned connects = atomic_load(&masters[0]->accepted);
    wait_questions(5 * SENTINELS);
    assert_int_equal(atomic_load(&masters[0]->accepted),
                     connects); /* the same: nothing moves */
    fail_over_to(1);
    RUN_UNTIL(&k, k.downs == 1);
    case_ready(&k);
    expect_answer(&k, "GET a", "master-1");
}

static void test_questions_are_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < MASTERS; i++) {
        atomic_store(&masters[i]->refuse, true);
    }
    k.options.reconnect_step = 50;
    k.options.roles = (1u << REDIS_ROLES) - 1;
    start();
    msec_t until = clock_monotonic() + 1000;
    while (clock_monotonic() < until) {
        struct ask a = {0};
        if (ask_send(&k, &a, REDIS_JOURNAL, 20, true, "GET a")) {
            RUN_UNTIL(&k, a.done);
        }
        loop_turn(k.loop, true);
    }
    assert_in_range(questions, SENTINELS, 8 * SENTINELS); /* five roles share the answers */
}

static void test_password_for_sentinels(void **state)
{
    (void)state;
    char url[160];
    const char *why;
    const struct redis_url_options o = {
        .sentinel_password = STR("secret"), .sentinel_user = STR("me"), .tls_verify = true};
    snprintf(url, sizeof(url), "redis-sentinel://127.0.0.1:%u/shop", sentinels[0]->port);
    assert_true(redis_target_parse(str_from(url), &o, &k.arena, &k.target, &why));
    k.r = redis_new(k.loop, &k.options);
    expect_answer(&k, "GET a", "master-0");
    assert_int_equal(auths, 1);
}

static void test_free_at_any_time(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 12; turns++) {
        start();
        for (unsigned i = 0; i < turns; i++) {
            loop_turn(k.loop, true);
        }
        redis_free(k.r);
        k.r = NULL;
        loop_turn(k.loop, false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_the_master, setup, teardown),
        cmocka_unit_test_setup_teardown(test_majority_against_an_old_master, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_sentinel_is_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_sentinels_delay_but_do_not_stop, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_absent_sentinels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_name_until_it_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failover_after_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failover_by_readonly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_master_that_is_none_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poll_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_questions_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_password_for_sentinels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_at_any_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
