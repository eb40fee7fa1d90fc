/*
 * Delivery of webhooks: a thread of its own with a libcurl multi handle, so that no receiver
 * can hold up anything. Each receiver (URL and secret) gets its events one at a time and in
 * order; what fails is tried again with a growing, random pause; queues are bounded and lose
 * their oldest. Redirects are not followed, certificates are verified. Used by alert.
 */
#ifndef ADMIN_ALERT_HOOK_H
#define ADMIN_ALERT_HOOK_H

#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

/* Bounds of delivery; tests have shorter ones. */
struct alert_hook_timing {
    msec_t connect_timeout;
    msec_t total_timeout;
    msec_t retry_min;  /* pause after the first failure; doubles with each */
    msec_t retry_max;  /* longest pause */
    unsigned attempts; /* then an event is given up */
    unsigned queue;    /* events that wait for one receiver */
};
extern const struct alert_hook_timing alert_hook_timing_default;

/* What is counted since the start (the HOOK rows of tbl/counters.def). */
enum alert_hook_counter {
#define HOOK(id, name, metric, label, value, help) ALERT_HOOK_##id,
#include "tbl/counters.def"
    ALERT_HOOK_COUNTERS
};

struct alert_hook;

/* NULL with a log line when there is no thread to be had. */
struct alert_hook *alert_hook_new(const struct alert_hook_timing *timing)
    __attribute__((warn_unused_result));
/* Ends transfers under way; what waits is lost, with a log line. NULL is allowed. */
void alert_hook_free(struct alert_hook *h);

/* Queues one event and returns at once. All texts are copied. `alert` names it in the log. */
void alert_hook_post(struct alert_hook *h, struct str url, struct str secret, struct str alert,
                     const char *id, struct str body);

/* Any thread may ask. */
uint64_t alert_hook_count(const struct alert_hook *h, enum alert_hook_counter which);

#endif
