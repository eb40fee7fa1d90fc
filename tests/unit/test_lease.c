/*
 * Leases across nodes with Debian's redis-server: two instances, as two nodes have them, on one
 * loop. Skipped when redis-server is not installed.
 */
#include "unit.h"

#include "cache/entry.h"
#include "cache/journal.h"
#include "cache/lease.h"
#include "real_redis.h"
#include "redis_case.h"

#define EPOCH 7

struct node {
    struct redis *redis;
    struct journal *journal;
    struct lease_counters counters;
    struct l2 *l2;
    struct leases *leases;
};

/* A quest and its end. */
struct seek {
    struct lease *l; /* after LEASE_GOT */
    bool done;
    enum lease_outcome outcome;
};

static msec_t life; /* of leases */
static msec_t beat;
static struct real_redis server;
static struct redis_case k;
static struct node a, b;

static void node_init(struct node *n)
{
    *n = (struct node){.redis = redis_new(k.loop, &k.options), .journal = journal_new(100)};
    const struct lease_options o = {.redis = n->redis,
                                    .loop = k.loop,
                                    .journal = n->journal,
                                    .counters = &n->counters,
                                    .prefix = STR("p"),
                                    .life = life,
                                    .beat = beat};
    journal_stream_epoch(n->journal, EPOCH, 1);
    n->l2 = l2_new(n->redis, STR("p"), 100000);
    n->leases = leases_new(&o);
    RUN_UNTIL(&k, redis_ready(n->redis, REDIS_LEASE) && redis_ready(n->redis, REDIS_DATA));
}

static void node_fini(struct node *n)
{
    if (n->redis == NULL) {
        return;
    }
    l2_free(n->l2);
    leases_free(n->leases);
    redis_free(n->redis);
    journal_free(n->journal);
    n->redis = NULL;
}

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    life = 10000;
    beat = 50;
    case_init(&k);
    k.options.roles |= 1u << REDIS_LEASE;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    node_fini(&a);
    node_fini(&b);
    case_fini(&k);
    real_end(&server);
    return 0;
}

static void begin(void)
{
    char url[64];
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    real_start(&server, NULL, "PONG");
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", server.port);
    case_start(&k, url);
    case_ready(&k);
    node_init(&a);
    node_init(&b);
}

static void on_sought(void *ctx, struct lease *l, enum lease_outcome outcome)
{
    struct seek *s = ctx;
    assert_false(s->done);
    s->done = true;
    s->outcome = outcome;
    s->l = outcome == LEASE_GOT ? l : NULL;
}

static const struct lease_quest plain = {.name = STR("n"),
                                         .host = STR("h"),
                                         .type = STR("t"),
                                         .route = STR("r"),
                                         .seen = STR(""),
                                         .budget = 10000,
                                         .patience = -1};

static bool seek_for(struct node *n, struct seek *s, const struct lease_quest *quest)
{
    *s = (struct seek){0};
    return lease_seek(n->leases, quest, on_sought, s) != NULL;
}

static void seek(struct node *n, struct seek *s)
{
    assert_true(seek_for(n, s, &plain));
}

static void expect(const struct seek *s, enum lease_outcome outcome)
{
    RUN_UNTIL(&k, s->done);
    assert_int_equal(s->outcome, outcome);
}

static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load(counter);
}

/* A has it, and B waits for it: asked once more when it began to read the wakes. */
static void a_leads(struct seek *sa, struct seek *sb)
{
    seek(&a, sa);
    expect(sa, LEASE_GOT);
    seek(&b, sb);
    RUN_UNTIL(&k, count(&b.counters.waited) >= 2);
    assert_false(sb->done);
}

static struct entry *entry_of(const char *body)
{
    const struct entry_spec spec = {.name = STR("n"),
                                    .host = STR("h"),
                                    .status = 200,
                                    .stored_at = k.loop->wall,
                                    .lifetime = 60000,
                                    .head = STR("HTTP/1.1 200 OK\r\n"),
                                    .body_length = strlen(body),
                                    .body = str_from(body)};
    return entry_new(&spec);
}

static void store(struct node *n, struct lease *l, const char *body)
{
    struct entry *e = entry_of(body);
    lease_store(l, n->l2, e, k.loop->wall);
    entry_unref(e);
}

/* What is stored, or NULL. */
struct got {
    bool done;
    char body[32];
};

static void on_got(void *ctx, struct entry *e, enum l2_outcome outcome)
{
    struct got *g = ctx;
    (void)outcome;
    g->done = true;
    if (e != NULL) {
        snprintf(g->body, sizeof(g->body), "%.*s", STR_ARG(entry_body(e)));
        entry_unref(e);
    }
}

static void expect_stored(const char *body)
{
    struct got g = {0};
    assert_non_null(l2_get_start(b.l2, STR("n"), STR("h"), 10000, on_got, &g));
    RUN_UNTIL(&k, g.done);
    assert_string_equal(g.body, body);
}

/* How many leases there are. */
static long long leases_held(void)
{
    struct ask q = {0};
    struct segment argv[] = {REDIS_ARG("EVAL"),
                             REDIS_ARG("return #redis.call('KEYS', '*:lease:*')"),
                             REDIS_ARG("0")};
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 3,
                                    .timeout = 5000,
                                    .done = ask_on_done,
                                    .ctx = &q};
    q.c = redis_command(k.r, &call);
    assert_non_null(q.c);
    RUN_UNTIL(&k, q.done);
    strbuf_free(&q.text);
    return q.integer;
}

/* ---- taking and giving back ---------------------------------------------------------------
 */

static void taken_and_given_back(void **state)
{
    struct seek s;
    (void)state;
    begin();
    seek(&a, &s);
    expect(&s, LEASE_GOT);
    assert_int_equal(leases_held(), 1);
    assert_int_equal(lease_stamp(s.l).epoch, EPOCH);
    assert_true(lease_spent(s.l) >= 0);
    lease_release(s.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
    assert_int_equal(count(&a.counters.taken), 1);
    assert_int_equal(count(&a.counters.lost), 0);
}

static void names_hosts_and_scopes_are_apart(void **state)
{
    struct seek s[4];
    struct lease_quest quest = plain;
    (void)state;
    begin();
    assert_true(seek_for(&a, &s[0], &quest));
    quest.scope = 1;
    assert_true(seek_for(&b, &s[1], &quest));
    quest.host = STR("other");
    assert_true(seek_for(&b, &s[2], &quest));
    quest.name = STR("m");
    assert_true(seek_for(&b, &s[3], &quest));
    for (size_t i = 0; i < 4; i++) {
        expect(&s[i], LEASE_GOT);
    }
    assert_int_equal(leases_held(), 4);
    for (size_t i = 0; i < 4; i++) {
        lease_release(s[i].l, LEASE_FAILED);
    }
    RUN_UNTIL(&k, leases_held() == 0);
}

static void something_else_is_stored(void **state)
{
    struct seek s;
    struct got g = {0};
    (void)state;
    begin();
    struct entry *e = entry_of("there");
    l2_put(a.l2, e, k.loop->wall);
    entry_unref(e);
    seek(&a, &s);
    expect(&s, LEASE_LOOK);
    assert_int_equal(leases_held(), 0);
    assert_non_null(l2_get_start(a.l2, STR("n"), STR("h"), 10000, on_got, &g));
    RUN_UNTIL(&k, g.done);
    struct lease_quest quest = plain;
    quest.seen = l2_mark(a.l2);
    assert_true(seek_for(&a, &s, &quest));
    expect(&s, LEASE_GOT);
    lease_release(s.l, LEASE_FAILED);
}

static void no_budget_no_lease(void **state)
{
    struct seek s;
    struct lease_quest quest = plain;
    (void)state;
    begin();
    quest.budget = 0;
    assert_false(seek_for(&a, &s, &quest));
    assert_int_equal(count(&a.counters.fallbacks), 1);
}

static void renewed_while_it_is_held(void **state)
{
    struct seek s;
    (void)state;
    life = 300;
    begin();
    seek(&a, &s);
    expect(&s, LEASE_GOT);
    msec_t until = clock_monotonic() + 3 * life;
    RUN_UNTIL(&k, clock_monotonic() > until);
    if (count(&a.counters.lost) == 0) { /* a machine that stood still may have lost it */
        assert_int_equal(leases_held(), 1);
    }
    lease_release(s.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
}

/* ---- waiting ------------------------------------------------------------------------------
 */

static void woken_when_it_is_stored(void **state)
{
    struct seek sa, sb;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    store(&a, sa.l, "body");
    lease_release(sa.l, LEASE_STORED);
    expect(&sb, LEASE_LOOK);
    assert_int_equal(count(&b.counters.expired), 0);
    expect_stored("body");
}

static void told_that_it_is_not_for_sharing(void **state)
{
    struct seek sa, sb;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    lease_release(sa.l, LEASE_NOT_SHARED);
    expect(&sb, LEASE_UNSHARED);
    assert_int_equal(count(&b.counters.unshared), 1);
}

static void told_that_redis_does_not_have_it(void **state)
{
    struct seek sa, sb;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    lease_release(sa.l, LEASE_NOT_IN_REDIS);
    expect(&sb, LEASE_NONE);
}

static void what_was_not_written_is_not_stored(void **state)
{
    static char large[200001];
    struct seek sa, sb;
    (void)state;
    begin();
    memset(large, 'x', sizeof(large) - 1);
    a_leads(&sa, &sb);
    store(&a, sa.l, large);
    lease_release(sa.l, LEASE_STORED);
    expect(&sb, LEASE_NONE);
}

static void one_successor_after_a_failure(void **state)
{
    struct seek sa, sb, sc;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    seek(&b, &sc);
    RUN_UNTIL(&k, count(&b.counters.waited) >= 3);
    lease_release(sa.l, LEASE_FAILED);
    RUN_UNTIL(&k, sb.done || sc.done);
    struct seek *first = sb.done ? &sb : &sc, *second = sb.done ? &sc : &sb;
    assert_int_equal(first->outcome, LEASE_GOT);
    RUN_UNTIL(&k, count(&b.counters.waited) >= 4);
    assert_false(second->done);
    lease_release(first->l, LEASE_STORED);
    expect(second, LEASE_LOOK);
}

static void a_second_failure_is_not_waited_for(void **state)
{
    struct seek s[3];
    (void)state;
    begin();
    a_leads(&s[0], &s[1]);
    seek(&b, &s[2]);
    RUN_UNTIL(&k, count(&b.counters.waited) >= 3);
    lease_release(s[0].l, LEASE_FAILED);
    RUN_UNTIL(&k, s[1].done || s[2].done);
    struct seek *first = s[1].done ? &s[1] : &s[2], *second = s[1].done ? &s[2] : &s[1];
    assert_int_equal(first->outcome, LEASE_GOT);
    RUN_UNTIL(&k, count(&b.counters.waited) >= 4);
    lease_release(first->l, LEASE_FAILED);
    expect(second, LEASE_NONE);
    assert_int_equal(count(&b.counters.failed), 3);
}

static void a_node_that_dies_is_waited_for_no_longer_than_its_lease(void **state)
{
    struct seek sa, sb;
    (void)state;
    life = 300;
    begin();
    a_leads(&sa, &sb);
    node_fini(&a);
    expect(&sb, LEASE_GOT);
    assert_true(count(&b.counters.expired) >= 1);
    lease_release(sb.l, LEASE_STORED);
}

static void patience_ends(void **state)
{
    struct seek sa, sb;
    struct lease_quest quest = plain;
    (void)state;
    begin();
    seek(&a, &sa);
    expect(&sa, LEASE_GOT);
    quest.patience = 30;
    assert_true(seek_for(&b, &sb, &quest));
    expect(&sb, LEASE_NONE);
    lease_release(sa.l, LEASE_STORED);
}

static void given_up(void **state)
{
    struct seek sa, sb, sc;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    seek(&b, &sc); /* being asked for */
    leases_give_up(b.leases);
    assert_true(sb.done && sc.done);
    assert_int_equal(sb.outcome, LEASE_NONE);
    assert_int_equal(sc.outcome, LEASE_NONE);
    lease_release(sa.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
}

static void redis_dies_meanwhile(void **state)
{
    struct seek sa, sb;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    real_kill(&server);
    expect(&sb, LEASE_NONE);
    assert_true(count(&b.counters.fallbacks) >= 1);
    lease_release(sa.l, LEASE_STORED);
}

/* ---- holders that are gone, and giving back that fails ------------------------------------
 */

static void a_holder_that_gives_no_sign_of_life_is_not_waited_for(void **state)
{
    struct seek sa, sb;
    struct lease_quest quest = plain;
    (void)state;
    life = 60000;
    begin();
    seek(&a, &sa);
    expect(&sa, LEASE_GOT);
    quest.budget = 500;
    assert_true(seek_for(&b, &sb, &quest));
    RUN_UNTIL(&k, count(&b.counters.waited) >= 1 || sb.done);
    node_fini(&a);
    expect(&sb, LEASE_NONE); /* long before the lease is over */
    assert_int_equal(leases_held(), 1);
    assert_int_equal(count(&b.counters.expired), 0);
}

/* The longest turn of the loop so far: a machine that stands still looks like a silent holder.
 */
static msec_t longest_turn(msec_t until)
{
    msec_t longest = 0, last = clock_monotonic(), now;
    while ((now = clock_monotonic()) < until) {
        longest = now - last > longest ? now - last : longest;
        last = now;
        loop_turn(k.loop, true);
    }
    return longest;
}

static void a_slow_holder_is_waited_for(void **state)
{
    struct seek sa, sb;
    struct lease_quest quest = plain;
    (void)state;
    life = 60000;
    beat = 20;
    begin();
    seek(&a, &sa);
    expect(&sa, LEASE_GOT);
    quest.budget = 500;
    assert_true(seek_for(&b, &sb, &quest));
    msec_t stood = longest_turn(clock_monotonic() + 3 * quest.budget);
    if (stood < 100) {
        assert_false(sb.done);
    }
    if (!sb.done) {
        lease_release(sa.l, LEASE_NOT_SHARED);
        expect(&sb, LEASE_UNSHARED);
    }
}

/* A's connections end, and it does not know of that when it gives the lease back. */
static void a_loses_its_connections(void)
{
    struct ask q = {0};
    ask_run(&k, &q, "CLIENT KILL USER a");
    assert_true(q.integer >= 2);
    strbuf_free(&q.text);
}

static void what_is_given_back_on_a_lost_connection_is_given_back_again(void **state)
{
    struct seek sa, sb;
    (void)state;
    life = 60000;
    begin();
    struct redis_target own = k.target;
    own.user = STR("a");
    own.password = STR("any");
    expect_answer(&k, "ACL SETUSER a on nopass ~* &* +@all", "OK");
    node_fini(&a);
    k.options.target = &own;
    node_init(&a);
    k.options.target = &k.target;
    a_leads(&sa, &sb);
    uint64_t repeated = count(&a.counters.repeated);
    assert_int_equal(repeated, 0);
    a_loses_its_connections();
    lease_release(sa.l, LEASE_NOT_SHARED);
    expect(&sb, LEASE_UNSHARED);
    assert_int_equal(count(&b.counters.silent), 0);
    assert_int_equal(leases_held(), 0);
    node_fini(&a);
}

/* ---- invalidations and fences -------------------------------------------------------------
 */

static void a_lease_older_than_an_invalidation_is_taken_over(void **state)
{
    static const struct record record = {.kind = RECORD_NAME, .text = STR("n")};
    struct seek sa, sb, sc;
    (void)state;
    begin();
    a_leads(&sa, &sb);
    journal_stream_apply(b.journal, 2, &record, 1);
    seek(&b, &sc);
    expect(&sc, LEASE_GOT);
    assert_int_equal(count(&b.counters.displaced), 1);
    assert_int_equal(leases_held(), 1);
    assert_false(sb.done);
    lease_release(sa.l, LEASE_STORED); /* not its own any more */
    RUN_UNTIL(&k, count(&a.counters.lost) == 1);
    assert_int_equal(leases_held(), 1);
    lease_release(sc.l, LEASE_STORED); /* wakes who waited for the old one as well */
    expect(&sb, LEASE_LOOK);
}

static void another_epoch_is_not_waited_for(void **state)
{
    struct seek sa, sb;
    (void)state;
    begin();
    seek(&a, &sa);
    expect(&sa, LEASE_GOT);
    journal_stream_epoch(b.journal, EPOCH + 1, 1);
    seek(&b, &sb);
    expect(&sb, LEASE_NONE);
    lease_release(sa.l, LEASE_STORED);
}

static void an_older_lease_stores_nothing_over_a_newer_one(void **state)
{
    static const struct record record = {.kind = RECORD_NAME, .text = STR("n")};
    struct seek sa, sb;
    (void)state;
    begin();
    seek(&a, &sa);
    expect(&sa, LEASE_GOT);
    journal_stream_apply(b.journal, 2, &record, 1);
    seek(&b, &sb);
    expect(&sb, LEASE_GOT);
    store(&b, sb.l, "newer");
    lease_release(sb.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
    store(&a, sa.l, "older");
    RUN_UNTIL(&k, count(&a.counters.fenced) == 1);
    expect_stored("newer");
    lease_release(sa.l, LEASE_STORED);
}

static void a_newer_lease_stores_over_an_older_one(void **state)
{
    struct seek s;
    struct got g = {0};
    struct lease_quest quest = plain;
    (void)state;
    begin();
    seek(&a, &s);
    expect(&s, LEASE_GOT);
    store(&a, s.l, "older");
    lease_release(s.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
    assert_non_null(l2_get_start(b.l2, STR("n"), STR("h"), 10000, on_got, &g));
    RUN_UNTIL(&k, g.done);
    quest.seen = l2_mark(b.l2);
    assert_true(seek_for(&b, &s, &quest));
    expect(&s, LEASE_GOT);
    store(&b, s.l, "newer");
    lease_release(s.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
    expect_stored("newer");
    assert_int_equal(count(&b.counters.fenced), 0);
}

/* What lies there is of another schema, or damaged: nothing to respect. */
static void other_bytes_are_replaced(void **state)
{
    struct seek s;
    (void)state;
    begin();
    seek(&a, &s);
    expect(&s, LEASE_GOT);
    char line[256] = "SET p:n LRD1";
    memset(line + strlen(line), '\x7f', 150);
    expect_answer(&k, line, "OK");
    store(&a, s.l, "mine");
    lease_release(s.l, LEASE_STORED);
    RUN_UNTIL(&k, leases_held() == 0);
    expect_stored("mine");
}

static void a_key_of_another_kind(void **state)
{
    struct seek s;
    (void)state;
    begin();
    expect_answer(&k, "LPUSH p:n x", "1");
    seek(&a, &s);
    expect(&s, LEASE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(taken_and_given_back),
        T(names_hosts_and_scopes_are_apart),
        T(something_else_is_stored),
        T(no_budget_no_lease),
        T(renewed_while_it_is_held),
        T(woken_when_it_is_stored),
        T(told_that_it_is_not_for_sharing),
        T(told_that_redis_does_not_have_it),
        T(what_was_not_written_is_not_stored),
        T(one_successor_after_a_failure),
        T(a_second_failure_is_not_waited_for),
        T(a_node_that_dies_is_waited_for_no_longer_than_its_lease),
        T(patience_ends),
        T(given_up),
        T(redis_dies_meanwhile),
        T(a_holder_that_gives_no_sign_of_life_is_not_waited_for),
        T(a_slow_holder_is_waited_for),
        T(what_is_given_back_on_a_lost_connection_is_given_back_again),
        T(a_lease_older_than_an_invalidation_is_taken_over),
        T(another_epoch_is_not_waited_for),
        T(an_older_lease_stores_nothing_over_a_newer_one),
        T(a_newer_lease_stores_over_an_older_one),
        T(other_bytes_are_replaced),
        T(a_key_of_another_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
