/*
 * cache/redis_info with Debian's redis-server: the figures, what the policy means, a user who
 * may not ask, a server that is not there; and what the health knows of breakers. Skipped when
 * redis-server is not installed. A cluster's figures are in test_redis_cluster_server.
 */
#include "unit.h"

#include "cache/redis_info.h"
#include "real_redis.h"
#include "redis_case.h"

static struct real_redis server;
static struct redis_case k;
static struct redis_info *info;
static struct redis_facts facts;
static unsigned rounds;

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    rounds = 0;
    case_init(&k);
    k.options.roles = 1u << REDIS_JOURNAL | 1u << REDIS_DATA;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_info_free(info);
    info = NULL;
    case_fini(&k);
    real_end(&server);
    return 0;
}

static void on_round(void *ctx, const struct redis_facts *f)
{
    assert_ptr_equal(ctx, &rounds);
    assert_true(f->at > 0);
    rounds++;
}

static void start_info(void)
{
    info = redis_info_new(
        k.loop, k.r,
        &(struct redis_info_options){.prefix = STR("shop"), .done = on_round, .ctx = &rounds});
}

static void begin(const char *const *args, const char *userinfo)
{
    char url[160];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    real_start(&server, args, "PONG");
    snprintf(url, sizeof(url), "redis://%s127.0.0.1:%u/3", userinfo, server.port);
    case_start(&k, url);
}

static const struct redis_facts *look(void)
{
    redis_info_get(info, &facts);
    return &facts;
}

static void test_figures(void **state)
{
    (void)state;
    static const char *const args[] = {"--maxmemory", "100mb", "--maxmemory-policy",
                                       "volatile-lru", NULL};
    begin(args, "");
    expect_answer(&k, "SET a 1", "OK");
    expect_answer(&k, "SET b 2", "OK");
    start_info();
    assert_int_equal(look()->at, 0);
    assert_int_equal(look()->keys, -1);
    RUN_UNTIL(&k, look()->keys == 2);
    assert_true(facts.used_memory > 100000 && facts.used_memory < 100 << 20);
    assert_int_equal(facts.max_memory, 100 << 20);
    assert_int_equal(facts.eviction, REDIS_EVICTS_VOLATILE);
    assert_string_equal(facts.policy, "volatile-lru");
    assert_true(rounds > 0);
}

static void test_policies(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        enum redis_eviction eviction;
    } rows[] = {
        {"noeviction", REDIS_EVICTS_NOTHING},
        {"allkeys-lru", REDIS_EVICTS_ANYTHING},
        {"allkeys-random", REDIS_EVICTS_ANYTHING},
        {"volatile-ttl", REDIS_EVICTS_VOLATILE},
    };
    begin(NULL, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[80];
        snprintf(line, sizeof(line), "CONFIG SET maxmemory-policy %s", rows[i].policy);
        real_order(server.port, line, "+OK");
        start_info();
        RUN_UNTIL(&k, look()->used_memory > 0);
        assert_int_equal(facts.eviction, rows[i].eviction);
        assert_int_equal(facts.max_memory, 0);
        redis_info_free(info);
        info = NULL;
    }
}

/* What the ACL forbids is unknown; the rest is there, and the breaker stays closed. */
static void test_forbidden(void **state)
{
    (void)state;
    static const char *const args[] = {"--user", "app",   "on",      ">secret",
                                       "~*",     "+@all", "-dbsize", NULL};
    begin(args, "app:secret@");
    start_info();
    RUN_UNTIL(&k, look()->used_memory > 0);
    assert_int_equal(facts.keys, -1);
    struct redis_stats stats;
    redis_stats_get(k.r, &stats);
    assert_int_equal(stats.breaker_opened, 0);
}

/* Nobody listens any more: what was known is not known now. */
static void test_gone(void **state)
{
    (void)state;
    begin(NULL, "");
    start_info();
    RUN_UNTIL(&k, look()->keys == 0);
    msec_t at = facts.at;
    assert_int_equal(redis_health_breakers(k.options.health, REDIS_JOURNAL),
                     REDIS_BREAKER_CLOSED);
    real_kill(&server);
    RUN_UNTIL(&k, look()->keys == -1);
    assert_int_equal(facts.at, at);
    RUN_UNTIL(&k, redis_health_breakers(k.options.health, REDIS_JOURNAL) == REDIS_BREAKER_OPEN);
    real_run(&server, "PONG");
    RUN_UNTIL(&k,
              redis_health_breakers(k.options.health, REDIS_JOURNAL) == REDIS_BREAKER_CLOSED);
    RUN_UNTIL(&k, look()->keys == 0);
}

/* An instance that ends takes its breakers along. */
static void test_breaker_ends_with_its_instance(void **state)
{
    (void)state;
    char url[160];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", real_free_port());
    case_start(&k, url);
    RUN_UNTIL(&k, redis_health_breakers(k.options.health, REDIS_DATA) == REDIS_BREAKER_OPEN);
    redis_free(k.r);
    k.r = NULL;
    assert_int_equal(redis_health_breakers(k.options.health, REDIS_DATA), REDIS_BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forbidden, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaker_ends_with_its_instance, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
