/*
 * cache/journal_link when Redis is lost, hung, emptied, full, damaged or cut off, with Debian's
 * redis-server: who knows what, what waits, and that all come back by themselves. Skipped when
 * redis-server is not installed.
 */
#include "unit.h"

#include <dirent.h>

#include "cache/journal_link_state.h"
#include "real_redis.h"

#include "journal_case.h"

static struct real_redis server;
static struct journal_case k;
static struct node a, b;
static char state_dir[64];

static int start_server(const char *const *more)
{
    char url[128];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    real_start(&server, more, "PONG");
    snprintf(url, sizeof(url), "unix:%s", server.sock);
    case_init(&k, url);
    snprintf(state_dir, sizeof(state_dir), "/tmp/larder-state-XXXXXX");
    assert_non_null(mkdtemp(state_dir));
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return start_server(NULL);
}

static int setup_persistent(void **state)
{
    (void)state;
    static const char *const more[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no", NULL};
    return start_server(more);
}

static size_t files_in(const char *path)
{
    size_t n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    struct node *nodes[] = {&a, &b};
    char command[160];
    for (size_t i = 0; i < 2; i++) {
        if (nodes[i]->l != NULL) {
            node_end(nodes[i]);
        }
    }
    case_fini(&k);
    real_kill(&server);
    snprintf(command, sizeof(command), "rm -rf '%s' '%s'", server.dir, state_dir);
    assert_int_equal(system(command), 0);
    return 0;
}

/* The epoch has moved, once, for both; nothing from before is trusted, and all goes on. */
static void assert_one_move(const struct stamp *on_a, const struct stamp *on_b)
{
    RUN_UNTIL(&k, node_stats(&a).epochs == 2 && node_stats(&b).epochs == 2);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_verdict(&a, on_a, "z:1"), JOURNAL_UNVERIFIED);
    assert_int_equal(node_verdict(&b, on_b, "z:1"), JOURNAL_UNVERIFIED);
    struct stamp s = journal_stamp(b.j);
    assert_int_equal(append_wait(&k, &a, "y:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_verdict(&b, &s, "y:1") == JOURNAL_INVALID);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_stats(&a).epochs, 2);
    assert_int_equal(node_stats(&b).epochs, 2);
}

/* ---- a journal that is lost or damaged ----------------------------------------------------
 */

static void lose(const char *order, const char *answer)
{
    node_start_two(&k, &a, &b);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_level(&a, &b));
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    real_order(server.port, order, answer);
    assert_one_move(&on_a, &on_b);
}

static void test_stream_deleted(void **state)
{
    (void)state;
    /* Nobody reads a stream that is gone; the next append finds out. */
    node_start_two(&k, &a, &b);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    real_order(server.port, "DEL {shop}:journal", ":1");
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_INVALID);
    assert_one_move(&on_a, &on_b);
    RUN_UNTIL(&k, !journal_link_pending(a.l));
}

static void test_epoch_deleted(void **state)
{
    (void)state;
    lose("DEL {shop}:epoch", ":1");
}

static void test_flushall(void **state)
{
    (void)state;
    lose("FLUSHALL", "OK");
}

static void test_a_foreign_entry(void **state)
{
    (void)state;
    lose("XADD {shop}:journal * who knows", "$");
}

static void test_a_number_left_out(void **state)
{
    (void)state;
    lose("XADD {shop}:journal * s 77 r ah0: m ''", "$");
}

static void test_nonsense_in_the_hash(void **state)
{
    (void)state;
    lose("HSET {shop}:epoch id nonsense from bad seq -1 replid 0", ":0");
}

/* Numbers are given a second time: a server that has lost its last records. An append that gets
 * one which was read long ago was not read itself, and its answer must not say so. */
static void test_numbers_are_given_again(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    for (unsigned i = 0; i < 25; i++) {
        assert_int_equal(append_wait(&k, &a, "u:*"), APPEND_DONE);
        RUN_UNTIL(&k, node_level(&a, &b));
        struct stamp before = journal_stamp(a.j);
        real_order(server.port,
                   i % 2 == 0 ? "HINCRBY {shop}:epoch seq -1" : "HINCRBY {shop}:epoch seq -2",
                   ":");
        (void)append_wait(&k, &a, "x:*");
        assert_int_not_equal(node_verdict(&a, &before, "x:1"), JOURNAL_VALID);
        RUN_UNTIL(&k, node_level(&a, &b) && !journal_link_pending(a.l));
        assert_int_not_equal(node_verdict(&b, &before, "x:1"), JOURNAL_VALID);
    }
}

/* A node that is held up misses a record which the other one has read. (The first one of the
 * three is in its socket already.) */
static void lose_while_b_is_held(const char *format, bool more)
{
    char last[256], id[64], order[128];
    struct brake br;
    node_start_two(&k, &a, &b);
    assert_int_equal(append_wait(&k, &a, "u:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_level(&a, &b));
    struct stamp on_b = journal_stamp(b.j);
    brake(&b, &br);
    assert_int_equal(append_wait(&k, &a, "u:*"), APPEND_DONE);
    assert_int_equal(append_wait(&k, &a, "v:*"), APPEND_DONE);
    assert_true(
        real_say(server.port, "XREVRANGE {shop}:journal + - COUNT 1", last, sizeof(last)));
    /* "*1 *2 $LENGTH ID …" */
    assert_int_equal(sscanf(last, "*1\r\n*2\r\n$%*d\r\n%63[0-9-]", id), 1);
    if (more) {
        assert_int_equal(append_wait(&k, &a, "w:*"), APPEND_DONE);
    }
    snprintf(order, sizeof(order), format, id);
    real_order(server.port, order, ":");
    release(&br);
    RUN_UNTIL(&k, node_stats(&b).epochs == 2);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_int_equal(node_verdict(&b, &on_b, "z:1"), JOURNAL_UNVERIFIED);
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "v:1") == JOURNAL_INVALID); /* told once more */
    assert_int_equal(append_wait(&k, &a, "y:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_level(&a, &b));
    assert_true(node_stats(&a).epochs <= 2 && node_stats(&b).epochs == 2);
}

static void test_a_hole_in_the_stream(void **state)
{
    (void)state;
    lose_while_b_is_held("XDEL {shop}:journal %s", true);
}

/* The end is gone: no later record shows that it was ever there. */
static void test_the_end_of_the_stream_is_gone(void **state)
{
    (void)state;
    lose_while_b_is_held("XDEL {shop}:journal %s", false);
}

static void test_the_stream_is_gone_before_it_was_read(void **state)
{
    (void)state;
    lose_while_b_is_held("DEL {shop}:journal", false);
}

/* Another program's key under one of the names. Nothing works until it is gone, nothing breaks
 * either. */
static void test_a_key_of_another_type(void **state)
{
    (void)state;
    k.options.budget = 100;
    node_start_two(&k, &a, &b);
    real_order(server.port, "SET {shop}:journal x", "OK");
    RUN_UNTIL(&k, !node_follows(&a) && !node_follows(&b));
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    real_order(server.port, "DEL {shop}:journal", ":1");
    RUN_UNTIL(&k, node_level(&a, &b) && node_stats(&a).outbox == 0);
    assert_int_equal(node_stats(&a).epochs, 2);
}

/* ---- a server that is away ----------------------------------------------------------------
 */

static void test_absent_at_the_start(void **state)
{
    (void)state;
    real_kill(&server);
    k.options.budget = 100;
    node_start(&k, &a);
    node_start(&k, &b);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_false(node_certain(&a));
    assert_true(journal_link_pending(a.l));
    struct stamp s = journal_stamp(a.j);
    assert_int_equal(append_wait(&k, &a, "z:*"), APPEND_PENDING);
    assert_int_equal(node_verdict(&a, &s, "z:1"), JOURNAL_INVALID);
    real_run(&server, "PONG");
    RUN_UNTIL(&k, node_level(&a, &b) && node_stats(&a).outbox == 0);
    assert_false(journal_link_pending(a.l));
    assert_int_equal(node_stats(&a).appended, 2);
}

static void kill_and_restart(void)
{
    node_start_two(&k, &a, &b);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_DONE);
    RUN_UNTIL(&k, node_level(&a, &b));
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    real_kill(&server);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_INVALID);
    assert_int_equal(node_verdict(&a, &on_a, "z:1"), JOURNAL_VALID);
    RUN_UNTIL(&k, !node_follows(&a) && !node_follows(&b));
    real_run(&server, "PONG");
    RUN_UNTIL(&k, node_stats(&a).outbox == 0);
    assert_one_move(&on_a, &on_b);
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_INVALID);
}

static void test_restart_empty(void **state)
{
    (void)state;
    kill_and_restart();
}

static void test_restart_with_its_data(void **state)
{
    (void)state;
    kill_and_restart();
}

/* Hung, not closed: answered within the budget, applied here, told later. */
static void test_stopped(void **state)
{
    (void)state;
    k.options.budget = 100;
    node_start_two(&k, &a, &b);
    node_meet(&k, &a, &b);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    kill(server.pid, SIGSTOP);
    msec_t from = clock_monotonic();
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_true(clock_monotonic() - from >= 90);
    assert_int_equal(node_verdict(&a, &on_a, "x:1"), JOURNAL_INVALID);
    RUN_UNTIL(&k, !node_certain(&a) && !node_certain(&b));
    assert_true(node_stats(&a).lag >= MAX_LAG_MS);
    RUN_UNTIL(&k, !node_follows(&a));
    from = clock_monotonic();
    assert_int_equal(append_wait(&k, &a, "z:*"), APPEND_PENDING);
    kill(server.pid, SIGCONT);
    RUN_UNTIL(&k, node_level(&a, &b) && node_stats(&a).outbox == 0);
    RUN_UNTIL(&k, node_certain(&a) && node_certain(&b));
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "x:1") == JOURNAL_INVALID &&
                      node_verdict(&b, &on_b, "z:1") == JOURNAL_INVALID);
    /* The same server with all its records: nothing else is touched. */
    assert_int_equal(node_verdict(&a, &on_a, "y:1"), JOURNAL_VALID);
    assert_int_equal(node_verdict(&b, &on_b, "y:1"), JOURNAL_VALID);
    assert_int_equal(node_stats(&a).epochs, 1);
}

/* Cut off again and again in the middle of it: nothing is lost, and nothing is thrown away. */
static void test_connections_killed(void **state)
{
    (void)state;
    enum { CUTS = 100, EACH = 20 };
    struct ends e = {0};
    char out[256];
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    for (unsigned i = 0; i < CUTS; i++) {
        for (unsigned m = 0; m < EACH; m++) {
            char name[32];
            snprintf(name, sizeof(name), "n:%u:%u", i, m);
            const struct record r = {.kind = RECORD_NAME, .text = str_from(name)};
            journal_link_append(m % 2 == 0 ? a.l : b.l, k.loop, &r, 1, ends_count, &e);
        }
        loop_turn(k.loop, false);
        assert_true(real_say(server.port, "CLIENT KILL TYPE normal", out, sizeof(out)));
        if (i % 10 == 9) {
            RUN_UNTIL(&k, node_follows(&a) && node_follows(&b)); /* back each time */
        }
    }
    RUN_UNTIL(&k, e.done + e.pending == CUTS * EACH);
    RUN_UNTIL(&k, node_stats(&a).outbox == 0 && node_stats(&b).outbox == 0);
    RUN_UNTIL(&k, node_level(&a, &b));
    for (unsigned i = 0; i < CUTS * EACH; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n:%u:%u", i / EACH, i % EACH);
        assert_int_equal(node_verdict(&b, &s, name), JOURNAL_INVALID);
    }
    assert_int_equal(node_verdict(&b, &s, "other"), JOURNAL_VALID);
    assert_int_equal(node_stats(&a).epochs, 1);
    assert_int_equal(node_stats(&b).epochs, 1);
}

/* ---- a server that takes no writes --------------------------------------------------------
 */

static void test_out_of_memory(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp on_b = journal_stamp(b.j);
    real_order(server.port, "CONFIG SET maxmemory 1", "OK");
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_true(node_follows(&a)); /* reading goes on */
    case_run_for(&k, MAX_LAG_MS + 500);
    assert_true(node_certain(&a) && node_certain(&b));
    assert_int_equal(node_verdict(&b, &on_b, "x:1"), JOURNAL_VALID);
    real_order(server.port, "CONFIG SET maxmemory 0", "OK");
    RUN_UNTIL(&k, node_stats(&a).outbox == 0);
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "x:1") == JOURNAL_INVALID);
    assert_int_equal(node_stats(&a).epochs, 1);
}

static void test_demoted_and_promoted(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    struct stamp on_a = journal_stamp(a.j), on_b = journal_stamp(b.j);
    real_order(server.port, "REPLICAOF 127.0.0.1 1", "OK");
    RUN_UNTIL(&k, !node_follows(&a) && !node_follows(&b));
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    real_order(server.port, "REPLICAOF NO ONE", "OK");
    RUN_UNTIL(&k, node_stats(&a).outbox == 0);
    assert_one_move(&on_a, &on_b);
}

/* ---- certain and alone --------------------------------------------------------------------
 */

static void test_alone_is_certain(void **state)
{
    (void)state;
    k.options.budget = 100;
    node_start(&k, &a);
    RUN_UNTIL(&k, node_certain(&a) && node_stats(&a).alone);
    struct stamp s = journal_stamp(a.j);
    real_kill(&server);
    RUN_UNTIL(&k, node_stats(&a).lag > 2 * MAX_LAG_MS);
    assert_true(node_certain(&a));
    assert_int_equal(node_verdict(&a, &s, "x:1"), JOURNAL_VALID);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_int_equal(node_verdict(&a, &s, "x:1"), JOURNAL_INVALID);
    assert_true(node_certain(&a));
}

static void test_two_are_uncertain(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    node_meet(&k, &a, &b);
    real_kill(&server);
    RUN_UNTIL(&k, !node_certain(&a) && !node_certain(&b));
    real_run(&server, "PONG");
    RUN_UNTIL(&k, node_certain(&a) && node_certain(&b));
}

/* Who was left by the other one is alone, and stays so when Redis goes too. */
static void test_the_one_that_is_left(void **state)
{
    (void)state;
    node_start_two(&k, &a, &b);
    node_meet(&k, &a, &b);
    node_end(&b);
    RUN_UNTIL(&k, node_stats(&a).alone);
    real_kill(&server);
    RUN_UNTIL(&k, node_stats(&a).lag > MAX_LAG_MS);
    assert_true(node_certain(&a));
}

/* ---- the outbox ---------------------------------------------------------------------------
 */

static void test_the_outbox_survives_a_restart(void **state)
{
    (void)state;
    k.options.budget = 100;
    k.options.state_dir = str_from(state_dir);
    node_start_two(&k, &a, &b);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_DONE);
    assert_int_equal(files_in(state_dir), 0);
    node_end(&b);
    real_kill(&server);
    assert_int_equal(append_wait(&k, &a, "x:*"), APPEND_PENDING);
    assert_int_equal(append_wait(&k, &a, "z:*"), APPEND_PENDING);
    assert_int_equal(files_in(state_dir), 1);
    node_end(&a);
    assert_int_equal(files_in(state_dir), 1);

    k.options.state_dir = STR_NULL;
    real_run(&server, "PONG");
    node_start(&k, &b);
    RUN_UNTIL(&k, node_follows(&b));
    struct stamp s = journal_stamp(b.j);
    k.options.state_dir = str_from(state_dir);
    node_start(&k, &a);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID &&
                      node_verdict(&b, &s, "z:1") == JOURNAL_INVALID);
    assert_int_equal(node_verdict(&b, &s, "y:1"), JOURNAL_VALID);
    RUN_UNTIL(&k, node_stats(&a).outbox == 0);
    assert_int_equal(files_in(state_dir), 0);
}

/* In flight when the process ends: kept as well. */
static void test_ending_while_redis_hangs(void **state)
{
    (void)state;
    struct ends e = {0};
    k.options.state_dir = str_from(state_dir);
    node_start_two(&k, &a, &b);
    struct stamp s = journal_stamp(b.j);
    kill(server.pid, SIGSTOP);
    struct journal_append *h = append_glob(&k, &a, "x:*", &e);
    case_run_for(&k, 50);
    journal_append_cancel(h);
    msec_t from = clock_monotonic();
    node_end(&a);
    assert_true(clock_monotonic() - from < 3000);
    assert_int_equal(files_in(state_dir), 1);
    kill(server.pid, SIGCONT);
    node_start(&k, &a);
    RUN_UNTIL(&k, node_verdict(&b, &s, "x:1") == JOURNAL_INVALID);
    RUN_UNTIL(&k, files_in(state_dir) == 0);
}

/* More than can be kept: everything is invalidated everywhere, once. */
static void test_overflow_becomes_all(void **state)
{
    (void)state;
    struct ends e = {0};
    k.options.state_dir = str_from(state_dir);
    node_start_two(&k, &a, &b);
    struct stamp on_b = journal_stamp(b.j);
    kill(server.pid, SIGSTOP);
    RUN_UNTIL(&k, !node_follows(&a));
    for (unsigned i = 0; i <= OUTBOX_MAX + 50; i++) {
        append_glob(&k, &a, "x:*", &e);
    }
    RUN_UNTIL(&k, e.pending == OUTBOX_MAX + 51);
    RUN_UNTIL(&k, node_stats(&a).outbox < 100);
    assert_int_equal(append_wait(&k, &a, "y:*"), APPEND_PENDING);
    assert_int_equal(files_in(state_dir), 1);
    kill(server.pid, SIGCONT);
    RUN_UNTIL(&k, node_stats(&a).outbox == 0);
    assert_int_equal(files_in(state_dir), 0);
    RUN_UNTIL(&k, node_verdict(&b, &on_b, "z:1") == JOURNAL_INVALID);
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_stream_deleted),
        WITH_SERVER(test_epoch_deleted),
        WITH_SERVER(test_flushall),
        WITH_SERVER(test_a_foreign_entry),
        WITH_SERVER(test_a_number_left_out),
        WITH_SERVER(test_nonsense_in_the_hash),
        WITH_SERVER(test_numbers_are_given_again),
        WITH_SERVER(test_a_hole_in_the_stream),
        WITH_SERVER(test_the_end_of_the_stream_is_gone),
        WITH_SERVER(test_the_stream_is_gone_before_it_was_read),
        WITH_SERVER(test_a_key_of_another_type),
        WITH_SERVER(test_absent_at_the_start),
        WITH_SERVER(test_restart_empty),
        cmocka_unit_test_setup_teardown(test_restart_with_its_data, setup_persistent, teardown),
        WITH_SERVER(test_stopped),
        WITH_SERVER(test_connections_killed),
        WITH_SERVER(test_out_of_memory),
        WITH_SERVER(test_demoted_and_promoted),
        WITH_SERVER(test_alone_is_certain),
        WITH_SERVER(test_two_are_uncertain),
        WITH_SERVER(test_the_one_that_is_left),
        WITH_SERVER(test_the_outbox_survives_a_restart),
        WITH_SERVER(test_ending_while_redis_hangs),
        WITH_SERVER(test_overflow_becomes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
