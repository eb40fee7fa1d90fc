/*
 * cache/journal in stream mode: records in the order of a Redis stream, stamps of other nodes,
 * writes applied here while Redis is away, epochs and horizons.
 */
#include "unit.h"

#include "cache/journal.h"

static enum journal_verdict verdict(struct journal *j, const struct stamp *s, const char *name)
{
    return journal_check_stamp(j, s, str_from(name), STR(""), STR(""), STR(""));
}

static struct record glob(const char *text)
{
    return (struct record){.kind = RECORD_GLOB, .text = str_from(text)};
}

/* A stamp as it comes from another node: without a local position. */
static struct stamp foreign(const struct journal *j, uint64_t epoch, uint64_t seq)
{
    struct stamp s = {.epoch = epoch, .seq = seq};
    journal_adopt_stamp(j, &s);
    return s;
}

static void test_order_of_the_stream(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp before = journal_stamp(j);
    assert_int_equal(before.epoch, 77);
    assert_int_equal(before.seq, 10);
    struct record r = glob("a:*");
    journal_stream_apply(j, 11, &r, 1);
    assert_int_equal(verdict(j, &before, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &before, "b:1"), JOURNAL_VALID);
    struct stamp after = journal_stamp(j);
    assert_int_equal(after.seq, 11);
    assert_int_equal(verdict(j, &after, "a:1"), JOURNAL_VALID);
    journal_free(j);
}

static void test_stamps_of_other_nodes(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    const struct record both[] = {glob("a:*"), glob("b:*")};
    journal_stream_apply(j, 11, both, 2);
    struct stamp old = foreign(j, 77, 10), same = foreign(j, 77, 11),
                 ahead = foreign(j, 77, 15);
    assert_int_equal(verdict(j, &old, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &old, "b:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &same, "a:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &same, "b:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &ahead, "a:1"), JOURNAL_VALID);
    struct record r = glob("a:*");
    journal_stream_apply(j, 16, &r, 1);
    assert_int_equal(verdict(j, &ahead, "a:1"), JOURNAL_INVALID);
    journal_free(j);
}

static void test_local_records_between(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp own_before = journal_stamp(j);
    struct record r = glob("a:*");
    journal_apply(j, &r, 1); /* Redis is away: here at once */
    struct stamp own_after = journal_stamp(j);
    struct stamp theirs = foreign(j, 77, 10);
    assert_int_equal(verdict(j, &own_before, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &own_after, "a:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &theirs, "a:1"), JOURNAL_INVALID);
    journal_stream_apply(j, 11, &r, 1); /* it has reached the stream */
    assert_int_equal(verdict(j, &own_after, "a:1"), JOURNAL_INVALID);
    theirs = foreign(j, 77, 11);
    assert_int_equal(verdict(j, &theirs, "a:1"), JOURNAL_VALID);
    journal_free(j);
}

static void test_epoch_and_horizon(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    struct stamp memory = journal_stamp(j);
    journal_stream_epoch(j, 77, 10);
    struct stamp s = journal_stamp(j);
    assert_int_equal(verdict(j, &memory, "x"), JOURNAL_UNVERIFIED);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_VALID);
    journal_stream_epoch(j, 78, 12);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_UNVERIFIED);
    struct stamp old = foreign(j, 78, 5), young = foreign(j, 78, 12);
    assert_int_equal(verdict(j, &old, "x"), JOURNAL_VALID);
    journal_stream_horizon(j, 6);
    assert_int_equal(verdict(j, &old, "x"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &young, "x"), JOURNAL_VALID);
    journal_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_the_stream),
        cmocka_unit_test(test_stamps_of_other_nodes),
        cmocka_unit_test(test_local_records_between),
        cmocka_unit_test(test_epoch_and_horizon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
