/*
 * Stories whose verdict is known, told to the judge: a judge that finds nothing must not pass.
 * max_lag is either nothing (every answered write counts everywhere at once) or an hour.
 */
#include "racer.h"

#include <stdio.h>

#define HOUR_NS (3600 * (int64_t)1000000000)

static unsigned wrong;

static void expect(const char *story, bool found, bool expected)
{
    printf("%s %s: %s\n", found == expected ? "ok  " : "FAIL", story,
           found ? "a violation" : "fine");
    wrong += found != expected;
}

/* A read that begins now and shows `version`: is that a violation? */
static bool guilty(unsigned resource, unsigned node, unsigned version, bool marked)
{
    struct floor f;
    judge_begin(resource, node, &f);
    return !judge_read(resource, node, version, &f, marked, "");
}

static void writes_on_the_same_node(void)
{
    struct floor before;

    race.options.max_lag = HOUR_NS;
    expect("nothing was written", guilty(0, 0, 0, false), false);
    judge_begin(0, 0, &before);
    judge_write(0, 0, 2, now_ns(), false);
    expect("a read that began before the write's answer",
           !judge_read(0, 0, 1, &before, false, ""), false);
    expect("what was written", guilty(0, 0, 2, false), false);
    expect("something newer", guilty(0, 0, 3, false), false);
    expect("something older", guilty(0, 0, 1, false), true);
    expect("something older, marked", guilty(0, 0, 1, true), true);
    expect("another resource", guilty(1, 0, 0, false), false);
    judge_write(0, 0, 1, now_ns(), false);
    expect("an older write that was answered later", guilty(0, 0, 1, false), true);
    judge_write(2, 0, 1, now_ns(), true);
    expect("older than a pending write on its own node", guilty(2, 0, 0, false), true);
}

static void writes_elsewhere(void)
{
    race.options.max_lag = HOUR_NS;
    judge_write(10, 0, 1, now_ns(), false);
    expect("elsewhere, within max_lag", guilty(10, 1, 0, false), false);
    race.options.max_lag = -1; /* longer ago than that is everything */
    expect("elsewhere, after max_lag", guilty(10, 1, 0, false), true);
    expect("elsewhere, after max_lag, marked", guilty(10, 1, 0, true), false);
    expect("elsewhere, the newest", guilty(10, 1, 1, false), false);
    judge_write(11, 0, 1, now_ns(), true);
    expect("elsewhere, while it is pending", guilty(11, 1, 0, false), false);
}

static void after_all(void)
{
    judge_write(20, 0, 4, now_ns(), true);
    expect("in the end, the newest", !judge_final(20, 4, 4), false);
    expect("in the end, what the origin has no more", !judge_final(20, 4, 5), true);
    judge_lost(20, 0, true, now_ns());
    expect("in the end, what a lost write changed", !judge_final(20, 4, 5), false);
    expect("in the end, older than what was answered", !judge_final(20, 3, 5), true);
    race.options.announced = true;
    expect("in the end, what a lost write changed, announced", !judge_final(20, 4, 5), true);
    race.options.announced = false;
}

static void bodies(void)
{
    char body[BODY_MAX];
    size_t n = make_body(7, 3, body);

    expect("a body", body_version(7, body, n) != 3, false);
    expect("another resource's body", body_version(8, body, n) < 0, true);
    expect("a body cut short", body_version(7, body, n - 1) < 0, true);
    body[n / 2] ^= 1;
    expect("a damaged body", body_version(7, body, n) < 0, true);
}

unsigned judge_selftest(void)
{
    writes_on_the_same_node();
    writes_elsewhere();
    after_all();
    bodies();
    wrong += atomic_load(&race.figures[VIOLATIONS]) != 5;
    return wrong;
}
