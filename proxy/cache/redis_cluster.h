/*
 * The nodes of a Redis Cluster: the map of slots, one peer for each role and node, redirects.
 * Every command has one key, so it has one node. The map is read from any node (CLUSTER SLOTS)
 * at the start, after anything that shows it to be old, and now and then; MOVED corrects it at
 * once. Used by the facade; belongs to one loop.
 */
#ifndef CACHE_REDIS_CLUSTER_H
#define CACHE_REDIS_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/redis_parking.h"
#include "cache/redis_peer.h"

struct redis_cluster;

/* What it needs of the facade; copied. */
struct redis_cluster_env {
    const struct redis_target *target;
    const struct redis_link_settings *link;
    const struct redis_breaker_settings *breaker;
    struct redis_health *health;
    struct resolver *resolver;
    unsigned roles;                                 /* mask: connected to every node at once */
    void (*changed)(struct redis_peer *p, bool up); /* as redis_peer_ops; owner: below */
    redis_resume_fn *resume;                        /* sends a command that was parked */
    void *owner;                                    /* for redis_cluster_owner() */
};

struct redis_cluster *redis_cluster_new(const struct redis_cluster_env *env)
    __attribute__((warn_unused_result));

/* NULL is allowed. Commands end without a call. */
void redis_cluster_free(struct redis_cluster *cl);

/* The peer for a slot, or for a command without a key; NULL while the slot has no known node
 * (a fresh map is on its way then). */
struct redis_peer *redis_cluster_route(struct redis_cluster *cl, enum redis_role role,
                                       uint16_t slot);
struct redis_peer *redis_cluster_any(struct redis_cluster *cl, enum redis_role role);

/* Where commands wait for the map. */
struct redis_parking *redis_cluster_parking(struct redis_cluster *cl);

/*
 * c was answered by p with MOVED, ASK, TRYAGAIN or CLUSTERDOWN: learns from it, and where the
 * command can be sent again, does so. True: it is on its way, nothing has ended yet.
 */
bool redis_cluster_redirect(struct redis_cluster *cl, struct redis_peer *p,
                            struct redis_command *c, const struct redis_reply *reply);

/* Is there a node that takes commands of this role? */
bool redis_cluster_ready(const struct redis_cluster *cl, enum redis_role role);

/* As redis_masters(). */
size_t redis_cluster_masters(const struct redis_cluster *cl, uint16_t first, uint16_t *slots,
                             size_t cap);

void *redis_cluster_owner(const struct redis_peer *p);

#endif
