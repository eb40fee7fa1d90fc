/*
 * What the tests of flights share: a world (loop, journal, table), readers that check each byte
 * they read against one long body, and the leader's steps in short form.
 */
#ifndef TESTS_UNIT_FLIGHT_CASE_H
#define TESTS_UNIT_FLIGHT_CASE_H

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "cache/journal.h"
#include "flow/flight.h"

#define KIB         1024u
#define BODY_PERIOD (4096 * KIB - 3) /* after which the body repeats itself */

struct world {
    struct loop *loop;
    struct journal *journal;
    struct flight_table *table;
};

/* A reader that notes its wakes and what it read. */
struct probe {
    struct flight_reader r;
    unsigned wakes;
    void (*then)(struct probe *p); /* in the wake */
    size_t got;                    /* bytes read, all of them right */
};

static char *body_twice; /* two periods */

/* The body's bytes from this offset on; good for a period. */
static inline const char *body_at(size_t offset)
{
    return body_twice + offset % BODY_PERIOD;
}

static inline int setup_group(void **state)
{
    (void)state;
    uint32_t x = 1;
    body_twice = xmalloc(2 * BODY_PERIOD);
    for (size_t i = 0; i < BODY_PERIOD; i++) {
        x = x * 1664525u + 1013904223u;
        body_twice[i] = (char)(x >> 24);
    }
    memcpy(body_twice + BODY_PERIOD, body_twice, BODY_PERIOD);
    return 0;
}

static inline int teardown_group(void **state)
{
    (void)state;
    free(body_twice);
    return 0;
}

static inline int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->loop = loop_new();
    w->journal = journal_new(1000);
    w->table = flight_table_new();
    *state = w;
    return w->loop != NULL ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct world *w = *state;
    if (w->loop != NULL) {
        loop_free(w->loop);
    }
    flight_table_free(w->table);
    journal_free(w->journal);
    free(w);
    return chunk_memory() == 0 ? 0 : -1;
}

/* ---- tools ------------------------------------------------------------------------------ */

static inline void on_wake(struct flight_reader *r)
{
    struct probe *p = container_of(r, struct probe, r);
    p->wakes++;
    if (p->then != NULL) {
        p->then(p);
    }
}

static inline struct flight_key key_of(const char *name)
{
    struct flight_key key = {.name = str_from(name),
                             .host = STR("site"),
                             .type = STR("books"),
                             .route = STR("/v1/*")};
    key.hash = entry_hash(key.name, key.host);
    return key;
}

static inline struct flight *join_key(struct world *w, const struct flight_key *key,
                                      struct probe *p, bool *leader)
{
    return flight_join(w->table, w->journal, key, &p->r, w->loop, on_wake, leader);
}

/* Joins expecting to lead; the caller has the reference. */
static inline struct flight *lead(struct world *w, const char *name, struct probe *p)
{
    const struct flight_key key = key_of(name);
    bool leader = false;
    struct flight *f = join_key(w, &key, p, &leader);
    assert_true(leader);
    assert_ptr_equal(p->r.flight, f);
    return f;
}

/* Joins expecting to follow. */
static inline struct flight *follow(struct world *w, const char *name, struct probe *p)
{
    const struct flight_key key = key_of(name);
    bool leader = true;
    struct flight *f = join_key(w, &key, p, &leader);
    assert_false(leader);
    assert_ptr_equal(p->r.flight, f);
    return f;
}

static inline void publish(struct flight *f, int64_t length, const char *tags)
{
    const struct flight_head head = {
        .status = 200,
        .head = arena_dup(&f->arena, STR("HTTP/1.1 200 OK\r\n")),
        .length = length,
    };
    flight_publish_head(f, &head, arena_dup(&f->arena, str_from(tags)));
}

/* Bytes of the body from what the flight has so far on. */
static inline void append(struct flight *f, size_t n)
{
    assert_true(n <= BODY_PERIOD);
    flight_append(f, str_make(body_at(f->length), n));
}

static inline enum flight_state look(struct probe *p)
{
    struct flight_view v;
    flight_look(&p->r, &v);
    if (v.chunk != NULL) {
        chunk_unref(v.chunk);
    }
    return v.state;
}

/* Reads up to n bytes. */
static inline void read_some(struct probe *p, size_t n)
{
    struct flight_view v;
    flight_look(&p->r, &v);
    while (v.chunk != NULL && n > 0) {
        size_t take = v.piece.n < n ? v.piece.n : n;
        assert_memory_equal(v.piece.p, body_at(p->got), take);
        p->got += take;
        chunk_unref(v.chunk);
        flight_advance(&p->r, take);
        n -= take;
        flight_look(&p->r, &v);
    }
    if (v.chunk != NULL) {
        chunk_unref(v.chunk);
    }
}

static inline void read_all(struct probe *p)
{
    read_some(p, SIZE_MAX);
}

/* Delivers the mail there is. */
static inline void turn(struct world *w)
{
    loop_turn(w->loop, false);
}

static inline void finish(struct flight *f, enum flight_state state)
{
    flight_end(f, state, NULL, 0);
    flight_unref(f);
}

static inline struct entry *make_entry(struct world *w, const char *name, struct str tags)
{
    const struct entry_spec spec = {
        .name = str_from(name),
        .host = STR("site"),
        .stamp = journal_stamp(w->journal),
        .status = 200,
        .head = STR("HTTP/1.1 200 OK\r\n"),
        .tags = tags,
        .body = STR("stored"),
        .body_length = 6,
    };
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    return e;
}

static inline void invalidate(struct world *w, enum record_kind kind, const char *text,
                              bool soft)
{
    const struct record r = {.kind = kind, .text = str_from(text), .soft = soft};
    journal_apply(w->journal, &r, 1);
}

#endif
