/*
 * The resolver with lookups of the test's own: publishing, last good answers, kicks, sharing,
 * and an end that waits for nobody. The C library's lookup once, with names that need no DNS.
 */
#include "unit.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/resolver.h"

/* ---- the lookup under test control ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const char *answer; /* addresses separated by blanks; NULL: failure */
static unsigned lookups;
static bool hang;
static unsigned hanging;

static int fake_lookup(const char *host, struct addr *out, size_t max, size_t *n)
{
    pthread_mutex_lock(&lock);
    lookups++;
    if (hang && strcmp(host, "tarpit") == 0) {
        hanging++;
        pthread_cond_broadcast(&changed);
        while (hang) {
            pthread_cond_wait(&changed, &lock);
        }
        hanging--;
    }
    *n = 0;
    struct str rest = str_from(answer), ip;
    bool found = answer != NULL;
    while (found && *n < max && str_next(&rest, ' ', &ip)) {
        assert_true(addr_from_ip(ip, &out[(*n)++]));
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return found ? 0 : EAI_NONAME;
}

static void set_answer(const char *text)
{
    pthread_mutex_lock(&lock);
    answer = text;
    pthread_mutex_unlock(&lock);
}

static unsigned count_lookups(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = lookups;
    pthread_mutex_unlock(&lock);
    return n;
}

/* Waits for `n` more lookups to have begun and ended, up to ten seconds. */
static void await_lookups(unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&lock);
    unsigned goal = lookups + n;
    while (lookups < goal && pthread_cond_timedwait(&changed, &lock, &until) == 0) {
    }
    bool reached = lookups >= goal;
    pthread_mutex_unlock(&lock);
    assert_true(reached);
}

static int setup(void **state)
{
    (void)state;
    pthread_mutex_lock(&lock);
    answer = "192.0.2.1";
    lookups = 0;
    hang = false;
    pthread_mutex_unlock(&lock);
    return 0;
}

static void expect_addresses(struct resolved *name, const char *texts)
{
    struct addr list[RESOLVED_MAX];
    size_t n = resolved_get(name, list, RESOLVED_MAX);
    char all[RESOLVED_MAX * 24] = "";
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        char text[ADDR_TEXT_MAX];
        addr_text(&list[i], text);
        used +=
            (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? " " : "", text);
    }
    assert_string_equal(all, texts);
}

static void test_publishes(void **state)
{
    (void)state;
    struct resolver *r = resolver_new_custom(fake_lookup, 20);
    assert_non_null(r);
    assert_true(resolver_wait(r, 1000)); /* nothing to wait for */
    set_answer("192.0.2.1 192.0.2.2 192.0.2.1 2001:db8::1");
    struct resolved *name = resolver_add(r, STR("backend"), 8080);
    assert_true(resolver_wait(r, 10000));
    expect_addresses(name, "192.0.2.1:8080 192.0.2.2:8080 [2001:db8::1]:8080");
    struct addr one;
    assert_int_equal(resolved_get(name, &one, 1), 1);
    unsigned generation = resolved_generation(name);

    set_answer("2001:db8::1 192.0.2.2 192.0.2.1"); /* rotated: no change */
    await_lookups(3);
    assert_int_equal(resolved_generation(name), generation);
    set_answer("192.0.2.9");
    await_lookups(3);
    assert_int_equal(resolved_generation(name), generation + 1);
    expect_addresses(name, "192.0.2.9:8080");

    set_answer(NULL); /* failures, and answers without an address, leave the last good one */
    await_lookups(3);
    expect_addresses(name, "192.0.2.9:8080");
    set_answer("192.0.2.10");
    await_lookups(3);
    expect_addresses(name, "192.0.2.10:8080");
    resolver_remove(r, name);
    resolver_free(r);
}

static void test_shared(void **state)
{
    (void)state;
    struct resolver *r = resolver_new_custom(fake_lookup, 60000);
    struct resolved *a = resolver_add(r, STR("backend"), 80);
    struct resolved *b = resolver_add(r, STR("BACKEND"), 80);
    struct resolved *c = resolver_add(r, STR("backend"), 81);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(count_lookups(), 2);
    resolver_remove(r, a);
    expect_addresses(b, "192.0.2.1:80");
    expect_addresses(c, "192.0.2.1:81");
    resolver_remove(r, b);
    b = resolver_add(r, STR("backend"), 80); /* gone before: looked up afresh */
    assert_true(resolver_wait(r, 10000));
    assert_int_equal(count_lookups(), 3);
    resolver_remove(r, b);
    resolver_remove(r, c);
    resolver_free(r);
}

static void test_unresolved(void **state)
{
    (void)state;
    set_answer(NULL);
    struct resolver *r = resolver_new_custom(fake_lookup, 20);
    struct resolved *name = resolver_add(r, STR("nobody"), 80);
    assert_true(resolver_wait(r, 10000)); /* tried is enough: the start goes on */
    expect_addresses(name, "");
    assert_int_equal(resolved_generation(name), 0);
    set_answer("192.0.2.3");
    await_lookups(2);
    expect_addresses(name, "192.0.2.3:80");
    resolver_remove(r, name);
    resolver_free(r);
}

/* A kick brings the next lookup forward to a second after the last, once. */
static void test_kick(void **state)
{
    (void)state;
    struct resolver *r = resolver_new_custom(fake_lookup, 60000);
    struct resolved *name = resolver_add(r, STR("backend"), 80);
    assert_true(resolver_wait(r, 10000));
    msec_t start = clock_monotonic();
    set_answer("192.0.2.5");
    for (unsigned i = 0; i < 1000; i++) {
        resolver_kick(name);
    }
    await_lookups(1);
    assert_true(clock_monotonic() - start >= 900);
    assert_int_equal(count_lookups(), 2);
    resolver_remove(r, name);
    resolver_free(r);
}

static void await_hanging(void)
{
    pthread_mutex_lock(&lock);
    while (hanging == 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void release_hanging(void)
{
    pthread_mutex_lock(&lock);
    hang = false;
    pthread_cond_broadcast(&changed);
    while (hanging > 0) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void test_hanging_lookup(void **state)
{
    (void)state;
    hang = true;
    struct resolver *r = resolver_new_custom(fake_lookup, 20);
    struct resolved *name = resolver_add(r, STR("tarpit"), 80);
    await_hanging();
    msec_t start = clock_monotonic();
    assert_false(resolver_wait(r, 100)); /* bounded */
    msec_t took = clock_monotonic() - start;
    assert_in_range(took, 99, 2000);
    expect_addresses(name, ""); /* readers do not wait */
    resolver_kick(name);
    struct resolved *other = resolver_add(r, STR("other"), 80);
    start = clock_monotonic();
    resolver_remove(r, name); /* while it is being looked up */
    resolver_free(r);
    assert_true(clock_monotonic() - start < 100);
    expect_addresses(other, "");
    release_hanging();
    resolver_remove(r, other); /* a name keeps the core alive */
}

/* The same with the owner gone first and nobody left but the thread. */
static void test_thread_is_last(void **state)
{
    (void)state;
    hang = true;
    struct resolver *r = resolver_new_custom(fake_lookup, 20);
    struct resolved *name = resolver_add(r, STR("tarpit"), 80);
    await_hanging();
    resolver_remove(r, name);
    resolver_free(r);
    release_hanging();
}

static _Atomic bool reading;

static void *reader_main(void *arg)
{
    while (atomic_load(&reading)) {
        struct addr list[4];
        size_t n = resolved_get(arg, list, 4);
        for (size_t i = 0; i < n; i++) {
            if (addr_port(&list[i]) != 80) {
                return arg;
            }
        }
        resolved_generation(arg);
        resolver_kick(arg);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct resolver *r = resolver_new_custom(fake_lookup, 1);
    struct resolved *name = resolver_add(r, STR("backend"), 80);
    pthread_t threads[3];
    atomic_store(&reading, true);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, name), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        set_answer(i % 2 == 0 ? "192.0.2.1 192.0.2.2" : "192.0.2.3");
        struct resolved *again = resolver_add(r, STR("backend"), 80);
        await_lookups(1);
        resolver_remove(r, again);
    }
    atomic_store(&reading, false);
    for (unsigned i = 0; i < 3; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    resolver_remove(r, name);
    resolver_free(r);
}

static void test_real_names(void **state)
{
    (void)state;
    struct resolver *r = resolver_new();
    assert_non_null(r);
    struct resolved *local = resolver_add(r, STR("localhost"), 8000);
    assert_true(resolver_wait(r, 10000));
    struct addr list[RESOLVED_MAX];
    size_t n = resolved_get(local, list, RESOLVED_MAX);
    assert_in_range(n, 1, RESOLVED_MAX);
    for (size_t i = 0; i < n; i++) {
        char text[ADDR_TEXT_MAX];
        addr_text(&list[i], text);
        assert_true(strcmp(text, "127.0.0.1:8000") == 0 || strcmp(text, "[::1]:8000") == 0);
    }
    /* RFC 6761: .invalid never exists. The lookup may take its time; we do not. */
    struct resolved *none = resolver_add(r, STR("no-such-host.invalid"), 80);
    msec_t start = clock_monotonic();
    resolver_wait(r, 500);
    assert_true(clock_monotonic() - start < 2000);
    assert_int_equal(resolved_get(none, list, RESOLVED_MAX), 0);
    start = clock_monotonic();
    resolver_remove(r, none);
    resolver_remove(r, local);
    resolver_free(r);
    assert_true(clock_monotonic() - start < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_publishes, setup),
        cmocka_unit_test_setup(test_shared, setup),
        cmocka_unit_test_setup(test_unresolved, setup),
        cmocka_unit_test_setup(test_kick, setup),
        cmocka_unit_test_setup(test_hanging_lookup, setup),
        cmocka_unit_test_setup(test_thread_is_last, setup),
        cmocka_unit_test_setup(test_threads, setup),
        cmocka_unit_test(test_real_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
