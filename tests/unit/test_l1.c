/*
 * cache/l1: residence, the byte bound, growth under a walk, threads, memory for each entry. How
 * well it chooses what to keep is test_l1_ratio.c.
 */
#include "unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/entry.h"
#include "cache/l1.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define MAX_OBJECT ((uint64_t)2 << 20)

static const struct str host = {"h", 1};

static struct str name_of(unsigned i, char out[24])
{
    return str_make(out, (size_t)snprintf(out, 24, "name:%08u", i));
}

static struct entry *make(struct str name, struct str body)
{
    struct entry_spec spec = {.name = name, .host = host, .status = 200, .body = body};
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    return e;
}

static bool put(struct l1 *c, unsigned i, struct str body)
{
    char buf[24];
    struct entry *e = make(name_of(i, buf), body);
    bool in = l1_put(c, e);
    entry_unref(e);
    return in;
}

static bool get(struct l1 *c, unsigned i)
{
    char buf[24];
    struct str name = name_of(i, buf);
    struct entry *e = l1_get(c, entry_hash(name, host), name, host);
    if (e == NULL) {
        return false;
    }
    assert_true(str_eq(entry_name(e), name));
    entry_unref(e);
    return true;
}

static struct l1_stats stats(struct l1 *c)
{
    struct l1_stats s;
    l1_stats(c, &s);
    return s;
}

static void test_residence(void **state)
{
    (void)state;
    struct l1 *c = l1_new(1 << 20, MAX_OBJECT);
    assert_false(get(c, 1));
    assert_true(put(c, 1, STR("one")));
    assert_true(get(c, 1));
    assert_false(get(c, 2));

    /* The same name on another host is another entry. */
    char buf[24];
    struct str name = name_of(1, buf);
    assert_null(l1_get(c, entry_hash(name, STR("x")), name, STR("x")));
    /* A hash that belongs to another name is a miss. */
    assert_null(l1_get(c, entry_hash(name, host), STR("other"), host));

    struct entry *old = l1_get(c, entry_hash(name, host), name, host);
    struct entry *new = make(name, STR("uno"));
    assert_true(l1_put(c, new));
    assert_false(l1_put(c, new)); /* an entry is put once */
    assert_int_equal(stats(c).entries, 1);
    l1_remove(c, old); /* not resident any more: the new one stays */
    assert_true(get(c, 1));
    assert_true(str_eq(entry_body(old), STR("one")));
    l1_remove(c, new);
    assert_false(get(c, 1));
    assert_false(l1_put(c, new));
    assert_int_equal(atomic_load(&old->refs), 1);
    assert_int_equal(atomic_load(&new->refs), 1);
    assert_int_equal(stats(c).bytes, 0);
    entry_unref(old);
    entry_unref(new);
    l1_free(c);
    l1_free(NULL);
}

static void test_bound(void **state)
{
    (void)state;
    enum { CAPACITY = 8 << 20 };
    char *body = xcalloc(1, 5000);
    struct l1 *c = l1_new(CAPACITY, MAX_OBJECT);
    assert_int_equal(stats(c).capacity, CAPACITY);
    for (unsigned i = 0; i < 5000; i++) {
        assert_true(put(c, i, str_make(body, i)));
        struct l1_stats s = stats(c);
        assert_true(s.bytes <= CAPACITY);
        assert_int_equal(s.entries + s.evictions, i + 1);
    }
    assert_true(stats(c).evictions > 1000);
    assert_true(stats(c).bytes > CAPACITY * 9 / 10);

    l1_resize(c, CAPACITY / 4);
    assert_true(stats(c).bytes <= CAPACITY / 4);
    assert_int_equal(stats(c).capacity, CAPACITY / 4);
    l1_clear(c);
    assert_int_equal(stats(c).entries, 0);
    assert_int_equal(stats(c).bytes, 0);
    assert_true(put(c, 1, str_make(body, 10)));
    assert_true(get(c, 1));
    l1_free(c);
    free(body);
}

static void test_large_objects(void **state)
{
    (void)state;
    char *body = xcalloc(1, 3 << 20);
    struct l1 *c = l1_new(256 << 20, 50 << 20); /* fewer shards, so that 50 MB fit */
    char *huge = xcalloc(1, 50 << 20);
    assert_true(put(c, 1, str_make(huge, 50 << 20)));
    assert_true(get(c, 1));
    free(huge);
    l1_free(c);

    c = l1_new(2 << 20, MAX_OBJECT);
    assert_true(put(c, 2, STR("small")));
    assert_false(put(c, 1, str_make(body, 3 << 20)));
    assert_true(get(c, 2));
    assert_int_equal(stats(c).entries, 1);
    l1_free(c);

    c = l1_new(0, MAX_OBJECT); /* memory off */
    assert_false(put(c, 1, STR("x")));
    assert_false(get(c, 1));
    l1_free(c);
    free(body);
}

/* A refreshed entry keeps the place that its name has earned. */
static void test_replace_keeps_place(void **state)
{
    (void)state;
    char body[1000] = {0};
    struct l1 *c = l1_new(1 << 20, 1 << 18);
    put(c, 1, str_make(body, sizeof(body)));
    for (unsigned i = 100; i < 20000; i++) {
        get(c, 1);
        get(c, 1);
        if (i % 50 == 0) {
            put(c, 1, str_make(body, sizeof(body)));
        }
        put(c, i, str_make(body, sizeof(body)));
        assert_true(get(c, 1));
    }
    l1_free(c);
}

struct walk {
    struct l1 *c;
    unsigned char *seen;
    unsigned known, calls, stop_after;
};

static bool on_entry(struct entry *e, void *ctx)
{
    struct walk *w = ctx;
    uint64_t i = 0;
    assert_true(str_to_u64(str_skip(entry_name(e), 5), UINT32_MAX, &i));
    if (i < w->known) {
        w->seen[i]++;
    }
    w->calls++;
    if (w->stop_after == 0) {
        /* Growth while walking: two new names for each one seen. */
        put(w->c, 10000000 + w->calls * 2, STR_NULL);
        put(w->c, 10000001 + w->calls * 2, STR_NULL);
    }
    return w->stop_after == 0 || w->calls < w->stop_after;
}

static void test_growth_and_walk(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct l1 *c = l1_new((uint64_t)1 << 30, MAX_OBJECT);
    for (unsigned i = 0; i < N; i++) {
        assert_true(put(c, i, STR_NULL));
    }
    for (unsigned i = 0; i < N; i++) {
        assert_true(get(c, i));
    }
    struct walk w = {.c = c, .seen = xcalloc(N, 1), .known = N, .stop_after = 10};
    l1_each(c, on_entry, &w);
    assert_int_equal(w.calls, 10);
    memset(w.seen, 0, N);
    w.stop_after = 0;
    w.calls = 0;
    l1_each(c, on_entry, &w);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(w.seen[i], 1);
    }
    assert_true(stats(c).entries == N + 2 * (uint64_t)w.calls);
    free(w.seen);
    l1_free(c);
}

/* Takes five at a time: each entry once, whatever place the walk is continued from. */
static bool on_five(struct entry *e, void *ctx)
{
    struct walk *w = ctx;
    uint64_t i = 0;
    if (w->calls == 5) {
        return false;
    }
    assert_true(str_to_u64(str_skip(entry_name(e), 5), UINT32_MAX, &i));
    w->seen[i]++;
    w->calls++;
    return true;
}

static void test_walk_in_pages(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct l1 *c = l1_new((uint64_t)1 << 30, MAX_OBJECT);
    struct l1_place place = {0};
    struct walk w = {.c = c, .seen = xcalloc(N, 1)};
    assert_false(l1_walk(c, &(struct l1_place){.shard = 1000}, on_five, &w));
    for (unsigned i = 0; i < N; i++) {
        assert_true(put(c, i, STR_NULL));
    }
    unsigned total = 0;
    bool more = true;
    while (more) {
        struct l1_place again = place; /* as from a cursor in a text */
        more = l1_walk(c, &again, on_five, &w);
        place = again;
        total += w.calls;
        assert_true(w.calls <= 5);
        w.calls = 0;
    }
    assert_int_equal(total, N);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(w.seen[i], 1);
    }
    free(w.seen);
    l1_free(c);
}

/* ---- threads ----------------------------------------------------------------------------- */

struct crowd {
    struct l1 *c;
    atomic_uint seed;
};

static bool on_crowd_entry(struct entry *e, void *ctx)
{
    (void)ctx;
    return entry_name(e).n == 13;
}

static void *member(void *arg)
{
    struct crowd *crowd = arg;
    unsigned x = atomic_fetch_add(&crowd->seed, 7919);
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 1664525 + 1013904223;
        char buf[24];
        struct str name = name_of(x >> 8 & 4095, buf);
        struct entry *e = l1_get(crowd->c, entry_hash(name, host), name, host);
        if (e == NULL) {
            e = make(name, name);
            l1_put(crowd->c, e);
        } else if (x % 64 == 0) {
            l1_remove(crowd->c, e);
        }
        /* Whatever became of it in the cache: a referenced entry is intact. */
        if (!str_eq(entry_body(e), name)) {
            abort();
        }
        entry_unref(e);
        if (i % 4096 == 0) {
            l1_each(crowd->c, on_crowd_entry, NULL);
        }
        if (i % 8192 == 4000) {
            l1_resize(crowd->c, x % 2 == 0 ? 500000 : 700000);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct crowd crowd = {.c = l1_new(600000, 1 << 14)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, member, &crowd), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    struct l1_stats s = stats(crowd.c);
    assert_true(s.bytes <= s.capacity);
    assert_true(s.evictions > 0);
    l1_free(crowd.c);
}

/* ---- memory ------------------------------------------------------------------------------ */

static size_t heap_in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Design section 10: at most 200 bytes per entry beyond name, head and body, tables included;
 * and what L1 accounts is what the heap holds. */
static void test_overhead(void **state)
{
    (void)state;
    if (SANITIZED) {
        skip();
    }
    static const struct str head = {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                                    49};
    for (unsigned n = 70000; n <= 130000; n += 15000) {
        char body[1100] = {0};
        size_t payload = 0;
        size_t before = heap_in_use();
        struct l1 *c = l1_new((uint64_t)1 << 30, MAX_OBJECT);
        for (unsigned i = 0; i < n; i++) {
            char buf[24];
            struct entry_spec spec = {.name = name_of(i, buf),
                                      .host = STR("api.example.com"),
                                      .status = 200,
                                      .type = STR("product"),
                                      .route = STR("GET /api/products/{id}"),
                                      .head = head,
                                      .body = str_make(body, 1000 + i % 100)};
            struct entry *e = entry_new(&spec);
            assert_true(l1_put(c, e));
            payload += spec.name.n + spec.head.n + spec.body.n;
            entry_unref(e);
        }
        double used = (double)(heap_in_use() - before);
        double accounted = (double)stats(c).bytes;
        print_message("%u entries: %.1f bytes each beyond name, head and body\n", n,
                      (used - (double)payload) / n);
        assert_true((used - (double)payload) / n <= 200);
        assert_true(used <= accounted * 1.01 && used >= accounted * 0.97);
        l1_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residence),       cmocka_unit_test(test_bound),
        cmocka_unit_test(test_large_objects),   cmocka_unit_test(test_replace_keeps_place),
        cmocka_unit_test(test_growth_and_walk), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_overhead),        cmocka_unit_test(test_walk_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
