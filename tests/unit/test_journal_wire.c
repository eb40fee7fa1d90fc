/* cache/journal_wire: what goes out comes back, and what cannot be read means `all`. */
#include "unit.h"

#include <stdlib.h>

#include "cache/journal_wire.h"

/* Decodes into *out, whose texts point into `bytes`; released by the next call. */
static size_t decode(struct str bytes, struct record **out)
{
    static struct arena arena;
    static bool ready;
    if (ready) {
        arena_reset(&arena);
    } else {
        arena_init(&arena, NULL, 0);
        ready = true;
    }
    return journal_wire_decode(bytes, &arena, out);
}

static void assert_record(const struct record *r, enum record_kind kind, struct str text,
                          bool soft)
{
    assert_int_equal(r->kind, kind);
    assert_true(str_eq(r->text, text));
    assert_int_equal(r->soft, soft);
}

static void assert_means_all(struct str bytes)
{
    struct record *list;
    assert_int_equal(decode(bytes, &list), 1);
    assert_record(&list[0], RECORD_ALL, STR(""), false);
}

static void test_round_trip(void **state)
{
    (void)state;
    const struct record in[] = {
        {RECORD_NAME, STR("agents:id:7"), false},
        {RECORD_GLOB, STR("agents:list:*"), true},
        {RECORD_TYPE, STR("agents"), false},
        {RECORD_TAG, STR("a tag: 1:\0\n\xff"), true},
        {RECORD_ROUTE, STR("GET /x"), false},
        {RECORD_ALL, STR(""), false},
        {RECORD_ALL, STR(""), true},
        {RECORD_NAME, STR("3:"), false},
    };
    const size_t n = sizeof(in) / sizeof(in[0]);
    struct strbuf wire = {0};
    struct record *out;
    journal_wire_encode(in, n, &wire);
    assert_int_equal(decode(strbuf_str(&wire), &out), n);
    for (size_t i = 0; i < n; i++) {
        assert_record(&out[i], in[i].kind, in[i].text, in[i].soft);
    }
    strbuf_free(&wire);
}

/* The bytes are read by other versions and by people: they do not change. */
static void test_format(void **state)
{
    (void)state;
    const struct record in[] = {
        {RECORD_GLOB, STR("agents:*"), false}, {RECORD_NAME, STR("n"), true},
        {RECORD_TYPE, STR("t"), false},        {RECORD_TAG, STR("k"), false},
        {RECORD_ROUTE, STR("r"), false},       {RECORD_ALL, STR(""), true},
    };
    struct strbuf wire = {0};
    journal_wire_encode(in, 6, &wire);
    assert_true(str_eq(strbuf_str(&wire), STR("gh8:agents:*ns1:nth1:tkh1:krh1:ras0:")));
    strbuf_free(&wire);
}

static void test_nothing(void **state)
{
    (void)state;
    struct record *list;
    struct strbuf wire = {0};
    journal_wire_encode(NULL, 0, &wire);
    assert_int_equal(wire.n, 0);
    assert_int_equal(decode(STR(""), &list), 0);
    assert_int_equal(decode(STR_NULL, &list), 0);
}

/* Cut anywhere within a record, and it means all; what came before does not count. */
static void test_torn(void **state)
{
    (void)state;
    const struct record in[] = {{RECORD_NAME, STR("agents:id:7"), false},
                                {RECORD_GLOB, STR("agents:list:*"), true}};
    struct strbuf wire = {0};
    struct record *list;
    journal_wire_encode(in, 1, &wire);
    size_t first = wire.n;
    journal_wire_encode(in + 1, 1, &wire);
    for (size_t n = 1; n < wire.n; n++) {
        if (n == first) {
            assert_int_equal(decode(str_make(wire.p, n), &list), 1);
            assert_record(&list[0], RECORD_NAME, in[0].text, false);
        } else {
            assert_means_all(str_make(wire.p, n));
        }
    }
    strbuf_free(&wire);
}

static void test_what_makes_no_sense(void **state)
{
    (void)state;
    assert_means_all(STR("x"));
    assert_means_all(STR(":"));
    assert_means_all(STR("gh:abc"));
    assert_means_all(STR("gh-1:abc"));
    assert_means_all(STR("gh+1:abc"));
    assert_means_all(STR("gh 1:a"));
    assert_means_all(STR("gh4:abc"));
    assert_means_all(STR("gh99999999999999999999999:abc"));
    assert_means_all(STR("gh18446744073709551615:abc"));
    assert_means_all(STR("gh3:abcd"));
    assert_means_all(STR("gh3:abc\n"));
}

/* Of another version: a kind or a hardness that is not known here. */
static void test_unknown_kinds_mean_all(void **state)
{
    (void)state;
    struct record *list;
    assert_means_all(STR("zh3:abc"));
    assert_means_all(STR("zs3:abc"));
    assert_int_equal(decode(STR("zs3:abcns1:x"), &list), 2);
    assert_record(&list[0], RECORD_ALL, STR(""), false);
    assert_record(&list[1], RECORD_NAME, STR("x"), true);
    assert_int_equal(decode(STR("gx3:a:*"), &list), 1);
    assert_record(&list[0], RECORD_GLOB, STR("a:*"), false);
}

static void test_too_many_become_all(void **state)
{
    (void)state;
    static struct record many[JOURNAL_RECORDS_MAX + 1];
    struct strbuf wire = {0};
    struct record *list;
    for (size_t i = 0; i <= JOURNAL_RECORDS_MAX; i++) {
        many[i] = (struct record){RECORD_NAME, STR("n"), true};
    }
    journal_wire_encode(many, JOURNAL_RECORDS_MAX, &wire);
    assert_int_equal(decode(strbuf_str(&wire), &list), JOURNAL_RECORDS_MAX);
    assert_record(&list[JOURNAL_RECORDS_MAX - 1], RECORD_NAME, STR("n"), true);
    strbuf_add_str(&wire, STR("ns1:n"));
    assert_means_all(strbuf_str(&wire));
    wire.n = 0;
    journal_wire_encode(many, JOURNAL_RECORDS_MAX + 1, &wire);
    assert_true(str_eq(strbuf_str(&wire), STR("ah0:")));
    strbuf_free(&wire);
}

static void test_too_long_becomes_all(void **state)
{
    (void)state;
    char *text = calloc(1, JOURNAL_WIRE_MAX);
    struct record in[] = {{RECORD_NAME, STR("first"), false},
                          {RECORD_NAME, str_make(text, JOURNAL_WIRE_MAX), false},
                          {RECORD_NAME, STR("last"), false}};
    struct strbuf wire = {0};
    strbuf_add_str(&wire, STR("before"));
    journal_wire_encode(in, 3, &wire);
    assert_true(str_eq(strbuf_str(&wire), STR("beforeah0:")));
    strbuf_free(&wire);
    free(text);
}

/* ---- intents ----------------------------------------------------------------------------- */

static void test_intent_round_trip(void **state)
{
    (void)state;
    const struct journal_intent odd = {STR("\0:7"), 1, STR("ns1:\0")};
    const struct journal_intent in = {STR("0123456789abcdef:7"), 40000, STR("gh3:a:*ns1: ")};
    struct journal_intent out;
    struct strbuf wire = {0};
    journal_wire_encode_intent(&in, &wire);
    assert_true(str_eq(strbuf_str(&wire), STR("0123456789abcdef:7 40000 gh3:a:*ns1: ")));
    assert_true(journal_wire_decode_intent(strbuf_str(&wire), &out));
    assert_true(str_eq(out.mid, in.mid) && str_eq(out.records, in.records));
    assert_int_equal(out.deadline, 40000);
    wire.n = 0;
    journal_wire_encode_intent(&odd, &wire);
    assert_true(journal_wire_decode_intent(strbuf_str(&wire), &out));
    assert_true(str_eq(out.mid, odd.mid) && str_eq(out.records, odd.records));
    strbuf_free(&wire);
}

static void test_intent_limits(void **state)
{
    (void)state;
    static const char longest[] =
        "0123456789012345678901234567890123456789012345678901234567890123 691200000 ";
    struct journal_intent out;
    assert_true(journal_wire_decode_intent(str_from(longest), &out));
    assert_int_equal(out.mid.n, JOURNAL_MID_MAX);
    assert_int_equal(out.records.n, 0);
    assert_true(journal_wire_decode_intent(STR("m 1 "), &out));
    static const char *const bad[] = {
        "",       " ",
        "m",      "m ",
        "m 1",    " 1 ",
        "m 0 ",   "m -1 ",
        "m 1s ",  "m 691200001 ",
        "m  ",    "m 18446744073709551616 ",
        "m x ",   "m +1 x",
        "m 1.5 ", "01234567890123456789012345678901234567890123456789012345678901234 1 ",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (journal_wire_decode_intent(str_from(bad[i]), &out)) {
            fail_msg("taken: \"%s\"", bad[i]);
        }
    }
    assert_false(journal_wire_decode_intent(STR_NULL, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_what_makes_no_sense),
        cmocka_unit_test(test_unknown_kinds_mean_all),
        cmocka_unit_test(test_too_many_become_all),
        cmocka_unit_test(test_too_long_becomes_all),
        cmocka_unit_test(test_intent_round_trip),
        cmocka_unit_test(test_intent_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
