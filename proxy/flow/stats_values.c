/*
 * Looking values up, adding labels up.
 */
#include "flow/stats_values.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cache/journal_link.h"
#include "cache/l1.h"
#include "cache/l2.h"
#include "flow/accesslog.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/worker.h"

static void memory_values(const struct node *node, double *out)
{
    struct l1_stats l1;
    l1_stats(node->l1, &l1);
    out[STATS_VALUE_L1_BYTES] = (double)l1.bytes;
    out[STATS_VALUE_L1_CAPACITY] = (double)l1.capacity;
    out[STATS_VALUE_L1_ENTRIES] = (double)l1.entries;
    out[STATS_VALUE_L1_EVICTIONS] = (double)l1.evictions;
}

static void worker_values(const struct stats_source *from, double *out)
{
    static const enum stats_value outcomes[L2_OUTCOMES] = {
        [L2_HIT] = STATS_VALUE_L2_HITS,      [L2_MISS] = STATS_VALUE_L2_MISSES,
        [L2_OTHER] = STATS_VALUE_L2_OTHERS,  [L2_DAMAGED] = STATS_VALUE_L2_DAMAGED,
        [L2_FAILED] = STATS_VALUE_L2_FAILED,
    };
    for (size_t i = 0; i < from->n_workers; i++) {
        const struct worker *w = from->workers[i];
        struct l2_stats l2 = {0};
        if (w->redis != NULL) {
            l2_stats_get(redis_worker_l2(w->redis), &l2);
        }
        for (int k = 0; k < L2_OUTCOMES; k++) {
            out[outcomes[k]] += (double)l2.outcomes[k];
        }
        out[STATS_VALUE_L2_WRITES] += (double)l2.writes;
        out[STATS_VALUE_L2_WRITE_ERRORS] += (double)l2.write_errors;
        out[STATS_VALUE_L2_TOO_LARGE] += (double)l2.too_large;
        out[STATS_VALUE_UPSTREAM_CONNECTIONS] += (double)pool_open(w->pool);
    }
}

static void redis_values(const struct node *node, double *out)
{
    struct redis_tier_info info;
    out[STATS_VALUE_REDIS_MEMORY] = NAN;
    out[STATS_VALUE_REDIS_KEYS] = NAN;
    if (node->redis == NULL || redis_tier_link(node->redis) == NULL) {
        return;
    }
    redis_tier_info_get(node->redis, &info);
    out[STATS_VALUE_REDIS_CONNECTED] = info.connected;
    out[STATS_VALUE_REDIS_READ_ONLY] = str_eq(str_from(info.state), STR("read-only"));
    if (info.facts.used_memory >= 0) {
        out[STATS_VALUE_REDIS_MEMORY] = (double)info.facts.used_memory;
    }
    if (info.facts.keys >= 0) {
        out[STATS_VALUE_REDIS_KEYS] = (double)info.facts.keys;
    }
}

static void lease_values(const struct node *node, double *out)
{
    if (node->redis == NULL) {
        return;
    }
    const struct lease_counters *c = redis_tier_leases(node->redis);
    const struct {
        enum stats_value value;
        const _Atomic uint64_t *from;
    } rows[] = {
        {STATS_VALUE_LEASES_TAKEN, &c->taken},
        {STATS_VALUE_LEASES_DISPLACED, &c->displaced},
        {STATS_VALUE_LEASES_LOST, &c->lost},
        {STATS_VALUE_LEASES_REPEATED, &c->repeated},
        {STATS_VALUE_LEASES_FENCED, &c->fenced},
        {STATS_VALUE_LEASES_FALLBACKS, &c->fallbacks},
        {STATS_VALUE_LEASES_WAITED, &c->waited},
        {STATS_VALUE_LEASE_WAITS_WOKEN, &c->woken},
        {STATS_VALUE_LEASE_WAITS_UNSHARED, &c->unshared},
        {STATS_VALUE_LEASE_WAITS_FAILED, &c->failed},
        {STATS_VALUE_LEASE_WAITS_EXPIRED, &c->expired},
        {STATS_VALUE_LEASE_WAITS_SILENT, &c->silent},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        out[rows[i].value] = (double)atomic_load_explicit(rows[i].from, memory_order_relaxed);
    }
}

static void journal_values(const struct stats_source *from, double *out)
{
    const struct journal_link *link = redis_tier_link(from->node->redis);
    struct journal_stats js;
    journal_stats(from->node->journal, &js);
    out[STATS_VALUE_JOURNAL_POSITION] = (double)js.position;
    out[STATS_VALUE_JOURNAL_PATTERNS] = (double)js.patterns;
    out[STATS_VALUE_JOURNAL_SHAPES] = (double)js.shapes;
    out[STATS_VALUE_JOURNAL_COARSENED] = (double)js.coarsened;
    out[STATS_VALUE_JOURNAL_NODES] = 1;
    out[STATS_VALUE_JOURNAL_LAG] = NAN;
    if (link != NULL) {
        struct journal_link_stats ls;
        journal_link_stats_get(link, &ls);
        out[STATS_VALUE_JOURNAL_POSITION] = (double)ls.seq;
        out[STATS_VALUE_JOURNAL_OUTBOX] = (double)ls.outbox;
        out[STATS_VALUE_JOURNAL_NODES] = (double)ls.nodes;
        out[STATS_VALUE_JOURNAL_INTENTS] = (double)ls.intents;
        out[STATS_VALUE_JOURNAL_HEALED] = (double)ls.healed;
        out[STATS_VALUE_JOURNAL_UNANNOUNCED] = (double)ls.unannounced;
        out[STATS_VALUE_JOURNAL_UNCERTAIN] = !journal_link_certain(link, from->now);
        if (ls.lag >= 0) {
            out[STATS_VALUE_JOURNAL_LAG] = (double)ls.lag / 1000;
        }
    }
}

/* Resident pages, as the kernel counts them; NAN where there is no /proc. */
static double resident_bytes(void)
{
    unsigned long long size, resident;
    FILE *f = fopen("/proc/self/statm", "re");
    bool ok = f != NULL && fscanf(f, "%llu %llu", &size, &resident) == 2;
    if (f != NULL) {
        fclose(f);
    }
    return ok ? (double)resident * (double)sysconf(_SC_PAGESIZE) : (double)NAN;
}

static double open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* ".", ".." and the folder itself */
    if (dir == NULL) {
        return (double)NAN;
    }
    /* cppcheck-suppress readdirCalled */ /* one stream for each thread */
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void process_values(double *out)
{
    struct rusage used = {0};
    getrusage(RUSAGE_SELF, &used);
    out[STATS_VALUE_PROCESS_CPU] = seconds_of(&used.ru_utime) + seconds_of(&used.ru_stime);
    out[STATS_VALUE_PROCESS_MEMORY] = resident_bytes();
    out[STATS_VALUE_PROCESS_FDS] = open_descriptors();
}

void stats_values(const struct stats_source *from, double out[STATS_VALUES])
{
    const struct runtime *r = from->runtime;
    for (int i = 0; i < STATS_VALUES; i++) {
        out[i] = 0;
    }
    out[STATS_VALUE_CLIENTS] =
        (double)atomic_load_explicit(&from->node->connections, memory_order_relaxed);
    out[STATS_VALUE_LOG_LOST] =
        (double)(r->log_lost + (r->access != NULL ? accesslog_lost(r->access) : 0));
    out[STATS_VALUE_UPTIME] = (double)(from->now - from->started) / 1000;
    memory_values(from->node, out);
    worker_values(from, out);
    redis_values(from->node, out);
    lease_values(from->node, out);
    journal_values(from, out);
    process_values(out);
}

/* ---- sums -------------------------------------------------------------------------------- */

void stats_sum_add(struct stats_sum *sum, const struct stats *s, uint32_t label)
{
    struct histogram upstream = {0};
    for (unsigned i = 0; i < STATS_ROUTE_COUNTERS; i++) {
        sum->counts[i] += stats_route_sum(s, label, (enum stats_route_counter)i);
    }
    for (unsigned i = 0; i < STATS_TIMES; i++) {
        if (i != STATS_TIME_UPSTREAM) {
            (void)stats_times_sum(s, label, (enum stats_time)i, &sum->times[i]);
        }
    }
    if (stats_times_sum(s, label, STATS_TIME_UPSTREAM, &upstream)) {
        histogram_merge(&sum->times[STATS_TIME_UPSTREAM], &upstream);
        sum->saved_seconds += stats_saved_seconds(s, label, &upstream);
    }
}

double stats_saved_seconds(const struct stats *s, uint32_t label,
                           const struct histogram *upstream)
{
    uint64_t n = histogram_count(upstream);
    double mean = n > 0 ? (double)counter_get(&upstream->sum) / (double)n / 1e6 : 0;
    return mean * (double)stats_route_sum(s, label, STATS_SAVED);
}

uint64_t stats_sum_requests(const struct stats_sum *sum)
{
    uint64_t n = 0;
    for (unsigned i = STATS_OWN; i <= STATS_ABANDONED; i++) {
        n += sum->counts[i];
    }
    return n;
}

uint64_t stats_requests(const struct stats *s, uint32_t label)
{
    uint64_t n = 0;
    for (unsigned i = STATS_OWN; i <= STATS_ABANDONED; i++) {
        n += stats_route_sum(s, label, (enum stats_route_counter)i);
    }
    return n;
}

double stats_hit_rate(uint64_t hits, uint64_t misses)
{
    return hits + misses > 0 ? 100.0 * (double)hits / (double)(hits + misses) : 0;
}
