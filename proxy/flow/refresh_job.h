/*
 * One job of the scheduler: a path that is fetched again and again, or once by hand; when, and
 * what came of it. Private to flow/refresh; control thread.
 */
#ifndef FLOW_REFRESH_JOB_H
#define FLOW_REFRESH_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/loop.h"
#include "flow/refresh.h"

struct refresh_waiter;

/* What a job has learnt; survives a reload. */
struct refresh_past {
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

/* One path. */
struct refresh_job {
    struct refresh *owner;
    struct refresh_run run;
    struct arena arena;             /* holds the run's strings */
    struct deadline due;            /* the next run */
    struct refresh_waiter *waiters; /* told when the run under way, or the next one, ends */
    struct refresh_past past;
    msec_t every;             /* 0: once, by hand */
    msec_t next_run;          /* wall; 0: none */
    bool running;             /* the run is a worker's or on its way there */
    bool again;               /* asked for while it was running */
    bool retired;             /* no longer in the list: freed when the run is back */
    struct refresh_job *next; /* of the loose ones */
};

/* The scheduler. */
struct refresh {
    struct loop *loop;
    struct worker *const *workers;
    size_t n_workers;
    size_t turn;               /* the worker that gets the next run */
    struct refresh_job **jobs; /* scheduled, in the configuration's order */
    size_t n_jobs;
    struct refresh_job *loose; /* running, but not in `jobs` */
    bool stopped;
};

/* A job of a route for one path, not planned, not in any list. */
struct refresh_job *refresh_job_new(struct refresh *r, const struct site_settings *site,
                                    const struct route_settings *route, struct str host,
                                    struct str target) __attribute__((warn_unused_result));

/* Not while it runs. Who waits for it is not told. */
void refresh_job_free(struct refresh_job *j);

void refresh_job_report(const struct refresh_job *j, struct refresh_report *out);

/* The next run is in `after` ms, or never for a job that is not scheduled. */
void refresh_job_plan(struct refresh_job *j, msec_t after);

/* The same, by what is known of the last run. */
void refresh_job_plan_next(struct refresh_job *j);

/* Runs it now, or once more after the run under way; done(ctx, …) is told. */
void refresh_job_run_now(struct refresh_job *j, refresh_done_fn *done, void *ctx);

/* Everybody who waits is told what is known. */
void refresh_job_tell_waiters(struct refresh_job *j);

/* done(ctx, …) is not called any more. */
void refresh_job_forget(struct refresh_job *j, const void *ctx);

#endif
