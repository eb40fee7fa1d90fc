/*
 * The claim behind S3-FIFO in cache/l1: on skewed traces, with and without scans, it hits no
 * less than LRU and FIFO do with the same room.
 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/entry.h"
#include "cache/l1.h"

static const struct str host = {"h", 1};

static struct str name_of(unsigned i, char out[24])
{
    return str_make(out, (size_t)snprintf(out, 24, "name:%08u", i));
}

static struct entry *make(struct str name, struct str body)
{
    struct entry_spec spec = {.name = name, .host = host, .status = 200, .body = body};
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    return e;
}

static bool put(struct l1 *c, unsigned i, struct str body)
{
    char buf[24];
    struct entry *e = make(name_of(i, buf), body);
    bool in = l1_put(c, e);
    entry_unref(e);
    return in;
}

static bool get(struct l1 *c, unsigned i)
{
    char buf[24];
    struct str name = name_of(i, buf);
    struct entry *e = l1_get(c, entry_hash(name, host), name, host);
    if (e == NULL) {
        return false;
    }
    assert_true(str_eq(entry_name(e), name));
    entry_unref(e);
    return true;
}

static struct l1_stats stats(struct l1 *c)
{
    struct l1_stats s;
    l1_stats(c, &s);
    return s;
}

#define UNIVERSE 200000

static uint64_t rng_state;

static double rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (double)(rng_state >> 11) / 9007199254740992.0;
}

/* Rank below n by Zipf's law with exponent a < 1 (inverse of the continuous approximation). */
static unsigned zipf(unsigned n, double a)
{
    unsigned r = (unsigned)(pow(rng() * (pow(n, 1 - a) - 1) + 1, 1 / (1 - a)) - 1);
    return r < n ? r : n - 1;
}

/* LRU or FIFO with room for `cap` names: a list through arrays, slot UNIVERSE is its head. */
struct model {
    bool lru;
    unsigned cap, count, hits;
    unsigned *next, *prev;
    bool *in;
};

static void model_unlink(struct model *m, unsigned i)
{
    m->next[m->prev[i]] = m->next[i];
    m->prev[m->next[i]] = m->prev[i];
}

static void model_push(struct model *m, unsigned i)
{
    m->next[i] = m->next[UNIVERSE];
    m->prev[i] = UNIVERSE;
    m->prev[m->next[i]] = i;
    m->next[UNIVERSE] = i;
}

static void model_use(struct model *m, unsigned i)
{
    if (m->in[i]) {
        m->hits++;
        if (m->lru) {
            model_unlink(m, i);
            model_push(m, i);
        }
        return;
    }
    if (m->count == m->cap) {
        unsigned out = m->prev[UNIVERSE];
        model_unlink(m, out);
        m->in[out] = false;
        m->count--;
    }
    model_push(m, i);
    m->in[i] = true;
    m->count++;
}

static void model_init(struct model *m, bool lru, unsigned cap)
{
    *m = (struct model){.lru = lru, .cap = cap};
    m->next = xcalloc(UNIVERSE + 1, sizeof(unsigned));
    m->prev = xcalloc(UNIVERSE + 1, sizeof(unsigned));
    m->in = xcalloc(UNIVERSE + 1, sizeof(bool));
    m->next[UNIVERSE] = m->prev[UNIVERSE] = UNIVERSE;
}

static void model_fini(struct model *m)
{
    free(m->next);
    free(m->prev);
    free(m->in);
}

struct ratios {
    double s3fifo, lru, fifo;
};

/* Runs the trace of n uses that `draw` makes through all three. */
static struct ratios run_trace(const char *label, unsigned n, unsigned (*draw)(unsigned i))
{
    struct l1 *c = l1_new(1 << 20, 1 << 18);
    for (unsigned i = 0; i < 20000; i++) {
        put(c, i, STR_NULL);
    }
    unsigned room = (unsigned)stats(c).entries; /* all names cost the same */
    l1_free(c);

    c = l1_new(1 << 20, 1 << 18);
    struct model lru, fifo;
    model_init(&lru, true, room);
    model_init(&fifo, false, room);
    rng_state = 88172645463325252u;
    unsigned hits = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned id = draw(i);
        if (get(c, id)) {
            hits++;
        } else {
            put(c, id, STR_NULL);
        }
        model_use(&lru, id);
        model_use(&fifo, id);
    }
    assert_true(stats(c).entries <= room + 1);
    struct ratios r = {(double)hits / n, (double)lru.hits / n, (double)fifo.hits / n};
    print_message("%-22s room %u: S3-FIFO %.3f  LRU %.3f  FIFO %.3f\n", label, room, r.s3fifo,
                  r.lru, r.fifo);
    model_fini(&lru);
    model_fini(&fifo);
    l1_free(c);
    return r;
}

static unsigned draw_zipf(unsigned i)
{
    (void)i;
    return zipf(40000, 0.9);
}

/* Every 20,000 uses a scan over 5,000 names that nobody asks for again. */
static unsigned draw_zipf_scan(unsigned i)
{
    if (i % 20000 >= 15000) {
        return 50000 + (i / 20000 * 5000 + i % 20000 - 15000) % 140000;
    }
    return zipf(40000, 0.9);
}

/* A working set half as large again as the cache, round and round, between zipf uses. */
static unsigned draw_loop(unsigned i)
{
    return i % 2 == 0 ? 100000 + i / 2 % 6000 : zipf(40000, 0.9);
}

/* What is hot changes altogether every 50,000 uses: the worst case of a queue that protects
 * what proved itself. */
static unsigned draw_shift(unsigned i)
{
    return i / 50000 * 20000 + zipf(20000, 0.9);
}

static void test_hit_ratio(void **state)
{
    (void)state;
    struct ratios r = run_trace("zipf 0.9", 300000, draw_zipf);
    assert_true(r.s3fifo >= r.lru && r.s3fifo >= r.fifo);
    r = run_trace("zipf 0.9 + scans", 300000, draw_zipf_scan);
    assert_true(r.s3fifo >= r.lru && r.s3fifo >= r.fifo);
    r = run_trace("zipf 0.9 + loop", 300000, draw_loop);
    assert_true(r.s3fifo >= r.lru && r.s3fifo >= r.fifo);
    r = run_trace("zipf 0.9, shifting", 300000, draw_shift);
    assert_true(r.s3fifo >= r.lru - 0.05 && r.s3fifo >= r.fifo - 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_ratio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
