/*
 * Scheduled refreshes (`refresh D`): answers are fetched before anybody asks, by requests that
 * nobody sent, as nobody or as a credential of the configuration, never as a user. Each path is
 * a job; its deadline lives on the control thread, its fetch on a worker, and mail goes
 * between.
 *
 * A refresh goes the way of any other fill (flights, validation, journal stamp), so it can
 * never store what a write has made old. A failed one is repeated with growing pauses and
 * leaves the stored answer alone. With Redis the first node fetches, the others take its answer
 * from there.
 *
 * Everything here belongs to the control thread, but for refresh_fetch.c's part.
 */
#ifndef FLOW_REFRESH_H
#define FLOW_REFRESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/reason.h"
#include "flow/node.h"

struct refresh;
struct worker;

enum refresh_result {
    REFRESH_NONE,   /* has not run yet */
    REFRESH_STORED, /* fetched, or confirmed by the backend, and stored */
    REFRESH_SHARED, /* a young answer was there: of another node, or of a request */
    REFRESH_FAILED, /* see reason */
    REFRESH_BUSY,   /* somebody else is fetching: to be looked at again; never reported */
};

/* A job as /metadata shows it. Strings are the job's. */
struct refresh_report {
    struct str route;  /* label */
    struct str target; /* what is fetched, in origin form */
    msec_t every;      /* between two fetches; 0: asked for once, by hand */
    bool running;
    enum refresh_result result; /* of the last run */
    struct str reason;          /* REFRESH_FAILED: word of tbl/reasons.def, or a few words */
    msec_t last_run;            /* wall time at which it began; 0: never */
    msec_t duration;            /* of it, ms */
    uint64_t bytes;             /* of the stored body, as stored */
    msec_t next_run;            /* wall time; 0: none planned */
    uint64_t runs;              /* since the start, whatever came of them */
    uint64_t failures;
};

struct refresh_summary {
    size_t jobs;
    size_t failed; /* whose last run failed */
    bool warming;  /* one has not run yet */
};

/* A scheduler without jobs. loop is the control thread's; workers must outlive it. */
struct refresh *refresh_new(struct loop *loop, struct worker *const *workers, size_t n_workers)
    __attribute__((warn_unused_result));

/* At the start and after a reload: the jobs are those of this runtime. What a job that stays
 * has learnt stays. */
void refresh_configure(struct refresh *r, const struct runtime *runtime);

/* No further fetch begins. Before the workers drain, and before the control loop is freed. */
void refresh_stop(struct refresh *r);

/* After the workers are joined and the control loop is freed. NULL is allowed. */
void refresh_free(struct refresh *r);

void refresh_summary(const struct refresh *r, struct refresh_summary *out);

/* Calls fn for each scheduled job, in the order of the configuration. */
void refresh_each(const struct refresh *r,
                  void (*fn)(const struct refresh_report *j, void *ctx), void *ctx);

/* A run that was asked for has ended. */
typedef void refresh_done_fn(void *ctx, const struct refresh_report *j);

/*
 * Runs the jobs of a route (its label; STR_NULL: of all) now; done(ctx, …) for each. How many;
 * 0: there are none. Nothing is begun after refresh_stop().
 */
size_t refresh_route(struct refresh *r, struct str label, refresh_done_fn *done, void *ctx);

/*
 * Fetches one path now, scheduled or not, if a cached route serves it that needs no identity or
 * has a credential. host: of the site, STR_NULL for the first. True: done(ctx, …) follows.
 * Otherwise *why says what is wrong, in words for users.
 */
bool refresh_path(struct refresh *r, const struct runtime *runtime, struct str host,
                  struct str target, refresh_done_fn *done, void *ctx, const char **why);

/* done(ctx, …) is not called any more; what runs goes on. */
void refresh_forget(struct refresh *r, const void *ctx);

/* ---- refresh_fetch.c: on a worker ---------------------------------------------------------
 */

/* One fetch. The control thread fills the upper half, posts `mail` to the worker, and gets it
 * back with the lower half filled; in between it is the worker's. */
struct refresh_run {
    struct mail mail;
    struct worker *worker;
    struct loop *control;
    void (*ended)(struct refresh_run *run); /* called on the control thread */
    struct str label;                       /* the route that must answer */
    struct str host;                        /* Host to ask with */
    struct str target;                      /* in origin form */
    struct str header;                      /* of the credential; empty: none */
    struct str credential;                  /* its value: a secret */
    bool tls;                               /* as if it had come over TLS */
    msec_t young; /* an answer stored less long ago will do; 0: never */

    enum refresh_result result;
    struct str reason; /* a constant or in reason_text */
    char reason_text[48];
    msec_t started;   /* wall */
    msec_t duration;  /* ms */
    msec_t stored_at; /* wall time of the answer that is there now */
    uint64_t bytes;
};

/* Sends it to its worker. Control thread. */
void refresh_run_start(struct refresh_run *run);

struct request;

/* If the request is a refresh: its fetch has failed, for this reason. Worker. */
void refresh_run_fail(struct request *rq, enum reason reason);

/* The request that fetched is about to be freed: the run has ended. Worker. */
void refresh_run_end(struct request *rq);

#endif
