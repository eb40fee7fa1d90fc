/*
 * http/forwarded: whose word counts (hardening H6), the client behind proxies, the fields that
 * a backend receives, and loops.
 */
#include "unit.h"

#include <stdio.h>

#include "base/arena.h"
#include "http/forwarded.h"

static char room[32768];
static struct arena arena;
static struct cidr ranges[4];
static const struct cidr_set trusted = {ranges, 4};

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, room, sizeof(room));
    assert_true(cidr_parse(STR("10.0.0.0/8"), &ranges[0]));
    assert_true(cidr_parse(STR("2001:db8:1::/48"), &ranges[1]));
    assert_true(cidr_parse(STR("unix"), &ranges[2]));
    assert_true(cidr_parse(STR("192.168.0.1"), &ranges[3]));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

/* "Name: value\nName: value" */
static struct msg make_request(const char *text)
{
    struct msg m = {.method = METHOD_GET, .method_name = STR("GET"), .minor = 1};
    struct str rest = str_from(text);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        size_t colon = str_index(line, ':');
        if (line.n > 0) {
            msg_add(&m, &arena, str_make(line.p, colon), str_trim(str_skip(line, colon + 1)));
        }
    }
    return m;
}

static struct addr make_peer(const char *text)
{
    struct addr a;
    const char *why = "";
    if (strcmp(text, "unix") == 0) {
        assert_true(addr_parse(STR("unix:/run/x"), &a, &why));
    } else {
        assert_true(addr_from_ip(str_from(text), &a));
        addr_set_port(&a, 4711);
    }
    return a;
}

static void assert_str(struct str s, const char *expected)
{
    char text[4096];
    if (expected == NULL) {
        assert_null(s.p);
        return;
    }
    assert_true(s.n < sizeof(text));
    memcpy(text, s.n > 0 ? s.p : "", s.n);
    text[s.n] = '\0';
    assert_string_equal(text, expected);
}

static void the_client_behind_proxies(void **state)
{
    (void)state;
    static const struct {
        const char *peer;
        const char *fields;
        const char *client;
    } cases[] = {
        {"203.0.113.9", "", "203.0.113.9"},
        /* nobody believes an untrusted peer */
        {"203.0.113.9", "X-Forwarded-For: 1.2.3.4", "203.0.113.9"},
        {"203.0.113.9", "Forwarded: for=1.2.3.4", "203.0.113.9"},
        {"2001:db8:2::1", "X-Forwarded-For: 1.2.3.4", "2001:db8:2::1"},
        /* a trusted one: the right-most that is not trusted */
        {"10.1.1.1", "", "10.1.1.1"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4, 10.2.2.2, 192.168.0.1", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: 10.9.9.9, 10.2.2.2", "10.9.9.9"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4, 192.168.0.2", "192.168.0.2"},
        {"unix", "X-Forwarded-For: 1.2.3.4", "1.2.3.4"},
        {"unix", "", "unix"},
        {"2001:db8:1::5", "X-Forwarded-For: 2001:DB8:2:0::7", "2001:db8:2::7"},
        {"10.1.1.1", "X-Forwarded-For: [2001:db8:2::7]:443", "2001:db8:2::7"},
        {"10.1.1.1", "X-Forwarded-For: ::ffff:1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4:5678", "1.2.3.4"},
        {"10.1.1.1", "X-Forwarded-For: ,, 1.2.3.4 ,,", "1.2.3.4"},
        /* what is no address hides nothing to its right */
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4, unknown", "10.1.1.1"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4, unknown, 10.2.2.2", "10.2.2.2"},
        {"10.1.1.1", "X-Forwarded-For: 1.2.3.4, <script>, 5.6.7.8", "5.6.7.8"},
        {"10.1.1.1", "X-Forwarded-For: localhost", "10.1.1.1"},
        {"10.1.1.1", "X-Forwarded-For:", "10.1.1.1"},
        /* Forwarded, where there is no X-Forwarded-For */
        {"10.1.1.1", "Forwarded: for=1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "Forwarded: For=\"[2001:db8:2::7]:4711\"", "2001:db8:2::7"},
        {"10.1.1.1", "Forwarded: for=6.6.6.6;by=x;proto=http, for=1.2.3.4;host=h", "1.2.3.4"},
        {"10.1.1.1", "Forwarded: for=1.2.3.4, for=\"10.2.2.2:80\"", "1.2.3.4"},
        {"10.1.1.1", "Forwarded: for=_hidden, for=10.2.2.2", "10.2.2.2"},
        {"10.1.1.1", "Forwarded: proto=https; for=1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "Forwarded: host=\"a,for=6.6.6.6\";for=1.2.3.4", "1.2.3.4"},
        {"10.1.1.1", "Forwarded: for=9.9.9.9\nX-Forwarded-For: 1.2.3.4", "1.2.3.4"},
        /* malformed: worth nothing */
        {"10.1.1.1", "Forwarded: for=1.2.3.4, for=\"5.6.7.8", "10.1.1.1"},
        {"10.1.1.1", "Forwarded: for", "10.1.1.1"},
        {"10.1.1.1", "Forwarded: for=", "10.1.1.1"},
        {"10.1.1.1", "Forwarded: for=1.2.3.4 for=5.6.7.8", "10.1.1.1"},
        {"10.1.1.1", "Forwarded: for=\"1.2.3\\.4\"", "10.1.1.1"},
        {"10.1.1.1", "Forwarded: for=[::1]", "10.1.1.1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg m = make_request(cases[i].fields);
        struct addr peer = make_peer(cases[i].peer);
        struct str client = forwarded_client(&trusted, &peer, &m, &arena);
        if (!str_eq(client, str_from(cases[i].client))) {
            fail_msg("case %zu (%s | %s): %.*s, expected %s", i, cases[i].peer, cases[i].fields,
                     STR_ARG(client), cases[i].client);
        }
        arena_reset(&arena);
    }
}

static void a_thousand_forwarders(void **state)
{
    (void)state;
    char value[16384] = "6.6.6.6";
    for (int i = 0; i < 1000; i++) {
        size_t n = strlen(value);
        snprintf(value + n, sizeof(value) - n, ", 10.0.%d.%d", i / 250, i % 250);
    }
    struct msg m = make_request("");
    msg_add(&m, &arena, STR("X-Forwarded-For"), str_from(value));
    struct addr peer = make_peer("10.1.1.1");
    assert_str(forwarded_client(&trusted, &peer, &m, &arena), "6.6.6.6");
}

struct built {
    const char *peer;
    bool tls;
    const char *host;
    const char *fields;
    const char *xff;
    const char *proto;
    const char *x_host;
    const char *port;
    const char *real_ip;
    const char *forwarded;
};

static void what_a_backend_receives(void **state)
{
    (void)state;
    static const struct built cases[] = {
        {"203.0.113.9", false, "api.example", "", "203.0.113.9", "http", "api.example", "80",
         "203.0.113.9", "for=203.0.113.9;host=api.example;proto=http"},
        {"2001:db8:2::1", true, "api.example:8443", "", "2001:db8:2::1", "https",
         "api.example:8443", "8443", "2001:db8:2::1",
         "for=\"[2001:db8:2::1]\";host=\"api.example:8443\";proto=https"},
        {"203.0.113.9", true, "[::1]", "", "203.0.113.9", "https", "[::1]", "443",
         "203.0.113.9", "for=203.0.113.9;host=\"[::1]\";proto=https"},
        /* spoofed: nothing of it is left */
        {"203.0.113.9", false, "api.example",
         "X-Forwarded-For: 10.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\n"
         "X-Forwarded-Port: 1\nForwarded: for=10.0.0.1;proto=https",
         "203.0.113.9", "http", "api.example", "80", "203.0.113.9",
         "for=203.0.113.9;host=api.example;proto=http"},
        /* trusted: kept and appended to; the other spelling tells the same */
        {"10.1.1.1", false, "api.example",
         "X-Forwarded-For: 1.2.3.4, 10.2.2.2\nX-Forwarded-Proto: HTTPS\n"
         "X-Forwarded-Host: www.example\nForwarded: for=6.6.6.6",
         "1.2.3.4, 10.2.2.2, 10.1.1.1", "https", "www.example", "443", "1.2.3.4",
         "for=1.2.3.4;proto=https, for=10.2.2.2, for=10.1.1.1;host=api.example;proto=http"},
        {"10.1.1.1", true, "api.example", "Forwarded: for=\"[2001:db8:2::7]:1\";by=_lb",
         "2001:db8:2::7, 10.1.1.1", "https", "api.example", "443", "2001:db8:2::7",
         "for=\"[2001:db8:2::7]:1\";by=_lb, for=10.1.1.1;host=api.example;proto=https"},
        {"10.1.1.1", false, "api.example", "Forwarded: for=_x;proto=https, for=1.2.3.4",
         "unknown, 1.2.3.4, 10.1.1.1", "http", "api.example", "80", "1.2.3.4",
         "for=_x;proto=https, for=1.2.3.4, for=10.1.1.1;host=api.example;proto=http"},
        {"10.1.1.1", false, "api.example", "Forwarded: \"", "10.1.1.1", "http", "api.example",
         "80", "10.1.1.1", "for=10.1.1.1;host=api.example;proto=http"},
        {"10.1.1.1", false, "api.example",
         "X-Forwarded-Proto: ftp\nX-Forwarded-Host: a b\nX-Forwarded-Port: 70000", "10.1.1.1",
         "http", "api.example", "80", "10.1.1.1", "for=10.1.1.1;host=api.example;proto=http"},
        {"10.1.1.1", false, "api.example", "X-Forwarded-Proto: https\nX-Forwarded-Port: 8443",
         "10.1.1.1", "https", "api.example", "8443", "10.1.1.1",
         "for=10.1.1.1;host=api.example;proto=http"},
        {"unix", false, "api.example", "X-Forwarded-For: 1.2.3.4", "1.2.3.4", "http",
         "api.example", "80", "1.2.3.4", "for=1.2.3.4, for=_unix;host=api.example;proto=http"},
        {"unix", false, "", "", NULL, "http", NULL, "80", NULL, "for=_unix;proto=http"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct built *c = &cases[i];
        struct msg m = make_request(c->fields);
        struct addr peer = make_peer(c->peer);
        struct forwarded_fields f;
        forwarded_build(&trusted, &peer, c->tls, str_from(c->host), &m, &arena, &f);
        assert_str(f.x_forwarded_for, c->xff);
        assert_str(f.x_forwarded_proto, c->proto);
        assert_str(f.x_forwarded_host, c->x_host);
        assert_str(f.x_forwarded_port, c->port);
        assert_str(f.x_real_ip, c->real_ip);
        assert_str(f.forwarded, c->forwarded);
        arena_reset(&arena);
    }
}

static void via_and_loops(void **state)
{
    (void)state;
    struct addr peer = make_peer("203.0.113.9");
    struct forwarded_fields f;
    char own[64];
    struct str name = forwarded_pseudonym();
    assert_int_equal(name.n, 15);
    assert_memory_equal(name.p, "larder-", 7);
    assert_true(str_eq(name, forwarded_pseudonym()));

    struct msg m = make_request("");
    forwarded_build(&trusted, &peer, false, STR("h"), &m, &arena, &f);
    snprintf(own, sizeof(own), "1.1 %.*s", STR_ARG(name));
    assert_str(f.via, own);
    assert_false(forwarded_loops(&m));

    m = make_request("Via: 1.1 a, 2 b (c)\nVia: HTTP/1.1 larder-00");
    m.minor = 0;
    forwarded_build(&trusted, &peer, false, STR("h"), &m, &arena, &f);
    snprintf(own, sizeof(own), "1.1 a, 2 b (c), HTTP/1.1 larder-00, 1.0 %.*s", STR_ARG(name));
    assert_str(f.via, own);
    assert_false(forwarded_loops(&m));

    /* what it sent is what it recognises, in the middle and in any letter case */
    struct msg again = make_request("");
    msg_add(&again, &arena, STR("Via"), f.via);
    assert_true(forwarded_loops(&again));
    for (size_t i = 0; own[i] != '\0'; i++) {
        own[i] = (char)(own[i] >= 'a' && own[i] <= 'z' ? own[i] - 32 : own[i]);
    }
    again.fields[0].value = str_from(own);
    assert_true(forwarded_loops(&again));
    /* named, but not as a forwarder */
    snprintf(own, sizeof(own), "%.*s 1.1, 1.1 x%.*s", STR_ARG(name), STR_ARG(name));
    again.fields[0].value = str_from(own);
    assert_false(forwarded_loops(&again));
    again.fields[0].value = STR(",, 1.1");
    assert_false(forwarded_loops(&again));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    field_table_init();
    const struct CMUnitTest tests[] = {
        TEST(the_client_behind_proxies),
        TEST(a_thousand_forwarders),
        TEST(what_a_backend_receives),
        TEST(via_and_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
