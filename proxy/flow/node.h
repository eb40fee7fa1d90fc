/*
 * What the process holds: `node` lives from start to exit (tiers, journal, flights, counters);
 * `runtime` is made of one configuration and replaced whole at a reload.
 *
 * The node is shared by all threads; its parts say themselves how. A runtime is immutable and
 * refcounted: the server holds one reference, each worker that still has a request of it one.
 */
#ifndef FLOW_NODE_H
#define FLOW_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/tls.h"
#include "cache/identity.h"
#include "cache/journal.h"
#include "cache/l1.h"
#include "flow/backoff.h"
#include "flow/route.h"
#include "flow/stats.h"
#include "settings.h"
#include "upstream/origin.h"

struct accesslog;
struct flight_table;
struct ip_count;
struct redis_tier;
struct resolver;
struct variants;

struct node {
    struct l1 *l1;
    struct variants *variants; /* bounds those of each name */
    struct journal *journal;
    struct redis_tier *redis; /* NULL: memory only; made and freed by the server */
    struct flight_table *flights;
    struct backoff backoff; /* names whose origin has just failed */
    struct stats *stats;    /* see flow/stats */
    struct resolver *resolver;
    uint8_t hash_key[32];      /* for keyed hashes; random unless hash_key says otherwise */
    atomic_size_t connections; /* client connections open */
    struct ip_count *peers;    /* the same by address, where connections_per_ip is set */
    atomic_bool draining;      /* SIGTERM was received: no keep-alive any more */
};

/* Everything made of one configuration. */
struct runtime {
    atomic_uint refs;
    struct settings *settings; /* a reference */
    struct route_table *routes;
    struct origins *origins;
    struct identity_keys *keys;
    uint32_t version;         /* hash of `version`: entries of another one are not used */
    struct tls_server *tls;   /* NULL when no listener wants TLS */
    struct accesslog *access; /* NULL when it is off */
    struct stats_map stats;   /* what its routes are called in node->stats */
    uint64_t log_lost;        /* lines that the access logs before this one have lost */
};

/* The parts that outlive configurations; the resolver stays the caller's and must outlive the
 * node. Never fails (memory aside). */
struct node *node_new(const struct settings *settings, struct resolver *resolver)
    __attribute__((warn_unused_result));
/* After every worker and every runtime is gone. */
void node_free(struct node *n);

/* Builds a runtime with one reference for the caller; takes its own reference on settings. NULL
 * with a message in error (truncated to cap). Reads certificates and keys from their files and
 * opens the access log. */
struct runtime *runtime_new(struct settings *settings, struct node *node, char *error,
                            size_t cap) __attribute__((warn_unused_result));
struct runtime *runtime_ref(struct runtime *r);

/* Any thread; the last one frees it, and waits for the thread that fetches its JWK sets. */
void runtime_unref(struct runtime *r);

/* At a reload, before r is used: takes over what `old` has learnt and r would have to learn
 * again, fetched JWK sets and the state of upstream servers, and the access log if it is the
 * same one. */
void runtime_adopt(struct runtime *r, struct runtime *old);

#endif
