/*
 * What servers answer that is not an answer: errors by name, garbage, giants, refusals in the
 * handshake; the breaker around it; and who owns what when it happens.
 */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "fake_redis.h"
#include "redis_case.h"

static struct fake_redis *fake;
static struct redis_case k;
static const char *_Atomic handshake_error; /* line instead of the first answer, or NULL */
static const char *_Atomic role;            /* what ROLE says */
static atomic_uint auths, selects, names, roles, pings;

static int setup(void **state)
{
    (void)state;
    fake = xcalloc(1, sizeof(*fake));
    handshake_error = NULL;
    role = "master";
    auths = selects = names = roles = pings = 0;
    case_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    fake_stop(fake);
    free(fake);
    return 0;
}

/* "ERR:text" as a key: that error. "RAW:text": these bytes. Both with _ for blanks. */
static void speak(struct str what, struct strbuf *out)
{
    bool error = str_starts(what, STR("ERR:"));
    if (error) {
        strbuf_add_char(out, '-');
    }
    for (size_t i = 4; i < what.n; i++) {
        strbuf_add_char(out, what.p[i] == '_' ? ' ' : what.p[i]);
    }
    strbuf_addf(out, "%s", error ? "\r\n" : "");
}

static enum fake_action on_command(const struct fake_command *c, struct strbuf *out)
{
    auths += fake_is(c, "AUTH");
    selects += fake_is(c, "SELECT");
    names += fake_is(c, "CLIENT");
    roles += fake_is(c, "ROLE");
    pings += fake_is(c, "PING");
    const char *error = handshake_error;
    if (error != NULL && !fake_is(c, "GET")) {
        strbuf_addf(out, "-%s\r\n", error);
        return FAKE_SEND;
    }
    if (fake_is(c, "ROLE")) {
        const char *text = role;
        strbuf_addf(out, "*1\r\n");
        fake_bulk(out, "", str_from(text));
        return FAKE_SEND;
    }
    if (c->argc > 1 &&
        (str_starts(c->argv[1], STR("ERR:")) || str_starts(c->argv[1], STR("RAW:")))) {
        speak(c->argv[1], out);
        return FAKE_SEND;
    }
    return c->argc > 1 && str_eq(c->argv[1], STR("silent")) ? FAKE_SILENT : FAKE_DEFAULT;
}

static void start_with(const char *userinfo, const char *path)
{
    char url[128];
    if (fake->port == 0) {
        assert_true(fake_start(fake, on_command, 0));
    }
    snprintf(url, sizeof(url), "redis://%s127.0.0.1:%u%s", userinfo, fake->port, path);
    case_start(&k, url);
}

static void start(void)
{
    start_with("", "");
    case_ready(&k);
}

static struct redis_stats stats(void)
{
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    return s;
}

static void wait_attempts(unsigned n)
{
    while (stats().failed_connects < n) {
        loop_turn(k.loop, true);
    }
}

/* Sends, waits, and expects this outcome. */
static void expect_outcome(const char *words, enum redis_outcome outcome)
{
    struct ask a = {0};
    ask_run(&k, &a, words);
    if (a.outcome != outcome) {
        fail_msg("%s: outcome %d: %.*s", words, a.outcome, STR_ARG(strbuf_str(&a.text)));
    }
    strbuf_free(&a.text);
}

/* ---- the handshake ------------------------------------------------------------------------
 */

static void test_handshake_says_all(void **state)
{
    (void)state;
    start_with("user:p%20w@", "/7");
    case_ready(&k);
    assert_int_equal(auths, 1);
    assert_int_equal(selects, 1);
    assert_int_equal(names, 1);
    assert_int_equal(roles, 1);
    assert_int_equal(pings, 1);
}

static void test_handshake_says_no_more_than_needed(void **state)
{
    (void)state;
    start();
    assert_int_equal(auths, 0);
    assert_int_equal(selects, 0);
}

/* Each refusal, and that the connection comes by itself when it is over. */
static void test_handshake_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script",
        "MASTERDOWN Link with MASTER is down",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR invalid password",
        "ERR max number of clients reached",
        "DENIED Redis is running in protected mode",
    };
    k.options.reconnect_max = 20; /* also after what only an operator can mend */
    k.options.reconnect_step = 1;
    handshake_error = lines[0];
    start_with(":pw@", "");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        handshake_error = lines[i];
        unsigned failed = (unsigned)stats().failed_connects;
        wait_attempts(failed + 3);
        assert_false(redis_ready(k.r, REDIS_DATA));
        struct ask a = {0};
        assert_false(ask_send(&k, &a, REDIS_DATA, 100, false, "GET a"));
        handshake_error = NULL;
        case_ready(&k);
        expect_answer(&k, "GET a", "value of a");
        /* The next round begins with the loss of this connection. */
        handshake_error = lines[i];
        expect_outcome("GET ERR:READONLY_", REDIS_DENIED);
    }
}

/* A command that the ACL forbids, or that a proxy in between does not know, is no refusal. */
static void test_handshake_with_little_rights(void **state)
{
    (void)state;
    handshake_error = "NOPERM this user has no permissions to run the 'ping' command";
    start();
    handshake_error = "ERR unknown command";
    expect_outcome("GET ERR:READONLY_", REDIS_DENIED);
    case_ready(&k);
}

/* Wrong passwords are not tried twenty times a second. */
static void test_wrong_password_is_not_hammered(void **state)
{
    (void)state;
    handshake_error = "WRONGPASS invalid username-password pair or user is disabled.";
    start_with(":pw@", "");
    msec_t until = clock_monotonic() + 1000;
    while (clock_monotonic() < until) {
        struct ask a = {0};
        if (ask_send(&k, &a, REDIS_DATA, 20, true, "GET a")) {
            RUN_UNTIL(&k, a.done);
        }
        loop_turn(k.loop, true);
    }
    assert_int_equal(atomic_load(&fake->accepted), 1);
}

static void test_replica_is_not_used(void **state)
{
    (void)state;
    k.options.reconnect_step = 1;
    role = "slave";
    start_with("", "");
    wait_attempts(5);
    assert_false(redis_ready(k.r, REDIS_DATA));
    role = "master";
    case_ready(&k);
}

/* It was a master when we came, and still answers. */
static void test_master_that_steps_down(void **state)
{
    (void)state;
    start();
    role = "slave";
    unsigned before = roles;
    msec_t began = clock_monotonic();
    while (k.downs == 0) {
        struct ask a = {0};
        if (ask_send(&k, &a, REDIS_DATA, 1000, false, "GET a")) {
            RUN_UNTIL(&k, a.done);
        }
        strbuf_free(&a.text);
        loop_turn(k.loop, true);
        assert_true(clock_monotonic() - began < 3000);
    }
    assert_int_equal(roles, before + 1);
    wait_attempts(2);
    assert_false(redis_ready(k.r, REDIS_DATA));
    role = "master";
    case_ready(&k);
    expect_answer(&k, "GET a", "value of a");
}

static void test_silent_handshake(void **state)
{
    (void)state;
    k.options.connect_timeout = 50;
    assert_true(fake_start(fake, on_command, 0));
    fake_freeze(fake, true);
    start_with("", "");
    wait_attempts(2);
    fake_freeze(fake, false);
    case_ready(&k);
}

/* ---- errors of commands -------------------------------------------------------------------
 */

static void test_errors_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum redis_error error;
        bool closes; /* the connection is made anew */
    } lines[] = {
        {"LOADING_Redis", REDIS_E_LOADING, false},
        {"BUSY_Redis", REDIS_E_BUSY, false},
        {"MASTERDOWN_Link", REDIS_E_MASTERDOWN, true},
        {"READONLY_You", REDIS_E_READONLY, true},
        {"UNBLOCKED_force", REDIS_E_UNBLOCKED, true},
        {"NOREPLICAS_Not", REDIS_E_NOREPLICAS, false},
        {"MOVED_1_127.0.0.1:1", REDIS_E_MOVED, false},
        {"ASK_1_127.0.0.1:1", REDIS_E_ASK, false},
        {"TRYAGAIN_Multiple", REDIS_E_TRYAGAIN, false},
        {"CLUSTERDOWN_The", REDIS_E_CLUSTERDOWN, false},
        {"CROSSSLOT_Keys", REDIS_E_CROSSSLOT, false},
        {"OOM_command", REDIS_E_OOM, false},
        {"MISCONF_Redis", REDIS_E_MISCONF, false},
        {"NOAUTH_Authentication", REDIS_E_NOAUTH, true},
        {"NOPERM_this", REDIS_E_NOPERM, false},
        {"NOSCRIPT_No", REDIS_E_NOSCRIPT, false},
        {"WRONGTYPE_Operation", REDIS_E_WRONGTYPE, false},
        {"ERR_unknown", REDIS_E_OTHER, false},
    };
    k.options.reconnect_max = 10;
    k.options.breaker_failures = 1000;
    k.options.breaker_percent = 101;
    start();
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char words[128];
        struct ask a = {0}, next = {0};
        unsigned connects = (unsigned)stats().connects;
        snprintf(words, sizeof(words), "GET ERR:%s", lines[i].line);
        assert_true(ask_send(&k, &a, REDIS_DATA, 5000, true, words));
        assert_true(ask_send(&k, &next, REDIS_DATA, 5000, true, "GET next"));
        RUN_UNTIL(&k, a.done && next.done);
        assert_int_equal(a.outcome, REDIS_DENIED);
        assert_int_equal(a.error, lines[i].error);
        assert_int_equal(next.outcome, lines[i].closes ? REDIS_LOST : REDIS_ANSWERED);
        case_ready(&k);
        assert_int_equal(stats().connects - connects, lines[i].closes);
        assert_int_equal(stats().errors[lines[i].error], 1);
        expect_answer(&k, "GET after", "value of after");
        strbuf_free(&a.text);
        strbuf_free(&next.text);
    }
}

static void test_writes_refused(void **state)
{
    (void)state;
    start();
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_NONE);
    for (unsigned i = 0; i < 30; i++) {
        expect_outcome("SET ERR:OOM_x v", REDIS_DENIED);
    }
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_OOM);
    expect_answer(&k, "GET a", "value of a"); /* no breaker: reads go on, and prove nothing */
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_OOM);
    expect_outcome("EVAL script", REDIS_ANSWERED); /* it may have found nothing to write */
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_OOM);
    expect_answer(&k, "set a v", "OK");
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_NONE);
}

/* ---- bytes --------------------------------------------------------------------------------
 */

static void test_garbage_closes(void **state)
{
    (void)state;
    static const char *const raw[] = {
        "HTTP/1.1_400_Bad\r\n\r\n", "%1\r\n",  "\r\n",     "+a\n",
        "$3\r\nabcd\r\n",           "$-5\r\n", ":12x\r\n", "*2\r\n:1\r\n?",
    };
    k.options.reconnect_max = 10;
    k.options.breaker_failures = 1000;
    k.options.breaker_percent = 101;
    start();
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        char words[64];
        struct ask before = {0}, bad = {0}, after = {0};
        snprintf(words, sizeof(words), "GET RAW:%s", raw[i]);
        assert_true(ask_send(&k, &before, REDIS_DATA, 5000, true, "GET before"));
        assert_true(ask_send(&k, &bad, REDIS_DATA, 5000, true, words));
        assert_true(ask_send(&k, &after, REDIS_DATA, 5000, true, "GET after"));
        RUN_UNTIL(&k, before.done && bad.done && after.done);
        assert_int_equal(before.outcome, REDIS_ANSWERED);
        assert_int_equal(bad.outcome, REDIS_LOST);
        assert_int_equal(after.outcome, REDIS_LOST);
        assert_int_equal(stats().protocol_errors, i + 1);
        case_ready(&k);
        expect_answer(&k, "GET a", "value of a");
        strbuf_free(&before.text);
    }
}

static void test_giants_close(void **state)
{
    (void)state;
    static const char *const raw[] = {
        "$2000000\r\n",
        "$536870912\r\n",
        "$9223372036854775807\r\n",
        "*2147483647\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    };
    k.options.reconnect_max = 10;
    k.options.breaker_failures = 1000;
    k.options.breaker_percent = 101;
    start();
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        char words[64];
        snprintf(words, sizeof(words), "GET RAW:%s", raw[i]);
        expect_outcome(words, REDIS_LOST);
        assert_int_equal(stats().too_large, i + 1);
        case_ready(&k);
    }
}

/* A reply too many is an answer to nobody, and the next question must not get it. */
static void test_reply_nobody_asked_for(void **state)
{
    (void)state;
    k.options.reconnect_max = 10;
    start();
    for (unsigned i = 0; i < 4; i++) {
        struct ask first = {0}, second = {0};
        assert_true(ask_send(&k, &first, REDIS_DATA, 5000, false,
                             "GET RAW:+mine\r\n$8\r\nintruder\r\n"));
        RUN_UNTIL(&k, first.done);
        assert_int_equal(first.outcome, REDIS_ANSWERED);
        assert_true(str_eq(strbuf_str(&first.text), STR("mine")));
        assert_true(ask_send(&k, &second, REDIS_DATA, 5000, true, "GET second"));
        RUN_UNTIL(&k, second.done);
        if (second.outcome == REDIS_ANSWERED) {
            assert_true(str_eq(strbuf_str(&second.text), STR("value of second")));
        }
        case_ready(&k);
        strbuf_free(&first.text);
        strbuf_free(&second.text);
    }
    assert_int_equal(stats().protocol_errors, 4);
}

/* ---- the breaker --------------------------------------------------------------------------
 */

static void test_breaker_opens_and_probes(void **state)
{
    (void)state;
    k.options.breaker_min = 100;
    start();
    unsigned connects = (unsigned)stats().connects;
    for (unsigned i = 0; i < 5; i++) {
        assert_true(redis_ready(k.r, REDIS_DATA));
        expect_outcome("GET ERR:LOADING_", REDIS_DENIED);
    }
    assert_false(redis_ready(k.r, REDIS_DATA));
    assert_int_equal(stats().breaker_opened, 1);
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 1000, true, "GET a")); /* waiting is no way in */
    assert_false(redis_health_up(k.options.health, REDIS_DATA));
    /* The probe is a PING, on the same connection, and no request. */
    unsigned before = pings;
    unsigned commands = atomic_load(&fake->commands);
    msec_t began = clock_monotonic();
    case_ready(&k);
    assert_in_range(clock_monotonic() - began, 70, 2000);
    assert_int_equal(pings, before + 1);
    assert_int_equal(atomic_load(&fake->commands), commands + 1);
    assert_int_equal(stats().connects, connects);
    assert_true(redis_health_up(k.options.health, REDIS_DATA));
}

static void test_breaker_stays_open_while_probes_fail(void **state)
{
    (void)state;
    k.options.breaker_min = 30;
    k.options.breaker_max = 60;
    start();
    handshake_error = "BUSY Redis is busy"; /* answers PING too */
    for (unsigned i = 0; i < 5; i++) {
        expect_outcome("GET ERR:BUSY_", REDIS_DENIED);
    }
    unsigned before = pings;
    while (pings < before + 4) {
        struct ask a = {0};
        assert_false(ask_send(&k, &a, REDIS_DATA, 1000, false, "GET a"));
        loop_turn(k.loop, true);
    }
    handshake_error = NULL;
    case_ready(&k);
    assert_int_equal(stats().breaker_opened, 1);
}

/* ---- ownership ----------------------------------------------------------------------------
 */

static unsigned released[4];

static void on_release(void *owner)
{
    released[(uintptr_t)owner]++;
}

static struct redis_command *send_large(struct ask *a, size_t n, uintptr_t owner)
{
    static char *value;
    if (value == NULL) {
        value = xmalloc(1024 * 1024);
        memset(value, 'x', 1024 * 1024);
    }
    const struct segment argv[] = {
        REDIS_ARG("SET"),
        REDIS_ARG("key"),
        {.p = value, .n = n, .release = on_release, .owner = (void *)owner}};
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 3,
                                    .key = 1,
                                    .timeout = 10000,
                                    .done = a != NULL ? ask_on_done : NULL,
                                    .ctx = a};
    return redis_command(k.r, &call);
}

static void test_large_arguments(void **state)
{
    (void)state;
    struct ask a = {0};
    memset(released, 0, sizeof(released));
    start_with("", "");
    assert_null(send_large(&a, 1024 * 1024, 0)); /* refused: not connected yet */
    assert_int_equal(released[0], 1);
    case_ready(&k);
    size_t before = atomic_load(&fake->bytes_in);
    assert_non_null(send_large(&a, 1024 * 1024, 1));
    assert_non_null(send_large(NULL, 10, 2)); /* small: copied and released at once */
    assert_int_equal(released[2], 1);
    assert_int_equal(released[1], 0);
    RUN_UNTIL(&k, a.done);
    assert_int_equal(a.outcome, REDIS_ANSWERED);
    assert_int_equal(released[1], 1);
    RUN_UNTIL(&k, stats().in_flight == 0);
    size_t wire = strlen("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n");
    assert_int_equal(atomic_load(&fake->bytes_in) - before,
                     2 * wire + strlen("$1048576\r\n\r\n$10\r\n\r\n") + 1024 * 1024 + 10);
    strbuf_free(&a.text);
}

/* A server that takes nothing: what is queued is bounded, and all is released in the end. */
static void test_back_pressure(void **state)
{
    (void)state;
    memset(released, 0, sizeof(released));
    start();
    fake_freeze(fake, true);
    unsigned taken = 0;
    while (taken < 100 && send_large(NULL, 1024 * 1024, 3) != NULL) {
        taken++;
        loop_turn(k.loop, false);
    }
    assert_in_range(taken, 10, 40);
    redis_free(k.r);
    k.r = NULL;
    assert_int_equal(released[3], taken + 1);
}

static void test_cancel(void **state)
{
    (void)state;
    start();
    struct ask a = {0}, b = {0};
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET a"));
    assert_true(ask_send(&k, &b, REDIS_DATA, 5000, false, "GET b"));
    redis_cancel(a.c);
    RUN_UNTIL(&k, b.done);
    assert_false(a.done);
    assert_true(str_eq(strbuf_str(&b.text), STR("value of b")));
    assert_int_equal(stats().in_flight, 0);
    strbuf_free(&b.text);
}

/* One that waits for a connection is not sent any more. */
static void test_cancel_while_waiting(void **state)
{
    (void)state;
    struct ask a = {0};
    start_with("", "");
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, true, "GET a"));
    redis_cancel(a.c);
    case_ready(&k);
    RUN_UNTIL(&k, stats().in_flight == 0);
    expect_answer(&k, "GET b", "value of b");
    assert_false(a.done);
    assert_int_equal(atomic_load(&fake->commands), 4); /* SETNAME ROLE PING GET b */
}

static void test_free_in_flight(void **state)
{
    (void)state;
    memset(released, 0, sizeof(released));
    start();
    struct ask a = {0}, b = {0};
    assert_non_null(send_large(NULL, 100000, 1));
    loop_turn(k.loop, false);
    assert_non_null(send_large(NULL, 100000, 1));
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET silent"));
    assert_true(ask_send(&k, &b, REDIS_JOURNAL, 5000, true, "GET silent"));
    redis_free(k.r);
    k.r = NULL;
    assert_false(a.done);
    assert_false(b.done);
    assert_int_equal(released[1], 2);
    assert_false(redis_health_up(k.options.health, REDIS_DATA));
}

static void test_in_flight_is_bounded(void **state)
{
    (void)state;
    k.options.max_in_flight = 10;
    start();
    struct ask asks[11] = {0};
    for (unsigned i = 0; i < 10; i++) {
        assert_true(ask_send(&k, &asks[i], REDIS_DATA, 5000, false, "GET a"));
    }
    assert_false(ask_send(&k, &asks[10], REDIS_DATA, 5000, true, "GET a"));
    for (unsigned i = 0; i < 10; i++) {
        RUN_UNTIL(&k, asks[i].done);
        strbuf_free(&asks[i].text);
    }
    assert_true(ask_send(&k, &asks[10], REDIS_DATA, 5000, true, "GET a"));
    RUN_UNTIL(&k, asks[10].done);
    strbuf_free(&asks[10].text);
}

/* ---- callbacks that do things -------------------------------------------------------------
 */

struct chain {
    unsigned left;
    struct redis_command *victim;
    unsigned outcomes[REDIS_OUTCOMES];
};

static void chain_next(struct chain *c);

static void on_chain(void *ctx, const struct redis_result *result)
{
    struct chain *c = ctx;
    c->outcomes[result->outcome]++;
    if (c->victim != NULL) {
        redis_cancel(c->victim);
        c->victim = NULL;
    }
    if (c->left > 0) {
        c->left--;
        chain_next(c);
    }
}

static void chain_next(struct chain *c)
{
    const struct segment argv[] = {REDIS_ARG("GET"), REDIS_ARG("a")};
    const struct redis_call call = {.argv = argv,
                                    .argc = 2,
                                    .key = 1,
                                    .timeout = 5000,
                                    .wait = true,
                                    .done = on_chain,
                                    .ctx = c};
    assert_non_null(redis_command(k.r, &call));
}

static void test_commands_from_callbacks(void **state)
{
    (void)state;
    struct chain c = {.left = 200};
    struct ask a = {0};
    k.options.reconnect_max = 10;
    start();
    chain_next(&c);
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET a"));
    c.victim = a.c;
    RUN_UNTIL(&k, c.left == 0 && stats().in_flight == 0);
    assert_int_equal(c.outcomes[REDIS_ANSWERED], 201);
    assert_false(a.done);
    /* From inside the end of a connection, too. */
    c = (struct chain){.left = 3};
    assert_true(ask_send(&k, &a, REDIS_DATA, 5000, false, "GET ERR:READONLY_"));
    for (unsigned i = 0; i < 20; i++) {
        chain_next(&c);
    }
    c.victim = NULL;
    RUN_UNTIL(&k, a.done && stats().in_flight == 0);
    assert_int_equal(c.outcomes[REDIS_LOST], 20);
    assert_int_equal(c.outcomes[REDIS_ANSWERED], 3);
    strbuf_free(&a.text);
}

/* ---- silence ------------------------------------------------------------------------------
 */

static msec_t skew;

static msec_t skewed_clock(void)
{
    return clock_monotonic() + skew;
}

/* A connection that nobody uses is asked now and then whether it is still there. */
static void test_idle_connection_is_checked(void **state)
{
    (void)state;
    skew = 0;
    k.loop->clock = skewed_clock;
    start();
    unsigned before = pings;
    skew = 11000;
    RUN_UNTIL(&k, pings == before + 1);
    assert_true(redis_ready(k.r, REDIS_DATA));
    assert_int_equal(stats().disconnects, 0);
}

static void test_server_closes_idle_connection(void **state)
{
    (void)state;
    start();
    fake_drop_all(fake);
    RUN_UNTIL(&k, k.downs == 1);
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 1000, false, "GET a"));
    case_ready(&k);
    assert_int_equal(k.downs, 1);
    assert_int_equal(k.ups, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_handshake_says_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_says_no_more_than_needed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_handshake_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_with_little_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_password_is_not_hammered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replica_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_master_that_steps_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_handshake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writes_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_giants_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reply_nobody_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaker_opens_and_probes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaker_stays_open_while_probes_fail, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_large_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_in_flight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_flight_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commands_from_callbacks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_connection_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_closes_idle_connection, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
