/*
 * The facade and its links against the scripted server: pipelines, outcomes, faults. Real
 * servers are in test_redis_server, Sentinel and Cluster in files of their own.
 */
#include "unit.h"

#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_command_and_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
