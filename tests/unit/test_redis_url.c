/*
 * URLs of Redis and the options beside them: what is read from them, and what is refused.
 */
#include "unit.h"

#include "base/arena.h"
#include "config/redis_url.h"

static struct arena a;

static int setup(void **state)
{
    (void)state;
    arena_init(&a, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&a);
    return 0;
}

static struct redis_target parse(const char *url)
{
    struct redis_target t;
    const char *why = NULL;
    if (!redis_target_parse(str_from(url), NULL, &a, &t, &why)) {
        fail_msg("%s: %s", url, why);
    }
    assert_null(why);
    return t;
}

#define assert_str(s, text) assert_true(str_eq((s), str_from(text)))

static void test_standalone(void **state)
{
    (void)state;
    struct redis_target t = parse("redis://cache.example.com");
    assert_int_equal(t.mode, REDIS_STANDALONE);
    assert_int_equal(t.n_servers, 1);
    assert_str(t.servers[0].host, "cache.example.com");
    assert_int_equal(t.servers[0].port, 6379);
    assert_int_equal(t.servers[0].addr.len, 0);
    assert_int_equal(t.password.n, 0);
    assert_false(t.tls);
    assert_true(t.tls_verify);

    t = parse("redis://:s%40cret%3A%2F@10.0.0.5:7000/3");
    assert_str(t.password, "s@cret:/");
    assert_int_equal(t.user.n, 0);
    assert_int_equal(t.database, 3);
    assert_int_equal(addr_port(&t.servers[0].addr), 7000);

    t = parse("rediss://app:p%25w@[::1]:6380/0");
    assert_true(t.tls);
    assert_str(t.user, "app");
    assert_str(t.password, "p%w");
    assert_str(t.servers[0].host, "::1");
    assert_true(t.servers[0].addr.len > 0);
    assert_int_equal(t.servers[0].port, 6380);

    t = parse("redis://u:p@@h/?db=5"); /* the last @ ends the userinfo */
    assert_str(t.password, "p@");
    assert_int_equal(t.database, 5);
    assert_str(t.servers[0].host, "h");
}

static void test_unix(void **state)
{
    (void)state;
    struct redis_target t = parse("unix:/run/redis/redis.sock?db=2");
    assert_int_equal(t.servers[0].addr.u.sa.sa_family, AF_UNIX);
    assert_string_equal(t.servers[0].addr.u.un.sun_path, "/run/redis/redis.sock");
    assert_int_equal(t.database, 2);
    t = parse("unix:///tmp/r.sock");
    assert_string_equal(t.servers[0].addr.u.un.sun_path, "/tmp/r.sock");
}

static void test_sentinel(void **state)
{
    (void)state;
    struct redis_target t =
        parse("redis-sentinel://:pw@s1,s2:26380,[2001:db8::1]/my%20master/4");
    assert_int_equal(t.mode, REDIS_SENTINEL);
    assert_int_equal(t.n_servers, 3);
    assert_int_equal(t.servers[0].port, 26379);
    assert_int_equal(t.servers[1].port, 26380);
    assert_str(t.servers[2].host, "2001:db8::1");
    assert_str(t.master, "my master");
    assert_str(t.password, "pw");
    assert_int_equal(t.database, 4);
    assert_true(parse("rediss-sentinel://a/b").tls);
}

static void test_cluster(void **state)
{
    (void)state;
    struct redis_target t = parse("redis-cluster://a:7000,b:7001,c");
    assert_int_equal(t.mode, REDIS_CLUSTER);
    assert_int_equal(t.n_servers, 3);
    assert_int_equal(t.servers[2].port, 6379);
    assert_true(parse("rediss-cluster://a/0").tls);
}

static void test_options(void **state)
{
    (void)state;
    struct redis_target t;
    const char *why;
    struct redis_url_options o = {.host = STR("db"),
                                  .port = STR("7777"),
                                  .user = STR("me"),
                                  .password = STR("100%"),
                                  .database = STR("9"),
                                  .tls = true,
                                  .tls_ca = STR("/ca.pem"),
                                  .tls_verify = true};
    assert_true(redis_target_parse(STR_NULL, &o, &a, &t, &why));
    assert_str(t.servers[0].host, "db");
    assert_int_equal(t.servers[0].port, 7777);
    assert_str(t.password, "100%");
    assert_int_equal(t.database, 9);
    assert_true(t.tls);
    assert_str(t.tls_ca, "/ca.pem");

    o = (struct redis_url_options){.password = STR("pw"), .tls_verify = true};
    assert_true(redis_target_parse(STR("redis://h"), &o, &a, &t, &why));
    assert_str(t.password, "pw");

    o = (struct redis_url_options){.host = STR("/run/r.sock"), .tls_verify = true};
    assert_true(redis_target_parse(STR_NULL, &o, &a, &t, &why));
    assert_int_equal(t.servers[0].addr.u.sa.sa_family, AF_UNIX);
    o.host = STR("2001:db8::7");
    assert_true(redis_target_parse(STR_NULL, &o, &a, &t, &why));
    assert_int_equal(t.servers[0].addr.u.sa.sa_family, AF_INET6);
}

/* Refused, with a reason that holds nothing of the password. */
static void refuse(const char *url, const struct redis_url_options *o, const char *part)
{
    struct redis_target t;
    const char *why = NULL;
    if (redis_target_parse(str_from(url), o, &a, &t, &why)) {
        fail_msg("%s was taken", url);
    }
    assert_non_null(why);
    if (strstr(why, part) == NULL || strstr(why, "hunter2") != NULL) {
        fail_msg("%s: %s", url, why);
    }
}

static void test_refused(void **state)
{
    (void)state;
    refuse("", NULL, "host is missing");
    refuse("http://h", NULL, "URL begins");
    refuse("redis:h", NULL, "URL begins");
    refuse("Redis://h", NULL, "URL begins");
    refuse("redis://", NULL, "host is missing");
    refuse("redis://:hunter2@", NULL, "host is missing");
    refuse("redis://hunter2@h", NULL, "colon");
    refuse("redis://u:@h", NULL, "password is empty");
    refuse("redis://:hunter2%@h", NULL, "%XX");
    refuse("redis://:hunter2%4@h", NULL, "%XX");
    refuse("redis://:hunter2%zz@h", NULL, "%XX");
    refuse("redis://:hunter2/x@h", NULL, "%2F");
    refuse("redis://h:0", NULL, "port");
    refuse("redis://h:65536", NULL, "port");
    refuse("redis://h:", NULL, "port");
    refuse("redis://h:1:2", NULL, "port");
    refuse("redis://[::1", NULL, "[address]");
    refuse("redis://[::1]x", NULL, "[address]");
    refuse("redis://[h]:1", NULL, "[address]");
    refuse("redis://[]", NULL, "[address]");
    refuse("redis://h h", NULL, "not valid");
    refuse("redis://h\r\nFLUSHALL", NULL, "not valid");
    refuse("redis://-h", NULL, "not valid");
    refuse("redis://h/x", NULL, "database");
    refuse("redis://h/-1", NULL, "database");
    refuse("redis://h/1/2", NULL, "database");
    refuse("redis://h?timeout=1", NULL, "db=");
    refuse("redis://a,b", NULL, "redis-cluster://");
    refuse("redis-cluster://a,,b", NULL, "host is missing");
    refuse("redis-cluster://a/1", NULL, "database 0");
    refuse("redis-sentinel://a", NULL, "name of the master");
    refuse("redis-sentinel://a/", NULL, "name of the master");
    refuse("unix:r.sock", NULL, "unix:/path");
    refuse("unix:", NULL, "unix:/path");
    char path[300] = "unix:/";
    memset(path + 6, 'a', 200);
    refuse(path, NULL, "too long");
    char many[1000] = "redis-cluster://a";
    for (unsigned i = 0; i < REDIS_MAX_SERVERS; i++) {
        memcpy(many + 17 + 2 * i, ",a", 3);
    }
    refuse(many, NULL, "too many");
}

static void test_options_refused(void **state)
{
    (void)state;
    const struct redis_url_options password = {.password = STR("hunter2"), .tls_verify = true};
    const struct redis_url_options user = {.user = STR("u"), .tls_verify = true};
    const struct redis_url_options host = {.host = STR("h"), .tls_verify = true};
    const struct redis_url_options db = {.database = STR("1"), .tls_verify = true};
    const struct redis_url_options ca = {.tls_ca = STR("f"), .tls_verify = true};
    const struct redis_url_options off = {.tls_verify = false};
    const struct redis_url_options cert = {.tls_cert = STR("f"), .tls_verify = true};
    const struct redis_url_options tls = {.tls = true, .tls_verify = true};
    const struct redis_url_options sentinel = {.sentinel_password = STR("x"),
                                               .tls_verify = true};
    refuse("redis://:x@h", &password, "already");
    refuse("redis://h", &user, "needs a password");
    refuse("redis://h", &host, "without a URL");
    refuse("redis://h/2", &db, "already");
    refuse("redis-cluster://h", &db, "database 0");
    refuse("redis://h", &ca, "rediss://");
    refuse("redis://h", &off, "rediss://");
    refuse("rediss://h", &cert, "belong together");
    refuse("unix:/r", &tls, "Unix socket");
    refuse("redis://h", &sentinel, "redis-sentinel://");
}

static void test_text(void **state)
{
    (void)state;
    static const char *const same[] = {
        "redis://h:1",
        "rediss://[::1]:6379/3",
        "unix:/r.sock?db=1",
        "redis-sentinel://a:1,b:2/m",
        "redis-cluster://a:1,b:2",
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct redis_target t = parse(same[i]);
        assert_str(redis_target_text(&t, &a), same[i]);
    }
    struct redis_target t = parse("redis://user:hunter2@h");
    assert_str(redis_target_text(&t, &a), "redis://h:6379");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_standalone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sentinel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
