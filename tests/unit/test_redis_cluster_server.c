/*
 * A real cluster of three masters and three replicas: routing, a slot that moves under load, a
 * master that dies, a failover by order. Skipped without redis-server.
 */
#include "unit.h"

#include "cache/redis_info.h"
#include "cache/redis_slots.h"
#include "real_redis.h"
#include "redis_case.h"

#define NODES 6

static struct real_redis nodes[NODES];
static char ids[NODES][41];
static struct redis_case k;

static void start_node(struct real_redis *r)
{
    static const char *const args[] = {"--cluster-enabled",
                                       "yes",
                                       "--cluster-config-file",
                                       "nodes.conf",
                                       "--cluster-node-timeout",
                                       "600",
                                       "--repl-diskless-sync-delay",
                                       "0",
                                       "--cluster-replica-validity-factor",
                                       "0",
                                       NULL};
    real_start(r, args, "PONG");
}

static void order(size_t node, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void order(size_t node, const char *expected, const char *fmt, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    real_order(nodes[node].port, line, expected);
}

/* Until the node says so. */
static void wait_node(size_t node, const char *line, const char *expected)
{
    char out[16384];
    msec_t until = clock_monotonic() + 20000;
    while (!real_say(nodes[node].port, line, out, sizeof(out)) ||
           strstr(out, expected) == NULL) {
        loop_turn(k.loop, true);
        if (clock_monotonic() > until) {
            fail_msg("node %zu: %s: %s", node, line, out);
        }
    }
}

static void build_cluster(void)
{
    static const unsigned first[] = {0, 5461, 10923, 16384};
    for (size_t i = 0; i < NODES; i++) {
        char out[128];
        start_node(&nodes[i]);
        assert_true(real_say(nodes[i].port, "CLUSTER MYID", out, sizeof(out)));
        snprintf(ids[i], sizeof(ids[i]), "%.40s", out + 5); /* "$40\r\n" */
    }
    for (size_t i = 1; i < NODES; i++) {
        order(0, "+OK", "CLUSTER MEET 127.0.0.1 %u", nodes[i].port);
    }
    for (size_t i = 0; i < 3; i++) {
        order(i, "+OK", "CLUSTER ADDSLOTSRANGE %u %u", first[i], first[i + 1] - 1);
    }
    for (size_t i = 0; i < NODES; i++) {
        wait_node(i, "CLUSTER INFO", "cluster_known_nodes:6");
    }
    for (size_t i = 3; i < NODES; i++) {
        wait_node(i, "CLUSTER NODES", ids[i - 3]);
        order(i, "+OK", "CLUSTER REPLICATE %s", ids[i - 3]);
    }
    for (size_t i = 0; i < NODES; i++) {
        wait_node(i, "CLUSTER INFO", "cluster_state:ok");
    }
    for (size_t i = 3; i < NODES; i++) {
        wait_node(i, "INFO replication", "master_link_status:up");
    }
}

static int setup(void **state)
{
    (void)state;
    memset(nodes, 0, sizeof(nodes));
    case_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    for (size_t i = 0; i < NODES; i++) {
        real_end(&nodes[i]);
    }
    return 0;
}

static void start(void)
{
    char url[160];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    build_cluster();
    snprintf(url, sizeof(url), "redis-cluster://127.0.0.1:%u,127.0.0.1:%u", nodes[4].port,
             nodes[1].port); /* a replica may be asked too */
    case_start(&k, url);
    case_ready(&k);
}

static struct redis_stats stats(void)
{
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    return s;
}

/* SET and GET of n keys, pipelined; how many were answered. Every answer must be the key's. */
static unsigned load(unsigned n, const char *prefix, unsigned *refused)
{
    unsigned answered = 0;
    struct ask *asks = xcalloc(n, sizeof(*asks));
    for (unsigned i = 0; i < n; i++) {
        char words[80];
        snprintf(words, sizeof(words), "GETSET %s%u %s%u", prefix, i, prefix, i);
        if (!ask_send(&k, &asks[i], REDIS_DATA, 3000, true, words)) {
            asks[i].done = true;
            asks[i].outcome = REDIS_NOT_SENT;
            *refused += 1;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        char key[80];
        RUN_UNTIL(&k, asks[i].done);
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        if (asks[i].outcome == REDIS_ANSWERED) {
            answered++;
            assert_true(asks[i].type == REDIS_NIL ||
                        str_eq(strbuf_str(&asks[i].text), str_from(key)));
        }
        strbuf_free(&asks[i].text);
    }
    free(asks);
    return answered;
}

static void test_routing(void **state)
{
    (void)state;
    unsigned refused = 0;
    start();
    assert_int_equal(load(500, "k", &refused), 500);
    assert_int_equal(load(500, "k", &refused), 500);
    assert_int_equal(stats().errors[REDIS_E_MOVED], 0);
    assert_int_equal(stats().errors[REDIS_E_CROSSSLOT], 0);
    expect_answer(&k, "CLUSTER KEYSLOT somekey", "11058");
    assert_int_equal(redis_slot_of(STR("somekey")), 11058);
}

/* Every master is asked once, and what they say is added up. */
static void test_figures_of_all_masters(void **state)
{
    (void)state;
    struct redis_facts facts = {0};
    unsigned refused = 0;
    const struct redis_info_options options = {.prefix = STR("shop")};
    uint16_t slots[8], slot = redis_slot_of(STR("{shop}:journal"));
    k.options.roles |= 1u << REDIS_JOURNAL;
    start();
    assert_int_equal(load(500, "k", &refused), 500);
    for (size_t i = 0; i < 3; i++) {
        order(i, "+OK", "CONFIG SET maxmemory %zu00mb", i + 1);
    }
    assert_int_equal(redis_masters(k.r, slot, slots, 8), 3);
    assert_int_equal(slots[0], slot);
    order(slot / 5461, "+OK", "CONFIG SET maxmemory-policy allkeys-lfu");
    RUN_UNTIL(&k, redis_ready(k.r, REDIS_JOURNAL));
    struct redis_info *info = redis_info_new(k.loop, k.r, &options);
    RUN_UNTIL(&k, (redis_info_get(info, &facts), facts.keys == 500));
    assert_int_equal(facts.max_memory, 600 << 20);
    assert_true(facts.used_memory > 3 * 500000);
    assert_string_equal(facts.policy, "allkeys-lfu");
    redis_info_free(info);
    /* One without a limit means that there is none. */
    order(1, "+OK", "CONFIG SET maxmemory 0");
    info = redis_info_new(k.loop, k.r, &options);
    RUN_UNTIL(&k, (redis_info_get(info, &facts), facts.max_memory == 0));
    redis_info_free(info);
}

/* One slot with 60 keys goes from the first node to the second, a key at a time. */
static void test_slot_moves_under_load(void **state)
{
    (void)state;
    unsigned refused = 0;
    unsigned slot = redis_slot_of(STR("{bar}")); /* 5061: the first node's */
    start();
    assert_int_equal(load(60, "{bar}", &refused), 60);
    order(1, "+OK", "CLUSTER SETSLOT %u IMPORTING %s", slot, ids[0]);
    order(0, "+OK", "CLUSTER SETSLOT %u MIGRATING %s", slot, ids[1]);
    for (unsigned i = 0; i < 60; i++) {
        order(0, "+OK", "MIGRATE 127.0.0.1 %u {bar}%u 0 2000", nodes[1].port, i);
        if (i % 10 == 0) {
            assert_int_equal(load(80, "{bar}", &refused), 80); /* 20 of them are not there */
        }
    }
    assert_true(stats().errors[REDIS_E_ASK] > 100);
    order(1, "+OK", "CLUSTER SETSLOT %u NODE %s", slot, ids[1]);
    order(0, "+OK", "CLUSTER SETSLOT %u NODE %s", slot, ids[1]);
    for (unsigned i = 60; i < 80; i++) { /* those that ASK has made at the new place, too */
        order(1, ":1", "EXISTS {bar}%u", i);
    }
    assert_int_equal(load(80, "{bar}", &refused), 80);
    assert_true(stats().errors[REDIS_E_MOVED] > 0);
    assert_int_equal(load(80, "{bar}", &refused), 80);
    assert_int_equal(refused, 0);
}

static void test_master_is_killed(void **state)
{
    (void)state;
    unsigned refused = 0, rounds = 0;
    start();
    assert_int_equal(load(100, "k", &refused), 100);
    real_kill(&nodes[0]);
    msec_t began = clock_monotonic();
    for (;;) {
        unsigned before = refused;
        unsigned answered = load(100, "k", &before);
        rounds++;
        if (answered == 100) {
            break;
        }
        /* The two others serve their slots: the cluster stays up for them, or is down for
         * about a second; nothing hangs. */
        assert_true(clock_monotonic() - began < 15000);
        loop_turn(k.loop, true);
    }
    assert_true(rounds > 1);
    wait_node(3, "ROLE", "master");
    /* The dead one comes back as a replica of its replica. */
    real_run(&nodes[0], "PONG");
    wait_node(0, "ROLE", "slave");
    assert_int_equal(load(100, "k", &refused), 100);
}

static void test_ordered_failover(void **state)
{
    (void)state;
    unsigned refused = 0;
    start();
    assert_int_equal(load(100, "k", &refused), 100);
    order(4, "+OK", "CLUSTER FAILOVER");
    wait_node(4, "ROLE", "master");
    /* The old master is a replica and answers MOVED: nothing is lost. */
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(load(100, "k", &refused), 100);
    }
    assert_int_equal(refused, 0);
    assert_true(stats().errors[REDIS_E_MOVED] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_routing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_figures_of_all_masters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_moves_under_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_master_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ordered_failover, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
