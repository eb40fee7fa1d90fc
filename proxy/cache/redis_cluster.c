/*
 * The nodes, and where commands go. The map (redis_cluster_map.c asks for it) is an index into
 * a table of nodes. A node that a new map does not name keeps its connections for a while: a
 * slot may be on its way to it (ASK), or the map was an old one.
 */
#include "cache/redis_cluster.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cache/redis_cluster_parts.h"
#include "cache/redis_slots.h"

#define MAX_REDIRECTS 3
#define REFRESH_GAP   200   /* least time between two questions for the map, … */
#define DOWN_GAP      1000  /* … because a node cannot be reached */
#define FORGET_MS     10000 /* a node that is not named and not used is given up */
#define PAUSE_MS      20    /* before a TRYAGAIN is tried again */

/* ---- nodes ----------------------------------------------------------------------------------
 */

static struct node *node_of(const struct redis_peer *p)
{
    return p->owner;
}

void *redis_cluster_owner(const struct redis_peer *p)
{
    return node_of(p)->cluster->env.owner;
}

static enum redis_locate do_locate(struct redis_peer *p, struct addr *to, const char **name,
                                   const char **why)
{
    struct node *node = node_of(p);
    const struct redis_target *t = node->cluster->env.target;
    *name = t->tls_name.n > 0 ? t->tls_name.p : node->place.host;
    *why = "the name does not resolve";
    return redis_place_get(&node->place, to) ? REDIS_LOCATED : REDIS_LOCATE_FAILED;
}

static void do_changed(struct redis_peer *p, bool up)
{
    node_of(p)->cluster->env.changed(p, up);
}

static void do_suspect(struct redis_peer *p)
{
    struct node *node = node_of(p);
    redis_place_failed(&node->place);
    cluster_refresh(node->cluster, DOWN_GAP);
}

static const struct redis_peer_ops peer_ops = {
    .locate = do_locate,
    .changed = do_changed,
    .suspect = do_suspect,
};

static uint16_t node_free_index(struct redis_cluster *cl)
{
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] == NULL) {
            return (uint16_t)i;
        }
    }
    return cl->n_nodes < MAX_NODES ? (uint16_t)cl->n_nodes++ : NO_NODE;
}

uint16_t cluster_node(struct redis_cluster *cl, struct str host, uint16_t port)
{
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL && redis_place_is(&cl->nodes[i]->place, host, port)) {
            return (uint16_t)i;
        }
    }
    uint16_t index = node_free_index(cl);
    if (index == NO_NODE) {
        return NO_NODE;
    }
    struct node *node = xcalloc(1, sizeof(*node));
    node->cluster = cl;
    node->used_at = cluster_loop(cl)->now;
    redis_place_init(&node->place, host, port, NULL, cl->env.resolver);
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        redis_peer_init(&node->peers[role], &cl->link, cl->env.breaker, cl->env.health,
                        &peer_ops, node, (enum redis_role)role, node->place.text);
        if (cl->env.roles & 1u << role) {
            redis_link_start(&node->peers[role].link);
        }
    }
    cl->nodes[index] = node;
    return index;
}

static void node_free(struct node *node)
{
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        redis_peer_fini(&node->peers[role]);
    }
    redis_place_fini(&node->place);
    free(node);
}

void cluster_forget_nodes(struct redis_cluster *cl)
{
    for (size_t i = 0; i < cl->n_nodes; i++) {
        struct node *node = cl->nodes[i];
        if (node == NULL || node->named || cluster_loop(cl)->now - node->used_at < FORGET_MS) {
            continue;
        }
        cl->nodes[i] = NULL;
        for (unsigned role = 0; role < REDIS_ROLES; role++) {
            redis_link_stop(&node->peers[role].link, "the node left the cluster");
        }
        node_free(node);
    }
}

/* ---- commands -------------------------------------------------------------------------------
 */

static struct redis_peer *peer_of(struct redis_cluster *cl, uint16_t index,
                                  enum redis_role role)
{
    struct node *node = cl->nodes[index];
    node->used_at = cluster_loop(cl)->now;
    return &node->peers[role];
}

struct redis_peer *redis_cluster_route(struct redis_cluster *cl, enum redis_role role,
                                       uint16_t slot)
{
    uint16_t index = cl->map[slot];
    if (index == NO_NODE) {
        cluster_refresh(cl, REFRESH_GAP);
        return NULL;
    }
    struct redis_peer *p = peer_of(cl, index, role);
    if (!p->usable && p->link.state != REDIS_LINK_IDLE) {
        cluster_refresh(cl, DOWN_GAP); /* somebody may have taken over from it */
    }
    return p;
}

struct redis_peer *redis_cluster_any(struct redis_cluster *cl, enum redis_role role)
{
    struct redis_peer *any = NULL;
    for (size_t i = 0; i < cl->n_nodes; i++) {
        size_t at = (cl->turn + i) % cl->n_nodes;
        if (cl->nodes[at] == NULL || !cl->nodes[at]->named) {
            continue;
        }
        any = peer_of(cl, (uint16_t)at, role);
        if (any->usable) {
            cl->turn = (unsigned)at + 1;
            return any;
        }
    }
    return any;
}

struct redis_parking *redis_cluster_parking(struct redis_cluster *cl)
{
    return &cl->parking;
}

bool redis_cluster_ready(const struct redis_cluster *cl, enum redis_role role)
{
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL && cl->nodes[i]->named && cl->nodes[i]->peers[role].usable) {
            return true;
        }
    }
    return false;
}

size_t redis_cluster_masters(const struct redis_cluster *cl, uint16_t first, uint16_t *slots,
                             size_t cap)
{
    bool seen[MAX_NODES] = {false};
    size_t n = 0;
    for (unsigned i = 0; i < REDIS_SLOTS && n < cap; i++) {
        uint16_t slot = (uint16_t)((first + i) % REDIS_SLOTS), index = cl->map[slot];
        if (index != NO_NODE && !seen[index]) {
            seen[index] = true;
            slots[n++] = slot;
        }
    }
    return n;
}

/* ---- redirects ------------------------------------------------------------------------------
 */

static void on_asking(struct redis_command *c, enum redis_outcome outcome,
                      const struct redis_reply *reply)
{
    (void)outcome, (void)reply;
    redis_command_unref(c);
}

/* To another node, and with ASKING if it is not the slot's owner yet. */
static bool send_again(struct redis_peer *p, struct redis_command *c, bool asking)
{
    msec_t left = c->until - clock_monotonic();
    if (left <= 0) {
        return false;
    }
    if (asking) {
        const struct segment word = REDIS_ARG("ASKING");
        struct redis_command *first = redis_command_new(&word, 1, on_asking);
        if (!redis_peer_send(p, first, left, true)) {
            redis_command_unref(first);
            return false;
        }
    }
    return redis_peer_send(p, c, left, true);
}

static bool follow(struct redis_cluster *cl, struct redis_peer *p, struct redis_command *c,
                   const struct redis_reply *reply)
{
    uint16_t slot, port;
    struct str host;
    if (!redis_redirect_read(reply->text, &slot, &host, &port)) {
        return false;
    }
    uint16_t index =
        cluster_node(cl, host.n > 0 ? host : str_from(node_of(p)->place.host), port);
    if (index == NO_NODE) {
        return false;
    }
    bool moved = reply->error == REDIS_E_MOVED;
    if (moved) {
        cl->map[slot] = index;
        cl->nodes[index]->named = true;
        cluster_refresh(cl, REFRESH_GAP);
    }
    if (c->redirects >= MAX_REDIRECTS) {
        return false;
    }
    c->redirects++;
    p->link.settings->stats->redirects++;
    return send_again(peer_of(cl, index, c->role), c, !moved);
}

bool redis_cluster_redirect(struct redis_cluster *cl, struct redis_peer *p,
                            struct redis_command *c, const struct redis_reply *reply)
{
    switch (reply->error) {
    case REDIS_E_MOVED:
    case REDIS_E_ASK: return follow(cl, p, c, reply);
    case REDIS_E_TRYAGAIN:
        if (c->redirects >= MAX_REDIRECTS) {
            return false;
        }
        redis_parking_add(&cl->parking, c, PAUSE_MS << c->redirects++);
        return true;
    case REDIS_E_CLUSTERDOWN: cluster_refresh(cl, REFRESH_GAP); return false;
    default: return false;
    }
}

/* ---- lifetime -------------------------------------------------------------------------------
 */

struct redis_cluster *redis_cluster_new(const struct redis_cluster_env *env)
{
    struct redis_cluster *cl = xcalloc(1, sizeof(*cl));
    cl->env = *env;
    cl->link = *env->link;
    cl->link.check_role = false; /* a replica answers MOVED */
    redis_parking_init(&cl->parking, cl->link.loop, env->resume);
    cluster_map_init(cl);
    return cl;
}

void redis_cluster_free(struct redis_cluster *cl)
{
    if (cl == NULL) {
        return;
    }
    cluster_map_stop(cl);
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL) {
            node_free(cl->nodes[i]);
        }
    }
    redis_parking_fini(&cl->parking);
    cluster_map_fini(cl);
    free(cl);
}
