/*
 * cache/entry: what goes in comes out, the stored form survives nothing but itself, ages and
 * windows, the budget of 200 bytes.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"
#include "cache/entry.h"
#include "cache/entry_shared.h"

static const struct entry_spec sample = {
    .name = {"shop:products:item:1", 20},
    .host = {"api.example.com", 15},
    .scope = 0x1234abcd,
    .stamp = {.epoch = 0x1122334455667788, .seq = 7, .local = 42},
    .flags = ENTRY_HAS_DATE | ENTRY_IMMUTABLE,
    .status = 200,
    .stored_at = 1700000000123,
    .age_at_store = 1234,
    .lifetime = 300000,
    .stale = 60000,
    .stale_if_error = 600000,
    .etag = {"\"v1\"", 4},
    .last_modified = {"Tue, 14 Nov 2023 22:13:20 GMT", 29},
    .date = {"Tue, 14 Nov 2023 22:13:21 GMT", 29},
    .type = {"product", 7},
    .route = {"GET /api/products/{id}", 22},
    .tags = {"a\0bc\0d", 6},
    .vary = {"accept-language,origin", 22},
    .head = {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
             "Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n",
             86},
    .body_length = 8,
    .body = {"{\"id\":1}", 8},
};

static void expect_str(struct str got, struct str want)
{
    assert_int_equal(got.n, want.n);
    if (want.n > 0) {
        assert_memory_equal(got.p, want.p, want.n);
    }
}

static void expect_sample(const struct entry *e)
{
    expect_str(entry_name(e), sample.name);
    expect_str(entry_host(e), sample.host);
    expect_str(entry_etag(e), sample.etag);
    expect_str(entry_last_modified(e), sample.last_modified);
    expect_str(entry_date(e), sample.date);
    expect_str(entry_type(e), sample.type);
    expect_str(entry_route(e), sample.route);
    expect_str(entry_tags(e), sample.tags);
    expect_str(entry_vary(e), sample.vary);
    expect_str(entry_head(e), sample.head);
    expect_str(entry_body(e), sample.body);
    assert_int_equal(e->scope, sample.scope);
    assert_int_equal(e->stamp.epoch, sample.stamp.epoch);
    assert_int_equal(e->stamp.seq, sample.stamp.seq);
    /* `local` is this node's own: it does not travel. */
    assert_true(e->stamp.local == sample.stamp.local || e->stamp.local == 0);
    assert_int_equal(e->flags, sample.flags);
    assert_int_equal(e->status, sample.status);
    assert_int_equal(e->coding, ENTRY_IDENTITY);
    assert_int_equal(e->body_length, 8);
    assert_int_equal(e->stored_at, sample.stored_at);
    assert_int_equal(entry_age_at_store(e), 1240); /* an age is rounded up */
    assert_int_equal(entry_lifetime(e), sample.lifetime);
    assert_int_equal(entry_stale(e), sample.stale);
    assert_int_equal(entry_stale_if_error(e), sample.stale_if_error);
    assert_int_equal(e->hash, entry_hash(sample.name, sample.host));
}

static void test_fields(void **state)
{
    (void)state;
    struct entry *e = entry_new(&sample);
    expect_sample(e);
    assert_int_equal(atomic_load(&e->refs), 1);
    assert_ptr_equal(entry_ref(e), e);
    entry_unref(e);
    expect_sample(e);
    /* The Date stands in the head, Last-Modified does not. */
    assert_in_range(e->date_at, e->name_n, e->name_n + e->head_n);
    assert_true(e->modified_at >= e->name_n + e->head_n);
    entry_unref(e);
}

static void test_bare(void **state)
{
    (void)state;
    struct entry_spec spec = {.name = STR("n"), .flags = ENTRY_VARY_MARKER};
    struct entry *e = entry_new(&spec);
    assert_int_equal(entry_body(e).n, 0);
    assert_int_equal(entry_host(e).n, 0);
    assert_int_equal(entry_last_modified(e).n, 0);
    struct strbuf out = {0};
    entry_encode(e, 0, &out);
    struct entry *back = entry_decode(strbuf_str(&out));
    assert_non_null(back);
    expect_str(entry_name(back), STR("n"));
    assert_int_equal(back->flags, ENTRY_VARY_MARKER);
    entry_unref(back);
    entry_unref(e);
    strbuf_free(&out);
}

static void test_refused(void **state)
{
    (void)state;
    char *big = xcalloc(1, 70000);
    struct entry_spec spec = sample;
    spec.name = STR_NULL;
    assert_null(entry_new(&spec));
    struct str *sections[] = {&spec.name, &spec.host,  &spec.etag,
                              &spec.type, &spec.route, &spec.tags,
                              &spec.vary, &spec.date,  &spec.last_modified};
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        spec = sample;
        *sections[i] = str_make(big, 65536);
        assert_null(entry_new(&spec));
        *sections[i] = str_make(big, 65535);
        struct entry *e = entry_new(&spec);
        assert_non_null(e);
        entry_unref(e);
    }
    spec = sample;
    spec.body.n = (size_t)UINT32_MAX; /* never read: refused by its length */
    assert_null(entry_new(&spec));
    spec.body.n = SIZE_MAX;
    assert_null(entry_new(&spec));
    spec = sample;
    spec.coding = ENTRY_GZIP;
    spec.body_length = (uint64_t)UINT32_MAX + 1;
    assert_null(entry_new(&spec));
    free(big);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct entry *e = entry_new(&sample);
    struct strbuf out = {0};
    strbuf_add_str(&out, STR("before"));
    entry_encode(e, 0, &out);
    struct str stored = str_skip(strbuf_str(&out), 6);
    struct entry *back = entry_decode(stored);
    assert_non_null(back);
    expect_sample(back);
    assert_int_equal(entry_size(back), entry_size(e));
    assert_ptr_equal(back->shared, e->shared); /* interned */
    struct strbuf again = {0};
    entry_encode(back, 0, &again);
    expect_str(strbuf_str(&again), stored);
    entry_unref(back);
    entry_unref(e);
    strbuf_free(&out);
    strbuf_free(&again);
}

/* Every cut, every flipped bit, everything appended is refused. */
static void test_damage(void **state)
{
    (void)state;
    struct entry *e = entry_new(&sample);
    struct strbuf out = {0};
    entry_encode(e, 0, &out);
    entry_unref(e);
    for (size_t n = 0; n < out.n; n++) {
        char *copy = xmalloc(n); /* exactly n, so that ASan sees a read beyond */
        memcpy(copy, out.p, n);
        assert_null(entry_decode(str_make(copy, n)));
        free(copy);
    }
    for (size_t bit = 0; bit < out.n * 8; bit++) {
        out.p[bit / 8] = (char)(out.p[bit / 8] ^ (1 << bit % 8));
        assert_null(entry_decode(strbuf_str(&out)));
        out.p[bit / 8] = (char)(out.p[bit / 8] ^ (1 << bit % 8));
    }
    strbuf_add_char(&out, 0);
    assert_null(entry_decode(strbuf_str(&out)));
    strbuf_free(&out);
}

static void expect_age(const struct entry *e, msec_t now, msec_t age, enum entry_freshness f)
{
    assert_int_equal(entry_age(e, now), age);
    assert_int_equal(entry_freshness(e, now), f);
}

/* A clock behind by a tick does not turn 33 s into 32 (seen with the public suite). */
static void test_age_field(void **state)
{
    (void)state;
    assert_int_equal(entry_age_field(-5), 0);
    assert_int_equal(entry_age_field(0), 0);
    assert_int_equal(entry_age_field(900), 0);
    assert_int_equal(entry_age_field(33000 - LOOP_COARSE_MS), 33);
    assert_int_equal(entry_age_field(33000), 33);
    assert_int_equal(entry_age_field(33900), 33);
}

static void test_freshness(void **state)
{
    (void)state;
    struct entry_spec spec = sample;
    spec.stored_at = 1000000;
    spec.age_at_store = 5000;
    spec.lifetime = 10000;
    spec.stale = 2000;
    spec.stale_if_error = 4000;
    struct entry *e = entry_new(&spec);
    expect_age(e, 1000000, 5000, ENTRY_FRESH);
    expect_age(e, 1004999, 9999, ENTRY_FRESH);
    expect_age(e, 1005000, 10000, ENTRY_STALE_USABLE);
    expect_age(e, 1006999, 11999, ENTRY_STALE_USABLE);
    expect_age(e, 1007000, 12000, ENTRY_STALE_IF_ERROR);
    expect_age(e, 1008999, 13999, ENTRY_STALE_IF_ERROR);
    expect_age(e, 1009000, 14000, ENTRY_EXPIRED);
    expect_age(e, 0, 5000, ENTRY_FRESH); /* the clock was set back */
    entry_unref(e);

    spec.flags = ENTRY_MUST_REVALIDATE;
    e = entry_new(&spec);
    expect_age(e, 1004999, 9999, ENTRY_FRESH);
    expect_age(e, 1005000, 10000, ENTRY_EXPIRED);
    entry_unref(e);
}

/* 2^31 seconds and more, as origins say them (RFC 9111 1.2.2). */
static void test_huge_times(void **state)
{
    (void)state;
    struct entry_spec spec = sample;
    spec.stored_at = 1000000;
    spec.age_at_store = 0;
    spec.lifetime = (msec_t)2147483648 * 1000;
    spec.stale = MSEC_MAX;
    spec.stale_if_error = -1;
    struct entry *e = entry_new(&spec);
    assert_int_equal(entry_freshness(e, 1000000 + (msec_t)365 * 86400000), ENTRY_FRESH);
    assert_int_equal(entry_stale_if_error(e), 0);
    entry_unref(e);
    spec.age_at_store = (msec_t)2147483648 * 1000;
    e = entry_new(&spec);
    assert_int_not_equal(entry_freshness(e, 1000000), ENTRY_FRESH);
    entry_unref(e);
}

static void test_hash(void **state)
{
    (void)state;
    assert_int_equal(entry_hash(STR("a"), STR("b")), entry_hash(STR("a"), STR("b")));
    assert_true(entry_hash(STR("a"), STR("b")) != entry_hash(STR("b"), STR("a")));
    assert_true(entry_hash(STR("ab"), STR_NULL) != entry_hash(STR("a"), STR("b")));
    assert_true(entry_hash(STR("a"), STR_NULL) != entry_hash(STR("a"), STR("b")));
}

static void test_base_name(void **state)
{
    (void)state;
    expect_str(entry_base_name(STR("a:b")), STR("a:b"));
    expect_str(entry_base_name(STR("a:b#0123")), STR("a:b"));
    expect_str(entry_base_name(STR("#")), STR(""));
    expect_str(entry_base_name(STR_NULL), STR_NULL);
}

/* What finds no room in the intern table works all the same. */
static void test_many_shared(void **state)
{
    (void)state;
    enum { N = 40000 };
    struct entry **list = xcalloc(N, sizeof(struct entry *));
    size_t with_own = 0;
    for (int i = 0; i < N; i++) {
        char vary[32];
        struct entry_spec spec = sample;
        spec.vary = str_make(vary, (size_t)snprintf(vary, sizeof(vary), "x-%d", i));
        list[i] = entry_new(&spec);
        with_own += entry_shared_cost(list[i]->shared) > 0;
    }
    assert_in_range(with_own, N - 4096 * 8, N - 1);
    for (int i = 0; i < N; i++) {
        char vary[32];
        size_t n = (size_t)snprintf(vary, sizeof(vary), "x-%d", i);
        expect_str(entry_vary(list[i]), str_make(vary, n));
        expect_str(entry_route(list[i]), sample.route);
        entry_unref(list[i]);
    }
    free(list);
}

static void *make_and_drop(void *arg)
{
    struct entry *common = arg;
    for (int i = 0; i < 5000; i++) {
        struct entry_spec spec = sample;
        spec.vary = i % 2 == 0 ? STR("x") : STR("y");
        struct entry *e = entry_new(&spec);
        entry_ref(common);
        entry_unref(e);
        entry_unref(common);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct entry *common = entry_new(&sample);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_drop, common), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&common->refs), 1);
    expect_sample(common);
    entry_unref(common);
}

/* Design section 10: at most 200 bytes beyond name, head and body; here without L1's table. */
static void test_overhead(void **state)
{
    (void)state;
    struct entry_spec spec = sample;
    spec.last_modified = STR_NULL;
    spec.tags = STR_NULL;
    struct entry *e = entry_new(&spec);
    size_t payload = spec.name.n + spec.head.n + spec.body.n + spec.etag.n;
    assert_in_range(entry_size(e) - payload, 1, 148);
    assert_int_equal(sizeof(struct entry), 152);
    entry_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),      cmocka_unit_test(test_bare),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_freshness),
        cmocka_unit_test(test_age_field),   cmocka_unit_test(test_huge_times),
        cmocka_unit_test(test_hash),        cmocka_unit_test(test_base_name),
        cmocka_unit_test(test_many_shared), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_overhead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
