/*
 * What the tests of cache/journal_link share: a loop that asks, nodes (a journal and its link
 * each) on one Redis, appends whose ends are counted, and a way to wait until something is so.
 */
#ifndef TESTS_UNIT_JOURNAL_CASE_H
#define TESTS_UNIT_JOURNAL_CASE_H

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/journal.h"
#include "cache/journal_link.h"
#include "cache/journal_link_state.h"
#include "cache/redis_health.h"
#include "case_loop.h"

#define BUDGET_MS  10000 /* a loaded machine is no reason to be pending */
#define MAX_LAG_MS 1000

/* All nodes of a test are on one address. */
struct journal_case {
    struct loop *loop;
    struct case_tick tick;
    struct arena arena;
    struct redis_target target;
    struct journal_link_options options;
};

struct node {
    struct journal *j;
    struct journal_link *l;
};

/* Ends of appends. */
struct ends {
    unsigned done, pending;
};

static inline void case_init(struct journal_case *k, const char *url)
{
    *k = (struct journal_case){0};
    k->loop = case_loop_new(&k->tick);
    arena_init(&k->arena, NULL, 0);
    case_target(&k->target, url, &k->arena);
    k->options = (struct journal_link_options){
        .redis = {.target = &k->target, .health = redis_health_new()},
        .prefix = STR("shop"),
        .budget = BUDGET_MS,
        .max_lag = MAX_LAG_MS,
        .horizon = 3600000,
        .max_records = 1000000,
        .lookback = 60000,
    };
}

static inline void case_fini(struct journal_case *k)
{
    redis_health_unref(k->options.redis.health);
    case_loop_free(&k->tick);
    arena_reset(&k->arena);
}

static inline void case_run_for(struct journal_case *k, msec_t ms)
{
    msec_t until = clock_monotonic() + ms;
    while (clock_monotonic() < until) {
        loop_turn(k->loop, true);
    }
}

/* ---- nodes ------------------------------------------------------------------------------- */

static inline void node_start(struct journal_case *k, struct node *n)
{
    n->j = journal_new(100000);
    n->l = journal_link_new(n->j, &k->options);
}

static inline void node_end(struct node *n)
{
    journal_link_free(n->l);
    journal_free(n->j);
    *n = (struct node){0};
}

static inline struct journal_link_stats node_stats(const struct node *n)
{
    struct journal_link_stats s;
    journal_link_stats_get(n->l, &s);
    return s;
}

static inline bool node_follows(const struct node *n)
{
    return node_stats(n).connected;
}

static inline bool node_certain(const struct node *n)
{
    return journal_link_certain(n->l, clock_monotonic());
}

/* Has caught up with the other one, in the same epoch. */
static inline bool node_level(const struct node *a, const struct node *b)
{
    return journal_stamp(a->j).epoch == journal_stamp(b->j).epoch &&
           journal_seq(a->j) == journal_seq(b->j) && node_follows(a) && node_follows(b);
}

static inline void node_start_two(struct journal_case *k, struct node *a, struct node *b)
{
    node_start(k, a);
    node_start(k, b);
    RUN_UNTIL(k, node_level(a, b) && node_certain(a) && node_certain(b));
}

/* Each has counted the other. */
static inline void node_meet(struct journal_case *k, struct node *a, struct node *b)
{
    RUN_UNTIL(k, node_stats(a).nodes == 2 && node_stats(b).nodes == 2);
}

static inline enum journal_verdict node_verdict(const struct node *n, const struct stamp *s,
                                                const char *name)
{
    return journal_check_stamp(n->j, s, str_from(name), STR(""), STR(""), STR(""));
}

/* ---- a node held up ---------------------------------------------------------------------- */

/* Holds up a link's thread. */
struct brake {
    struct mail mail;
    sem_t held, go;
};

static inline void brake_on_mail(struct mail *m)
{
    struct brake *br = container_of(m, struct brake, mail);
    sem_post(&br->held);
    sem_wait(&br->go);
}

static inline void brake(struct node *n, struct brake *br)
{
    br->mail.fn = brake_on_mail;
    sem_init(&br->held, 0, 0);
    sem_init(&br->go, 0, 0);
    loop_post(n->l->loop, &br->mail);
    sem_wait(&br->held);
}

static inline void release(struct brake *br)
{
    sem_post(&br->go);
}

/* ---- appends ----------------------------------------------------------------------------- */

static inline void ends_count(void *ctx, enum append_outcome outcome)
{
    struct ends *e = ctx;
    *(outcome == APPEND_DONE ? &e->done : &e->pending) += 1;
}

static inline struct journal_append *append_glob(struct journal_case *k, struct node *n,
                                                 const char *glob, struct ends *e)
{
    const struct record r = {.kind = RECORD_GLOB, .text = str_from(glob)};
    return journal_link_append(n->l, k->loop, &r, 1, ends_count, e);
}

/* One append, to its end. */
static inline enum append_outcome append_wait(struct journal_case *k, struct node *n,
                                              const char *glob)
{
    struct ends e = {0};
    append_glob(k, n, glob, &e);
    RUN_UNTIL(k, e.done + e.pending == 1);
    return e.done == 1 ? APPEND_DONE : APPEND_PENDING;
}

#endif
