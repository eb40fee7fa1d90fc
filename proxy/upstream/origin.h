/*
 * Upstream groups at run time: which server a request goes to (round robin, least connections),
 * which are down (passive marks after max_fails, active health checks) and how to reach them
 * (addresses, TLS). One set per configuration, shared by all workers: counters are atomic, the
 * rest immutable. Knows nothing of connections; upstream/pool and upstream/fetch use it.
 */
#ifndef UPSTREAM_ORIGIN_H
#define UPSTREAM_ORIGIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/tls.h"
#include "settings.h"

struct resolver;
struct resolved;

#define ORIGIN_MAX_SERVERS 64 /* per upstream: a mask of tried servers fits a word */

/* What has been counted for one server, shared by the configurations that have it. */
struct origin_counts {
    atomic_uint refs;
    _Atomic uint64_t requests; /* attempts begun, health checks apart */
    _Atomic uint64_t failures; /* attempts that counted against it */
};

/* One server of a group. */
struct origin_server {
    const struct server_settings *settings;
    struct origin *origin;        /* its group */
    unsigned index;               /* position in the group, its bit in masks */
    char *host;                   /* NUL-terminated, for TLS; NULL without TLS */
    struct resolved *resolved;    /* addresses of a name; NULL for a literal address */
    struct tls_client *tls;       /* NULL: plain */
    atomic_uint in_flight;        /* exchanges under way */
    atomic_uint fails;            /* consecutive failures */
    atomic_uint next_addr;        /* rotates over the name's addresses */
    _Atomic msec_t down_until;    /* monotonic; passively marked down until then */
    atomic_bool unhealthy;        /* the active check says no */
    struct origin_counts *counts; /* a reference */
};

/* One group. */
struct origin {
    const struct upstream_settings *settings;
    struct origin_server *servers;
    size_t n_servers;
    atomic_uint turn; /* round robin */
    _Atomic int32_t
        retries; /* retry budget in tenths: each request adds one, a retry takes ten */
};

/* All groups of one configuration. */
struct origins;

/* Makes the groups; takes its own reference on settings, because connections in a pool may
 * outlive the configuration. NULL with a message in error. Names are registered with the
 * resolver (which must outlive it). */
struct origins *origins_new(struct settings *settings, struct resolver *resolver, char *error,
                            size_t cap) __attribute__((warn_unused_result));
struct origins *origins_ref(struct origins *o);
void origins_unref(struct origins *o);

/* At a reload, before o is used: servers that both have (same URL, upstream of the same name)
 * keep what was found out about them: failures, marks, health. */
void origins_adopt(struct origins *o, struct origins *old);

/* The group of settings->upstreams[index]. */
struct origin *origins_get(struct origins *o, unsigned index);
size_t origins_count(const struct origins *o);

/* Chooses a server outside the mask of tried ones; NULL when none is left or all are known
 * unhealthy. Servers that are only passively marked are used when nothing better is left. */
struct origin_server *origin_pick(struct origin *o, uint64_t tried, msec_t now);

/* An address of the server; false when its name has not been resolved. Successive calls rotate.
 */
bool origin_server_addr(struct origin_server *s, struct addr *out);

/* An attempt on the server begins (not a health check). */
void origin_server_asked(struct origin_server *s);

/* What everybody who shows the server says of it: false while it fails its check, and from
 * max_fails failures in a row to the next success, although it is asked all along where it is
 * the only one. Where there is a check, that decides again after fail_timeout. Any thread. */
bool origin_server_up(const struct origin_server *s, msec_t now);

/* What an exchange came to: counts towards max_fails. A failure to connect also asks the
 * resolver for fresh addresses. */
void origin_server_succeeded(struct origin_server *s);
void origin_server_failed(struct origin_server *s, msec_t now);

/* Is a retry within the budget (about 10 % of the requests)? Takes it. */
bool origin_take_retry(struct origin *o);
/* Counts a first attempt towards the budget. */
void origin_count_request(struct origin *o);

#endif
