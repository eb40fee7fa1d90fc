/*
 * What the tests of cache/redis share: a loop, an instance on a URL, commands whose ends are
 * noted, and a way to run the loop until something is so.
 */
#ifndef TESTS_UNIT_REDIS_CASE_H
#define TESTS_UNIT_REDIS_CASE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/redis.h"
#include "cache/redis_health.h"
#include "case_loop.h"

/* An instance with all around it. */
struct redis_case {
    struct loop *loop;
    struct arena arena;
    struct redis_target target;
    struct redis_options options;
    struct redis *r;
    struct case_tick tick;
    unsigned ups, downs; /* on_state */
};

/* A command and its end. */
struct ask {
    struct redis_command *c;
    bool done;
    unsigned calls;
    enum redis_outcome outcome;
    enum redis_type type;
    enum redis_error error;
    int64_t integer;
    struct strbuf text;
    uint64_t connection;
    msec_t at;
};

static inline void case_on_state(void *ctx, enum redis_role role, bool up)
{
    struct redis_case *k = ctx;
    (void)role;
    *(up ? &k->ups : &k->downs) += 1;
}

static inline void case_init(struct redis_case *k)
{
    *k = (struct redis_case){0};
    k->loop = case_loop_new(&k->tick);
    arena_init(&k->arena, NULL, 0);
    k->options = (struct redis_options){.target = &k->target,
                                        .health = redis_health_new(),
                                        .roles = 1u << REDIS_DATA,
                                        .on_state = case_on_state,
                                        .ctx = k};
}

/* With the options as they are. */
static inline void case_start(struct redis_case *k, const char *url)
{
    case_target(&k->target, url, &k->arena);
    k->r = redis_new(k->loop, &k->options);
}

static inline void case_fini(struct redis_case *k)
{
    redis_free(k->r);
    redis_health_unref(k->options.health);
    case_loop_free(&k->tick);
    arena_reset(&k->arena);
}

static inline void ask_on_done(void *ctx, const struct redis_result *result)
{
    struct ask *a = ctx;
    a->done = true;
    a->calls++;
    a->c = NULL;
    a->outcome = result->outcome;
    a->connection = result->connection;
    a->at = clock_monotonic();
    if (result->reply != NULL) {
        a->type = result->reply->type;
        a->error = result->reply->error;
        a->integer = result->reply->integer;
        a->text.n = 0;
        strbuf_add_str(&a->text, result->reply->text);
    }
}

/* Words separated by blanks; the second one is the key. False when it was refused. */
static inline bool ask_send(struct redis_case *k, struct ask *a, enum redis_role role,
                            msec_t timeout, bool wait, const char *words)
{
    struct segment argv[16];
    struct str rest = str_from(words), word;
    struct redis_call call = {.role = role,
                              .argv = argv,
                              .timeout = timeout,
                              .wait = wait,
                              .writes = strncasecmp(words, "SET ", 4) == 0,
                              .done = ask_on_done,
                              .ctx = a};
    strbuf_free(&a->text);
    *a = (struct ask){0};
    while (str_next(&rest, ' ', &word)) {
        argv[call.argc++] = redis_arg(word);
    }
    call.key = call.argc > 1 ? 1 : 0;
    a->c = redis_command(k->r, &call);
    return a->c != NULL;
}

/* Sends and waits for the end. */
static inline void ask_run(struct redis_case *k, struct ask *a, const char *words)
{
    assert_true(ask_send(k, a, REDIS_DATA, 5000, true, words));
    RUN_UNTIL(k, a->done);
}

/* Sends, and expects this answer (text, or the number). */
static inline void expect_answer(struct redis_case *k, const char *words, const char *answer)
{
    struct ask a = {0};
    ask_run(k, &a, words);
    if (a.outcome != REDIS_ANSWERED) {
        fail_msg("%s: outcome %d, %.*s", words, a.outcome, STR_ARG(strbuf_str(&a.text)));
    }
    if (a.type == REDIS_INTEGER) {
        strbuf_addf(&a.text, "%lld", (long long)a.integer);
    }
    if (!str_eq(strbuf_str(&a.text), str_from(answer))) {
        fail_msg("%s: %.*s instead of %s", words, STR_ARG(strbuf_str(&a.text)), answer);
    }
    strbuf_free(&a.text);
}

static inline void case_ready(struct redis_case *k)
{
    RUN_UNTIL(k, redis_ready(k->r, REDIS_DATA));
}

#endif
