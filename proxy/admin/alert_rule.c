/*
 * A ring of samples, looked into by binary search, because a late tick makes its distances
 * uneven; and the rules' two thresholds in time.
 */
#include "admin/alert_rule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* What the ring keeps of a sample. */
struct point {
    msec_t at;
    uint64_t hits;
    uint64_t misses;
    uint64_t errors;
};

struct alert_history {
    struct alert_sample newest;
    size_t first; /* oldest point */
    size_t n;
    struct point ring[ALERT_HISTORY];
};

struct alert_history *alert_history_new(void)
{
    return xcalloc(1, sizeof(struct alert_history));
}

void alert_history_free(struct alert_history *h)
{
    free(h);
}

static const struct point *point_at(const struct alert_history *h, size_t i)
{
    return &h->ring[(h->first + i) % ALERT_HISTORY];
}

void alert_history_add(struct alert_history *h, const struct alert_sample *s)
{
    if (h->n > 0 && (s->hits < h->newest.hits || s->misses < h->newest.misses ||
                     s->errors < h->newest.errors)) {
        h->n = 0;
    }
    if (h->n == ALERT_HISTORY) {
        h->first = (h->first + 1) % ALERT_HISTORY;
        h->n--;
    }
    h->ring[(h->first + h->n++) % ALERT_HISTORY] =
        (struct point){s->at, s->hits, s->misses, s->errors};
    h->newest = *s;
}

/* The newest point that is not younger than `at`; NULL when all are younger. */
static const struct point *find_point(const struct alert_history *h, msec_t at)
{
    size_t low = 0;
    size_t high = h->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (point_at(h, mid)->at <= at) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low > 0 ? point_at(h, low - 1) : NULL;
}

/* ---- conditions --------------------------------------------------------------------------
 */

enum verdict {
    VERDICT_NO,
    VERDICT_YES,
    VERDICT_UNKNOWN, /* nothing to judge by: what was stays */
};

static enum verdict compare(const struct alert_settings *a, double value)
{
    double limit = (double)a->limit;
    bool holds = false;
    switch (a->compare) {
    case ALERT_BELOW: holds = value < limit; break;
    case ALERT_AT_MOST: holds = value <= limit; break;
    case ALERT_ABOVE: holds = value > limit; break;
    case ALERT_AT_LEAST: holds = value >= limit; break;
    }
    return holds ? VERDICT_YES : VERDICT_NO;
}

/* Only a whole window counts: a cache that has just started is cold, which is no fault. */
static enum verdict judge_hit_rate(struct alert_rule *r, const struct alert_history *h)
{
    const struct point *from = find_point(h, h->newest.at - r->settings->window);
    if (from == NULL) {
        return VERDICT_UNKNOWN;
    }
    uint64_t hits = h->newest.hits - from->hits;
    uint64_t all = hits + h->newest.misses - from->misses;
    if (all < r->settings->requests) {
        return VERDICT_UNKNOWN;
    }
    r->value = (double)hits * 100 / (double)all;
    snprintf(r->detail, sizeof(r->detail), "%" PRIu64 " hits of %" PRIu64 " requests", hits,
             all);
    return compare(r->settings, r->value);
}

static enum verdict judge_errors(struct alert_rule *r, const struct alert_history *h)
{
    const struct point *from = find_point(h, h->newest.at - r->settings->window);
    uint64_t errors = h->newest.errors - (from != NULL ? from : point_at(h, 0))->errors;
    r->value = (double)errors;
    snprintf(r->detail, sizeof(r->detail), "%" PRIu64 " error%s", errors,
             errors == 1 ? "" : "s");
    return compare(r->settings, r->value);
}

static enum verdict judge(struct alert_rule *r, const struct alert_history *h)
{
    const struct alert_sample *s = &h->newest;
    switch (r->settings->kind) {
    case ALERT_HIT_RATE: return judge_hit_rate(r, h);
    case ALERT_ERRORS: return judge_errors(r, h);
    case ALERT_JOURNAL_LAG:
        if (s->journal_lag < 0) {
            return VERDICT_UNKNOWN;
        }
        r->value = (double)s->journal_lag;
        snprintf(r->detail, sizeof(r->detail), "%lld ms behind", (long long)s->journal_lag);
        return compare(r->settings, r->value);
    case ALERT_REDIS_DOWN:
        r->value = s->redis_down;
        snprintf(r->detail, sizeof(r->detail), "%s",
                 s->redis_down ? "not connected" : "connected");
        return s->redis_down ? VERDICT_YES : VERDICT_NO;
    case ALERT_BREAKER_OPEN:
        r->value = s->breakers;
        snprintf(r->detail, sizeof(r->detail), "%s",
                 s->breakers > 0 ? s->detail : "all closed");
        return s->breakers > 0 ? VERDICT_YES : VERDICT_NO;
    }
    return VERDICT_UNKNOWN;
}

/* ---- state ------------------------------------------------------------------------------- */

/* How long the opposite must hold before the state follows it. What is measured over the window
 * has waited for it already. */
static msec_t patience(const struct alert_rule *r)
{
    const struct alert_settings *a = r->settings;
    if (!r->firing) {
        bool measured = a->kind == ALERT_HIT_RATE || a->kind == ALERT_ERRORS;
        return measured ? 0 : a->window;
    }
    return a->window < ALERT_CALM_MS ? a->window : ALERT_CALM_MS;
}

static enum alert_change remind(struct alert_rule *r, msec_t now)
{
    if (!r->firing || r->settings->repeat < 0 || now - r->told_at < r->settings->repeat) {
        return ALERT_SAME;
    }
    r->told_at = now;
    return ALERT_REPEATED;
}

enum alert_change alert_rule_step(struct alert_rule *r, const struct alert_history *h)
{
    msec_t now = h->newest.at;
    enum verdict verdict = judge(r, h);
    if (verdict == VERDICT_UNKNOWN || (verdict == VERDICT_YES) == r->firing) {
        r->waiting = false;
        return remind(r, now);
    }
    if (!r->waiting) {
        r->waiting = true;
        r->changed_at = now;
    }
    if (now - r->changed_at < patience(r)) {
        return remind(r, now);
    }
    r->waiting = false;
    r->firing = !r->firing;
    r->told_at = now;
    if (r->firing) {
        r->fired_at = r->changed_at;
    }
    return r->firing ? ALERT_FIRING : ALERT_RESOLVED;
}
