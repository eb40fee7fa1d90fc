/*
 * Redis Cluster by scripted nodes: slots of keys, reading maps and redirects, routing, MOVED,
 * ASK, TRYAGAIN, storms of them, nodes that come and go. Real nodes are in
 * test_redis_cluster_server.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "cache/redis_decoder.h"
#include "cache/redis_slots.h"
#include "fake_redis.h"
#include "redis_case.h"

#define NODES 4 /* three with slots at the start, one without */

static struct fake_redis *nodes[NODES];
static struct redis_case k;
static atomic_int owners[REDIS_SLOTS]; /* what is so */
static atomic_int told[REDIS_SLOTS];   /* what CLUSTER SLOTS says */
static atomic_int ask_slot, ask_node;  /* this slot is on its way there; -1: none */
static atomic_int tryagain;            /* so many TRYAGAIN */
static atomic_bool storm;              /* every GET is MOVED to the next node */
static atomic_bool down;               /* CLUSTERDOWN */
static atomic_bool empty_map;          /* CLUSTER SLOTS knows nothing */
static atomic_uint maps, moved, asked, commands;
static _Thread_local unsigned asking_on; /* connection + 1 that has just sent ASKING */

static int index_of(const struct fake_redis *f)
{
    for (int i = 0; i < NODES; i++) {
        if (nodes[i] == f) {
            return i;
        }
    }
    return -1;
}

static void say_slots(struct strbuf *out)
{
    struct strbuf body = {0};
    unsigned n = 0;
    for (unsigned first = 0; first < REDIS_SLOTS && !empty_map;) {
        unsigned last = first;
        int node = told[first];
        while (last + 1 < REDIS_SLOTS && told[last + 1] == node) {
            last++;
        }
        if (node >= 0) {
            strbuf_addf(&body,
                        "*3\r\n:%u\r\n:%u\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$2\r\nid\r\n",
                        first, last, nodes[node]->port);
            n++;
        }
        first = last + 1;
    }
    strbuf_addf(out, "*%u\r\n", n);
    strbuf_add_str(out, strbuf_str(&body));
    strbuf_free(&body);
}

static enum fake_action redirect(struct strbuf *out, const char *word, unsigned slot, int node)
{
    strbuf_addf(out, "-%s %u 127.0.0.1:%u\r\n", word, slot, nodes[node]->port);
    return FAKE_SEND;
}

static enum fake_action on_key(const struct fake_command *c, struct strbuf *out, bool asking)
{
    int me = index_of(c->server);
    unsigned slot = redis_slot_of(c->argv[1]);
    commands++;
    if (storm) {
        moved++;
        return redirect(out, "MOVED", slot, (me + 1) % 3);
    }
    if (down) {
        strbuf_addf(out, "-CLUSTERDOWN The cluster is down\r\n");
        return FAKE_SEND;
    }
    if (tryagain > 0) {
        tryagain--;
        strbuf_addf(out, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
        return FAKE_SEND;
    }
    if ((int)slot == ask_slot && me == owners[slot]) {
        asked++;
        return redirect(out, "ASK", slot, ask_node);
    }
    if (me != owners[slot] && !(asking && (int)slot == ask_slot && me == ask_node)) {
        moved++;
        return redirect(out, "MOVED", slot, owners[slot]);
    }
    strbuf_addf(out, "$%zu\r\n%d:", c->argv[1].n + 2, me);
    strbuf_add_str(out, c->argv[1]);
    strbuf_add(out, "\r\n", 2);
    return FAKE_SEND;
}

static enum fake_action on_node(const struct fake_command *c, struct strbuf *out)
{
    bool asking = asking_on == c->connection + 1;
    asking_on = fake_is(c, "ASKING") ? c->connection + 1 : 0;
    if (fake_is(c, "CLUSTER")) {
        maps++;
        say_slots(out);
        return FAKE_SEND;
    }
    return fake_is(c, "GET") ? on_key(c, out, asking) : FAKE_DEFAULT;
}

static void give(unsigned first, unsigned last, int node)
{
    for (unsigned slot = first; slot <= last; slot++) {
        owners[slot] = told[slot] = node;
    }
}

static int setup(void **state)
{
    (void)state;
    ask_slot = -1;
    tryagain = 0;
    storm = down = empty_map = false;
    maps = moved = asked = commands = 0;
    give(0, 5460, 0);
    give(5461, 10922, 1);
    give(10923, 16383, 2);
    case_init(&k);
    k.options.reconnect_step = 10;
    return fake_start_all(nodes, NODES, on_node) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    fake_stop_all(nodes, NODES);
    return 0;
}

/* The first node of the list is one that nobody answers at. */
static void start(void)
{
    char url[128];
    snprintf(url, sizeof(url), "redis-cluster://127.0.0.1:1,127.0.0.1:%u", nodes[1]->port);
    case_start(&k, url);
}

static struct redis_stats stats(void)
{
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    return s;
}

/* GET key: the node that answers, and that it answers for this key. */
static int get(const char *key)
{
    char words[64];
    struct ask a = {0};
    snprintf(words, sizeof(words), "GET %s", key);
    ask_run(&k, &a, words);
    if (a.outcome != REDIS_ANSWERED) {
        fail_msg("%s: outcome %d, %.*s", key, a.outcome, STR_ARG(strbuf_str(&a.text)));
    }
    assert_true(a.text.n > 2 && str_eq(str_skip(strbuf_str(&a.text), 2), str_from(key)));
    int node = a.text.p[0] - '0';
    strbuf_free(&a.text);
    return node;
}

/* ---- pure ---------------------------------------------------------------------------------
 */

static void test_slots_of_keys(void **state)
{
    (void)state;
    /* From the specification, and from `redis-cli cluster keyslot`. */
    assert_int_equal(redis_slot_of(STR("123456789")), 0x31C3);
    assert_int_equal(redis_slot_of(STR("")), 0);
    assert_int_equal(redis_slot_of(STR("foo")), 12182);
    assert_int_equal(redis_slot_of(STR("bar")), 5061);
    assert_int_equal(redis_slot_of(STR("{user1000}.following")),
                     redis_slot_of(STR("{user1000}.followers")));
    assert_int_equal(redis_slot_of(STR("{user1000}.following")),
                     redis_slot_of(STR("user1000")));
    assert_int_equal(redis_slot_of(STR("foo{}{bar}")), 8363);
    assert_int_equal(redis_slot_of(STR("foo{{bar}}zap")), redis_slot_of(STR("{bar")));
    assert_int_equal(redis_slot_of(STR("foo{bar}{zap}")), redis_slot_of(STR("bar")));
    assert_int_not_equal(redis_slot_of(STR("foo{bar")), redis_slot_of(STR("bar")));
    assert_int_not_equal(redis_slot_of(STR("}foo{")), redis_slot_of(STR("foo")));
}

static void test_redirect_lines(void **state)
{
    (void)state;
    uint16_t slot, port;
    struct str host;
    assert_true(redis_redirect_read(STR("MOVED 3999 127.0.0.1:6381"), &slot, &host, &port));
    assert_int_equal(slot, 3999);
    assert_int_equal(port, 6381);
    assert_true(str_eq(host, STR("127.0.0.1")));
    assert_true(redis_redirect_read(STR("ASK 1 ::1:7000"), &slot, &host, &port));
    assert_true(str_eq(host, STR("::1")));
    assert_true(redis_redirect_read(STR("MOVED 1 :7000"), &slot, &host, &port));
    assert_int_equal(host.n, 0);
    assert_true(redis_redirect_read(STR("MOVED 1 ?:7000"), &slot, &host, &port));
    assert_int_equal(host.n, 0);
    static const char *const bad[] = {"MOVED",           "MOVED 1",     "MOVED 16384 h:1",
                                      "MOVED -1 h:1",    "MOVED 1 h",   "MOVED 1 h:0",
                                      "MOVED 1 h:65536", "MOVED x h:1", "MOVED 1 h:"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(redis_redirect_read(str_from(bad[i]), &slot, &host, &port));
    }
}

static unsigned ranges;

static void on_range(void *ctx, uint16_t first, uint16_t last, struct str host, uint16_t port)
{
    (void)ctx, (void)host;
    ranges++;
    assert_true(first <= last && last < REDIS_SLOTS && port > 0);
}

static void test_maps_that_make_no_sense(void **state)
{
    (void)state;
    static const struct {
        const char *wire;
        size_t covered;
    } maps_[] = {
        {"*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\nh\r\n:1\r\n", 10},
        {"*1\r\n*3\r\n:0\r\n:0\r\n*2\r\n$-1\r\n:1\r\n", 1},
        {"*0\r\n", 0},
        {"+OK\r\n", 0},
        {"*1\r\n:1\r\n", 0},
        {"*1\r\n*0\r\n", 0},
        {"*1\r\n*3\r\n:9\r\n:0\r\n*2\r\n$1\r\nh\r\n:1\r\n", 0},
        {"*1\r\n*3\r\n:-1\r\n:0\r\n*2\r\n$1\r\nh\r\n:1\r\n", 0},
        {"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n", 0},
        {"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n", 0},
        {"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:65536\r\n", 0},
        {"*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n", 0},
        {"*1\r\n*2\r\n:0\r\n:1\r\n", 0},
        {"*1\r\n*3\r\n+0\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n", 0},
    };
    for (size_t i = 0; i < sizeof(maps_) / sizeof(maps_[0]); i++) {
        struct redis_decoder *d = redis_decoder_new(1000);
        struct redis_reply *reply;
        redis_decoder_feed(d, maps_[i].wire, strlen(maps_[i].wire));
        assert_int_equal(redis_decoder_next(d, &reply), REDIS_DECODE_REPLY);
        ranges = 0;
        assert_int_equal(redis_slots_read(reply, on_range, NULL), maps_[i].covered);
        assert_int_equal(ranges, maps_[i].covered > 0);
        redis_reply_free(reply);
        redis_decoder_free(d);
    }
}

/* ---- routing ------------------------------------------------------------------------------
 */

static void test_each_key_to_its_node(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 300; i++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%u", i);
        assert_int_equal(get(key), owners[redis_slot_of(str_from(key))]);
    }
    assert_int_equal(moved, 0);
    assert_int_equal(stats().redirects, 0);
    assert_int_equal(atomic_load(&nodes[3]->accepted), 0);
    expect_answer(&k, "PING", "PONG"); /* a command without a key goes anywhere */
}

static void test_waits_for_the_map(void **state)
{
    (void)state;
    struct ask a = {0}, b = {0}, c = {0};
    empty_map = true;
    start();
    assert_false(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET a"));
    assert_true(ask_send(&k, &b, REDIS_DATA, 50, true, "GET b"));
    assert_true(ask_send(&k, &c, REDIS_DATA, 10000, true, "GET c"));
    RUN_UNTIL(&k, b.done);
    assert_int_equal(b.outcome, REDIS_NOT_SENT);
    RUN_UNTIL(&k, maps > 2);
    assert_false(redis_ready(k.r, REDIS_DATA));
    empty_map = false;
    RUN_UNTIL(&k, c.done);
    assert_int_equal(c.outcome, REDIS_ANSWERED);
    strbuf_free(&c.text);
}

static void test_moved(void **state)
{
    (void)state;
    start();
    assert_int_equal(get("foo"), 2);
    unsigned slot = redis_slot_of(STR("foo"));
    owners[slot] = 3; /* the maps still say 2: only MOVED knows */
    unsigned before = maps;
    assert_int_equal(get("foo"), 3);
    assert_int_equal(moved, 1);
    assert_int_equal(get("foo"), 3);
    assert_int_equal(moved, 1);
    /* MOVED makes it ask for a map. An old one makes one detour more, no error. */
    RUN_UNTIL(&k, maps > before);
    before = maps;
    while (moved == 1) {
        assert_int_equal(get("foo"), 3);
    }
    told[slot] = 3;
    RUN_UNTIL(&k, maps > before);
    expect_answer(&k, "PING", "PONG");
    unsigned detours = moved;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(get("foo"), 3);
    }
    assert_in_range(moved, detours, detours + 1);
}

static void test_ask(void **state)
{
    (void)state;
    start();
    unsigned slot = redis_slot_of(STR("foo"));
    ask_slot = (int)slot;
    ask_node = 3;
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(get("foo"), 3); /* each one anew: the slot still belongs to 2 */
        assert_int_equal(asked, i);
    }
    assert_int_equal(moved, 0);
    /* ASKING counts for one command only: a pipeline of two keys needs two. */
    struct ask a = {0}, b = {0};
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET {foo}a"));
    assert_true(ask_send(&k, &b, REDIS_DATA, 5000, false, "GET {foo}b"));
    RUN_UNTIL(&k, a.done && b.done);
    assert_true(str_eq(strbuf_str(&a.text), STR("3:{foo}a")));
    assert_true(str_eq(strbuf_str(&b.text), STR("3:{foo}b")));
    /* The slot has moved for good. */
    ask_slot = -1;
    give(slot, slot, 3);
    assert_int_equal(get("foo"), 3);
    strbuf_free(&a.text);
    strbuf_free(&b.text);
}

static void test_tryagain(void **state)
{
    (void)state;
    start();
    get("foo");
    tryagain = 2;
    msec_t began = clock_monotonic();
    assert_int_equal(get("foo"), 2);
    assert_true(clock_monotonic() - began >= 55); /* 20 ms, then 40 ms */
    tryagain = 1000;
    struct ask a = {0};
    ask_run(&k, &a, "GET foo");
    assert_int_equal(a.outcome, REDIS_DENIED);
    assert_int_equal(a.error, REDIS_E_TRYAGAIN);
    assert_int_equal(tryagain, 1000 - 4);
    /* Its time is over during a pause: it has certainly not run. */
    assert_true(ask_send(&k, &a, REDIS_DATA, 10, false, "GET foo"));
    RUN_UNTIL(&k, a.done);
    assert_int_equal(a.outcome, REDIS_NOT_SENT);
    /* Cancelled during a pause. */
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET foo"));
    unsigned before = commands;
    RUN_UNTIL(&k, commands > before);
    redis_cancel(a.c);
    RUN_UNTIL(&k, stats().in_flight == 0);
    assert_false(a.done);
    strbuf_free(&a.text);
}

static void test_redirects_are_bounded(void **state)
{
    (void)state;
    start();
    get("foo");
    storm = true;
    unsigned before = maps;
    for (unsigned i = 0; i < 50; i++) {
        struct ask a = {0};
        unsigned was = commands;
        ask_run(&k, &a, "GET foo");
        assert_int_equal(a.outcome, REDIS_DENIED);
        assert_int_equal(a.error, REDIS_E_MOVED);
        assert_int_equal(commands, was + 4); /* one and three redirects */
        strbuf_free(&a.text);
    }
    assert_in_range(maps - before, 0, 20); /* 50 storms, few questions */
    storm = false;
    assert_int_equal(get("foo"), 2);
}

static void test_clusterdown(void **state)
{
    (void)state;
    start();
    get("foo");
    down = true;
    unsigned before = maps;
    for (unsigned i = 0; i < 5; i++) {
        struct ask a = {0};
        ask_run(&k, &a, "GET foo");
        assert_int_equal(a.error, REDIS_E_CLUSTERDOWN);
        strbuf_free(&a.text);
    }
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 1000, true, "GET foo")); /* this node's breaker */
    RUN_UNTIL(&k, maps > before);
    down = false;
    RUN_UNTIL(&k, ask_send(&k, &a, REDIS_DATA, 1000, false, "GET foo"));
    RUN_UNTIL(&k, a.done);
    assert_int_equal(a.outcome, REDIS_ANSWERED);
    assert_int_equal(get("bar"), 0); /* the others were not touched */
    strbuf_free(&a.text);
}

/* A node dies, another takes its slots: seen by nobody's MOVED. */
static void test_failover(void **state)
{
    (void)state;
    start();
    assert_int_equal(get("foo"), 2);
    atomic_store(&nodes[2]->refuse, true);
    fake_drop_all(nodes[2]);
    RUN_UNTIL(&k, k.downs == 1);
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 1000, false, "GET foo")); /* at once */
    assert_int_equal(get("bar"), 0);
    give(10923, 16383, 3);
    msec_t began = clock_monotonic();
    while (a.outcome != REDIS_ANSWERED || !a.done) {
        if (ask_send(&k, &a, REDIS_DATA, 1000, true, "GET foo")) {
            RUN_UNTIL(&k, a.done);
        }
        loop_turn(k.loop, true);
    }
    assert_true(clock_monotonic() - began < 5000);
    assert_int_equal(a.text.p[0], '3');
    strbuf_free(&a.text);
}

static void test_no_cluster_at_all(void **state)
{
    (void)state;
    empty_map = true;
    start();
    RUN_UNTIL(&k, maps >= 3);
    assert_false(redis_ready(k.r, REDIS_DATA));
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 1000, false, "GET foo"));
}

static void test_free_at_any_time(void **state)
{
    (void)state;
    tryagain = 1000000;
    for (unsigned turns = 0; turns < 14; turns++) {
        struct ask a = {0}, b = {0};
        start();
        ask_send(&k, &a, REDIS_DATA, 5000, true, "GET a");
        ask_send(&k, &b, REDIS_JOURNAL, 5000, true, "GET b");
        for (unsigned i = 0; i < turns; i++) {
            loop_turn(k.loop, true);
        }
        redis_free(k.r);
        k.r = NULL;
        loop_turn(k.loop, false);
    }
}

/* Slots wander under load: every answer belongs to its question, none is lost. */
static void test_resharding_under_load(void **state)
{
    (void)state;
    start();
    get("foo");
    for (unsigned round = 0; round < 60; round++) {
        struct ask asks[50] = {0};
        for (unsigned i = 0; i < 50; i++) {
            char words[32];
            snprintf(words, sizeof(words), "GET k%u", i);
            assert_true(ask_send(&k, &asks[i], REDIS_DATA, 5000, true, words));
            unsigned slot = redis_slot_of(str_from(words + 4));
            if ((i + round) % 7 == 0) {
                owners[slot] = (int)(round + i) % NODES; /* told later */
            } else if ((i + round) % 11 == 0) {
                told[slot] = owners[slot];
            }
        }
        for (unsigned i = 0; i < 50; i++) {
            char key[32];
            RUN_UNTIL(&k, asks[i].done);
            snprintf(key, sizeof(key), "k%u", i);
            assert_int_equal(asks[i].outcome, REDIS_ANSWERED);
            assert_true(str_eq(str_skip(strbuf_str(&asks[i].text), 2), str_from(key)));
            strbuf_free(&asks[i].text);
        }
    }
    assert_true(stats().redirects > 50);
    assert_int_equal(stats().protocol_errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_of_keys),
        cmocka_unit_test(test_redirect_lines),
        cmocka_unit_test(test_maps_that_make_no_sense),
        cmocka_unit_test_setup_teardown(test_each_key_to_its_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_the_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tryagain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirects_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clusterdown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_cluster_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resharding_under_load, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
