/*
 * Choice of servers. A group of one is never marked down passively (there is nothing better to
 * do than to ask it); an active check's verdict always counts.
 */
#include "upstream/origin.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/resolver.h"

#define RETRY_COST 10
#define RETRY_MAX  1000 /* a burst of a hundred retries after a quiet time */
#define ADDRS_MAX  16

struct origins {
    atomic_uint refs;
    struct settings *settings; /* a reference */
    struct origin *list;
    size_t n;
    struct resolver *resolver;
};

static void counts_unref(struct origin_counts *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        free(c);
    }
}

static bool server_init(struct origin_server *s, struct origin *o, unsigned index,
                        struct resolver *resolver, char *error, size_t cap)
{
    const struct upstream_settings *us = o->settings;
    s->settings = &us->servers[index];
    s->origin = o;
    s->index = index;
    s->counts = xcalloc(1, sizeof(*s->counts));
    atomic_init(&s->counts->refs, 1);
    if (s->settings->addr.len == 0) {
        s->resolved = resolver_add(resolver, s->settings->host, s->settings->port);
    }
    if (!s->settings->tls) {
        return true;
    }
    s->host = str_dup(us->tls_name.n > 0 ? us->tls_name : s->settings->host);
    char *ca = us->tls_ca.n > 0 ? str_dup(us->tls_ca) : NULL;
    s->tls = tls_client_new(us->tls_verify, ca, error, cap);
    free(ca);
    return s->tls != NULL;
}

static void origin_fini(struct origins *set, struct origin *o)
{
    for (size_t i = 0; i < o->n_servers; i++) {
        struct origin_server *s = &o->servers[i];
        free(s->host);
        counts_unref(s->counts);
        if (s->tls != NULL) {
            tls_client_unref(s->tls);
        }
        if (s->resolved != NULL) {
            resolver_remove(set->resolver, s->resolved);
        }
    }
    free(o->servers);
}

struct origins *origins_new(struct settings *settings, struct resolver *resolver, char *error,
                            size_t cap)
{
    struct origins *set = xcalloc(1, sizeof(*set));
    atomic_init(&set->refs, 1);
    set->settings = settings_ref(settings);
    set->resolver = resolver;
    set->list = xcalloc(settings->n_upstreams, sizeof(*set->list));
    for (size_t i = 0; i < settings->n_upstreams; i++) {
        struct origin *o = &set->list[set->n++];
        o->settings = &settings->upstreams[i];
        o->servers = xcalloc(o->settings->n_servers, sizeof(*o->servers));
        atomic_init(&o->retries, RETRY_MAX / 2);
        for (unsigned k = 0; k < o->settings->n_servers; k++) {
            o->n_servers++;
            if (!server_init(&o->servers[k], o, k, resolver, error, cap)) {
                origins_unref(set);
                return NULL;
            }
        }
    }
    return set;
}

struct origins *origins_ref(struct origins *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void origins_unref(struct origins *o)
{
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < o->n; i++) {
        origin_fini(o, &o->list[i]);
    }
    settings_unref(o->settings);
    free(o->list);
    free(o);
}

static void server_adopt(struct origin_server *s, struct origin_server *old)
{
    bool checked = s->origin->settings->health_path.n > 0;
    atomic_store_explicit(&s->fails, atomic_load_explicit(&old->fails, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store(&s->down_until, atomic_load(&old->down_until));
    atomic_store(&s->unhealthy, checked && atomic_load(&old->unhealthy));
    atomic_fetch_add_explicit(&old->counts->refs, 1, memory_order_relaxed);
    counts_unref(s->counts);
    s->counts = old->counts;
}

static void origin_adopt(struct origin *o, struct origin *old)
{
    for (size_t i = 0; i < o->n_servers; i++) {
        for (size_t k = 0; k < old->n_servers; k++) {
            if (str_eq(o->servers[i].settings->url, old->servers[k].settings->url)) {
                server_adopt(&o->servers[i], &old->servers[k]);
            }
        }
    }
}

void origins_adopt(struct origins *o, struct origins *old)
{
    for (size_t i = 0; i < o->n; i++) {
        for (size_t k = 0; k < old->n; k++) {
            if (str_eq(o->list[i].settings->name, old->list[k].settings->name)) {
                origin_adopt(&o->list[i], &old->list[k]);
            }
        }
    }
}

struct origin *origins_get(struct origins *o, unsigned index)
{
    return &o->list[index];
}

size_t origins_count(const struct origins *o)
{
    return o->n;
}

static bool passively_down(const struct origin_server *s, msec_t now)
{
    return s->origin->n_servers > 1 &&
           atomic_load_explicit(&s->down_until, memory_order_relaxed) > now;
}

bool origin_server_up(const struct origin_server *s, msec_t now)
{
    const struct upstream_settings *us = s->origin->settings;
    bool failing = us->max_fails > 0 &&
                   atomic_load_explicit(&s->fails, memory_order_relaxed) >= us->max_fails;
    bool marked = atomic_load_explicit(&s->down_until, memory_order_relaxed) > now;
    if (failing && (marked || us->health_path.n == 0)) {
        return false;
    }
    return !atomic_load_explicit(&s->unhealthy, memory_order_relaxed);
}

void origin_server_asked(struct origin_server *s)
{
    atomic_fetch_add_explicit(&s->counts->requests, 1, memory_order_relaxed);
}

static unsigned load_of(struct origin_server *s)
{
    return atomic_load_explicit(&s->in_flight, memory_order_relaxed);
}

struct origin_server *origin_pick(struct origin *o, uint64_t tried, msec_t now)
{
    struct origin_server *best = NULL, *marked = NULL;
    unsigned start =
        o->n_servers > 1 ? atomic_fetch_add_explicit(&o->turn, 1, memory_order_relaxed) : 0;
    for (size_t i = 0; i < o->n_servers; i++) {
        struct origin_server *s = &o->servers[(start + i) % o->n_servers];
        if ((tried >> s->index & 1) != 0 ||
            atomic_load_explicit(&s->unhealthy, memory_order_relaxed)) {
            continue;
        }
        if (passively_down(s, now)) {
            marked = marked != NULL ? marked : s;
        } else if (best == NULL) {
            best = s;
            if (o->settings->balance == BALANCE_ROUND_ROBIN) {
                break;
            }
        } else if (load_of(s) < load_of(best)) {
            best = s;
        }
    }
    return best != NULL ? best : marked;
}

bool origin_server_addr(struct origin_server *s, struct addr *out)
{
    if (s->resolved == NULL) {
        *out = s->settings->addr;
        return true;
    }
    struct addr list[ADDRS_MAX];
    size_t n = resolved_get(s->resolved, list, ADDRS_MAX);
    if (n == 0) {
        resolver_kick(s->resolved);
        return false;
    }
    *out = list[atomic_fetch_add_explicit(&s->next_addr, 1, memory_order_relaxed) % n];
    return true;
}

void origin_server_succeeded(struct origin_server *s)
{
    if (atomic_load_explicit(&s->fails, memory_order_relaxed) == 0) {
        return;
    }
    atomic_store_explicit(&s->fails, 0, memory_order_relaxed);
    if (atomic_exchange(&s->down_until, 0) != 0) {
        log_info("upstream %.*s: server %.*s is back", STR_ARG(s->origin->settings->name),
                 STR_ARG(s->settings->url));
    }
}

void origin_server_failed(struct origin_server *s, msec_t now)
{
    unsigned fails = atomic_fetch_add_explicit(&s->fails, 1, memory_order_relaxed) + 1;
    atomic_fetch_add_explicit(&s->counts->failures, 1, memory_order_relaxed);
    if (s->resolved != NULL) {
        resolver_kick(s->resolved);
    }
    if (fails < s->origin->settings->max_fails || s->origin->settings->max_fails == 0) {
        return;
    }
    msec_t before = atomic_exchange(&s->down_until, now + s->origin->settings->fail_timeout);
    if (before == 0) {
        log_warn("upstream %.*s: server %.*s is failing (%u in a row)",
                 STR_ARG(s->origin->settings->name), STR_ARG(s->settings->url), fails);
    }
}

void origin_count_request(struct origin *o)
{
    if (atomic_load_explicit(&o->retries, memory_order_relaxed) < RETRY_MAX) {
        atomic_fetch_add_explicit(&o->retries, 1, memory_order_relaxed);
    }
}

bool origin_take_retry(struct origin *o)
{
    int32_t have = atomic_load_explicit(&o->retries, memory_order_relaxed);
    while (have >= RETRY_COST) {
        if (atomic_compare_exchange_weak(&o->retries, &have, have - RETRY_COST)) {
            return true;
        }
    }
    return false;
}
