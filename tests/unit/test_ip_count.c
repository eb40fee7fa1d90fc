/*
 * Connections counted by address: limits, IPv6 prefixes, growth, threads.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "flow/ip_count.h"

static struct addr ip(const char *text)
{
    struct addr a;
    assert_true(addr_from_ip(str_from(text), &a));
    return a;
}

static int setup(void **state)
{
    *state = ip_count_new();
    return 0;
}

static int teardown(void **state)
{
    ip_count_free(*state);
    return 0;
}

static void test_a_limit_for_each_address(void **state)
{
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.2");
    assert_true(ip_count_take(*state, &a, 2));
    assert_true(ip_count_take(*state, &a, 2));
    assert_false(ip_count_take(*state, &a, 2));
    assert_true(ip_count_take(*state, &b, 2));
    ip_count_release(*state, &a);
    assert_true(ip_count_take(*state, &a, 2));
    assert_false(ip_count_take(*state, &a, 2)); /* refusals are not counted */
    assert_true(ip_count_take(*state, &a, 3));  /* the limit may change */
    assert_false(ip_count_take(*state, &b, 0));
}

static void test_ports_do_not_matter(void **state)
{
    struct addr a = ip("192.0.2.1"), b = ip("192.0.2.1");
    addr_set_port(&a, 1000);
    addr_set_port(&b, 2000);
    assert_true(ip_count_take(*state, &a, 1));
    assert_false(ip_count_take(*state, &b, 1));
    ip_count_release(*state, &b);
    assert_true(ip_count_take(*state, &b, 1));
}

static void test_ipv6_counts_by_its_64(void **state)
{
    struct addr a = ip("2001:db8:0:1::1"), b = ip("2001:db8:0:1:ffff::2"),
                c = ip("2001:db8:0:2::1");
    assert_true(ip_count_take(*state, &a, 1));
    assert_false(ip_count_take(*state, &b, 1));
    assert_true(ip_count_take(*state, &c, 1));
}

static void test_mapped_addresses_are_ipv4(void **state)
{
    struct addr a = ip("192.0.2.1"), b = ip("::ffff:192.0.2.1"), c = ip("::ffff:192.0.2.2");
    assert_true(ip_count_take(*state, &a, 1));
    assert_false(ip_count_take(*state, &b, 1));
    assert_true(ip_count_take(*state, &c, 1));
}

static void test_unix_peers_are_not_counted(void **state)
{
    struct addr unix_peer = {.u.sa.sa_family = AF_UNIX, .len = sizeof(sa_family_t)};
    struct addr none = {0};
    for (unsigned i = 0; i < 10; i++) {
        assert_true(ip_count_take(*state, &unix_peer, 1));
        assert_true(ip_count_take(*state, &none, 1));
    }
    ip_count_release(*state, &unix_peer);
    ip_count_release(*state, &none);
}

static void test_many_addresses(void **state)
{
    char text[32];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
            struct addr a = ip(text);
            assert_true(ip_count_take(*state, &a, 1));
            assert_false(ip_count_take(*state, &a, 1));
        }
        for (unsigned i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
            struct addr a = ip(text);
            ip_count_release(*state, &a);
        }
    }
}

static struct ip_count *shared;
static atomic_uint over;
static atomic_uint open_now;

static void *take_and_release(void *arg)
{
    (void)arg;
    struct addr a = ip("192.0.2.1");
    for (unsigned i = 0; i < 20000; i++) {
        if (ip_count_take(shared, &a, 3)) {
            if (atomic_fetch_add(&open_now, 1) >= 3) {
                atomic_fetch_add(&over, 1);
            }
            atomic_fetch_sub(&open_now, 1);
            ip_count_release(shared, &a);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    shared = *state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_release, NULL), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(over, 0);
    struct addr a = ip("192.0.2.1");
    assert_true(ip_count_take(shared, &a, 1)); /* nothing is left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_limit_for_each_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ports_do_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ipv6_counts_by_its_64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mapped_addresses_are_ipv4, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_peers_are_not_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
