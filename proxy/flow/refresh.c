/*
 * The schedule, on the control thread: when each job is due, what came of it, and who asked for
 * it by hand. The fetch itself is in refresh_fetch.c.
 */
#include "flow/refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include "flow/route.h"
#include "flow/worker.h"
#include "http/target.h"

#define FIRST_MS  100  /* from the start to the first fetch */
#define SPREAD_MS 50   /* between the first fetches of two jobs */
#define RETRY_MS  1000 /* after a failure; doubles */
#define RETRY_MAX 10   /* doublings */

#define BUSY_MS    500 /* till the next look when somebody else was fetching */
#define EARLY_PART 20  /* a fetch comes up to a twentieth of its interval early */

/* Somebody who asked for a run by hand. */
struct waiter {
    struct waiter *next;
    refresh_done_fn *done;
    void *ctx;
};

/* What a job has learnt; survives a reload. */
struct past {
    enum refresh_result result; /* of the last run */
    char reason[48];            /* REFRESH_FAILED */
    msec_t began;               /* wall */
    msec_t duration;
    msec_t stored_at; /* wall time of the answer that was there then; 0: none */
    uint64_t bytes;
    uint64_t runs;
    uint64_t failures;
    unsigned failed_in_row;
};

struct job {
    struct refresh *owner;
    struct refresh_run run;
    struct arena arena;     /* holds the run's strings */
    struct deadline due;    /* the next run */
    struct waiter *waiters; /* told when the run under way, or the next one, ends */
    struct past past;
    msec_t every;     /* 0: once, by hand */
    msec_t next_run;  /* wall; 0: none */
    bool running;     /* the run is a worker's or on its way there */
    bool again;       /* asked for while it was running */
    bool retired;     /* no longer in the list: freed when the run is back */
    struct job *next; /* of the loose ones */
};

struct refresh {
    struct loop *loop;
    struct worker *const *workers;
    size_t n_workers;
    size_t turn;       /* the worker that gets the next run */
    struct job **jobs; /* scheduled, in the configuration's order */
    size_t n_jobs;
    struct job *loose; /* running, but not in `jobs` */
    bool stopped;
};

/* ---- jobs ------------------------------------------------------------------------------- */

static void on_due(struct deadline *d);
static void on_ended(struct refresh_run *run);

static struct job *job_new(struct refresh *r, const struct site_settings *site,
                           const struct route_settings *route, struct str host,
                           struct str target)
{
    struct job *j = xcalloc(1, sizeof(*j));
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

static void job_free(struct job *j)
{
    deadline_cancel(&j->due);
    while (j->waiters != NULL) {
        struct waiter *w = j->waiters;
        j->waiters = w->next;
        free(w);
    }
    arena_reset(&j->arena);
    free(j);
}

static void job_report(const struct job *j, struct refresh_report *out)
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

static void plan(struct job *j, msec_t after)
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
static msec_t interval(const struct job *j)
{
    msec_t part = j->every / EARLY_PART;
    return part > 0 ? j->every - random() % part : j->every;
}

static msec_t pause_after(const struct job *j)
{
    unsigned failed = j->past.failed_in_row;
    unsigned doublings = failed == 0 ? 0 : failed < RETRY_MAX ? failed - 1 : RETRY_MAX;
    msec_t pause = RETRY_MS << doublings;
    pause = pause < j->every ? pause : j->every;
    return pause - random() % (pause / 4 + 1);
}

/* After what is known of the last run. */
static void plan_next(struct job *j)
{
    if (j->past.result == REFRESH_FAILED) {
        plan(j, pause_after(j));
    } else {
        plan(j, j->past.stored_at + interval(j) - j->owner->loop->wall);
    }
}

static void begin(struct job *j, bool by_hand)
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
    struct job *j = container_of(d, struct job, due);
    begin(j, j->waiters != NULL);
}

/* ---- what came of it -------------------------------------------------------------------- */

/* One line when it begins to fail, one when it works again. */
static void note_change(const struct job *j, bool failed)
{
    const struct past *p = &j->past;
    if (failed && p->failed_in_row == 0) {
        log_warn("refresh of %.*s fails: %.*s", STR_ARG(j->run.target), STR_ARG(j->run.reason));
    } else if (!failed && p->failed_in_row > 0) {
        log_info("refresh of %.*s works again after %u failure%s", STR_ARG(j->run.target),
                 p->failed_in_row, p->failed_in_row == 1 ? "" : "s");
    }
}

static void account(struct job *j)
{
    const struct refresh_run *run = &j->run;
    struct past *p = &j->past;
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

static void tell_waiters(struct job *j)
{
    struct refresh_report report;
    job_report(j, &report);
    while (j->waiters != NULL) {
        struct waiter *w = j->waiters;
        j->waiters = w->next;
        w->done(w->ctx, &report);
        free(w);
    }
}

static void unlink_loose(struct job *j)
{
    struct job **at = &j->owner->loose;
    while (*at != NULL && *at != j) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = j->next;
    }
}

static void on_ended(struct refresh_run *run)
{
    struct job *j = container_of(run, struct job, run);
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
    tell_waiters(j);
    if (j->retired || j->every == 0) {
        unlink_loose(j);
        job_free(j);
    } else {
        plan_next(j);
    }
}

/* ---- configuration ---------------------------------------------------------------------- */

/* What is known of a path stays known. */
static void inherit(struct job *j, struct job *const *old, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct job *o = old[i];
        if (str_eq(o->run.target, j->run.target) && str_eq(o->run.host, j->run.host) &&
            str_eq(o->run.label, j->run.label) && o->past.runs > 0) {
            j->past = o->past;
            plan_next(j);
            return;
        }
    }
}

static void add_route_jobs(struct refresh *r, const struct site_settings *site,
                           const struct route_settings *route, struct job *const *old,
                           size_t n_old)
{
    for (size_t i = 0; route->refresh > 0 && i < route->refresh_targets.n; i++) {
        struct job *j =
            job_new(r, site, route, site->hosts.list[0], route->refresh_targets.list[i]);
        j->every = route->refresh;
        r->jobs = xrealloc(r->jobs, (r->n_jobs + 1) * sizeof(*r->jobs));
        r->jobs[r->n_jobs] = j;
        plan(j, FIRST_MS + (msec_t)r->n_jobs * SPREAD_MS);
        r->n_jobs++;
        inherit(j, old, n_old);
    }
}

static void retire(struct refresh *r, struct job *j)
{
    deadline_cancel(&j->due);
    if (!j->running) {
        tell_waiters(j);
        job_free(j);
        return;
    }
    j->retired = true;
    j->next = r->loose;
    r->loose = j;
}

void refresh_configure(struct refresh *r, const struct runtime *runtime)
{
    const struct settings *s = runtime->settings;
    struct job **old = r->jobs;
    size_t n_old = r->n_jobs;
    r->jobs = NULL;
    r->n_jobs = 0;
    for (size_t i = 0; i < s->n_sites; i++) {
        for (size_t k = 0; k < s->sites[i].n_routes; k++) {
            add_route_jobs(r, &s->sites[i], &s->sites[i].routes[k], old, n_old);
        }
    }
    for (size_t i = 0; i < n_old; i++) {
        retire(r, old[i]);
    }
    free(old);
}

struct refresh *refresh_new(struct loop *loop, struct worker *const *workers, size_t n_workers)
{
    struct refresh *r = xcalloc(1, sizeof(*r));
    r->loop = loop;
    r->workers = workers;
    r->n_workers = n_workers;
    return r;
}

void refresh_stop(struct refresh *r)
{
    r->stopped = true;
    for (size_t i = 0; i < r->n_jobs; i++) {
        deadline_cancel(&r->jobs[i]->due);
        r->jobs[i]->next_run = 0;
    }
    for (struct job *j = r->loose; j != NULL; j = j->next) {
        deadline_cancel(&j->due);
    }
}

void refresh_free(struct refresh *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n_jobs; i++) {
        job_free(r->jobs[i]);
    }
    while (r->loose != NULL) {
        struct job *j = r->loose;
        r->loose = j->next;
        job_free(j);
    }
    free(r->jobs);
    free(r);
}

/* ---- to look at ------------------------------------------------------------------------- */

void refresh_summary(const struct refresh *r, struct refresh_summary *out)
{
    *out = (struct refresh_summary){.jobs = r->n_jobs};
    for (size_t i = 0; i < r->n_jobs; i++) {
        out->failed += r->jobs[i]->past.failed_in_row > 0;
        out->warming = out->warming || r->jobs[i]->past.runs == 0;
    }
}

void refresh_each(const struct refresh *r,
                  void (*fn)(const struct refresh_report *j, void *ctx), void *ctx)
{
    for (size_t i = 0; i < r->n_jobs; i++) {
        struct refresh_report report;
        job_report(r->jobs[i], &report);
        fn(&report, ctx);
    }
}

/* ---- by hand ---------------------------------------------------------------------------- */

static void run_now(struct job *j, refresh_done_fn *done, void *ctx)
{
    struct waiter *w = xmalloc(sizeof(*w));
    *w = (struct waiter){.next = j->waiters, .done = done, .ctx = ctx};
    j->waiters = w;
    begin(j, true);
}

size_t refresh_route(struct refresh *r, struct str label, refresh_done_fn *done, void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_jobs && !r->stopped; i++) {
        if (label.p == NULL || str_eq(r->jobs[i]->run.label, label)) {
            run_now(r->jobs[i], done, ctx);
            n++;
        }
    }
    return n;
}

static const struct site_settings *choose_site(const struct runtime *runtime, struct str host)
{
    const struct settings *s = runtime->settings;
    if (host.p != NULL) {
        return route_site(runtime->routes, host);
    }
    for (size_t i = 0; i < s->n_sites; i++) {
        if (s->sites[i].hosts.n > 0) {
            return &s->sites[i];
        }
    }
    return &s->sites[0];
}

/* Why a path cannot be fetched by itself; NULL when it can. */
static const char *cannot(const struct route_settings *route)
{
    if (route == NULL || !route->cached) {
        return "no cached GET route serves this path";
    }
    if (route->method_body) {
        return "this route's answers depend on a request body";
    }
    if (route->scope != SCOPE_PUBLIC && route->credential == NULL) {
        return "this route's answers are kept by identity, and it names no credential";
    }
    return NULL;
}

bool refresh_path(struct refresh *r, const struct runtime *runtime, struct str host,
                  struct str target, refresh_done_fn *done, void *ctx, const char **why)
{
    for (size_t i = 0; i < r->n_jobs && !r->stopped; i++) {
        const struct refresh_run *run = &r->jobs[i]->run;
        if (str_eq(run->target, target) && (host.p == NULL || str_eq(run->host, host))) {
            run_now(r->jobs[i], done, ctx);
            return true;
        }
    }
    struct arena scratch;
    struct target parsed;
    struct host as;
    struct route_match match = {0};
    const struct site_settings *site = choose_site(runtime, host);
    arena_init(&scratch, NULL, 0);
    *why = r->stopped ? "the proxy is stopping" : target_parse(target, &scratch, &parsed);
    if (*why == NULL && (site == NULL || parsed.form != TARGET_ORIGIN)) {
        *why = site == NULL ? "this host is not served here" : "a path is expected";
    }
    if (*why == NULL && host.p != NULL && !host_parse(host, false, &scratch, &as)) {
        *why = "a malformed host";
    }
    if (*why == NULL && host.p == NULL && site->hosts.n == 0) {
        *why = "entries are kept by Host: say which one, or set `hosts`";
    }
    if (*why == NULL) {
        route_find(runtime->routes, site, STR("GET"), parsed.path, &match);
        *why = cannot(match.route);
    }
    arena_reset(&scratch);
    if (*why != NULL) {
        return false;
    }
    host = host.p != NULL ? host : site->hosts.list[0];
    struct job *j = job_new(r, site, match.route, host, target);
    j->next = r->loose;
    r->loose = j;
    run_now(j, done, ctx);
    return true;
}

static void forget_in(struct job *j, const void *ctx)
{
    struct waiter **at = &j->waiters;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (w->ctx == ctx) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
}

void refresh_forget(struct refresh *r, const void *ctx)
{
    for (size_t i = 0; i < r->n_jobs; i++) {
        forget_in(r->jobs[i], ctx);
    }
    for (struct job *j = r->loose; j != NULL; j = j->next) {
        forget_in(j, ctx);
    }
}
