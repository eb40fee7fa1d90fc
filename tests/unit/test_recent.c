/*
 * flow/recent: records come back whole and cut to their bounds, old ones go, nobody's password
 * is cut into view, and a reader beside the writer never sees a torn record.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "flow/recent.h"

static struct access_record record_of(struct str path)
{
    return (struct access_record){.time = 1700000000123,
                                  .id = STR("0123456789abcdef"),
                                  .client = STR("127.0.0.1"),
                                  .method = STR("GET"),
                                  .host = STR("example.com"),
                                  .path = path,
                                  .route = STR("GET /a"),
                                  .cache = STR("HIT"),
                                  .reason = STR("-"),
                                  .tier = STR("l1"),
                                  .status = 200,
                                  .bytes = 1234,
                                  .request_bytes = 5,
                                  .total_us = 42,
                                  .upstream_us = -1,
                                  .protocol = STR("HTTP/1.1"),
                                  .tls = true};
}

static void a_record_comes_back(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    struct recent_copy c;
    struct access_record in = record_of(STR("/a?x=1"));
    assert_false(recent_get(r, 0, &c));
    recent_add(r, &in);
    assert_int_equal(recent_count(r), 1);
    assert_true(recent_get(r, 0, &c));
    assert_int_equal(c.record.time, in.time);
    assert_true(str_eq(c.record.id, in.id));
    assert_true(str_eq(c.record.path, in.path));
    assert_true(str_eq(c.record.route, in.route));
    assert_true(str_eq(c.record.protocol, in.protocol));
    assert_int_equal(c.record.agent.n, 0);
    assert_int_equal(c.record.status, 200);
    assert_int_equal(c.record.bytes, 1234);
    assert_int_equal(c.record.request_bytes, 5);
    assert_int_equal(c.record.total_us, 42);
    assert_int_equal(c.record.upstream_us, -1);
    assert_true(c.record.tls);
    assert_false(recent_get(r, 1, &c));
    recent_free(r);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    static char text[4000];
    struct recent *r = recent_new();
    struct recent_copy c;
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    struct str all = str_make(text, sizeof(text));
    struct access_record in = {.id = all,
                               .client = all,
                               .method = all,
                               .host = all,
                               .path = all,
                               .route = all,
                               .cache = all,
                               .reason = all,
                               .tier = all,
                               .upstream = all,
                               .agent = all,
                               .protocol = all};
    recent_add(r, &in);
    assert_true(recent_get(r, 0, &c));
    assert_int_equal(c.record.path.n, 256);
    assert_int_equal(c.record.agent.n, 64);
    assert_memory_equal(c.record.agent.p, text, 64);
    recent_free(r);
}

static void a_password_is_not_cut_into_view(void **state)
{
    (void)state;
    char target[600];
    struct recent *r = recent_new();
    struct recent_copy c;
    int n = snprintf(target, sizeof(target), "http://user:%0400d@host/", 7);
    struct access_record in = record_of(str_make(target, (size_t)n));
    recent_add(r, &in);
    assert_true(recent_get(r, 0, &c));
    assert_int_equal(c.record.path.n, 0);
    recent_free(r);
}

static void old_records_go(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    struct recent_copy c;
    struct access_record in = record_of(STR("/"));
    for (unsigned i = 0; i < RECENT_SLOTS + 3; i++) {
        in.status = (int)i;
        recent_add(r, &in);
    }
    assert_int_equal(recent_count(r), RECENT_SLOTS + 3);
    assert_false(recent_get(r, 2, &c));
    assert_true(recent_get(r, 3, &c));
    assert_int_equal(c.record.status, 3);
    assert_true(recent_get(r, RECENT_SLOTS + 2, &c));
    assert_int_equal(c.record.status, RECENT_SLOTS + 2);
    recent_free(r);
}

static void hits_beyond_a_measure_are_not_wanted(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    unsigned wanted = 0;
    for (int i = 0; i < 1000; i++) {
        wanted += recent_wants(r, true, 5000);
        assert_true(recent_wants(r, false, 5000));
    }
    assert_int_equal(wanted, 128);
    assert_int_equal(recent_skipped(r), 1000 - 128);
    assert_true(recent_wants(r, true, 5100));
    recent_free(r);
}

#define ROUNDS 30000

static void *write_all(void *arg)
{
    struct recent *r = arg;
    char path[64];
    for (int i = 0; i < ROUNDS; i++) {
        int n = snprintf(path, sizeof(path), "/%0*d", 1 + i % 40, i);
        struct access_record in = record_of(str_make(path, (size_t)n));
        in.status = n;
        in.bytes = (uint64_t)i;
        recent_add(r, &in);
    }
    return NULL;
}

static void a_reader_never_sees_a_torn_record(void **state)
{
    (void)state;
    struct recent *r = recent_new();
    pthread_t thread;
    unsigned seen = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_all, r), 0);
    uint64_t end;
    do {
        end = recent_count(r);
        for (uint64_t i = end > RECENT_SLOTS ? end - RECENT_SLOTS : 0; i < end; i += 7) {
            struct recent_copy c;
            char path[64];
            if (!recent_get(r, i, &c)) {
                continue;
            }
            int n = snprintf(path, sizeof(path), "/%0*d", 1 + (int)(i % 40), (int)i);
            assert_int_equal(c.record.bytes, i);
            assert_int_equal(c.record.status, n);
            assert_true(str_eq(c.record.path, str_make(path, (size_t)n)));
            assert_true(str_eq(c.record.protocol, STR("HTTP/1.1")));
            seen++;
        }
    } while (end < ROUNDS);
    pthread_join(thread, NULL);
    assert_true(seen > 0);
    recent_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_password_is_not_cut_into_view),
        cmocka_unit_test(old_records_go),
        cmocka_unit_test(hits_beyond_a_measure_are_not_wanted),
        cmocka_unit_test(a_reader_never_sees_a_torn_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
