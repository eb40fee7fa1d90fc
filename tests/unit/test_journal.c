/*
 * cache/journal: every kind of record against every kind of entry; what happens at the bounds,
 * where too much may be invalidated but never too little; the cost of a check. The comparison
 * with a model is test_journal_model.c.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "cache/entry.h"
#include "cache/glob.h"
#include "cache/journal.h"

#define MANY 100000

static struct entry *make(const struct journal *j, const char *name, const char *type,
                          const char *route, struct str tags)
{
    struct entry_spec spec = {.name = str_from(name),
                              .type = str_from(type),
                              .route = str_from(route),
                              .tags = tags,
                              .status = 200,
                              .stamp = journal_stamp(j)};
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    return e;
}

static uint64_t apply(struct journal *j, enum record_kind kind, const char *text, bool soft)
{
    struct record r = {kind, str_from(text), soft};
    return journal_apply(j, &r, 1);
}

static struct journal_stats stats(const struct journal *j)
{
    struct journal_stats s;
    journal_stats(j, &s);
    return s;
}

/* The verdict for an entry stamped just before the record. */
static enum journal_verdict after_record(const char *name, enum record_kind kind,
                                         const char *text, bool soft)
{
    struct journal *j = journal_new(MANY);
    struct entry *e = make(j, name, "product", "GET /p", STR("red\0green"));
    assert_int_equal(journal_check(j, e), JOURNAL_VALID);
    apply(j, kind, text, soft);
    enum journal_verdict v = journal_check(j, e);
    assert_int_equal(journal_check_stamp(j, &e->stamp, entry_name(e), entry_type(e),
                                         entry_route(e), entry_tags(e)),
                     v);
    struct entry *fresh = make(j, name, "product", "GET /p", STR("red\0green"));
    assert_int_equal(journal_check(j, fresh), JOURNAL_VALID);
    entry_unref(fresh);
    entry_unref(e);
    journal_free(j);
    return v;
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum record_kind kind;
        const char *text;
        bool match;
    } rows[] = {
        {"a:b:c", RECORD_NAME, "a:b:c", true},
        {"a:b:c", RECORD_NAME, "a:b", false},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_NAME, "a:b:c", true},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_NAME, "a:b:c#77", true},
        {"a:b:c", RECORD_NAME, "a:b:c#00112233445566778899aabbccddeeff", true},
        {"a:b:cd#00112233445566778899aabbccddeeff", RECORD_NAME, "a:b:c", false},
        {"a:b:c", RECORD_NAME, "", false},
        {"a:b:c", RECORD_GLOB, "a:b:*", true},
        {"a:b:", RECORD_GLOB, "a:b:*", true},
        {"a:b", RECORD_GLOB, "a:b:*", false},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_GLOB, "a:*:c", true},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_GLOB, "a:*f", false},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_GLOB, "a:b:*#*", true},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_GLOB, "a:b:c#*", true},
        {"a:b:c#00112233445566778899aabbccddeeff", RECORD_GLOB, "a:b:c[#]0*", true},
        {"a:b:c", RECORD_GLOB, "a:b:c", true},   /* no wildcard: a name */
        {"a:*:c", RECORD_GLOB, "a:\\*:c", true}, /* an escaped one neither */
        {"a:b:c", RECORD_GLOB, "a:\\*:c", false},
        {"a:b:c", RECORD_GLOB, "a:*:c", true},
        {"a:b:c", RECORD_GLOB, "*:c", true},
        {"a:b:c", RECORD_GLOB, "*c", true},
        {"a:b:c", RECORD_GLOB, "*b*", true},
        {"a:b:c", RECORD_GLOB, "a:?:c", true},
        {"a:b:c", RECORD_GLOB, "a:[bx]:c", true},
        {"a:b:c", RECORD_GLOB, "a:[^b]:c", false},
        {"a:b:c", RECORD_GLOB, "a:b:c*", true},
        {"a:b:c", RECORD_GLOB, "a:b:*c", true},
        {"a:b:c", RECORD_GLOB, "a:b*b:c", false}, /* head and tail may not overlap */
        {"a:b:c", RECORD_GLOB, "a:b:c:*", false},
        {"x:o:42:q", RECORD_GLOB, "x:*:42:*", true},
        {"x:o:p:42:q", RECORD_GLOB, "x:*:42:*", true},
        {"x:o:421:q", RECORD_GLOB, "x:*:42:*", false},
        {"x:o:42", RECORD_GLOB, "x:*:42:*", false},
        {"x:42:q", RECORD_GLOB, "x:*:42:*", false},
        {"x::42:", RECORD_GLOB, "x:*:42:*", true},
        {"x/o/42/q", RECORD_GLOB, "x/*/42/*", true},
        {"x:o::q", RECORD_GLOB, "x:*::*", true},
        {"a:b:c", RECORD_GLOB, "*", true},
        {"a:b:c", RECORD_GLOB, "**", true},
        {"a:b:c", RECORD_TYPE, "product", true},
        {"a:b:c", RECORD_TYPE, "products", false},
        {"a:b:c", RECORD_TYPE, "GET /p", false},
        {"a:b:c", RECORD_ROUTE, "GET /p", true},
        {"a:b:c", RECORD_ROUTE, "product", false},
        {"a:b:c", RECORD_TAG, "red", true},
        {"a:b:c", RECORD_TAG, "green", true},
        {"a:b:c", RECORD_TAG, "gree", false},
        {"a:b:c", RECORD_TAG, "product", false},
        {"a:b:c", RECORD_ALL, "", true},
        {"a:b:c", (enum record_kind)77, "", true}, /* unknown: everything */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum journal_verdict hard =
            after_record(rows[i].name, rows[i].kind, rows[i].text, false);
        enum journal_verdict soft =
            after_record(rows[i].name, rows[i].kind, rows[i].text, true);
        if (hard != (rows[i].match ? JOURNAL_INVALID : JOURNAL_VALID) ||
            soft != (rows[i].match ? JOURNAL_SOFT : JOURNAL_VALID)) {
            fail_msg("row %zu: %s on %s: %d %d", i, rows[i].text, rows[i].name, (int)hard,
                     (int)soft);
        }
    }
}

static void test_soft_and_hard(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    struct entry *first = make(j, "a:b", "", "", STR_NULL);
    apply(j, RECORD_NAME, "a:b", false);
    struct entry *second = make(j, "a:b", "", "", STR_NULL);
    apply(j, RECORD_NAME, "a:b", true);
    struct entry *third = make(j, "a:b", "", "", STR_NULL);
    assert_int_equal(journal_check(j, first), JOURNAL_INVALID); /* soft replaces no hard */
    assert_int_equal(journal_check(j, second), JOURNAL_SOFT);
    assert_int_equal(journal_check(j, third), JOURNAL_VALID);
    apply(j, RECORD_ALL, "", true);
    assert_int_equal(journal_check(j, first), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, third), JOURNAL_SOFT);
    assert_int_equal(stats(j).patterns, 1);
    entry_unref(first);
    entry_unref(second);
    entry_unref(third);
    journal_free(j);
    journal_free(NULL);
}

static void test_batch(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    struct entry *e = make(j, "a:b", "t", "", STR_NULL);
    assert_int_equal(journal_apply(j, NULL, 0), 0);
    struct record records[] = {{RECORD_GLOB, STR("x:*"), false},
                               {RECORD_TYPE, STR("t"), true},
                               {RECORD_TAG, STR("x"), false}};
    assert_int_equal(journal_apply(j, records, 3), 3);
    assert_int_equal(journal_stamp(j).local, 3);
    assert_int_equal(journal_check(j, e), JOURNAL_SOFT);
    struct journal_stats s = stats(j);
    assert_int_equal(s.position, 3);
    assert_int_equal(s.patterns, 3);
    assert_int_equal(s.shapes, 1);
    assert_int_equal(s.coarsened, 0);
    entry_unref(e);
    journal_free(j);
}

static void test_memo(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    struct entry *e = make(j, "a:b", "", "", STR_NULL);
    assert_int_equal(atomic_load(&e->valid_gen), 0);
    apply(j, RECORD_NAME, "other", false);
    assert_int_equal(journal_check(j, e), JOURNAL_VALID);
    uint64_t memo = atomic_load(&e->valid_gen);
    assert_true(memo != 0);
    apply(j, RECORD_NAME, "a:b", false);
    assert_int_equal(journal_check(j, e), JOURNAL_INVALID);
    assert_int_equal(atomic_load(&e->valid_gen), memo);
    entry_unref(e);
    journal_free(j);
}

static void test_epoch(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n:%d", i);
        apply(j, RECORD_NAME, name, false);
    }
    struct stamp s = journal_stamp(j);
    struct entry *e = make(j, "a:b", "", "", STR_NULL);
    assert_int_equal(journal_check(j, e), JOURNAL_VALID);
    journal_new_epoch(j);
    assert_int_equal(journal_check(j, e), JOURNAL_INVALID);
    assert_int_equal(journal_check_stamp(j, &s, STR("a:b"), STR_NULL, STR_NULL, STR_NULL),
                     JOURNAL_INVALID);
    assert_true(journal_stamp(j).epoch != s.epoch);
    assert_int_equal(stats(j).patterns, 0);
    struct entry *fresh = make(j, "a:b", "", "", STR_NULL);
    assert_int_equal(journal_check(j, fresh), JOURNAL_VALID);
    apply(j, RECORD_NAME, "a:b", false);
    assert_int_equal(journal_check(j, fresh), JOURNAL_INVALID);
    entry_unref(e);
    entry_unref(fresh);
    journal_free(j);
}

static void test_trim(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    struct entry *old = make(j, "old", "", "", STR_NULL);
    apply(j, RECORD_NAME, "a:b", false);
    struct entry *mid = make(j, "mid", "", "", STR_NULL);
    apply(j, RECORD_GLOB, "a:*", true);
    struct entry *young = make(j, "young", "", "", STR_NULL);

    journal_trim(j, 3600000); /* nothing is that old */
    assert_int_equal(stats(j).patterns, 2);
    assert_int_equal(journal_check(j, old), JOURNAL_VALID);

    journal_trim(j, -1); /* everything is: what was applied now or before */
    assert_int_equal(stats(j).patterns, 0);
    assert_int_equal(stats(j).position, 2);
    assert_int_equal(journal_check(j, old), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, mid), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, young), JOURNAL_VALID);

    apply(j, RECORD_NAME, "young", false);
    assert_int_equal(journal_check(j, young), JOURNAL_INVALID);
    entry_unref(old);
    entry_unref(mid);
    entry_unref(young);
    journal_free(j);
}

static void test_swallow(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "a:%d", i);
        apply(j, RECORD_NAME, name, i % 2 == 0);
        snprintf(name, sizeof(name), "a:%d:*", i);
        apply(j, RECORD_GLOB, name, i % 2 == 1);
        apply(j, RECORD_NAME, "a:1", false); /* the same text: one item */
    }
    apply(j, RECORD_NAME, "b:1", false);
    assert_int_equal(stats(j).patterns, 41);
    /* Swallowing goes on during the next few records. */
    apply(j, RECORD_GLOB, "a:*", true); /* soft: swallows the 20 that are soft */
    for (int i = 0; i < 10; i++) {
        apply(j, RECORD_NAME, "b:1", false);
    }
    assert_int_equal(stats(j).patterns, 41 + 1 - 20);
    apply(j, RECORD_GLOB, "a:*", false); /* hard: the rest */
    for (int i = 0; i < 10; i++) {
        apply(j, RECORD_NAME, "b:1", false);
    }
    assert_int_equal(stats(j).patterns, 2);
    apply(j, RECORD_ALL, "", false);
    assert_int_equal(stats(j).patterns, 0);
    assert_int_equal(stats(j).coarsened, 0);
    journal_free(j);
}

/* ---- bounds ------------------------------------------------------------------------------ */

static void test_max_patterns(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    struct entry *far = make(j, "other:1", "", "", STR_NULL);
    struct entry *near = make(j, "item:x", "", "", STR_NULL);
    for (int i = 0; i < 50000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "item:%d", i);
        apply(j, RECORD_NAME, name, false);
        assert_true(stats(j).patterns <= 1000);
    }
    /* Coarsened into item:*, which is no business of others. */
    assert_true(stats(j).coarsened >= 49000);
    assert_int_equal(journal_check(j, near), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, far), JOURNAL_VALID);
    /* The coarse record has the positions of the old ones: an entry younger than those lives.
     */
    struct entry *late = make(j, "item:y", "", "", STR_NULL);
    for (int i = 0; i < 500; i++) {
        char name[32];
        snprintf(name, sizeof(name), "item:%d", 60000 + i);
        apply(j, RECORD_NAME, name, false);
    }
    assert_int_equal(journal_check(j, late), JOURNAL_VALID);
    entry_unref(far);
    entry_unref(near);
    entry_unref(late);
    journal_free(j);
}

static void test_max_patterns_tags(void **state)
{
    (void)state;
    struct journal *j = journal_new(100);
    struct entry *tagged = make(j, "a", "", "", STR("mine"));
    struct entry *plain = make(j, "a", "", "", STR_NULL);
    for (int i = 0; i < 5000; i++) {
        char tag[32];
        snprintf(tag, sizeof(tag), "tag-%d", i);
        apply(j, RECORD_TAG, tag, false);
    }
    assert_true(stats(j).patterns <= 100);
    assert_int_equal(journal_check(j, tagged), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, plain), JOURNAL_VALID);
    entry_unref(tagged);
    entry_unref(plain);
    journal_free(j);
}

/* Globs that no anchor tells apart. */
static void test_full_anchor(void **state)
{
    (void)state;
    struct journal *j = journal_new(MANY);
    struct entry *hit = make(j, "x:q1q:y", "", "", STR_NULL);
    struct entry *miss = make(j, "y:q1q:y", "", "", STR_NULL);
    for (int i = 0; i < 1000; i++) {
        char glob[32];
        snprintf(glob, sizeof(glob), "x:*q%dq*:y", i);
        apply(j, RECORD_GLOB, glob, false);
    }
    assert_true(stats(j).patterns <= 100);
    assert_int_equal(journal_check(j, hit), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, miss), JOURNAL_VALID);
    entry_unref(hit);
    entry_unref(miss);
    journal_free(j);
}

static void test_long_texts(void **state)
{
    (void)state;
    struct journal *j = journal_new(16);
    char *text = xcalloc(1, 60001);
    memset(text, 'a', 60000);
    struct entry *e = make(j, text, "", "", STR_NULL);
    struct entry *other = make(j, "b", "", "", STR_NULL);
    apply(j, RECORD_NAME, text, true);
    assert_int_equal(journal_check(j, e), JOURNAL_SOFT);
    text[59999] = '*';
    apply(j, RECORD_GLOB, text, false); /* too long for a glob: its head and a star */
    assert_int_equal(journal_check(j, e), JOURNAL_INVALID);
    assert_int_equal(journal_check(j, other), JOURNAL_VALID);
    assert_int_equal(stats(j).coarsened, 1);
    for (int i = 0; i < 60000; i += 7) {
        text[i] = ':';
    }
    for (int i = 0; i < 60; i++) {
        text[59000 + i] = '\0';
        apply(j, i % 2 == 0 ? RECORD_NAME : RECORD_GLOB, text + i, false);
    }
    assert_true(stats(j).patterns <= 16);
    entry_unref(e);
    entry_unref(other);
    free(text);
    journal_free(j);
}

/* ---- cost -------------------------------------------------------------------------------- */

static double ns_since(clock_t from, unsigned n)
{
    return (double)(clock() - from) * 1e9 / CLOCKS_PER_SEC / n;
}

/* 100,000 globs of nearly 64 shapes; prints what a check costs, and bounds it generously, as
 * the machine may be busy and the build sanitized. */
static void test_cost(void **state)
{
    (void)state;
    enum { GLOBS = 100000, ENTRIES = 1000, ROUNDS = 200 };
    struct journal *j = journal_new(2 * GLOBS);
    static struct entry *entries[ENTRIES];
    for (unsigned i = 0; i < ENTRIES; i++) {
        char name[80];
        snprintf(name, sizeof(name), "agents:details:org-%u:%u:limit=20&page=1", i % 50, i);
        entries[i] = make(j, name, "agent", "GET /api/agents/{id}", STR_NULL);
    }
    clock_t from = clock();
    for (unsigned i = 0; i < GLOBS; i++) {
        static const char pad[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        char glob[100];
        snprintf(glob, sizeof(glob), i % 2 == 0 ? "agents:%06x%.*s*" : "agents:*%06x%.*s", i,
                 (int)(i / 2 % 32), pad);
        apply(j, RECORD_GLOB, glob, false);
    }
    double apply_ns = ns_since(from, GLOBS);
    struct journal_stats s = stats(j);
    from = clock();
    for (unsigned k = 0; k < ROUNDS; k++) {
        for (unsigned i = 0; i < ENTRIES; i++) {
            atomic_store_explicit(&entries[i]->valid_gen, 0, memory_order_relaxed);
            assert_true(journal_check(j, entries[i]) == JOURNAL_VALID);
        }
    }
    double full = ns_since(from, ROUNDS * ENTRIES);
    from = clock();
    for (unsigned k = 0; k < ROUNDS * 10; k++) {
        for (unsigned i = 0; i < ENTRIES; i++) {
            if (journal_check(j, entries[i]) != JOURNAL_VALID) {
                fail();
            }
        }
    }
    double memo = ns_since(from, ROUNDS * 10 * ENTRIES);
    print_message("%u globs of %u shapes: apply %.0f ns, check %.0f ns, remembered %.1f ns\n",
                  (unsigned)s.patterns, (unsigned)s.shapes, apply_ns, full, memo);
    assert_true(s.shapes > 60 && s.patterns == GLOBS);
    assert_true(full < 50000 && memo < 500);
    for (unsigned i = 0; i < ENTRIES; i++) {
        entry_unref(entries[i]);
    }
    journal_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_soft_and_hard),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_memo),
        cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_swallow),
        cmocka_unit_test(test_max_patterns),
        cmocka_unit_test(test_max_patterns_tags),
        cmocka_unit_test(test_full_anchor),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
