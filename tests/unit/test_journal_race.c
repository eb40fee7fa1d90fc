/*
 * cache/journal with cache/l1 under threads (run it with DEBUG=tsan too). The origin is a
 * version number for each name. A writer raises it, applies a record that matches the name, and
 * only then acknowledges the version. Whoever saw the acknowledgement must never again get a
 * valid entry with an older version, whenever the fetch that made the entry began or ended.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/entry.h"
#include "cache/journal.h"
#include "cache/l1.h"

enum { NAMES = 12, THREADS = 4, ROUNDS = 6000 };

static const char *const name_of[NAMES] = {"p:item:1",   "p:item:2", "p:item:3", "p:list:a=1",
                                           "p:list:a=2", "u:1:x",    "u:2:x",    "u:2:y",
                                           "q:o1:7:b",   "q:o2:7:b", "q:o2:8:b", "z"};

struct world {
    struct journal *j;
    struct l1 *c;
    _Atomic uint64_t origin[NAMES]; /* version that the origin answers with */
    _Atomic uint64_t acked[NAMES];  /* newest version whose record was applied */
    atomic_uint stale;              /* valid entries older than an acknowledged version */
    atomic_uint served, refused;
    atomic_uint seed;
};

static struct str type_of(unsigned i)
{
    return str_make(name_of[i], 1); /* p, u, q, z */
}

static void raise_to(_Atomic uint64_t *at, uint64_t v)
{
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
    while (old < v && !atomic_compare_exchange_weak_explicit(at, &old, v, memory_order_release,
                                                             memory_order_relaxed)) {
    }
}

/* A record that matches name i, chosen by x; some match others as well. */
static struct record record_for(unsigned i, unsigned x)
{
    struct str name = str_from(name_of[i]);
    static const struct str globs[NAMES] = {
        {"p:item:*", 8},    {"p:*:2", 5},    {"*3", 2},    {"p:list:*", 8},
        {"p:list:a=?", 10}, {"u:1:*", 5},    {"u:*", 3},   {"u:[2-3]:*", 9},
        {"q:*:7:*", 7},     {"*:o2:7:*", 8}, {"q:*8*", 5}, {"z*", 2},
    };
    switch (x % 8) {
    case 0: return (struct record){RECORD_TYPE, type_of(i), false};
    case 1: return (struct record){RECORD_TAG, type_of(i), false};
    case 2: return (struct record){RECORD_ROUTE, name, false};
    case 3:
    case 4: return (struct record){RECORD_NAME, name, false};
    default: return (struct record){RECORD_GLOB, globs[i], false};
    }
}

static struct entry *fetch(struct world *w, unsigned i, unsigned x)
{
    struct stamp s = journal_stamp(w->j); /* before the request goes out */
    if (x % 3 == 0) {
        sched_yield();
    }
    uint64_t version = atomic_load_explicit(&w->origin[i], memory_order_acquire);
    if (x % 5 == 0) {
        sched_yield();
    }
    struct entry_spec spec = {
        .name = str_from(name_of[i]),
        .type = type_of(i),
        .route = str_from(name_of[i]),
        .tags = type_of(i),
        .status = 200,
        .stamp = s,
        .body = str_make((const char *)&version, sizeof(version)),
    };
    return entry_new(&spec);
}

static void do_write(struct world *w, unsigned i, unsigned x)
{
    uint64_t v = atomic_fetch_add_explicit(&w->origin[i], 1, memory_order_acq_rel) + 1;
    struct record records[2] = {record_for(i, x), {RECORD_NAME, STR("other"), true}};
    if (x % 100 == 77) {
        records[0] = (struct record){RECORD_ALL, STR_NULL, false};
    }
    journal_apply(w->j, records, 1 + x % 2);
    raise_to(&w->acked[i], v);
    if (x % 512 == 511) {
        journal_trim(w->j, x % 1024 == 511 ? -1 : 5);
    }
    if (x % 2048 == 1000) {
        journal_new_epoch(w->j);
    }
}

static void do_read(struct world *w, unsigned i, unsigned x)
{
    struct str name = str_from(name_of[i]);
    uint64_t acked = atomic_load_explicit(&w->acked[i], memory_order_acquire);
    struct entry *e = l1_get(w->c, entry_hash(name, STR_NULL), name, STR_NULL);
    if (e != NULL && journal_check(w->j, e) == JOURNAL_VALID) {
        uint64_t version;
        memcpy(&version, entry_body(e).p, sizeof(version));
        atomic_fetch_add(&w->stale, version < acked);
        atomic_fetch_add(&w->served, 1);
        entry_unref(e);
        return;
    }
    if (e != NULL) {
        atomic_fetch_add(&w->refused, 1);
        entry_unref(e);
    }
    e = fetch(w, i, x);
    l1_put(w->c, e);
    entry_unref(e);
}

static void *actor(void *arg)
{
    struct world *w = arg;
    unsigned x = atomic_fetch_add(&w->seed, 7919) * 2654435761u;
    for (int round = 0; round < ROUNDS; round++) {
        x = x * 1664525 + 1013904223;
        unsigned r = x >> 8;
        if (r % 8 == 0) {
            do_write(w, r / 8 % NAMES, r / 97);
        } else {
            do_read(w, r / 8 % NAMES, r / 97);
        }
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *), void *arg)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fn, arg), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void test_never_stale(void **state)
{
    (void)state;
    static const size_t max_patterns[] = {100000, 16};
    for (int i = 0; i < 2; i++) {
        struct world w = {.j = journal_new(max_patterns[i]), .c = l1_new(1 << 20, 1 << 16)};
        atomic_store(&w.seed, 1 + (unsigned)i);
        run_threads(actor, &w);
        print_message("%u served, %u refused, %u stale\n", atomic_load(&w.served),
                      atomic_load(&w.refused), atomic_load(&w.stale));
        assert_int_equal(atomic_load(&w.stale), 0);
        assert_true(atomic_load(&w.served) > ROUNDS / 4 && atomic_load(&w.refused) > 100);
        l1_free(w.c);
        journal_free(w.j);
    }
}

/* ---- own names --------------------------------------------------------------------------- */

struct owners {
    struct journal *j;
    atomic_uint next;
    atomic_uint errors;
};

static struct entry *own_entry(const struct journal *j, const char *name)
{
    struct entry_spec spec = {.name = str_from(name), .stamp = journal_stamp(j)};
    return entry_new(&spec);
}

/* Nobody else's records match: so the answer is exact, in both directions, whatever the others
 * are applying meanwhile. */
static void *owner(void *arg)
{
    struct owners *o = arg;
    unsigned id = atomic_fetch_add(&o->next, 1);
    char name[32], glob[32];
    snprintf(name, sizeof(name), "own:%u:item", id);
    snprintf(glob, sizeof(glob), id % 2 == 0 ? "own:%u:*" : "*:%u:item", id);
    for (int round = 0; round < ROUNDS; round++) {
        bool soft = round % 3 == 0;
        struct record r = {round % 2 == 0 ? RECORD_NAME : RECORD_GLOB,
                           str_from(round % 2 == 0 ? name : glob), soft};
        struct entry *before = own_entry(o->j, name);
        bool ok = journal_check(o->j, before) == JOURNAL_VALID;
        journal_apply(o->j, &r, 1);
        struct entry *after = own_entry(o->j, name);
        ok = ok && journal_check(o->j, before) == (soft ? JOURNAL_SOFT : JOURNAL_INVALID);
        ok = ok && journal_check(o->j, after) == JOURNAL_VALID;
        ok = ok && journal_check_stamp(o->j, &before->stamp, str_from(name), STR_NULL, STR_NULL,
                                       STR_NULL) != JOURNAL_VALID;
        ok = ok && journal_check_stamp(o->j, &after->stamp, str_from(name), STR_NULL, STR_NULL,
                                       STR_NULL) == JOURNAL_VALID;
        atomic_fetch_add(&o->errors, !ok);
        entry_unref(before);
        entry_unref(after);
    }
    return NULL;
}

static void test_own_names(void **state)
{
    (void)state;
    struct owners o = {.j = journal_new(100000)};
    run_threads(owner, &o);
    assert_int_equal(atomic_load(&o.errors), 0);
    journal_free(o.j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_stale),
        cmocka_unit_test(test_own_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
