/*
 * The map of slots: whom to ask for it, when, and what is learnt. One question at a time, on a
 * connection of its own that is closed again; of the nodes that the last map named first, then
 * of the servers of the URL. A question without an answer is repeated with a growing pause.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/redis_cluster_parts.h"

#define REFRESH_POLL 30000 /* asked even though nothing looks wrong */

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
    loop_defer(cluster_loop(cl), &cl->settle);
}

static const struct redis_link_ops map_ops = {
    .locate = do_locate_map,
    .up = do_map_up,
    .down = do_map_down,
};

static void take_range(void *ctx, uint16_t first, uint16_t last, struct str host, uint16_t port)
{
    struct redis_cluster *cl = ctx;
    uint16_t index = cluster_node(cl, host.n > 0 ? host : str_from(cl->asked->host), port);
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
    loop_defer(cluster_loop(cl), &cl->settle);
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
    cl->asked_at = cluster_loop(cl)->now;
    redis_link_init(&cl->asker, &cl->asking_link, &map_ops);
    if (!redis_link_send(&cl->asker, c, cl->asking_link.connect_timeout, true)) {
        redis_command_unref(c);
        loop_defer(cluster_loop(cl), &cl->settle);
    }
}

void cluster_refresh(struct redis_cluster *cl, msec_t gap)
{
    msec_t left = cl->asked_at + gap - cluster_loop(cl)->now;
    left = left > 0 ? left : 0;
    if (!cl->asking && cl->failures == 0 && cl->timer.when - cluster_loop(cl)->now > left) {
        deadline_set(cluster_loop(cl), &cl->timer, left);
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
    deadline_set(cluster_loop(cl), &cl->timer, next - (msec_t)(cl->asked_at % (next / 5 + 1)));
    if (cl->good) {
        cluster_forget_nodes(cl);
    }
}

/* ---- lifetime -------------------------------------------------------------------------------
 */

void cluster_map_init(struct redis_cluster *cl)
{
    const struct redis_target *t = cl->env.target;
    cl->asking_link = cl->link;
    cl->asking_link.reconnect = false;
    cl->asking_link.stats = &cl->asking_stats;
    memset(cl->map, 0xff, sizeof(cl->map));
    cl->settle.fn = on_settle;
    deadline_init(&cl->timer, on_timer);
    cl->n_seeds = t->n_servers;
    cl->seeds = xcalloc(cl->n_seeds, sizeof(*cl->seeds));
    for (size_t i = 0; i < cl->n_seeds; i++) {
        const struct redis_server *s = &t->servers[i];
        redis_place_init(&cl->seeds[i], s->host, s->port, &s->addr, cl->env.resolver);
    }
    ask(cl);
}

void cluster_map_stop(struct redis_cluster *cl)
{
    deadline_cancel(&cl->timer);
    if (cl->asking) {
        redis_link_fini(&cl->asker);
    }
}

void cluster_map_fini(struct redis_cluster *cl)
{
    loop_defer_cancel(cluster_loop(cl), &cl->settle);
    for (size_t i = 0; i < cl->n_seeds; i++) {
        redis_place_fini(&cl->seeds[i]);
    }
    free(cl->seeds);
}
