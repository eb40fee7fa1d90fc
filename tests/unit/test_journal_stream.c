/*
 * cache/journal in stream mode: records in the order of a Redis stream, stamps of other nodes,
 * writes applied here while Redis is away, epochs, what came before them, and the end of a
 * block of positions.
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

static void stream(struct journal *j, uint64_t seq, const char *text)
{
    struct record r = glob(text);
    journal_stream_apply(j, seq, &r, 1);
}

static void local(struct journal *j, const char *text)
{
    struct record r = glob(text);
    journal_apply(j, &r, 1);
}

/* A stamp as it comes from another node, read from Redis after `asked`. */
static struct stamp foreign_since(const struct journal *j, uint64_t epoch, uint64_t seq,
                                  struct stamp asked)
{
    struct stamp s = {.epoch = epoch, .seq = seq};
    journal_adopt_stamp(j, &s, &asked);
    return s;
}

static struct stamp foreign(const struct journal *j, uint64_t epoch, uint64_t seq)
{
    return foreign_since(j, epoch, seq, journal_stamp(j));
}

static void test_order_of_the_stream(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp before = journal_stamp(j);
    assert_int_equal(before.epoch, 77);
    assert_int_equal(before.seq, 10);
    stream(j, 11, "a:*");
    assert_int_equal(verdict(j, &before, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &before, "b:1"), JOURNAL_VALID);
    struct stamp after = journal_stamp(j);
    assert_int_equal(after.seq, 11);
    assert_int_equal(journal_seq(j), 11);
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
    struct stamp old = foreign(j, 77, 10), same = foreign(j, 77, 11);
    assert_int_equal(verdict(j, &old, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &old, "b:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &old, "c:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &same, "a:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &same, "b:1"), JOURNAL_VALID);
    stream(j, 12, "b:*");
    assert_int_equal(verdict(j, &same, "a:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &same, "b:1"), JOURNAL_INVALID);
    journal_free(j);
}

/* A node that is ahead: its stamp counts from what is known here, which refuses too much once
 * the records in between arrive, and never too little. */
static void test_stamps_from_ahead(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp ahead = foreign(j, 77, 15), absurd = foreign(j, 77, UINT64_MAX);
    assert_int_equal(verdict(j, &ahead, "a:1"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &absurd, "a:1"), JOURNAL_VALID);
    stream(j, 11, "a:*");
    assert_int_equal(verdict(j, &ahead, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &absurd, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &ahead, "b:1"), JOURNAL_VALID);
    journal_free(j);
}

static void test_local_records_between(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp own_before = journal_stamp(j);
    local(j, "a:*"); /* Redis is away: here at once */
    struct stamp own_after = journal_stamp(j);
    assert_int_equal(own_after.seq, 10);
    assert_int_equal(verdict(j, &own_before, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &own_after, "a:1"), JOURNAL_VALID);
    stream(j, 11, "a:*"); /* it has reached the stream */
    assert_int_equal(verdict(j, &own_after, "a:1"), JOURNAL_INVALID);
    struct stamp theirs = foreign(j, 77, 10);
    assert_int_equal(verdict(j, &theirs, "a:1"), JOURNAL_INVALID);
    theirs = foreign(j, 77, 11);
    assert_int_equal(verdict(j, &theirs, "a:1"), JOURNAL_VALID);
    journal_free(j);
}

/* An entry read from Redis before a write that is known only here is refused, however new its
 * stamp is in the stream's order. */
static void test_a_local_record_beats_entries_read_before_it(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp asked = journal_stamp(j);
    struct stamp taken = foreign_since(j, 77, 14, asked);
    local(j, "a:*");
    struct stamp late = foreign_since(j, 77, 14, asked);
    assert_int_equal(verdict(j, &taken, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &late, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &late, "b:1"), JOURNAL_VALID);
    for (uint64_t seq = 11; seq <= 14; seq++) {
        stream(j, seq, "c:*");
    }
    assert_int_equal(verdict(j, &taken, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &late, "a:1"), JOURNAL_INVALID);
    journal_free(j);
}

static void test_epochs(void **state)
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
    struct stamp other = foreign(j, 77, 10);
    assert_int_equal(verdict(j, &other, "x"), JOURNAL_UNVERIFIED);
    struct stamp old = foreign(j, 78, 11), young = foreign(j, 78, 12);
    assert_int_equal(verdict(j, &old, "x"), JOURNAL_UNVERIFIED);
    assert_int_equal(verdict(j, &young, "x"), JOURNAL_VALID);
    journal_free(j);
}

/* A new epoch may count from less than what this node has seen: its stamps are of use to others
 * from the first record on, and positions rise all the same. */
static void test_an_epoch_that_counts_from_less(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 100);
    stream(j, 101, "a:*");
    struct stamp s77 = journal_stamp(j);
    journal_stream_epoch(j, 78, 95);
    struct stamp s78 = journal_stamp(j);
    assert_int_equal(s78.seq, 95);
    assert_true(s78.local > s77.local);
    stream(j, 96, "b:*");
    assert_int_equal(journal_stamp(j).seq, 96);
    assert_int_equal(verdict(j, &s78, "b:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &s78, "a:1"), JOURNAL_VALID);
    struct stamp before = foreign(j, 78, 95), after = foreign(j, 78, 96);
    assert_int_equal(verdict(j, &before, "b:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &after, "b:1"), JOURNAL_VALID);
    journal_free(j);
}

/* Back in an epoch left before (an old master came back), or behind records that were trimmed:
 * nothing from before is trusted, not even under the same id. */
static void test_the_same_epoch_again(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp first = journal_stamp(j);
    struct stamp asked = journal_stamp(j);
    journal_stream_epoch(j, 78, 3);
    journal_stream_epoch(j, 77, 10);
    assert_int_equal(verdict(j, &first, "x"), JOURNAL_UNVERIFIED);
    struct stamp late = foreign_since(j, 77, 10, asked);
    assert_int_equal(verdict(j, &late, "x"), JOURNAL_UNVERIFIED);
    struct stamp now = journal_stamp(j);
    assert_int_equal(verdict(j, &now, "x"), JOURNAL_VALID);
    journal_free(j);
}

/* What was hard-invalidated stays so in a new epoch; the rest becomes unverified. */
static void test_invalid_outlives_the_epoch(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp s = journal_stamp(j);
    stream(j, 11, "a:*");
    struct record soft = {.kind = RECORD_GLOB, .text = STR("b:*"), .soft = true};
    journal_stream_apply(j, 12, &soft, 1);
    journal_stream_epoch(j, 78, 12);
    assert_int_equal(verdict(j, &s, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &s, "b:1"), JOURNAL_UNVERIFIED);
    assert_int_equal(verdict(j, &s, "c:1"), JOURNAL_UNVERIFIED);
    journal_free(j);
}

/* "Everything stored so far" while following: no new epoch, which is not this node's alone. */
static void test_all_of_one_node(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp s = journal_stamp(j);
    journal_new_epoch(j);
    struct stamp theirs = foreign(j, 77, 9), now = journal_stamp(j);
    assert_int_equal(now.epoch, 77);
    assert_int_equal(now.seq, 10);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_INVALID);
    assert_int_not_equal(verdict(j, &theirs, "x"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &now, "x"), JOURNAL_VALID);
    stream(j, 11, "a:*");
    assert_int_equal(verdict(j, &now, "a:1"), JOURNAL_INVALID);
    theirs = foreign(j, 77, 11);
    assert_int_equal(verdict(j, &theirs, "a:1"), JOURNAL_VALID);
    journal_free(j);
}

/* More records between two of the stream than a block has positions for. */
static void test_more_local_records_than_a_block_holds(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    journal_stream_epoch(j, 77, 10);
    struct stamp start = journal_stamp(j), middle = start;
    struct record r = {.kind = RECORD_NAME, .text = STR("a:1")};
    const size_t many = ((size_t)1 << JOURNAL_LOCAL_BITS) + 5000;
    for (size_t i = 0; i < many; i++) {
        journal_apply(j, &r, 1);
        if (i == many / 2) {
            middle = journal_stamp(j);
        }
    }
    struct stamp end = journal_stamp(j);
    assert_int_equal(end.seq, 10);
    assert_int_equal(verdict(j, &start, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &middle, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &end, "a:1"), JOURNAL_VALID);
    local(j, "a:*");
    assert_int_equal(verdict(j, &end, "a:1"), JOURNAL_INVALID);
    end = journal_stamp(j);
    const struct record both[] = {glob("b:*"), glob("c:*")};
    journal_stream_apply(j, 11, both, 2);
    assert_true(journal_stamp(j).local > end.local);
    assert_int_equal(verdict(j, &end, "b:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &end, "c:1"), JOURNAL_INVALID);
    struct stamp old = foreign(j, 77, 9), theirs = foreign(j, 77, 11);
    assert_int_not_equal(verdict(j, &old, "x"), JOURNAL_VALID);
    assert_int_equal(verdict(j, &theirs, "b:1"), JOURNAL_VALID);
    journal_free(j);
}

static void test_more_records_than_an_entry_holds(void **state)
{
    (void)state;
    struct journal *j = journal_new(1000);
    static struct record many[JOURNAL_RECORDS_MAX + 1];
    for (size_t i = 0; i < JOURNAL_RECORDS_MAX + 1; i++) {
        many[i] = glob("a:*");
    }
    journal_stream_epoch(j, 77, 10);
    struct stamp s = journal_stamp(j);
    journal_stream_apply(j, 11, many, JOURNAL_RECORDS_MAX);
    assert_int_equal(verdict(j, &s, "a:1"), JOURNAL_INVALID);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_VALID);
    journal_stream_apply(j, 12, many, JOURNAL_RECORDS_MAX + 1);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_INVALID);
    s = journal_stamp(j);
    journal_apply(j, many, JOURNAL_RECORDS_MAX + 1);
    assert_int_equal(verdict(j, &s, "x"), JOURNAL_INVALID);
    journal_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_the_stream),
        cmocka_unit_test(test_stamps_of_other_nodes),
        cmocka_unit_test(test_stamps_from_ahead),
        cmocka_unit_test(test_local_records_between),
        cmocka_unit_test(test_a_local_record_beats_entries_read_before_it),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_an_epoch_that_counts_from_less),
        cmocka_unit_test(test_the_same_epoch_again),
        cmocka_unit_test(test_invalid_outlives_the_epoch),
        cmocka_unit_test(test_all_of_one_node),
        cmocka_unit_test(test_more_local_records_than_a_block_holds),
        cmocka_unit_test(test_more_records_than_an_entry_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
