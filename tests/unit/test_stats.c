/*
 * flow/stats: labels that outlive configurations, sums over workers, reasons for missing
 * identities, and a reader beside workers that make their cells.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "config.h"
#include "flow/stats.h"

static struct settings *parse(const char *text)
{
    struct config_report report = {0};
    struct settings *s = config_parse("test", str_from(text), &report);
    strbuf_free(&report.text);
    assert_non_null(s);
    return s;
}

#define HEAD    "upstream u http://127.0.0.1:1\ndefaults { upstream u }\n"
#define ROUTE_A "route GET /a { scope public; ttl 1m }\n"

static uint32_t label_of(const struct stats *s, const char *site, const char *label)
{
    for (uint32_t i = 0; i < stats_labels(s); i++) {
        if (str_eq(stats_label(s, i)->label, str_from(label)) &&
            str_eq(stats_label(s, i)->site, str_from(site))) {
            return i;
        }
    }
    fail_msg("no label %s", label);
    return 0;
}

static void routes_have_numbers(void **state)
{
    (void)state;
    struct settings *s =
        parse(HEAD ROUTE_A "route GET /b { scope public; ttl 1m }\n"
                           "host b.example { route GET /c { scope public; ttl 1m } }");
    assert_int_equal(s->n_numbers, 6);
    assert_int_equal(s->sites[0].routes[0].number, 1);
    assert_int_equal(s->sites[0].routes[1].number, 2);
    assert_int_equal(s->sites[0].fallback.number, 3);
    assert_int_equal(s->sites[1].routes[0].number, 4);
    assert_int_equal(s->sites[1].fallback.number, 5);
    settings_unref(s);
}

static void sums_add_up_over_workers_and_reloads(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct stats_worker *w1 = stats_worker_new(s), *w2 = stats_worker_new(s);
    struct settings *one = parse(HEAD ROUTE_A),
                    *two = parse(HEAD "route GET /n { scope public; "
                                      "ttl 1m }\n" ROUTE_A);
    struct stats_map m1, m2;
    stats_map_init(&m1, s, one);
    uint32_t a = label_of(s, "", "GET /a");
    assert_int_equal(m1.labels[1], a);
    counter_add(&stats_cell(w1, a)->counts[STATS_MISS], 3);
    counter_add(&stats_cell(w2, a)->counts[STATS_MISS], 4);
    stats_map_init(&m2, s, two);
    assert_int_equal(m2.labels[2], a);
    assert_int_not_equal(m2.labels[1], a);
    counter_add(&stats_cell(w2, m2.labels[2])->counts[STATS_MISS], 1);
    assert_int_equal(stats_route_sum(s, a, STATS_MISS), 8);
    assert_int_equal(stats_route_sum(s, a, STATS_HIT), 0);
    assert_false(stats_label_used(s, m2.labels[1]));
    assert_true(stats_label_used(s, a));
    stats_map_fini(&m1);
    stats_map_fini(&m2);
    settings_unref(one);
    settings_unref(two);
    stats_free(s);
}

static void plain_hits_count_four_times(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct stats_cell *c = stats_cell(stats_worker_new(s), 0);
    counter_add(&c->plain, 5);
    counter_add(&c->counts[STATS_HIT], 2);
    assert_int_equal(stats_route_sum(s, 0, STATS_HIT), 7);
    assert_int_equal(stats_route_sum(s, 0, STATS_HIT_L1), 5);
    assert_int_equal(stats_route_sum(s, 0, STATS_STATUS_2XX), 5);
    assert_int_equal(stats_route_sum(s, 0, STATS_SAVED), 5);
    assert_int_equal(stats_route_sum(s, 0, STATS_MISS), 0);
    stats_free(s);
}

static void sites_and_types_are_told_apart(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct settings *c =
        parse(HEAD "type t { scope public; ttl 1m }\nroute GET /a { type t }\n"
                   "host b.example c.example { route GET /a { scope public; ttl 1m } }");
    struct stats_map m;
    stats_map_init(&m, s, c);
    uint32_t top = label_of(s, "", "GET /a"), host = label_of(s, "b.example", "GET /a");
    assert_int_not_equal(top, host);
    assert_true(str_eq(stats_label(s, top)->type, STR("t")));
    assert_int_equal(stats_label(s, host)->type.n, 0);
    assert_int_not_equal(label_of(s, "", "(no route)"), label_of(s, "b.example", "(no route)"));
    stats_map_fini(&m);
    settings_unref(c);
    stats_free(s);
}

static void missing_identities_keep_their_words(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    struct settings *one = parse(HEAD "identity org header=X-Org trusted=127.0.0.1\n"
                                      "identity user header=X-User trusted=127.0.0.1\n");
    struct settings *two = parse(HEAD "identity user header=X-User trusted=127.0.0.1\n");
    struct stats_map m1, m2;
    stats_map_init(&m1, s, one);
    stats_map_init(&m2, s, two);
    assert_int_equal(m1.missing[1], m2.missing[0]);
    assert_true(str_eq(stats_reason_word(s, REASON_COUNT + m1.missing[0]), STR("no-org")));
    assert_true(str_eq(stats_reason_word(s, REASON_COUNT + m2.missing[0]), STR("no-user")));
    assert_int_equal(stats_reason_word(s, STATS_REASONS - 1).n, 0);
    assert_true(str_eq(stats_reason_word(s, REASON_QUERY), STR("query")));
    stats_map_fini(&m1);
    stats_map_fini(&m2);
    settings_unref(one);
    settings_unref(two);
    stats_free(s);
}

static void labels_are_bounded(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    for (int round = 0; stats_labels(s) < STATS_LABELS_MAX; round++) {
        struct strbuf text = {0};
        strbuf_add_str(&text, STR(HEAD));
        for (int i = 0; i < 2000; i++) {
            strbuf_addf(&text, "route GET /%d/%d { scope public; ttl 1m }\n", round, i);
        }
        strbuf_add_char(&text, '\0');
        struct settings *c = parse(text.p);
        struct stats_map m;
        stats_map_init(&m, s, c);
        if (stats_labels(s) == STATS_LABELS_MAX) {
            assert_int_equal(m.labels[2000], 1);
            assert_true(str_eq(stats_label(s, 1)->label, STR("(others)")));
        }
        stats_map_fini(&m);
        settings_unref(c);
        strbuf_free(&text);
    }
    assert_int_equal(stats_labels(s), STATS_LABELS_MAX);
    stats_free(s);
}

#define ROUNDS 3000

static void *work(void *arg)
{
    struct stats_worker *w = arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct stats_cell *c = stats_cell(w, i % 700);
        counter_add(&c->counts[STATS_MISS], 1);
        stats_time(c, STATS_TIME_MISS, i);
    }
    return NULL;
}

static uint64_t count_all(const struct stats *s, uint64_t *timed)
{
    uint64_t n = 0;
    static struct histogram h;
    memset(&h, 0, sizeof(h));
    for (uint32_t i = 0; i < 700; i++) {
        n += stats_route_sum(s, i, STATS_MISS);
        (void)stats_times_sum(s, i, STATS_TIME_MISS, &h);
    }
    *timed = histogram_count(&h);
    return n;
}

static void a_reader_sees_cells_in_the_making(void **state)
{
    (void)state;
    struct stats *s = stats_new();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, stats_worker_new(s)), 0);
    }
    uint64_t before = 0, now, timed;
    do {
        now = count_all(s, &timed);
        assert_true(now >= before);
        before = now;
    } while (now < 2 * ROUNDS);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(count_all(s, &timed), 2 * ROUNDS);
    assert_int_equal(timed, 2 * ROUNDS);
    stats_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_have_numbers),
        cmocka_unit_test(sums_add_up_over_workers_and_reloads),
        cmocka_unit_test(plain_hits_count_four_times),
        cmocka_unit_test(sites_and_types_are_told_apart),
        cmocka_unit_test(missing_identities_keep_their_words),
        cmocka_unit_test(labels_are_bounded),
        cmocka_unit_test(a_reader_sees_cells_in_the_making),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
