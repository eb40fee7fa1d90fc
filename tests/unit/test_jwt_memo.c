/*
 * cache/jwt_memo: what is remembered of a token, for whom, how it is displaced, and that each
 * thread's table goes with the thread (LeakSanitizer sees the rest).
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#include "cache/jwt_memo.h"

static struct jwt_memo_key key_of(const char *token, uint64_t generation)
{
    struct jwt_memo_key key;
    jwt_memo_key(str_from(token), generation, &key);
    return key;
}

static void store(const struct jwt_memo_key *key, bool verified, struct str value)
{
    struct jwt_memo memo = {
        .verified = verified,
        .not_before = 5,
        .expires = 9,
        .known = value.n > 0 ? 1u << 3 : 0,
        .values = &value,
    };
    jwt_memo_store(key, &memo);
}

static void test_remembers(void **state)
{
    (void)state;
    struct jwt_memo_key key = key_of("header.payload.signature", 1);
    assert_null(jwt_memo_find(&key));
    char text[] = "org-1";
    struct str values[2] = {str_from(text), STR("")};
    struct jwt_memo memo = {
        .verified = true,
        .not_before = 5,
        .expires = 9,
        .known = 1u << 7 | 1u << 31,
        .values = values,
    };
    jwt_memo_store(&key, &memo);
    memset(text, 'x', sizeof(text)); /* the table has its own copy */
    const struct jwt_memo *found = jwt_memo_find(&key);
    assert_non_null(found);
    assert_true(found->verified);
    assert_int_equal(found->not_before, 5);
    assert_int_equal(found->expires, 9);
    assert_int_equal(found->known, 1u << 7 | 1u << 31);
    assert_true(str_eq(found->values[0], STR("org-1")));
    assert_true(str_eq(found->values[1], STR("")));
}

static void test_another_token_or_key_set(void **state)
{
    (void)state;
    struct jwt_memo_key key = key_of("a.b.c", 10);
    store(&key, true, STR("v"));
    struct jwt_memo_key others[] = {
        key_of("a.b.c", 11),
        key_of("a.b.d", 10),
        key_of("a.b.", 10),
        key_of("a.b.cc", 10),
        key_of("", 10),
        key,
        key,
        key,
    };
    others[5].low ^= UINT64_C(1) << 63;
    others[6].high ^= 1;
    others[7].length++;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_null(jwt_memo_find(&others[i]));
    }
    assert_non_null(jwt_memo_find(&key));
    struct jwt_memo_key again = key_of("a.b.c", 10);
    assert_memory_equal(&again, &key, sizeof(key));
}

/* A key that falls into the same set as `of`. */
static struct jwt_memo_key neighbour(const struct jwt_memo_key *of, uint64_t n)
{
    struct jwt_memo_key key = *of;
    key.high += n;
    return key;
}

static void test_displacement(void **state)
{
    (void)state;
    struct jwt_memo_key a = key_of("good", 20);
    struct jwt_memo_key b = neighbour(&a, 1);
    struct jwt_memo_key c = neighbour(&a, 2);
    store(&a, true, STR("A"));
    store(&b, true, STR("B"));
    assert_non_null(jwt_memo_find(&a));
    assert_non_null(jwt_memo_find(&b));
    /* The one that was used longer ago gives way. */
    assert_non_null(jwt_memo_find(&a));
    store(&c, true, STR("C"));
    assert_non_null(jwt_memo_find(&c));
    assert_non_null(jwt_memo_find(&a));
    assert_null(jwt_memo_find(&b));

    /* A flood of refused tokens never displaces the good one that was used last. */
    for (uint64_t i = 3; i < 100; i++) {
        struct jwt_memo_key forged = neighbour(&a, i);
        store(&forged, false, STR_NULL);
        const struct jwt_memo *found = jwt_memo_find(&forged);
        assert_non_null(found);
        assert_false(found->verified);
    }
    const struct jwt_memo *found = jwt_memo_find(&a);
    assert_non_null(found);
    assert_true(str_eq(found->values[0], STR("A")));
}

static void *fill(void *arg)
{
    const struct jwt_memo_key *main_key = arg;
    bool foreign = jwt_memo_find(main_key) != NULL;
    for (int i = 0; i < 5000; i++) {
        char token[32];
        snprintf(token, sizeof(token), "token-%d", i);
        struct jwt_memo_key key = key_of(token, 30);
        store(&key, true, str_from(token));
        const struct jwt_memo *found = jwt_memo_find(&key);
        if (found == NULL || !str_eq(found->values[0], str_from(token))) {
            return arg;
        }
    }
    return foreign ? arg : NULL;
}

static void test_one_table_per_thread(void **state)
{
    (void)state;
    struct jwt_memo_key key = key_of("main thread", 30);
    store(&key, true, STR("v"));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fill, &key), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *wrong = &key;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_non_null(jwt_memo_find(&key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_another_token_or_key_set),
        cmocka_unit_test(test_displacement),
        cmocka_unit_test(test_one_table_per_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
