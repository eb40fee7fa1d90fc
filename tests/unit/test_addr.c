/*
 * Addresses: what is accepted and refused, IPv4-mapped spellings, CIDR borders, Unix sockets.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/addr.h"

static void assert_parses(const char *text, const char *printed)
{
    struct addr a;
    const char *why = "";
    char out[ADDR_TEXT_MAX];
    if (!addr_parse(str_from(text), &a, &why)) {
        fail_msg("%s: %s", text, why);
    }
    assert_int_equal(addr_text(&a, out), strlen(printed));
    assert_string_equal(out, printed);
}

static void assert_refused(struct str text)
{
    struct addr a;
    const char *why = NULL;
    if (addr_parse(text, &a, &why)) {
        fail_msg("accepted \"%.*s\"", STR_ARG(text));
    }
    assert_non_null(why);
    assert_true(strlen(why) > 0);
}

static void test_parse(void **state)
{
    (void)state;
    assert_parses("127.0.0.1:80", "127.0.0.1:80");
    assert_parses("*:8080", "0.0.0.0:8080");
    assert_parses(":8080", "0.0.0.0:8080");
    assert_parses("[::1]:443", "[::1]:443");
    assert_parses("[::]:0", "[::]:0");
    assert_parses("[2001:DB8:0:0::1]:65535", "[2001:db8::1]:65535");
    assert_parses("unix:/run/larder.sock", "unix:/run/larder.sock");
}

static void test_parse_treats_mapped_as_ipv4(void **state)
{
    (void)state;
    struct addr mapped, plain;
    const char *why;
    assert_parses("[::ffff:127.0.0.1]:80", "127.0.0.1:80");
    assert_parses("[::FFFF:7f00:1]:80", "127.0.0.1:80");
    assert_true(addr_parse(STR("[::ffff:10.0.0.1]:80"), &mapped, &why));
    assert_true(addr_parse(STR("10.0.0.1:80"), &plain, &why));
    assert_true(addr_eq(&mapped, &plain));
    assert_int_equal(mapped.u.sa.sa_family, AF_INET);
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+80",
        "127.0.0.1: 80",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "127.0.0.1:0x50",
        "127.0.0.1:99999999999999999999",
        "127.0.1:80",
        "127.1:80",
        "0x7f.0.0.1:80",
        "0177.0.0.1:80",
        "256.0.0.1:80",
        "1.2.3.4.5:80",
        "localhost:80",
        "::1:80",
        "::1",
        "[::1]",
        "[::1:80",
        "::1]:80",
        "[127.0.0.1]:80",
        "[*]:80",
        "[]:80",
        "[::1%lo]:80",
        "[[::1]]:80",
        "[::1]x:80",
        "[:::1]:80",
        "[1:2:3:4:5:6:7:8:9]:80",
        "unix:",
        "http://127.0.0.1:80",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_refused(str_from(bad[i]));
    }
    assert_refused(STR_NULL);
    assert_refused(STR("127.0.0.1\0:80"));
    assert_refused(STR("127.0.0.1\0.evil:80"));
    assert_refused(STR("[::1\0]:80"));
    assert_refused(STR("unix:/run/a\0b"));
}

static void test_unix_path_length(void **state)
{
    (void)state;
    struct addr a;
    const char *why;
    char text[200];
    memset(text, 'p', sizeof(text));
    memcpy(text, "unix:/", 6);
    size_t room = sizeof(a.u.un.sun_path) - 1;
    assert_true(addr_parse(str_make(text, 5 + room), &a, &why));
    char out[ADDR_TEXT_MAX];
    assert_int_equal(addr_text(&a, out), 5 + room);
    assert_memory_equal(out, text, 5 + room);
    assert_false(addr_parse(str_make(text, 5 + room + 1), &a, &why));
}

/* Linux may return a peer's path without a NUL, filling sun_path. */
static void test_unix_path_without_nul(void **state)
{
    (void)state;
    struct addr *a = malloc(sizeof(*a)); /* on the heap, so that ASan sees its end */
    memset(a, 'p', sizeof(*a));
    a->u.un.sun_family = AF_UNIX;
    a->len = sizeof(a->u.un);
    char out[ADDR_TEXT_MAX];
    assert_int_equal(addr_text(a, out), 5 + sizeof(a->u.un.sun_path));
    assert_int_equal(strlen(out), 5 + sizeof(a->u.un.sun_path));
    a->len = sizeof(sa_family_t); /* an unnamed peer: nothing beyond is set */
    assert_int_equal(addr_text(a, out), 5);
    assert_string_equal(out, "unix:");
    free(a);
}

static void test_from_ip(void **state)
{
    (void)state;
    struct addr a;
    char out[ADDR_TEXT_MAX];
    assert_true(addr_from_ip(STR("203.0.113.7"), &a));
    assert_int_equal(addr_ip_text(&a, out), 11);
    assert_string_equal(out, "203.0.113.7");
    assert_int_equal(addr_port(&a), 0);
    assert_true(addr_from_ip(STR("2001:db8::0"), &a));
    addr_ip_text(&a, out);
    assert_string_equal(out, "2001:db8::");
    assert_true(addr_from_ip(STR("::ffff:1.2.3.4"), &a));
    addr_ip_text(&a, out);
    assert_string_equal(out, "1.2.3.4");
    static const char *const bad[] = {
        "",     "unknown",  "_hidden",  "[::1]",     "1.2.3.4:80", "1.2.3", "::1%1",
        " ::1", "1.2.3.4 ", "01.2.3.4", "1.2.3.4/8", "12345::",    "::1::"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (addr_from_ip(str_from(bad[i]), &a)) {
            fail_msg("accepted \"%s\"", bad[i]);
        }
    }
    assert_false(addr_from_ip(STR("1.2.3.4\0"), &a));
    assert_false(addr_from_ip(STR_NULL, &a));
}

static bool in_range(const char *range, const char *ip)
{
    struct cidr c;
    struct addr a;
    if (!cidr_parse(str_from(range), &c)) {
        fail_msg("range %s", range);
    }
    if (!addr_from_ip(str_from(ip), &a)) {
        fail_msg("ip %s", ip);
    }
    struct cidr_set set = {&c, 1};
    return cidr_match(&set, &a);
}

static void test_cidr_borders(void **state)
{
    (void)state;
    assert_true(in_range("10.0.0.0/8", "10.255.255.255"));
    assert_false(in_range("10.0.0.0/8", "11.0.0.0"));
    assert_false(in_range("10.0.0.0/8", "9.255.255.255"));
    assert_true(in_range("192.168.1.5/32", "192.168.1.5"));
    assert_false(in_range("192.168.1.5", "192.168.1.4"));
    assert_true(in_range("192.168.1.4/31", "192.168.1.5"));
    assert_false(in_range("192.168.1.4/31", "192.168.1.6"));
    assert_true(in_range("10.9.8.7/8", "10.0.0.1")); /* host bits do not matter */
    assert_true(in_range("0.0.0.0/0", "255.255.255.255"));
    assert_true(in_range("172.16.0.0/12", "172.31.255.255"));
    assert_false(in_range("172.16.0.0/12", "172.32.0.0"));
    assert_true(in_range("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(in_range("2001:db8::/33", "2001:db8:8000::"));
    assert_true(in_range("::1", "::1"));
    assert_false(in_range("::1/128", "::2"));
    assert_true(in_range("::/0", "2001:db8::1"));
}

/* IPv4 and IPv6 are two families, although one array holds both: a short IPv6 prefix does not
 * hold every IPv4 address, and the mapped spelling of one is IPv4. */
static void test_cidr_families(void **state)
{
    (void)state;
    assert_false(in_range("0.0.0.0/0", "::1"));
    assert_false(in_range("0.0.0.0/0", "2001:db8::1"));
    assert_true(in_range("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(in_range("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_false(in_range("::ffff:10.0.0.0/104", "11.1.2.3"));
    assert_true(in_range("::ffff:0:0/96", "203.0.113.7"));
    assert_false(in_range("::/0", "203.0.113.7"));
    assert_false(in_range("::1/64", "203.0.113.7"));
    assert_false(in_range("::/80", "10.0.0.1"));
}

static void test_cidr_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "/8",          "10.0.0.0/",    "10.0.0.0/33",
                                      "::/129",    "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/ 8",
                                      "10.0.0/8",  "10/8",        "Unix",         "unix:/x",
                                      "localhost", "::1%lo",      "[::1]/128",    "10.0.0.0/a"};
    struct cidr c;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cidr_parse(str_from(bad[i]), &c)) {
            fail_msg("accepted \"%s\"", bad[i]);
        }
    }
    assert_false(cidr_parse(STR("10.0.0.0\0/8"), &c));
}

static void test_cidr_sets(void **state)
{
    (void)state;
    struct cidr list[3];
    assert_true(cidr_parse(STR("unix"), &list[0]));
    assert_true(cidr_parse(STR("10.0.0.0/8"), &list[1]));
    assert_true(cidr_parse(STR("::1"), &list[2]));
    struct cidr_set set = {list, 3}, none = {NULL, 0}, only_unix = {list, 1};
    struct addr a = {.len = 0};
    const char *why;
    assert_false(cidr_match(&set, &a)); /* unset */
    assert_true(addr_parse(STR("unix:/x"), &a, &why));
    assert_true(cidr_match(&set, &a));
    assert_false(cidr_match(&none, &a));
    struct cidr_set only_ip = {list + 1, 2};
    assert_false(cidr_match(&only_ip, &a));
    assert_true(addr_parse(STR("10.1.1.1:5"), &a, &why));
    assert_true(cidr_match(&set, &a));
    assert_false(cidr_match(&only_unix, &a));
    assert_true(addr_parse(STR("[::1]:5"), &a, &why));
    assert_true(cidr_match(&set, &a));
}

/* What accept() gives on a dual-stack listener. */
static void test_mapped_peer(void **state)
{
    (void)state;
    struct addr peer = {.len = sizeof(struct sockaddr_in6)}, plain;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer.u.ss;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(1234);
    inet_pton(AF_INET6, "::ffff:198.51.100.2", &in6->sin6_addr);
    char out[ADDR_TEXT_MAX];
    addr_ip_text(&peer, out);
    assert_string_equal(out, "198.51.100.2");
    addr_text(&peer, out);
    assert_string_equal(out, "198.51.100.2:1234");
    struct cidr c;
    assert_true(cidr_parse(STR("198.51.100.0/24"), &c));
    struct cidr_set set = {&c, 1};
    assert_true(cidr_match(&set, &peer));
    assert_true(addr_from_ip(STR("198.51.100.2"), &plain));
    assert_false(addr_eq(&peer, &plain)); /* the port differs */
    addr_set_port(&plain, 1234);
    assert_true(addr_eq(&peer, &plain));
    addr_set_port(&peer, 99);
    assert_int_equal(addr_port(&peer), 99);
}

static void test_unset_and_eq(void **state)
{
    (void)state;
    struct addr none = {.len = 0}, a, b;
    char out[ADDR_TEXT_MAX];
    const char *why;
    addr_ip_text(&none, out);
    assert_string_equal(out, "unknown");
    assert_int_equal(addr_port(&none), 0);
    assert_true(addr_parse(STR("unix:/a"), &a, &why));
    addr_ip_text(&a, out);
    assert_string_equal(out, "unix");
    assert_true(addr_parse(STR("unix:/a"), &b, &why));
    assert_true(addr_eq(&a, &b));
    assert_true(addr_parse(STR("unix:/b"), &b, &why));
    assert_false(addr_eq(&a, &b));
    assert_true(addr_parse(STR("127.0.0.1:1"), &b, &why));
    assert_false(addr_eq(&a, &b));
    assert_false(addr_eq(&none, &b));
    assert_true(addr_eq(&none, &none));
}

static void test_brief(void **state)
{
    (void)state;
    static const char *const texts[] = {"203.0.113.7:80", "[2001:db8::7]:443", "[::1]:1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr a, back;
        struct addr_brief brief;
        const char *why;
        char text[ADDR_TEXT_MAX];
        assert_true(addr_parse(str_from(texts[i]), &a, &why));
        addr_shorten(&a, &brief);
        addr_restore(&brief, &back);
        assert_true(addr_eq(&a, &back));
        addr_text(&back, text);
        assert_string_equal(text, texts[i]);
    }
}

static void test_brief_of_unix_and_unset(void **state)
{
    (void)state;
    struct addr a, back;
    struct addr_brief brief;
    const char *why;
    char text[ADDR_TEXT_MAX];
    assert_true(addr_parse(STR("unix:/run/a/long/path/that/does/not/fit.sock"), &a, &why));
    addr_shorten(&a, &brief);
    addr_restore(&brief, &back);
    addr_ip_text(&back, text);
    assert_string_equal(text, "unix");
    a.len = 0;
    addr_shorten(&a, &brief);
    addr_restore(&brief, &back);
    assert_int_equal(back.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_treats_mapped_as_ipv4),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_unix_path_length),
        cmocka_unit_test(test_unix_path_without_nul),
        cmocka_unit_test(test_from_ip),
        cmocka_unit_test(test_cidr_borders),
        cmocka_unit_test(test_cidr_families),
        cmocka_unit_test(test_cidr_refuses),
        cmocka_unit_test(test_cidr_sets),
        cmocka_unit_test(test_mapped_peer),
        cmocka_unit_test(test_unset_and_eq),
        cmocka_unit_test(test_brief),
        cmocka_unit_test(test_brief_of_unix_and_unset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
