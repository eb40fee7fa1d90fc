/*
 * Three real sentinels, a master and a replica: the connection finds the new master after kill
 * -9, after SIGSTOP and after a failover that somebody ordered. Skipped without redis-server.
 */
#include "unit.h"

#include "real_redis.h"
#include "redis_case.h"

#define SENTINELS 3
#define SERVERS   2

static struct real_redis sentinels[SENTINELS];
static struct real_redis servers[SERVERS];
static struct redis_case k;

/* A sentinel rewrites its file, so each has one. It watches the first server. */
static void start_sentinel(struct real_redis *s)
{
    char path[128];
    static char texts[SENTINELS][128];
    char *file = texts[s - sentinels];
    *s = (struct real_redis){.port = real_free_port()};
    snprintf(s->dir, sizeof(s->dir), "/tmp/larder-redis.XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(path, sizeof(path), "%s/sentinel.conf", s->dir);
    snprintf(file, sizeof(texts[0]), "%s", path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "port %u\nbind 127.0.0.1\ndir %s\nlogfile %s/log\n"
            "sentinel monitor shop 127.0.0.1 %u 2\n"
            "sentinel down-after-milliseconds shop 300\n"
            "sentinel failover-timeout shop 1500\n",
            s->port, s->dir, s->dir, servers[0].port);
    fclose(f);
    const char *const args[] = {"redis-server", file, "--sentinel", NULL};
    memcpy(s->args, args, sizeof(args));
    real_run(s, "PONG");
}

/* Runs our loop, and theirs, until a sentinel says something. */
static void wait_sentinel(size_t i, const char *line, const char *expected)
{
    char out[8192];
    msec_t until = clock_monotonic() + 20000;
    do {
        loop_turn(k.loop, true);
        if (clock_monotonic() > until) {
            fail_msg("sentinel %zu: %s: %s", i, line, out);
        }
    } while (!real_say(sentinels[i].port, line, out, sizeof(out)) ||
             strstr(out, expected) == NULL);
}

static int setup(void **state)
{
    (void)state;
    memset(servers, 0, sizeof(servers));
    memset(sentinels, 0, sizeof(sentinels));
    case_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    for (size_t i = 0; i < SENTINELS; i++) {
        real_end(&sentinels[i]);
    }
    for (size_t i = 0; i < SERVERS; i++) {
        real_end(&servers[i]);
    }
    return 0;
}

static void build(void)
{
    char line[64];
    static const char *const args[] = {"--repl-diskless-sync-delay", "0", "--repl-timeout", "5",
                                       NULL};
    for (size_t i = 0; i < SERVERS; i++) {
        real_start(&servers[i], args, "PONG");
    }
    snprintf(line, sizeof(line), "REPLICAOF 127.0.0.1 %u", servers[0].port);
    real_order(servers[1].port, line, "+OK");
    for (size_t i = 0; i < SENTINELS; i++) {
        start_sentinel(&sentinels[i]);
    }
    for (size_t i = 0; i < SENTINELS; i++) {
        wait_sentinel(i, "SENTINEL master shop", "num-other-sentinels\r\n$1\r\n2");
        wait_sentinel(i, "SENTINEL master shop", "num-slaves\r\n$1\r\n1");
    }
}

static void start(void)
{
    char url[160];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    build();
    snprintf(url, sizeof(url), "redis-sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/shop",
             sentinels[0].port, sentinels[1].port, sentinels[2].port);
    case_start(&k, url);
}

/* Which of the two servers our commands arrive at. It takes writes. */
static size_t master(void)
{
    static unsigned serial;
    char words[64], value[32], port[32];
    snprintf(words, sizeof(words), "SET canary v%u", ++serial);
    snprintf(value, sizeof(value), "v%u", serial);
    expect_answer(&k, words, "OK");
    expect_answer(&k, "GET canary", value);
    struct ask a = {0};
    ask_run(&k, &a, "INFO server");
    assert_int_equal(a.outcome, REDIS_ANSWERED);
    strbuf_add_char(&a.text, '\0');
    size_t i = 0;
    while (i < SERVERS) {
        snprintf(port, sizeof(port), "tcp_port:%u\r", servers[i].port);
        if (strstr(a.text.p, port) != NULL) {
            break;
        }
        i++;
    }
    strbuf_free(&a.text);
    return i;
}

static void pass_time(msec_t time)
{
    msec_t until = clock_monotonic() + time;
    while (clock_monotonic() < until) {
        loop_turn(k.loop, true);
    }
}

static void lose(void)
{
    unsigned before = k.downs;
    msec_t until = clock_monotonic() + 20000;
    while (k.downs == before && clock_monotonic() < until) {
        struct ask a = {0};
        if (ask_send(&k, &a, REDIS_DATA, 100, false, "GET canary")) {
            RUN_UNTIL(&k, a.done);
        }
        strbuf_free(&a.text);
        loop_turn(k.loop, true);
    }
    assert_true(k.downs > before);
}

static void test_master_is_killed(void **state)
{
    (void)state;
    start();
    assert_int_equal(master(), 0);
    real_kill(&servers[0]);
    lose();
    msec_t began = clock_monotonic();
    case_ready(&k);
    assert_true(clock_monotonic() - began < 10000);
    assert_int_equal(master(), 1);
    /* It comes back as a replica, and nobody goes there. */
    real_run(&servers[0], "PONG");
    wait_sentinel(0, "SENTINEL master shop", "num-slaves\r\n$1\r\n1");
    assert_int_equal(master(), 1);
}

static void test_master_is_stopped(void **state)
{
    (void)state;
    start();
    assert_int_equal(master(), 0);
    kill(servers[0].pid, SIGSTOP);
    lose();
    case_ready(&k);
    kill(servers[0].pid, SIGCONT); /* still thinks that it is a master, for a moment */
    assert_int_equal(master(), 1);
}

static void test_ordered_failover(void **state)
{
    (void)state;
    k.options.sentinel_poll = 200;
    start();
    assert_int_equal(master(), 0);
    real_order(sentinels[0].port, "SENTINEL failover shop", "+OK");
    lose();
    case_ready(&k);
    assert_int_equal(master(), 1);
}

static void test_sentinels_die(void **state)
{
    (void)state;
    start();
    assert_int_equal(master(), 0);
    for (size_t i = 0; i < SENTINELS; i++) {
        real_kill(&sentinels[i]);
    }
    /* As long as the master lives, nobody needs them. */
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(master(), 0);
    }
    pass_time(300); /* the last answer is too old to be used again */
    real_order(servers[0].port, "CLIENT KILL TYPE normal", ":");
    RUN_UNTIL(&k, k.downs == 1);
    pass_time(300);
    assert_false(redis_ready(k.r, REDIS_DATA));
    real_run(&sentinels[2], "PONG"); /* one is enough to be told */
    case_ready(&k);
    assert_int_equal(master(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_master_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_master_is_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ordered_failover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sentinels_die, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
