/*
 * The map is an index into a table of nodes. A node that a new map does not name keeps its
 * connections for a while: a slot may be on its way to it (ASK), or the map was an old one.
 */
#include "cache/redis_cluster.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cache/redis_slots.h"

#define MAX_NODES     512
#define NO_NODE       UINT16_MAX
#define MAX_REDIRECTS 3
#define REFRESH_GAP   200   /* least time between two questions for the map, … */
#define DOWN_GAP      1000  /* … because a node cannot be reached */
#define REFRESH_POLL  30000 /* asked even though nothing looks wrong */
#define FORGET_MS     10000 /* a node that is not named and not used is given up */
#define PAUSE_MS      20    /* before a TRYAGAIN is tried again */

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

static void on_timer(struct deadline *d);
static void on_settle(struct deferred *d);

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

static struct loop *loop_of(const struct redis_cluster *cl)
{
    return cl->link.loop;
}

static void refresh(struct redis_cluster *cl, msec_t gap);

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
    refresh(node->cluster, DOWN_GAP);
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

/* The node's index, made if need be; NO_NODE when there are too many. */
static uint16_t node_get(struct redis_cluster *cl, struct str host, uint16_t port)
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
    node->used_at = loop_of(cl)->now;
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

/* Gives up nodes that no map names and nobody uses. No slot is theirs any more. */
static void forget_nodes(struct redis_cluster *cl)
{
    for (size_t i = 0; i < cl->n_nodes; i++) {
        struct node *node = cl->nodes[i];
        if (node == NULL || node->named || loop_of(cl)->now - node->used_at < FORGET_MS) {
            continue;
        }
        cl->nodes[i] = NULL;
        for (unsigned role = 0; role < REDIS_ROLES; role++) {
            redis_link_stop(&node->peers[role].link, "the node left the cluster");
        }
        node_free(node);
    }
}

/* ---- the map --------------------------------------------------------------------------------
 */

static enum redis_locate do_locate_map(struct redis_link *l, struct addr *to, const char **name,
                                       const char **why)
{
    struct redis_cluster *cl = container_of(l, struct redis_cluster, asker);
    const struct redis_target *t = cl->env.target;
    *name = t->tls_name.n > 0 ? t->tls_name.p : cl->asked->host;
    *why = "the name does not resolve";
    return redis_place_get(cl->asked, to) ? REDIS_LOCATED : REDIS_LOCATE_FAILED;
}

static void do_map_up(struct redis_link *l)
{
    (void)l;
}

static void do_map_down(struct redis_link *l, enum redis_link_end end, enum redis_error error)
{
    struct redis_cluster *cl = container_of(l, struct redis_cluster, asker);
    (void)end;
    (void)error;
    redis_place_failed(cl->asked);
    loop_defer(loop_of(cl), &cl->settle);
}

static const struct redis_link_ops map_ops = {
    .locate = do_locate_map,
    .up = do_map_up,
    .down = do_map_down,
};

static void take_range(void *ctx, uint16_t first, uint16_t last, struct str host, uint16_t port)
{
    struct redis_cluster *cl = ctx;
    uint16_t index = node_get(cl, host.n > 0 ? host : str_from(cl->asked->host), port);
    if (index == NO_NODE) {
        return;
    }
    cl->nodes[index]->named = true;
    for (unsigned slot = first; slot <= last; slot++) {
        cl->map[slot] = index;
    }
}

static void on_map(struct redis_command *c, enum redis_outcome outcome,
                   const struct redis_reply *reply)
{
    struct redis_cluster *cl = container_of(c->link, struct redis_cluster, asker);
    redis_command_unref(c);
    loop_defer(loop_of(cl), &cl->settle);
    /* A node that was just reset knows no slots: no reason to forget ours. */
    if (outcome != REDIS_ANSWERED || redis_slots_read(reply, NULL, NULL) == 0) {
        return;
    }
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL) {
            cl->nodes[i]->named = false;
        }
    }
    memset(cl->map, 0xff, sizeof(cl->map));
    redis_slots_read(reply, take_range, cl);
    cl->good = cl->known = true;
}

/* The next server to ask: named nodes first, as they know best, then the URL's. */
static struct redis_place *next_candidate(struct redis_cluster *cl)
{
    size_t n = 0;
    struct redis_place *list[MAX_NODES + REDIS_MAX_SERVERS];
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL && cl->nodes[i]->named) {
            list[n++] = &cl->nodes[i]->place;
        }
    }
    for (size_t i = 0; i < cl->n_seeds; i++) {
        list[n++] = &cl->seeds[i];
    }
    return list[cl->candidate++ % n];
}

static void ask(struct redis_cluster *cl)
{
    const struct segment argv[] = {REDIS_ARG("CLUSTER"), REDIS_ARG("SLOTS")};
    struct redis_command *c = redis_command_new(argv, 2, on_map);
    cl->asking = true;
    cl->good = false;
    cl->asked = next_candidate(cl);
    cl->asked_at = loop_of(cl)->now;
    redis_link_init(&cl->asker, &cl->asking_link, &map_ops);
    if (!redis_link_send(&cl->asker, c, cl->asking_link.connect_timeout, true)) {
        redis_command_unref(c);
        loop_defer(loop_of(cl), &cl->settle);
    }
}

/* Asks for the map: at once, or when `gap` has passed since it was last asked for. */
static void refresh(struct redis_cluster *cl, msec_t gap)
{
    msec_t left = cl->asked_at + gap - loop_of(cl)->now;
    left = left > 0 ? left : 0;
    if (!cl->asking && cl->failures == 0 && cl->timer.when - loop_of(cl)->now > left) {
        deadline_set(loop_of(cl), &cl->timer, left);
    }
}

static void on_timer(struct deadline *d)
{
    struct redis_cluster *cl = container_of(d, struct redis_cluster, timer);
    if (!cl->asking) {
        ask(cl);
    }
}

static void note_failure(struct redis_cluster *cl)
{
    if (cl->known) {
        return; /* the nodes speak for themselves */
    }
    const char *why = redis_link_ready(&cl->asker) ? "it knows no slots" : cl->asker.why;
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        if (cl->env.roles & 1u << role) {
            redis_health_miss(cl->env.health, (enum redis_role)role, cl->asked->text, why);
        }
    }
}

/* The question has ended; the next one is due later or soon. */
static void on_settle(struct deferred *d)
{
    struct redis_cluster *cl = container_of(d, struct redis_cluster, settle);
    if (!cl->asking) {
        return;
    }
    cl->asking = false;
    msec_t next = REFRESH_POLL;
    if (cl->good) {
        cl->failures = 0;
        redis_parking_release(&cl->parking);
    } else {
        note_failure(cl);
        next = (msec_t)++cl->failures * cl->link.reconnect_step;
        next = next < cl->link.reconnect_max ? next : cl->link.reconnect_max;
    }
    redis_link_fini(&cl->asker);
    deadline_set(loop_of(cl), &cl->timer, next - (msec_t)(cl->asked_at % (next / 5 + 1)));
    if (cl->good) {
        forget_nodes(cl);
    }
}

/* ---- commands -------------------------------------------------------------------------------
 */

static struct redis_peer *peer_of(struct redis_cluster *cl, uint16_t index,
                                  enum redis_role role)
{
    struct node *node = cl->nodes[index];
    node->used_at = loop_of(cl)->now;
    return &node->peers[role];
}

struct redis_peer *redis_cluster_route(struct redis_cluster *cl, enum redis_role role,
                                       uint16_t slot)
{
    uint16_t index = cl->map[slot];
    if (index == NO_NODE) {
        refresh(cl, REFRESH_GAP);
        return NULL;
    }
    struct redis_peer *p = peer_of(cl, index, role);
    if (!p->usable && p->link.state != REDIS_LINK_IDLE) {
        refresh(cl, DOWN_GAP); /* somebody may have taken over from it */
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
    uint16_t index = node_get(cl, host.n > 0 ? host : str_from(node_of(p)->place.host), port);
    if (index == NO_NODE) {
        return false;
    }
    bool moved = reply->error == REDIS_E_MOVED;
    if (moved) {
        cl->map[slot] = index;
        cl->nodes[index]->named = true;
        refresh(cl, REFRESH_GAP);
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
    case REDIS_E_CLUSTERDOWN: refresh(cl, REFRESH_GAP); return false;
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
    cl->asking_link = cl->link;
    cl->asking_link.reconnect = false;
    cl->asking_link.stats = &cl->asking_stats;
    memset(cl->map, 0xff, sizeof(cl->map));
    cl->n_seeds = env->target->n_servers;
    cl->seeds = xcalloc(cl->n_seeds, sizeof(*cl->seeds));
    cl->settle.fn = on_settle;
    redis_parking_init(&cl->parking, cl->link.loop, env->resume);
    deadline_init(&cl->timer, on_timer);
    for (size_t i = 0; i < cl->n_seeds; i++) {
        const struct redis_server *s = &env->target->servers[i];
        redis_place_init(&cl->seeds[i], s->host, s->port, &s->addr, env->resolver);
    }
    ask(cl);
    return cl;
}

void redis_cluster_free(struct redis_cluster *cl)
{
    if (cl == NULL) {
        return;
    }
    deadline_cancel(&cl->timer);
    if (cl->asking) {
        redis_link_fini(&cl->asker);
    }
    for (size_t i = 0; i < cl->n_nodes; i++) {
        if (cl->nodes[i] != NULL) {
            node_free(cl->nodes[i]);
        }
    }
    redis_parking_fini(&cl->parking);
    loop_defer_cancel(loop_of(cl), &cl->settle);
    for (size_t i = 0; i < cl->n_seeds; i++) {
        redis_place_fini(&cl->seeds[i]);
    }
    free(cl->seeds);
    free(cl);
}
