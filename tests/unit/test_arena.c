/*
 * The arena: alignment, growth, the owner's first chunk, reset, and sizes nobody can mean.
 */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"

static void assert_aligned(const void *p)
{
    assert_int_equal((uintptr_t)p % 16, 0);
}

static void test_without_first_chunk(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0);
    arena_reset(&a); /* nothing was used yet */
    char *none = arena_alloc(&a, 0);
    assert_non_null(none);
    char *p = arena_alloc(&a, 1);
    char *q = arena_alloc(&a, 1);
    assert_aligned(p);
    assert_aligned(q);
    assert_ptr_not_equal(p, q);
    arena_reset(&a);
}

static void test_first_chunk_is_used_first(void **state)
{
    (void)state;
    _Alignas(16) char first[100]; /* not a multiple of the alignment */
    struct arena a;
    arena_init(&a, first, sizeof(first));
    for (int i = 0; i < 6; i++) { /* 6 * 16 = 96 */
        char *p = arena_alloc(&a, 10);
        assert_ptr_equal(p, first + i * 16);
        memset(p, 'x', 10);
    }
    assert_null(a.chunks);
    char *p = arena_alloc(&a, 4); /* 4 bytes are left, but no 16 */
    assert_true(p < first || p >= first + sizeof(first));
    assert_aligned(p);
    arena_reset(&a);
    assert_null(a.chunks);
    assert_ptr_equal(arena_alloc(&a, 10), first);
    arena_reset(&a);
}

/* Each allocation is filled; nothing may overlap. */
static void test_growth(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static unsigned char *at[COUNT];
    static size_t size[COUNT];
    struct arena a;
    arena_init(&a, NULL, 0);
    for (size_t i = 0; i < COUNT; i++) {
        size[i] = i % 500 == 499 ? 100000 : i * 7 % 300;
        at[i] = arena_alloc(&a, size[i]);
        assert_aligned(at[i]);
        memset(at[i], (int)(i % 251), size[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < size[i]; k++) {
            if (at[i][k] != i % 251) {
                fail_msg("allocation %zu was overwritten at %zu", i, k);
            }
        }
    }
    arena_reset(&a);
}

static void test_larger_than_any_chunk(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, NULL, 0);
    size_t n = 3u << 20;
    char *p = arena_alloc(&a, n);
    memset(p, 1, n);
    char *q = arena_alloc(&a, 100);
    memset(q, 2, 100);
    assert_int_equal(p[n - 1], 1);
    arena_reset(&a);
}

static void test_zalloc_dup_printf(void **state)
{
    (void)state;
    struct arena a;
    _Alignas(16) char first[64];
    memset(first, 'j', sizeof(first));
    arena_init(&a, first, sizeof(first));
    static const char zeroes[48];
    assert_memory_equal(arena_zalloc(&a, 48), zeroes, 48);
    struct str s = arena_dup(&a, STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    s = arena_dup(&a, STR_NULL);
    assert_int_equal(s.n, 0);
    assert_string_equal(s.p, "");
    s = arena_printf(&a, "%s-%d", "x", 42);
    assert_string_equal(s.p, "x-42");
    assert_int_equal(s.n, 4);
    s = arena_printf(&a, "%*s", 20000, "x");
    assert_int_equal(s.n, 20000);
    assert_int_equal(strlen(s.p), 20000);
    arena_reset(&a);
}

/* A size near SIZE_MAX must end the process, never wrap around to a small block. */
static void test_impossible_sizes_abort(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 40};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO); /* the message, and ASan's, are not wanted here */
            struct arena a;
            arena_init(&a, NULL, 0);
            char *p = arena_alloc(&a, sizes[i]);
            _exit(p != NULL ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        bool survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        assert_false(survived);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_first_chunk),
        cmocka_unit_test(test_first_chunk_is_used_first),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_larger_than_any_chunk),
        cmocka_unit_test(test_zalloc_dup_printf),
        cmocka_unit_test(test_impossible_sizes_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
