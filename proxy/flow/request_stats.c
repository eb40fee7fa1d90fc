/*
 * What one request adds to its route's counters. request_stats_end() runs for every hit: it
 * reads what the request knows anyway, and writes a few words of this worker's own memory.
 */
#include "flow/request_stats.h"

#include "flow/node.h"
#include "flow/top.h"

#define TIMED_EVERY 16 /* requests, when nobody logs them */

/* The order of these rows in tbl/counters.def is that of enum cache_result. */
_Static_assert(STATS_OWN == 0 && (int)STATS_HIT == (int)CACHE_HIT &&
                   (int)STATS_PASS == (int)CACHE_PASS,
               "results and their counters");
_Static_assert(STATS_STATUS_5XX - STATS_STATUS_1XX == 4, "one counter for each class");
_Static_assert(STATS_FAIL_RESET - STATS_FAIL_NO_SERVER == FETCH_RESET - FETCH_NO_SERVER,
               "one counter for each way to fail");

static uint32_t label_of(const struct request *rq)
{
    unsigned number = rq->route != NULL ? rq->route->number : 0;
    return rq->config->runtime->stats.labels[number];
}

/* Is there an admin plane to show its name? */
static bool is_shown(const struct request *rq)
{
    return config_settings(rq->config)->admin.on && rq->base_name.n > 0;
}

static struct stats_cell *cell_of(struct request *rq)
{
    struct config_use *use = rq->config;
    unsigned number = rq->route != NULL ? rq->route->number : 0;
    struct stats_cell *c = use->cells[number];
    if (c == NULL) {
        c = stats_cell(rq->worker->stats, label_of(rq));
        use->cells[number] = c;
    }
    return c;
}

void request_stats_add(struct request *rq, enum stats_route_counter which, uint64_t n)
{
    counter_add(&cell_of(rq)->counts[which], n);
}

/* ---- times ------------------------------------------------------------------------------- */

bool request_stats_timed(struct worker *w)
{
    return config_settings(w->config)->log_access || w->stats->tick++ % TIMED_EVERY == 0;
}

void request_stats_start(struct request *rq)
{
    if (rq->start_us == 0) {
        rq->start_us = request_clock_us();
    }
}

/* Only what was to come from the cache: passes are the upstream's time and nothing else. */
static void record_time(struct stats_cell *c, const struct request *rq, bool asked,
                        int64_t end_us)
{
    int64_t us = end_us - rq->start_us;
    if (rq->start_us == 0) {
        return;
    }
    if ((rq->result == CACHE_HIT || rq->result == CACHE_STALE) && !asked) {
        stats_time(c, STATS_TIME_HIT, us);
    } else if (rq->result == CACHE_MISS || rq->result == CACHE_REVALIDATED ||
               rq->result == CACHE_STALE) {
        stats_time(c, STATS_TIME_MISS, us);
        if (is_shown(rq)) {
            top_miss(rq->worker->top, rq->base_name, label_of(rq), us, rq->worker->loop->wall);
        }
    }
}

/* ---- the end of a request ---------------------------------------------------------------- */

static unsigned reason_index(const struct request *rq)
{
    if (rq->reason == REASON_NO_IDENTITY && rq->identity != NULL &&
        rq->identity->missing < SETTINGS_MAX_IDENTITIES) {
        unsigned i = rq->config->runtime->stats.missing[rq->identity->missing];
        return i < STATS_MISSING_MAX ? REASON_COUNT + i : REASON_NO_IDENTITY;
    }
    return rq->reason;
}

/* Answered with the cache's help, whether or not something stored was used. */
static bool is_cached_result(enum cache_result r)
{
    return r == CACHE_HIT || r == CACHE_STALE || r == CACHE_MISS || r == CACHE_REVALIDATED;
}

static void count_saved(struct stats_cell *c, const struct request *rq)
{
    counter_add(&c->counts[STATS_SAVED], 1);
    if (rq->route->cost > 0) {
        counter_add(&c->counts[STATS_SAVED_MICROS], (uint64_t)rq->route->cost);
    }
    if (rq->collapsed) {
        counter_add(&c->counts[STATS_COALESCED], 1);
    }
}

static void count_answer(struct stats_cell *c, const struct request *rq, bool asked)
{
    unsigned class = (unsigned)rq->status / 100;
    counter_add(&c->counts[rq->result], 1);
    if (class >= 1 && class <= 5) {
        counter_add(&c->counts[STATS_STATUS_1XX + class - 1], 1);
    }
    if (rq->result == CACHE_HIT || rq->result == CACHE_STALE) {
        counter_add(&c->counts[rq->from_redis ? STATS_HIT_L2 : STATS_HIT_L1], 1);
    }
    if (!asked && is_cached_result(rq->result)) {
        count_saved(c, rq);
    }
    if (!asked && rq->result == CACHE_NONE && class == 5 &&
        rq->reason != REASON_ONLY_IF_CACHED) {
        counter_add(&c->counts[STATS_ERRORS], 1);
    }
}

/* A 200 from memory, of a route without a cost: see stats_cell.plain. */
static bool is_plain(const struct request *rq)
{
    return rq->result == CACHE_HIT && rq->status == 200 && rq->reason == REASON_NONE &&
           rq->fetch_start_us == 0 && !rq->from_redis && !rq->collapsed &&
           rq->body_bytes == 0 && rq->route->cost == 0;
}

void request_stats_end(struct request *rq, int64_t end_us)
{
    struct stats_cell *c = cell_of(rq);
    bool asked = rq->fetch_start_us != 0;
    if (is_shown(rq)) {
        top_count(rq->worker->top, rq->base_name, label_of(rq), rq->worker->loop->now);
    }
    if (is_plain(rq)) {
        counter_add(&c->plain, 1);
        counter_add(&c->counts[STATS_SENT], rq->bytes_sent);
        record_time(c, rq, false, end_us);
        return;
    }
    if (rq->status == 0 || rq->reason == REASON_CLIENT_GONE) {
        counter_add(&c->counts[STATS_ABANDONED], 1);
    } else {
        count_answer(c, rq, asked);
        record_time(c, rq, asked && !rq->background, end_us);
    }
    if (rq->reason != REASON_NONE) {
        counter_add(&c->reasons[reason_index(rq)], 1);
    }
    counter_add(&c->counts[STATS_SENT], rq->bytes_sent);
    if (rq->body_bytes > 0) {
        counter_add(&c->counts[STATS_RECEIVED], rq->body_bytes);
    }
}

/* ---- exchanges --------------------------------------------------------------------------- */

void request_stats_asked(struct request *rq)
{
    struct stats_cell *c = cell_of(rq);
    counter_add(&c->counts[STATS_UPSTREAM_REQUESTS], 1);
    if (rq->background) {
        counter_add(&c->counts[STATS_REFRESHES], 1);
    }
}

void request_stats_exchanged(struct request *rq)
{
    if (fetch_complete(rq->fetch)) {
        stats_time(cell_of(rq), STATS_TIME_UPSTREAM, rq->upstream_us);
    }
}

void request_stats_failed(struct request *rq, enum fetch_error e)
{
    struct stats_cell *c = cell_of(rq);
    if (e != FETCH_OK) {
        counter_add(&c->counts[STATS_FAIL_NO_SERVER + (e - FETCH_NO_SERVER)], 1);
        counter_add(&c->counts[STATS_ERRORS], 1);
    }
}
