/*
 * What the files of a cluster share. Private to cache/redis_cluster*.c.
 */
#ifndef CACHE_REDIS_CLUSTER_PARTS_H
#define CACHE_REDIS_CLUSTER_PARTS_H

#include "cache/redis_cluster.h"
#include "cache/redis_place.h"
#include "cache/redis_slots.h"

#define MAX_NODES 512
#define NO_NODE   UINT16_MAX

struct node {
    struct redis_cluster *cluster;
    struct redis_place place;
    bool named;     /* by the last map */
    msec_t used_at; /* when a command was last sent to it */
    struct redis_peer peers[REDIS_ROLES];
};

struct redis_cluster {
    struct redis_cluster_env env;
    struct redis_link_settings link; /* of the nodes */
    struct node *nodes[MAX_NODES];   /* NULL: free */
    size_t n_nodes;                  /* entries in use, free ones among them */
    unsigned turn;                   /* for commands without a key */
    uint16_t map[REDIS_SLOTS];
    bool known; /* there was a map */

    struct redis_link_settings asking_link;
    struct redis_stats asking_stats; /* of that link; nobody looks */
    struct redis_link asker;         /* asks for the map, and is closed again */
    struct redis_place *seeds;       /* the servers of the URL */
    size_t n_seeds;
    struct redis_place *asked; /* where the question goes */
    unsigned candidate;        /* turn among nodes and seeds */
    bool asking;
    bool good;              /* this question brought a map */
    struct deadline timer;  /* the next question */
    struct deferred settle; /* the end of a question */
    msec_t asked_at;        /* when the last one began */
    unsigned failures;      /* questions in a row without a map */
    struct redis_parking parking;
};

static inline struct loop *cluster_loop(const struct redis_cluster *cl)
{
    return cl->link.loop;
}

/* redis_cluster.c: the node's index, made if need be; NO_NODE when there are too many. */
uint16_t cluster_node(struct redis_cluster *cl, struct str host, uint16_t port);
/* redis_cluster.c: gives up nodes that no map names and nobody uses. No slot is theirs any
 * more. */
void cluster_forget_nodes(struct redis_cluster *cl);

/* redis_cluster_map.c: begins to ask for the map; ends that, before the nodes and after. */
void cluster_map_init(struct redis_cluster *cl);
void cluster_map_stop(struct redis_cluster *cl);
void cluster_map_fini(struct redis_cluster *cl);
/* redis_cluster_map.c: asks for the map: at once, or when `gap` has passed since it was last
 * asked for. */
void cluster_refresh(struct redis_cluster *cl, msec_t gap);

#endif
