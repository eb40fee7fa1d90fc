/*
 * The peer. Failures that the breaker counts: an attempt to connect that came to nothing, a
 * connection that ended with commands in flight or by a timeout (once, not once for each
 * command), and error lines that say that the server is ill.
 */
#include "cache/redis_peer.h"

#include <stdio.h>

#define IDLE_MS  10000 /* silence after which a PING asks */
#define WATCH_MS 1000  /* between two ROLE while commands are sent */

static enum redis_locate do_locate(struct redis_link *l, struct addr *to, const char **name,
                                   const char **why);
static void do_up(struct redis_link *l);
static void do_down(struct redis_link *l, enum redis_link_end end, enum redis_error error);
static void on_probe(struct deadline *d);
static void on_idle(struct deadline *d);
static void on_watch(struct deadline *d);

static const struct redis_link_ops link_ops = {
    .locate = do_locate,
    .up = do_up,
    .down = do_down,
};

static struct loop *loop_of(const struct redis_peer *p)
{
    return p->link.settings->loop;
}

static uint32_t random_of(struct redis_peer *p)
{
    p->link.random = p->link.random * 1664525u + 1013904223u;
    return p->link.random >> 4;
}

void redis_peer_init(struct redis_peer *p, const struct redis_link_settings *link,
                     const struct redis_breaker_settings *breaker, struct redis_health *health,
                     const struct redis_peer_ops *ops, void *owner, enum redis_role role,
                     const char *server)
{
    *p = (struct redis_peer){.ops = ops, .owner = owner, .role = role, .health = health};
    redis_peer_set_server(p, server);
    redis_link_init(&p->link, link, &link_ops);
    redis_breaker_init(&p->breaker, breaker);
    deadline_init(&p->probe, on_probe);
    deadline_init(&p->idle, on_idle);
    deadline_init(&p->watch, on_watch);
}

void redis_peer_fini(struct redis_peer *p)
{
    deadline_cancel(&p->probe);
    deadline_cancel(&p->idle);
    deadline_cancel(&p->watch);
    redis_link_fini(&p->link);
    redis_health_breaker(p->health, p->role, p->told, REDIS_BREAKER_CLOSED);
    p->told = REDIS_BREAKER_CLOSED;
    if (p->usable) {
        p->usable = false;
        redis_health_lose(p->health, p->role, p->server, NULL);
    }
}

void redis_peer_set_server(struct redis_peer *p, const char *server)
{
    snprintf(p->server, sizeof(p->server), "%s", server);
}

static void tell_breaker(struct redis_peer *p)
{
    if (p->told != p->breaker.state) {
        redis_health_breaker(p->health, p->role, p->told, p->breaker.state);
        p->told = p->breaker.state;
    }
}

/* Compares what is with what was said last. */
static void update(struct redis_peer *p, const char *why)
{
    bool usable = redis_link_ready(&p->link) && redis_breaker_allows(&p->breaker);
    if (usable == p->usable) {
        if (!usable) {
            redis_health_miss(p->health, p->role, p->server, why);
        }
        return;
    }
    p->usable = usable;
    if (usable) {
        redis_health_gain(p->health, p->role, p->server);
    } else {
        redis_health_lose(p->health, p->role, p->server, why);
    }
}

/* ---- the breaker ----------------------------------------------------------------------------
 */

static void arm_probe(struct redis_peer *p)
{
    msec_t left = p->breaker.retry_at - loop_of(p)->now;
    if (p->breaker.state == REDIS_BREAKER_OPEN && redis_link_ready(&p->link)) {
        deadline_set(loop_of(p), &p->probe, left > 0 ? left : 0);
    }
}

static void count_failure(struct redis_peer *p, const char *why)
{
    if (redis_breaker_failure(&p->breaker, loop_of(p)->now, random_of(p))) {
        p->link.settings->stats->breaker_opened++;
        tell_breaker(p);
        arm_probe(p);
        update(p, why);
    }
}

static void probe_done(struct redis_peer *p, bool ok)
{
    bool closes = redis_breaker_probed(&p->breaker, ok, loop_of(p)->now, random_of(p));
    tell_breaker(p);
    if (closes) {
        update(p, NULL);
    } else {
        arm_probe(p);
    }
}

static void on_probe_end(struct redis_command *c, enum redis_outcome outcome,
                         const struct redis_reply *reply)
{
    struct redis_peer *p = container_of(c->link, struct redis_peer, link);
    redis_command_unref(c);
    enum redis_remedy remedy =
        outcome == REDIS_DENIED ? redis_error_remedy(reply->error) : REDIS_R_NONE;
    bool there = outcome == REDIS_ANSWERED || outcome == REDIS_DENIED;
    probe_done(p, there && remedy != REDIS_R_WAIT && remedy != REDIS_R_FAILOVER &&
                      (outcome == REDIS_ANSWERED || reply->error != REDIS_E_NOAUTH));
}

/* A command of our own, without arguments. */
static bool send_word(struct redis_peer *p, struct segment word, redis_end_fn *end,
                      msec_t timeout)
{
    struct redis_command *c = redis_command_new(&word, 1, end);
    if (redis_link_send(&p->link, c, timeout, false)) {
        return true;
    }
    redis_command_unref(c);
    return false;
}

static void on_probe(struct deadline *d)
{
    struct redis_peer *p = container_of(d, struct redis_peer, probe);
    if (!redis_link_ready(&p->link) || !redis_breaker_try(&p->breaker, loop_of(p)->now)) {
        return;
    }
    tell_breaker(p);
    if (!send_word(p, REDIS_ARG("PING"), on_probe_end, p->breaker.settings->min)) {
        probe_done(p, false);
    }
}

/* ---- the link -------------------------------------------------------------------------------
 */

static enum redis_locate do_locate(struct redis_link *l, struct addr *to, const char **name,
                                   const char **why)
{
    struct redis_peer *p = container_of(l, struct redis_peer, link);
    return p->ops->locate(p, to, name, why);
}

static void do_up(struct redis_link *l)
{
    struct redis_peer *p = container_of(l, struct redis_peer, link);
    bool proof = p->attempt_failed;
    p->attempt_failed = false;
    deadline_set(loop_of(p), &p->idle, IDLE_MS);
    if (proof) {
        redis_breaker_probed(&p->breaker, true, loop_of(p)->now, random_of(p));
        tell_breaker(p);
    }
    arm_probe(p);
    update(p, "the breaker is open");
    p->ops->changed(p, true);
}

static void do_down(struct redis_link *l, enum redis_link_end end, enum redis_error error)
{
    struct redis_peer *p = container_of(l, struct redis_peer, link);
    bool was_ready = end != REDIS_END_CONNECT && end != REDIS_END_REFUSED;
    (void)error;
    deadline_cancel(&p->idle);
    deadline_cancel(&p->watch);
    deadline_cancel(&p->probe);
    p->attempt_failed = p->attempt_failed || !was_ready;
    if (end != REDIS_END_ASKED) {
        count_failure(p, l->why);
    }
    update(p, l->why);
    p->ops->suspect(p);
    if (was_ready) {
        p->ops->changed(p, false);
    }
}

void redis_peer_lost(struct redis_peer *p, const char *why)
{
    if (p->link.state == REDIS_LINK_LOCATING) {
        p->attempt_failed = true;
        count_failure(p, why);
        update(p, why);
    }
}

static void on_idle_end(struct redis_command *c, enum redis_outcome outcome,
                        const struct redis_reply *reply)
{
    struct redis_peer *p = container_of(c->link, struct redis_peer, link);
    redis_command_unref(c);
    if (reply != NULL) {
        redis_peer_note(p, outcome, reply);
    }
}

static void on_idle(struct deadline *d)
{
    struct redis_peer *p = container_of(d, struct redis_peer, idle);
    msec_t silent = loop_of(p)->now - p->link.heard_at;
    if (silent >= IDLE_MS && redis_link_load(&p->link) == 0) {
        send_word(p, REDIS_ARG("PING"), on_idle_end, p->link.settings->connect_timeout);
    }
    deadline_set(loop_of(p), &p->idle, silent < IDLE_MS ? IDLE_MS - silent : IDLE_MS);
}

/* ---- commands -------------------------------------------------------------------------------
 */

/* A master that became a replica goes on answering GET, with what is old. */
static void on_role(struct redis_command *c, enum redis_outcome outcome,
                    const struct redis_reply *reply)
{
    struct redis_peer *p = container_of(c->link, struct redis_peer, link);
    const struct redis_reply *role = redis_reply_item(reply, 0, REDIS_STRING);
    redis_command_unref(c);
    if (outcome == REDIS_DENIED) {
        p->no_role = reply->error == REDIS_E_NOPERM || reply->error == REDIS_E_OTHER;
    } else if (role != NULL && !str_eq(role->text, STR("master"))) {
        count_failure(p, "the server is not a master any more");
        redis_link_drop(&p->link, "the server is not a master any more");
    }
}

static void on_watch(struct deadline *d)
{
    struct redis_peer *p = container_of(d, struct redis_peer, watch);
    if (redis_link_ready(&p->link) && redis_breaker_allows(&p->breaker)) {
        send_word(p, REDIS_ARG("ROLE"), on_role, p->link.settings->connect_timeout);
    }
}

/* Not behind a blocking command, which would hold the answer back. */
static bool is_watched(const struct redis_peer *p)
{
    return p->link.settings->check_role && !p->no_role && p->role != REDIS_FOLLOW &&
           p->role != REDIS_WAKE && redis_link_ready(&p->link);
}

bool redis_peer_send(struct redis_peer *p, struct redis_command *c, msec_t timeout, bool wait)
{
    if (!redis_breaker_allows(&p->breaker) || !redis_link_send(&p->link, c, timeout, wait)) {
        return false;
    }
    if (!deadline_armed(&p->watch) && is_watched(p)) {
        deadline_set(loop_of(p), &p->watch, WATCH_MS);
    }
    return true;
}

static void note_error(struct redis_peer *p, const struct redis_reply *reply,
                       enum redis_remedy remedy)
{
    const char *name = redis_error_name(reply->error);
    switch (remedy) {
    case REDIS_R_NONE:
    case REDIS_R_REDIRECT:
    case REDIS_R_READ: redis_breaker_success(&p->breaker); break;
    case REDIS_R_WAIT: count_failure(p, name); break;
    case REDIS_R_FAILOVER:
        count_failure(p, name);
        redis_link_drop(&p->link, name);
        break;
    case REDIS_R_OPERATOR:
        count_failure(p, name);
        if (reply->error == REDIS_E_NOAUTH) {
            redis_link_drop(&p->link, name);
        }
        break;
    }
}

enum redis_remedy redis_peer_note(struct redis_peer *p, enum redis_outcome outcome,
                                  const struct redis_reply *reply)
{
    if (outcome == REDIS_ANSWERED) {
        redis_breaker_success(&p->breaker);
        return REDIS_R_NONE;
    }
    if (outcome != REDIS_DENIED) {
        return REDIS_R_NONE; /* the end of the connection was counted */
    }
    enum redis_remedy remedy = redis_error_remedy(reply->error);
    note_error(p, reply, remedy);
    return remedy;
}
