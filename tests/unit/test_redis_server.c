/*
 * The connection layer with Debian's redis-server: transports, passwords, TLS, and what an
 * operator or an accident does to it. Skipped when redis-server is not installed.
 */
#include "unit.h"

#include "base/tls.h"
#include "real_redis.h"
#include "redis_case.h"

static struct real_redis server;
static struct redis_case k;

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    case_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    case_fini(&k);
    tls_client_unref(k.options.tls);
    real_end(&server);
    return 0;
}

static void begin(const char *const *args, const char *ready)
{
    if (!real_available()) {
        print_message("redis-server is not installed (scripts/install-deps test): skipped\n");
        skip();
    }
    real_start(&server, args, ready);
}

static void connect_url(const char *userinfo)
{
    char url[160];
    snprintf(url, sizeof(url), "redis://%s127.0.0.1:%u", userinfo, server.port);
    case_start(&k, url);
}

static struct redis_stats stats(void)
{
    struct redis_stats s;
    redis_stats_get(k.r, &s);
    return s;
}

/* ---- transports ---------------------------------------------------------------------------
 */

static void use_it(void)
{
    expect_answer(&k, "SET a b", "OK");
    expect_answer(&k, "GET a", "b");
    expect_answer(&k, "UNLINK a", "1");
    expect_answer(&k, "CLIENT GETNAME", "larder");
    struct ask a = {0};
    ask_run(&k, &a, "GET a");
    assert_int_equal(a.type, REDIS_NIL);
}

static void test_tcp(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    use_it();
}

static void test_unix_socket_and_database(void **state)
{
    (void)state;
    char url[160];
    begin(NULL, "PONG");
    snprintf(url, sizeof(url), "unix:%s?db=7", server.sock);
    case_start(&k, url);
    use_it();
    expect_answer(&k, "SET in-seven x", "OK");
    real_order(server.port, "GET in-seven", "$-1");
    real_order(server.port, "INFO keyspace", "db7:keys=1");
}

static void test_database_out_of_range(void **state)
{
    (void)state;
    char url[160];
    begin(NULL, "PONG");
    snprintf(url, sizeof(url), "unix:%s?db=16", server.sock);
    case_start(&k, url);
    RUN_UNTIL(&k, stats().failed_connects >= 2);
    assert_false(redis_ready(k.r, REDIS_DATA));
}

/* ---- values -------------------------------------------------------------------------------
 */

struct value {
    char *p;
    size_t n;
    bool done, same;
    unsigned released;
};

static void on_value(void *ctx, const struct redis_result *result)
{
    struct value *v = ctx;
    v->done = true;
    v->same = result->outcome == REDIS_ANSWERED && result->reply->type == REDIS_STRING &&
              result->reply->text.n == v->n && memcmp(result->reply->text.p, v->p, v->n) == 0;
}

static void on_released(void *owner)
{
    ((struct value *)owner)->released++;
}

static void round_trip(size_t n)
{
    struct value v = {.p = xmalloc(n + 1), .n = n};
    for (size_t i = 0; i < n; i++) {
        v.p[i] = (char)(i * 7 + i / 251);
    }
    const struct segment set[] = {REDIS_ARG("SET"),
                                  REDIS_ARG("a\r\n\0b{c}"),
                                  {.p = v.p, .n = n, .release = on_released, .owner = &v}};
    const struct segment get[] = {REDIS_ARG("GET"), REDIS_ARG("a\r\n\0b{c}")};
    struct redis_call call = {
        .argv = set, .argc = 3, .key = 1, .timeout = 5000, .wait = true, .ctx = &v};
    assert_non_null(redis_command(k.r, &call));
    call.argv = get;
    call.argc = 2;
    call.done = on_value;
    assert_non_null(redis_command(k.r, &call));
    RUN_UNTIL(&k, v.done);
    assert_true(v.same);
    assert_int_equal(v.released, 1);
    free(v.p);
}

static void test_binary_values_of_all_sizes(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    static const size_t sizes[] = {0,     1,     100,   2047,    2048,
                                   65535, 65536, 65537, 1000000, 1024 * 1024 + 64 * 1024};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        round_trip(sizes[i]);
    }
    assert_int_equal(stats().connects, 1);
    /* Over the cap: refused before it is read, and the next command has a new connection. */
    real_order(server.port, "SETRANGE big 2000000 x", ":2000001");
    struct ask a = {0};
    ask_run(&k, &a, "GET big");
    assert_int_equal(a.outcome, REDIS_LOST);
    assert_int_equal(stats().too_large, 1);
    assert_true(stats().bytes_in < 6 * 1024 * 1024);
    case_ready(&k);
    expect_answer(&k, "GET none-such", "");
}

/* ---- passwords ----------------------------------------------------------------------------
 */

static void test_password(void **state)
{
    (void)state;
    static const char *const args[] = {"--requirepass", "s@c:ret/", NULL};
    begin(args, "NOAUTH");
    connect_url(":s%40c%3Aret%2F@");
    use_it();
}

static void test_wrong_password(void **state)
{
    (void)state;
    static const char *const args[] = {"--requirepass", "secret", NULL};
    begin(args, "NOAUTH");
    connect_url(":wrong@");
    RUN_UNTIL(&k, stats().failed_connects == 1);
    assert_false(redis_ready(k.r, REDIS_DATA));
}

static void test_no_password(void **state)
{
    (void)state;
    static const char *const args[] = {"--requirepass", "secret", NULL};
    begin(args, "NOAUTH");
    connect_url("");
    RUN_UNTIL(&k, stats().failed_connects == 1);
    assert_false(redis_ready(k.r, REDIS_DATA));
}

/* An ACL user with no more than the entries need, under one prefix. */
static void test_acl(void **state)
{
    (void)state;
    static const char *const args[] = {"--user", "shop", "on",      ">pw", "~shop:*",
                                       "+get",   "+set", "+unlink", NULL};
    begin(args, "PONG");
    connect_url("shop:pw@");
    expect_answer(&k, "SET shop:a b", "OK");
    expect_answer(&k, "GET shop:a", "b");
    struct ask a = {0};
    ask_run(&k, &a, "GET other:a");
    assert_int_equal(a.error, REDIS_E_NOPERM);
    ask_run(&k, &a, "FLUSHALL x");
    assert_int_equal(a.error, REDIS_E_NOPERM);
    expect_answer(&k, "GET shop:a", "b");
    strbuf_free(&a.text);
}

static void test_password_rotation(void **state)
{
    (void)state;
    static const char *const args[] = {"--user", "shop", "on", ">old", "~*", "+@all", NULL};
    k.options.reconnect_max = 100;
    begin(args, "PONG");
    connect_url("shop:old@");
    use_it();
    real_order(server.port, "ACL SETUSER shop resetpass >new",
               "+OK"); /* ends its connections */
    real_order(server.port, "CLIENT KILL USER shop", ":");
    RUN_UNTIL(&k, stats().failed_connects >= 2);
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 100, false, "GET a"));
    real_order(server.port, "ACL SETUSER shop >old", "+OK");
    case_ready(&k);
    use_it();
}

/* ---- TLS ----------------------------------------------------------------------------------
 */

static char certs[64]; /* folder with server.* and other.* */

static char *cert_path(const char *name)
{
    static char paths[4][96];
    static unsigned next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof(paths[0]), "%s/%s", certs, name);
    return p;
}

static int tls_setup(void **state)
{
    snprintf(certs, sizeof(certs), "/tmp/larder-redis.XXXXXX");
    if (mkdtemp(certs) == NULL) {
        return -1;
    }
    real_make_cert(certs, "server");
    real_make_cert(certs, "other");
    return setup(state);
}

static int tls_teardown(void **state)
{
    static const char *const names[] = {"server.crt", "server.key", "other.crt", "other.key"};
    for (size_t i = 0; i < 4; i++) {
        unlink(cert_path(names[i]));
    }
    rmdir(certs);
    return teardown(state);
}

/* A server with TLS on a second port, which is returned; `clients`: tls-auth-clients. */
static uint16_t begin_tls(const char *clients)
{
    static char port[16], cert[96], key[96];
    uint16_t number = real_free_port();
    snprintf(cert, sizeof(cert), "%s", cert_path("server.crt"));
    snprintf(key, sizeof(key), "%s", cert_path("server.key"));
    snprintf(port, sizeof(port), "%u", number);
    static const char *args[11];
    const char *const list[] = {"--tls-port",
                                port,
                                "--tls-cert-file",
                                cert,
                                "--tls-key-file",
                                key,
                                "--tls-ca-cert-file",
                                cert,
                                "--tls-auth-clients",
                                clients,
                                NULL};
    memcpy(args, list, sizeof(list));
    begin(args, "PONG");
    return number;
}

static void connect_tls(uint16_t port, const struct redis_url_options *o)
{
    char url[64], error[256];
    const char *why;
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%u", port);
    assert_true(redis_target_parse(str_from(url), o, &k.arena, &k.target, &why));
    k.options.tls = redis_tls_new(&k.target, error, sizeof(error));
    if (k.options.tls == NULL) {
        fail_msg("%s", error);
    }
    k.options.reconnect_step = 10;
    k.r = redis_new(k.loop, &k.options);
}

static void test_tls(void **state)
{
    (void)state;
    uint16_t port = begin_tls("no");
    const struct redis_url_options o = {.tls_ca = str_from(cert_path("server.crt")),
                                        .tls_verify = true};
    connect_tls(port, &o);
    use_it();
    round_trip(1000000);
    round_trip(10);
}

static void test_tls_client_certificate(void **state)
{
    (void)state;
    uint16_t port = begin_tls("yes");
    const struct redis_url_options o = {.tls_ca = str_from(cert_path("server.crt")),
                                        .tls_cert = str_from(cert_path("server.crt")),
                                        .tls_key = str_from(cert_path("server.key")),
                                        .tls_verify = true};
    connect_tls(port, &o);
    use_it();
}

static void never_ready(void)
{
    RUN_UNTIL(&k, stats().failed_connects >= 3);
    assert_false(redis_ready(k.r, REDIS_DATA));
    assert_int_equal(stats().connects, 0);
}

static void test_tls_without_client_certificate(void **state)
{
    (void)state;
    uint16_t port = begin_tls("yes");
    const struct redis_url_options o = {.tls_ca = str_from(cert_path("server.crt")),
                                        .tls_verify = true};
    connect_tls(port, &o);
    never_ready();
}

static void test_tls_of_a_stranger(void **state)
{
    (void)state;
    uint16_t port = begin_tls("no");
    const struct redis_url_options o = {.tls_ca = str_from(cert_path("other.crt")),
                                        .tls_verify = true};
    connect_tls(port, &o);
    never_ready();
}

static void test_tls_with_another_name(void **state)
{
    (void)state;
    uint16_t port = begin_tls("no");
    const struct redis_url_options o = {.tls_ca = str_from(cert_path("server.crt")),
                                        .tls_name = STR("redis.example.com"),
                                        .tls_verify = true};
    connect_tls(port, &o);
    never_ready();
}

static void test_tls_unverified(void **state)
{
    (void)state;
    uint16_t port = begin_tls("no");
    const struct redis_url_options o = {.tls_verify = false};
    connect_tls(port, &o);
    use_it();
}

static void test_plain_bytes_to_tls_and_back(void **state)
{
    (void)state;
    char url[64];
    uint16_t port = begin_tls("no");
    k.options.reconnect_step = 10;
    k.options.connect_timeout = 100;
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", port);
    case_start(&k, url);
    never_ready();
    redis_free(k.r);
    const struct redis_url_options o = {.tls_verify = false};
    connect_tls(server.port, &o);
    never_ready();
}

/* ---- accidents ----------------------------------------------------------------------------
 */

static void test_kill_and_restart(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    for (unsigned i = 0; i < 3; i++) {
        struct ask a = {0};
        use_it();
        real_kill(&server);
        RUN_UNTIL(&k, !redis_ready(k.r, REDIS_DATA));
        for (unsigned n = 0; n < 50; n++) {
            assert_false(ask_send(&k, &a, REDIS_DATA, 50, false, "GET a"));
        }
        msec_t until = clock_monotonic() + 300;
        while (clock_monotonic() < until) {
            loop_turn(k.loop, true);
        }
        real_run(&server, "PONG");
        msec_t began = clock_monotonic();
        case_ready(&k);
        assert_true(clock_monotonic() - began < 2000);
    }
    use_it();
}

/* SIGSTOP: the first command finds out, the others do not wait; SIGCONT: all is well, and the
 * answers to what was asked before are nobody's. */
static void test_stopped_server(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    expect_answer(&k, "SET old old", "OK");
    expect_answer(&k, "SET new new", "OK");
    for (unsigned i = 0; i < 3; i++) {
        struct ask a = {0}, b = {0};
        kill(server.pid, SIGSTOP);
        msec_t began = clock_monotonic();
        assert_true(ask_send(&k, &a, REDIS_DATA, 50, false, "GET old"));
        assert_true(ask_send(&k, &b, REDIS_DATA, 50, false, "GET old"));
        RUN_UNTIL(&k, a.done && b.done);
        assert_in_range(clock_monotonic() - began, 50, 500);
        assert_int_equal(a.outcome, REDIS_TIMED_OUT);
        assert_int_equal(b.outcome, REDIS_LOST);
        msec_t until = clock_monotonic() + 400;
        while (clock_monotonic() < until) {
            assert_false(ask_send(&k, &a, REDIS_DATA, 50, false, "GET old"));
            loop_turn(k.loop, true);
        }
        kill(server.pid, SIGCONT);
        case_ready(&k);
        for (unsigned n = 0; n < 20; n++) {
            expect_answer(&k, "GET new", "new");
        }
    }
}

static void test_slow_server(void **state)
{
    (void)state;
    static const char *const args[] = {"--enable-debug-command", "yes", NULL};
    begin(args, "PONG");
    connect_url("");
    expect_answer(&k, "SET a b", "OK");
    struct ask a = {0};
    int fd = real_connect(server.port);
    assert_true(write(fd, "DEBUG SLEEP 0.5\r\n", 17) == 17);
    unsigned refused = 0, late = 0;
    msec_t until = clock_monotonic() + 450;
    while (clock_monotonic() < until) {
        if (!ask_send(&k, &a, REDIS_DATA, 50, false, "GET a")) {
            refused++;
        } else {
            RUN_UNTIL(&k, a.done);
            late += a.outcome != REDIS_ANSWERED;
        }
        loop_turn(k.loop, true);
    }
    assert_in_range(late, 1, 3); /* one paid for it, or two; the others did not wait */
    assert_true(refused > 10);
    case_ready(&k);
    expect_answer(&k, "GET a", "b");
    close(fd);
    strbuf_free(&a.text);
}

static void test_busy_script(void **state)
{
    (void)state;
    static const char *const args[] = {"--busy-reply-threshold", "10", NULL};
    k.options.breaker_min = 50;
    begin(args, "PONG");
    connect_url("");
    expect_answer(&k, "SET a b", "OK");
    int fd = real_connect(server.port);
    assert_true(write(fd, "EVAL \"while true do end\" 0\r\n", 28) == 28);
    struct ask a = {0};
    bool busy = false;
    while (!busy) {
        if (ask_send(&k, &a, REDIS_DATA, 1000, false, "GET a")) {
            RUN_UNTIL(&k, a.done);
            busy = a.outcome == REDIS_DENIED && a.error == REDIS_E_BUSY;
        }
        loop_turn(k.loop, true);
    }
    while (redis_ready(k.r, REDIS_DATA)) { /* until the breaker has had enough */
        if (ask_send(&k, &a, REDIS_DATA, 1000, false, "GET a")) {
            RUN_UNTIL(&k, a.done);
        }
    }
    assert_int_equal(stats().breaker_opened, 1);
    real_order(server.port, "SCRIPT KILL", "+OK");
    case_ready(&k);
    expect_answer(&k, "GET a", "b");
    close(fd);
    strbuf_free(&a.text);
}

/* A server that reads a large file at its start answers LOADING for a while. */
static void test_loading(void **state)
{
    (void)state;
    static const char *const args[] = {"--key-load-delay", "0",
                                       "--loading-process-events-interval-bytes", "1024", NULL};
    begin(args, "PONG");
    connect_url("");
    expect_answer(&k, "SET a b", "OK");
    real_order(server.port, "EVAL \"for i=1,2000 do redis.call('SET','k'..i,i) end\" 0", "$-1");
    real_order(server.port, "SAVE", "+OK");
    real_kill(&server);
    for (size_t i = 0; server.args[i] != NULL; i++) {
        if (strcmp(server.args[i], "--key-load-delay") == 0) {
            server.args[i + 1] = "400"; /* µs for each key: 0.8 s */
        }
    }
    real_run(&server, "LOADING");
    unsigned failed = (unsigned)stats().failed_connects;
    RUN_UNTIL(&k, stats().failed_connects > failed);
    struct ask a = {0};
    assert_false(ask_send(&k, &a, REDIS_DATA, 50, false, "GET a"));
    case_ready(&k);
    expect_answer(&k, "GET a", "b");
}

static void test_out_of_memory(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    expect_answer(&k, "SET a b", "OK");
    real_order(server.port, "CONFIG SET maxmemory 1", "+OK");
    for (unsigned i = 0; i < 20; i++) {
        struct ask a = {0};
        ask_run(&k, &a, "SET c d");
        assert_int_equal(a.error, REDIS_E_OOM);
        strbuf_free(&a.text);
        expect_answer(&k, "GET a", "b");
    }
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_OOM);
    real_order(server.port, "CONFIG SET maxmemory 0", "+OK");
    expect_answer(&k, "SET c d", "OK");
    assert_int_equal(redis_health_writes(k.options.health), REDIS_E_NONE);
}

static void test_too_many_clients(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    real_order(server.port, "CONFIG SET maxclients 2", "+OK");
    int one = real_connect(server.port), two = real_connect(server.port);
    char out[64];
    assert_true(write(two, "PING\r\n", 6) == 6 && read(two, out, sizeof(out)) > 0);
    connect_url("");
    RUN_UNTIL(&k, stats().failed_connects >= 3);
    assert_int_equal(stats().protocol_errors, 0); /* known by name */
    close(one);
    close(two);
    case_ready(&k);
    use_it();
}

static void test_becomes_a_replica(void **state)
{
    (void)state;
    begin(NULL, "PONG");
    connect_url("");
    use_it();
    /* A blocking read on a connection of its own, while others go on. */
    struct ask follow = {0}, a = {0};
    assert_true(
        ask_send(&k, &follow, REDIS_FOLLOW, 5000, true, "XREAD BLOCK 4000 STREAMS journal $"));
    RUN_UNTIL(&k, redis_ready(k.r, REDIS_FOLLOW));
    for (unsigned i = 0; i < 50; i++) {
        use_it();
    }
    assert_false(follow.done);
    real_order(server.port, "REPLICAOF 127.0.0.1 1", "+OK");
    RUN_UNTIL(&k, follow.done);
    assert_int_equal(follow.outcome, REDIS_DENIED);
    assert_int_equal(follow.error, REDIS_E_UNBLOCKED);
    assert_false(redis_ready(k.r, REDIS_FOLLOW));
    ask_run(&k, &a, "SET a b");
    assert_int_equal(a.error, REDIS_E_READONLY);
    /* From now on ROLE keeps it out. */
    unsigned failed = (unsigned)stats().failed_connects;
    RUN_UNTIL(&k, stats().failed_connects >= failed + 3);
    assert_false(redis_ready(k.r, REDIS_DATA));
    real_order(server.port, "REPLICAOF NO ONE", "+OK");
    case_ready(&k);
    use_it();
    strbuf_free(&follow.text);
    strbuf_free(&a.text);
}

static void test_client_kill(void **state)
{
    (void)state;
    k.options.reconnect_max = 20;
    begin(NULL, "PONG");
    connect_url("");
    for (unsigned i = 0; i < 20; i++) {
        use_it();
        real_order(server.port, "CLIENT KILL TYPE normal", ":");
        RUN_UNTIL(&k, k.downs == i + 1);
        case_ready(&k);
    }
}

static void test_cluster_commands_where_there_is_none(void **state)
{
    (void)state;
    char url[64];
    begin(NULL, "PONG");
    snprintf(url, sizeof(url), "redis-cluster://127.0.0.1:%u", server.port);
    case_start(&k, url);
    msec_t until = clock_monotonic() + 300;
    while (clock_monotonic() < until) {
        loop_turn(k.loop, true);
    }
    assert_false(redis_ready(k.r, REDIS_DATA));
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TLS_CASE(name) cmocka_unit_test_setup_teardown(name, tls_setup, tls_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_tcp),
        CASE(test_unix_socket_and_database),
        CASE(test_database_out_of_range),
        CASE(test_binary_values_of_all_sizes),
        CASE(test_password),
        CASE(test_wrong_password),
        CASE(test_no_password),
        CASE(test_acl),
        CASE(test_password_rotation),
        TLS_CASE(test_tls),
        TLS_CASE(test_tls_client_certificate),
        TLS_CASE(test_tls_without_client_certificate),
        TLS_CASE(test_tls_of_a_stranger),
        TLS_CASE(test_tls_with_another_name),
        TLS_CASE(test_tls_unverified),
        TLS_CASE(test_plain_bytes_to_tls_and_back),
        CASE(test_kill_and_restart),
        CASE(test_stopped_server),
        CASE(test_slow_server),
        CASE(test_busy_script),
        CASE(test_loading),
        CASE(test_out_of_memory),
        CASE(test_too_many_clients),
        CASE(test_becomes_a_replica),
        CASE(test_client_kill),
        CASE(test_cluster_commands_where_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
