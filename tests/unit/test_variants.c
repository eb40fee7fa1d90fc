/*
 * cache/variants: a name has at most VARIANTS_MAX variants in the memory tier, and what is in
 * use stays among them, whatever else is filled.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "cache/key.h"
#include "cache/variants.h"

static struct l1 *l1;
static struct variants *variants;
static struct arena arena;
static const struct str host = {"h", 1};
static const struct str base = {"base", 4};

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0);
    l1 = l1_new(64u << 20, 1 << 20);
    variants = variants_new(l1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    variants_free(variants);
    l1_free(l1);
    arena_reset(&arena);
    return 0;
}

static struct entry_spec marker_for(struct str name, const char *vary)
{
    return (struct entry_spec){
        .name = name,
        .host = host,
        .flags = ENTRY_VARY_MARKER,
        .lifetime = 1000,
        .vary = str_from(vary),
    };
}

static struct str name_of(struct str from, unsigned i, struct arena *a)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", i);
    return key_variant(from, str_make(text, (size_t)n), a);
}

static void put_variant(struct str name)
{
    const struct entry_spec spec = {.name = name, .host = host, .body = STR("x")};
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    assert_true(l1_put(l1, e));
    entry_unref(e);
}

/* Stores variant i as a fill does; returns the one that had to go. */
static struct str fill(struct str from, unsigned i)
{
    const struct entry_spec marker = marker_for(from, "x-lang");
    struct str name = name_of(from, i, &arena);
    struct str gone;
    variants_mark(variants, &marker);
    put_variant(name);
    struct entry *e = variants_add(variants, from, host, name, &arena, &gone);
    assert_non_null(e);
    assert_true(str_eq(entry_name(e), from));
    assert_true(str_eq(entry_vary(e), STR("x-lang")));
    assert_int_equal(entry_lifetime(e), 1000);
    entry_unref(e);
    return gone;
}

static bool is_there(struct str name)
{
    struct entry *e = l1_peek(l1, entry_hash(name, host), name, host);
    if (e != NULL) {
        entry_unref(e);
    }
    return e != NULL;
}

static bool variant_is_there(unsigned i)
{
    return is_there(name_of(base, i, &arena));
}

static void use(unsigned i)
{
    struct str name = name_of(base, i, &arena);
    struct entry *e = l1_get(l1, entry_hash(name, host), name, host);
    assert_non_null(e);
    entry_unref(e);
}

static size_t count_variants(struct str from, unsigned below)
{
    size_t n = 0;
    for (unsigned i = 0; i < below; i++) {
        n += is_there(name_of(from, i, &arena));
    }
    return n;
}

static void test_no_more_than_the_bound(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        assert_int_equal(fill(base, i).n, 0);
    }
    assert_int_equal(count_variants(base, 1000), VARIANTS_MAX);
    for (unsigned i = VARIANTS_MAX; i < 1000; i++) {
        struct str gone = fill(base, i);
        assert_true(str_eq(gone, name_of(base, i - VARIANTS_MAX, &arena)));
        assert_true(variant_is_there(i));
    }
    assert_int_equal(count_variants(base, 1000), VARIANTS_MAX);
    assert_true(is_there(base));
}

static void test_what_is_in_use_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        fill(base, i);
        use(i);
    }
    for (unsigned i = 10; i < 1000; i++) {
        fill(base, i);
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_true(variant_is_there(i));
    }
    assert_int_equal(count_variants(base, 1000), VARIANTS_MAX);
}

/* When all are in use the newest is not what goes. */
static void test_the_newest_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        fill(base, i);
        use(i);
    }
    use(0);
    struct str gone = fill(base, 99);
    assert_true(str_eq(gone, name_of(base, 1, &arena)));
    assert_true(variant_is_there(99));
    assert_true(variant_is_there(0));
}

static void test_filled_again_is_not_counted_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        fill(base, i);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(fill(base, i % VARIANTS_MAX).n, 0);
    }
    assert_int_equal(count_variants(base, VARIANTS_MAX), VARIANTS_MAX);
    fill(base, 8); /* the oldest after those rounds becomes the newest */
    assert_true(str_eq(fill(base, 99), name_of(base, 9, &arena)));
}

static void test_those_that_are_gone_make_room(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        fill(base, i);
    }
    struct str name = name_of(base, 20, &arena);
    struct entry *e = l1_peek(l1, entry_hash(name, host), name, host);
    assert_non_null(e);
    l1_remove(l1, e);
    entry_unref(e);
    assert_true(str_eq(fill(base, 99), name));
    assert_true(variant_is_there(0));
    assert_int_equal(count_variants(base, 100), VARIANTS_MAX);
}

static void test_another_vary_keeps_the_list(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        fill(base, i);
    }
    const struct entry_spec marker = marker_for(base, "x-other");
    variants_mark(variants, &marker);
    struct entry *e = l1_peek(l1, entry_hash(base, host), base, host);
    assert_non_null(e);
    assert_true(str_eq(entry_vary(e), STR("x-other")));
    entry_unref(e);
    assert_true(str_eq(fill(base, 99), name_of(base, 0, &arena)));
}

/* What stands under the base name may be an answer, or a marker with another kind of body. */
static void test_other_entries_hold_no_list(void **state)
{
    (void)state;
    static const char rubbish[VARIANTS_MAX * 32 + 32];
    static const struct {
        size_t n;
        unsigned flags;
    } bodies[] = {
        {0, ENTRY_VARY_MARKER},
        {1, ENTRY_VARY_MARKER},
        {31, ENTRY_VARY_MARKER},
        {33, ENTRY_VARY_MARKER},
        {1023, ENTRY_VARY_MARKER},
        {sizeof(rubbish), ENTRY_VARY_MARKER},
        {64, 0},
        {1024, ENTRY_HIT_FOR_MISS},
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        size_t n = bodies[i].n;
        struct entry_spec spec = marker_for(base, "x-lang");
        spec.flags = bodies[i].flags;
        spec.body = str_make(rubbish, n);
        struct entry *e = entry_new(&spec);
        assert_true(l1_put(l1, e));
        entry_unref(e);
        assert_int_equal(fill(base, (unsigned)n).n, 0);
        e = l1_peek(l1, entry_hash(base, host), base, host);
        assert_int_equal(entry_body(e).n, 32);
        entry_unref(e);
    }
}

static void test_without_a_marker_nothing_is_noted(void **state)
{
    (void)state;
    struct str gone;
    struct str name = name_of(base, 1, &arena);
    put_variant(name);
    assert_null(variants_add(variants, base, host, name, &arena, &gone));
    put_variant(base);
    assert_null(variants_add(variants, base, host, name, &arena, &gone));
    assert_true(is_there(base));
}

static void test_names_are_counted_apart(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VARIANTS_MAX; i++) {
        fill(base, i);
        fill(STR("other"), i);
    }
    assert_int_equal(count_variants(base, VARIANTS_MAX), VARIANTS_MAX);
    assert_int_equal(count_variants(STR("other"), VARIANTS_MAX), VARIANTS_MAX);
}

/* ---- threads ----------------------------------------------------------------------------- */

#define THREADS  4
#define PER_EACH 300

static void *member(void *arg)
{
    struct arena own;
    unsigned first = *(unsigned *)arg;
    struct str gone;
    arena_init(&own, NULL, 0);
    for (unsigned i = first; i < first + PER_EACH; i++) {
        struct str name = name_of(base, i, &own);
        put_variant(name);
        struct entry *e = variants_add(variants, base, host, name, &own, &gone);
        if (e != NULL) {
            entry_unref(e);
        }
    }
    arena_reset(&own);
    return NULL;
}

static void test_threads_lose_no_count(void **state)
{
    (void)state;
    const struct entry_spec marker = marker_for(base, "x-lang");
    variants_mark(variants, &marker);
    pthread_t threads[THREADS];
    unsigned firsts[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        firsts[i] = i * PER_EACH;
        assert_int_equal(pthread_create(&threads[i], NULL, member, &firsts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(count_variants(base, THREADS * PER_EACH), VARIANTS_MAX);
}

struct wanted {
    struct str name;
    unsigned asked; /* entries looked at */
};

static bool is_wanted(struct entry *e, void *ctx)
{
    struct wanted *w = ctx;
    w->asked++;
    return str_eq(entry_name(e), w->name);
}

static void test_one_can_be_found(void **state)
{
    (void)state;
    struct wanted w = {.name = name_of(base, 1, &arena)};
    assert_null(variants_find(variants, base, host, &arena, is_wanted, &w)); /* no marker */
    for (unsigned i = 0; i < 4; i++) {
        fill(base, i);
    }
    struct str gone = name_of(base, 2, &arena);
    struct entry *e = l1_peek(l1, entry_hash(gone, host), gone, host);
    l1_remove(l1, e);
    entry_unref(e);
    e = variants_find(variants, base, host, &arena, is_wanted, &w);
    assert_non_null(e);
    assert_true(str_eq(entry_name(e), w.name));
    entry_unref(e);
    assert_int_equal(w.asked, 2); /* 3 and 1: the newest first, and those that are there */
    w = (struct wanted){.name = STR("none of them")};
    assert_null(variants_find(variants, base, host, &arena, is_wanted, &w));
    assert_int_equal(w.asked, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_more_than_the_bound),
        TEST(test_what_is_in_use_stays),
        TEST(test_the_newest_stays),
        TEST(test_filled_again_is_not_counted_again),
        TEST(test_those_that_are_gone_make_room),
        TEST(test_another_vary_keeps_the_list),
        TEST(test_other_entries_hold_no_list),
        TEST(test_without_a_marker_nothing_is_noted),
        TEST(test_names_are_counted_apart),
        TEST(test_threads_lose_no_count),
        TEST(test_one_can_be_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
