/*
 * The schedule, on the control thread: the jobs of a configuration, and those that somebody
 * asks for by hand. One job's time is in refresh_job.c, its fetch in refresh_fetch.c.
 */
#include "flow/refresh.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "flow/refresh_job.h"
#include "flow/route.h"
#include "http/target.h"

#define FIRST_MS  100 /* from the start to the first fetch */
#define SPREAD_MS 50  /* between the first fetches of two jobs */

/* ---- configuration ---------------------------------------------------------------------- */

/* What is known of a path stays known. */
static void inherit(struct refresh_job *j, struct refresh_job *const *old, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct refresh_job *o = old[i];
        if (str_eq(o->run.target, j->run.target) && str_eq(o->run.host, j->run.host) &&
            str_eq(o->run.label, j->run.label) && o->past.runs > 0) {
            j->past = o->past;
            refresh_job_plan_next(j);
            return;
        }
    }
}

static void add_route_jobs(struct refresh *r, const struct site_settings *site,
                           const struct route_settings *route, struct refresh_job *const *old,
                           size_t n_old)
{
    for (size_t i = 0; route->refresh > 0 && i < route->refresh_targets.n; i++) {
        struct refresh_job *j = refresh_job_new(r, site, route, site->hosts.list[0],
                                                route->refresh_targets.list[i]);
        j->every = route->refresh;
        r->jobs = xrealloc(r->jobs, (r->n_jobs + 1) * sizeof(*r->jobs));
        r->jobs[r->n_jobs] = j;
        refresh_job_plan(j, FIRST_MS + (msec_t)r->n_jobs * SPREAD_MS);
        r->n_jobs++;
        inherit(j, old, n_old);
    }
}

static void retire(struct refresh *r, struct refresh_job *j)
{
    deadline_cancel(&j->due);
    if (!j->running) {
        refresh_job_tell_waiters(j);
        refresh_job_free(j);
        return;
    }
    j->retired = true;
    j->next = r->loose;
    r->loose = j;
}

void refresh_configure(struct refresh *r, const struct runtime *runtime)
{
    const struct settings *s = runtime->settings;
    struct refresh_job **old = r->jobs;
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
    for (struct refresh_job *j = r->loose; j != NULL; j = j->next) {
        deadline_cancel(&j->due);
    }
}

void refresh_free(struct refresh *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n_jobs; i++) {
        refresh_job_free(r->jobs[i]);
    }
    while (r->loose != NULL) {
        struct refresh_job *j = r->loose;
        r->loose = j->next;
        refresh_job_free(j);
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
        refresh_job_report(r->jobs[i], &report);
        fn(&report, ctx);
    }
}

/* ---- by hand ---------------------------------------------------------------------------- */

size_t refresh_route(struct refresh *r, struct str label, refresh_done_fn *done, void *ctx)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_jobs && !r->stopped; i++) {
        if (label.p == NULL || str_eq(r->jobs[i]->run.label, label)) {
            refresh_job_run_now(r->jobs[i], done, ctx);
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
            refresh_job_run_now(r->jobs[i], done, ctx);
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
    struct refresh_job *j = refresh_job_new(r, site, match.route, host, target);
    j->next = r->loose;
    r->loose = j;
    refresh_job_run_now(j, done, ctx);
    return true;
}

void refresh_forget(struct refresh *r, const void *ctx)
{
    for (size_t i = 0; i < r->n_jobs; i++) {
        refresh_job_forget(r->jobs[i], ctx);
    }
    for (struct refresh_job *j = r->loose; j != NULL; j = j->next) {
        refresh_job_forget(j, ctx);
    }
}
