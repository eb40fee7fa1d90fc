/*
 * What the tests of cache/redis and of cache/journal_link share: a loop that never sleeps for
 * long, a target made of a URL, and a way to run the loop until something is so.
 */
#ifndef TESTS_UNIT_CASE_LOOP_H
#define TESTS_UNIT_CASE_LOOP_H

#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/redis_url.h"

#define TICK_MS 8

struct case_tick {
    struct deadline d;
    struct loop *loop;
};

static inline void case_on_tick(struct deadline *d)
{
    deadline_set(container_of(d, struct case_tick, d)->loop, d, TICK_MS);
}

/* A loop with its tick, and the log as the environment wants it. */
static inline struct loop *case_loop_new(struct case_tick *tick)
{
    log_setup(getenv("V") != NULL ? LOG_DEBUG : LOG_ERROR, false);
    tick->loop = loop_new();
    assert_non_null(tick->loop);
    deadline_init(&tick->d, case_on_tick);
    deadline_set(tick->loop, &tick->d, TICK_MS);
    return tick->loop;
}

static inline void case_loop_free(struct case_tick *tick)
{
    deadline_cancel(&tick->d);
    loop_free(tick->loop);
}

static inline void case_target(struct redis_target *target, const char *url,
                               struct arena *arena)
{
    const char *why = NULL;
    if (!redis_target_parse(str_from(url), NULL, arena, target, &why)) {
        fail_msg("%s: %s", url, why);
    }
}

/* Generous: a machine may be slow, under a sanitizer and beside others. */
#define RUN_UNTIL(k, condition)                                                    \
    do {                                                                           \
        msec_t limit_ = clock_monotonic() + 30000;                                 \
        while (!(condition)) {                                                     \
            loop_turn((k)->loop, true);                                            \
            if (clock_monotonic() > limit_) {                                      \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition); \
            }                                                                      \
        }                                                                          \
    } while (0)

#endif
