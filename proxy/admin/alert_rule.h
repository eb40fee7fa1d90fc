/*
 * When an alert begins and ends: figures of the last hour, one sample a second, and a state for
 * each `alert` of proxy.conf. Pure: time and samples are given. Used by alert.
 *
 * hit_rate and errors are measured over the window of their rule; the other conditions hold
 * when they have lasted for it. A rule fires once. It resolves when its condition has been
 * false for the window, but for at most ALERT_CALM_MS, so that a figure that wavers around its
 * limit is one alert and not many.
 */
#ifndef ADMIN_ALERT_RULE_H
#define ADMIN_ALERT_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "settings.h"

#define ALERT_HISTORY    3620  /* samples: an hour, and a little for late ones */
#define ALERT_CALM_MS    60000 /* longest time that a condition must be false for to be over */
#define ALERT_DETAIL_MAX 256

/* The figures of one moment. */
struct alert_sample {
    msec_t at;                     /* monotonic */
    uint64_t hits;                 /* since the start, as in GET /stats */
    uint64_t misses;               /* since the start */
    uint64_t errors;               /* since the start */
    bool redis_down;               /* Redis is configured and not connected */
    unsigned breakers;             /* that are not closed */
    msec_t journal_lag;            /* -1: there is none to measure */
    char detail[ALERT_DETAIL_MAX]; /* names of those breakers, with blanks between */
};

struct alert_history;

struct alert_history *alert_history_new(void) __attribute__((warn_unused_result));
void alert_history_free(struct alert_history *h);

/* Adds the newest sample. Counters that went back (a restart of what counts) begin a new one.
 */
void alert_history_add(struct alert_history *h, const struct alert_sample *s);

enum alert_change {
    ALERT_SAME,
    ALERT_FIRING,   /* it begins */
    ALERT_REPEATED, /* it lasts, and `repeat` is over */
    ALERT_RESOLVED, /* it is over */
};

/* One alert's state; zero-initialised but for the settings. */
struct alert_rule {
    const struct alert_settings *settings;
    bool firing;
    bool waiting; /* the condition differs from `firing` since changed_at */
    msec_t changed_at;
    msec_t fired_at; /* monotonic; while firing, and of the last time */
    msec_t told_at;
    double value; /* as measured last: percent, a number, milliseconds, or breakers */
    char detail[ALERT_DETAIL_MAX]; /* the same in words */
};

/* Looks at the newest sample; call it after each alert_history_add(). */
enum alert_change alert_rule_step(struct alert_rule *r, const struct alert_history *h);

#endif
