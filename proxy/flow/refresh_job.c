/*
 * When a job is due, its way to a worker and back, and what is learnt of it. The fetch itself
 * is in refresh_fetch.c.
 */
#include "flow/refresh_job.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

#define RETRY_MS   1000 /* after a failure; doubles */
#define RETRY_MAX  10   /* doublings */
#define BUSY_MS    500  /* till the next look when somebody else was fetching */
#define EARLY_PART 20   /* a fetch comes up to a twentieth of its interval early */

/* Somebody who asked for a run by hand. */
struct refresh_waiter {
    struct refresh_waiter *next;
    refresh_done_fn *done;
    void *ctx;
};

/* ---- jobs ------------------------------------------------------------------------------- */

static void on_due(struct deadline *d);
static void on_ended(struct refresh_run *run);

struct refresh_job *refresh_job_new(struct refresh *r, const struct site_settings *site,
                                    const struct route_settings *route, struct str host,
                                    struct str target)
{
    struct refresh_job *j = xcalloc(1, sizeof(*j));
    j->owner = r;
    arena_init(&j->arena, NULL, 0);
    deadline_init(&j->due, on_due);
    j->run = (struct refresh_run){
        .control = r->loop,
        .ended = on_ended,
        .label = arena_dup(&j->arena, route->label),
        .host = arena_dup(&j->arena, host),
        .target = arena_dup(&j->arena, target),
        .tls = site->redirect_https,
    };
    if (route->credential != NULL) {
        j->run.header = arena_dup(&j->arena, route->credential->header);
        j->run.credential = arena_dup(&j->arena, route->credential->value);
    }
    return j;
}

void refresh_job_free(struct refresh_job *j)
{
    deadline_cancel(&j->due);
    while (j->waiters != NULL) {
        struct refresh_waiter *w = j->waiters;
        j->waiters = w->next;
        free(w);
    }
    arena_reset(&j->arena);
    free(j);
}

void refresh_job_report(const struct refresh_job *j, struct refresh_report *out)
{
    *out = (struct refresh_report){
        .route = j->run.label,
        .target = j->run.target,
        .every = j->every,
        .running = j->running,
        .result = j->past.result,
        .reason = j->past.result == REFRESH_FAILED ? str_from(j->past.reason) : STR(""),
        .last_run = j->past.began,
        .duration = j->past.duration,
        .bytes = j->past.bytes,
        .next_run = j->next_run,
        .runs = j->past.runs,
        .failures = j->past.failures,
    };
}

/* ---- when ------------------------------------------------------------------------------- */

void refresh_job_plan(struct refresh_job *j, msec_t after)
{
    struct refresh *r = j->owner;
    if (j->every == 0 || j->retired || r->stopped) {
        j->next_run = 0;
        return;
    }
    after = after > 0 ? after : 0;
    j->next_run = r->loop->wall + after;
    deadline_set(r->loop, &j->due, after);
}

/* A little early by chance, so that of several nodes one is first. */
static msec_t interval(const struct refresh_job *j)
{
    msec_t part = j->every / EARLY_PART;
    return part > 0 ? j->every - random() % part : j->every;
}

static msec_t pause_after(const struct refresh_job *j)
{
    unsigned failed = j->past.failed_in_row;
    unsigned doublings = failed == 0 ? 0 : failed < RETRY_MAX ? failed - 1 : RETRY_MAX;
    msec_t pause = RETRY_MS << doublings;
    pause = pause < j->every ? pause : j->every;
    return pause - random() % (pause / 4 + 1);
}

/* After what is known of the last run. */
void refresh_job_plan_next(struct refresh_job *j)
{
    if (j->past.result == REFRESH_FAILED) {
        refresh_job_plan(j, pause_after(j));
    } else {
        refresh_job_plan(j, j->past.stored_at + interval(j) - j->owner->loop->wall);
    }
}

static void begin(struct refresh_job *j, bool by_hand)
{
    struct refresh *r = j->owner;
    if (j->running) {
        j->again = j->again || by_hand;
        return;
    }
    deadline_cancel(&j->due);
    j->running = true;
    j->next_run = 0;
    j->run.young = by_hand ? 0 : j->every / 2;
    j->run.worker = r->workers[r->turn++ % r->n_workers];
    refresh_run_start(&j->run);
}

static void on_due(struct deadline *d)
{
    struct refresh_job *j = container_of(d, struct refresh_job, due);
    begin(j, j->waiters != NULL);
}

/* ---- what came of it -------------------------------------------------------------------- */

/* One line when it begins to fail, one when it works again. */
static void note_change(const struct refresh_job *j, bool failed)
{
    const struct refresh_past *p = &j->past;
    if (failed && p->failed_in_row == 0) {
        log_warn("refresh of %.*s fails: %.*s", STR_ARG(j->run.target), STR_ARG(j->run.reason));
    } else if (!failed && p->failed_in_row > 0) {
        log_info("refresh of %.*s works again after %u failure%s", STR_ARG(j->run.target),
                 p->failed_in_row, p->failed_in_row == 1 ? "" : "s");
    }
}

static void account(struct refresh_job *j)
{
    const struct refresh_run *run = &j->run;
    struct refresh_past *p = &j->past;
    bool failed = run->result == REFRESH_FAILED;
    note_change(j, failed);
    p->result = run->result;
    p->began = run->started;
    p->duration = run->duration;
    p->runs++;
    p->failures += failed;
    p->failed_in_row = failed ? p->failed_in_row + 1 : 0;
    if (failed) {
        snprintf(p->reason, sizeof(p->reason), "%.*s", STR_ARG(run->reason));
    } else {
        p->stored_at = run->stored_at;
        p->bytes = run->bytes;
    }
}

void refresh_job_tell_waiters(struct refresh_job *j)
{
    struct refresh_report report;
    refresh_job_report(j, &report);
    while (j->waiters != NULL) {
        struct refresh_waiter *w = j->waiters;
        j->waiters = w->next;
        w->done(w->ctx, &report);
        free(w);
    }
}

static void unlink_loose(struct refresh_job *j)
{
    struct refresh_job **at = &j->owner->loose;
    while (*at != NULL && *at != j) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = j->next;
    }
}

static void on_ended(struct refresh_run *run)
{
    struct refresh_job *j = container_of(run, struct refresh_job, run);
    struct refresh *r = j->owner;
    bool gone_on = !r->stopped && !j->retired;
    j->running = false;
    if (run->result == REFRESH_BUSY && gone_on) {
        j->again = false;
        deadline_set(r->loop, &j->due, BUSY_MS);
        return;
    }
    if (j->again && gone_on) {
        j->again = false;
        begin(j, true); /* those who asked meanwhile want an answer of now */
        return;
    }
    if (run->result != REFRESH_BUSY && !r->stopped) {
        account(j);
    }
    refresh_job_tell_waiters(j);
    if (j->retired || j->every == 0) {
        unlink_loose(j);
        refresh_job_free(j);
    } else {
        refresh_job_plan_next(j);
    }
}

/* ---- who asked ---------------------------------------------------------------------------
 */

void refresh_job_run_now(struct refresh_job *j, refresh_done_fn *done, void *ctx)
{
    struct refresh_waiter *w = xmalloc(sizeof(*w));
    *w = (struct refresh_waiter){.next = j->waiters, .done = done, .ctx = ctx};
    j->waiters = w;
    begin(j, true);
}

void refresh_job_forget(struct refresh_job *j, const void *ctx)
{
    struct refresh_waiter **at = &j->waiters;
    while (*at != NULL) {
        struct refresh_waiter *w = *at;
        if (w->ctx == ctx) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}
