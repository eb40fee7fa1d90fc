/*
 * The facade: takes a command, finds the peer that it belongs to, and brings its end back. With
 * one server (or the master that Sentinel knows) there is one peer for each role.
 */
#include "cache/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/tls.h"
#include "cache/redis_cluster.h"
#include "cache/redis_health.h"
#include "cache/redis_peer.h"
#include "cache/redis_sentinel.h"
#include "cache/redis_slots.h"

#define MAX_VALUE       (1024u * 1024 + 64u * 1024)
#define MAX_IN_FLIGHT   1000
#define CONNECT_TIMEOUT 1000
#define RECONNECT_STEP  50
#define RECONNECT_MAX   2000
#define SENTINEL_POLL   5000

struct redis {
    struct loop *loop;
    const struct redis_target *target;
    struct redis_link_settings link;
    struct redis_breaker_settings breaker;
    struct redis_health *health;
    struct redis_stats stats;
    redis_state_fn *on_state;
    void *ctx;
    struct redis_place place;             /* REDIS_STANDALONE */
    struct redis_sentinel *sentinel;      /* REDIS_SENTINEL; otherwise NULL */
    struct redis_cluster *cluster;        /* REDIS_CLUSTER; otherwise NULL */
    struct redis_peer peers[REDIS_ROLES]; /* without a cluster */
};

static enum redis_locate do_locate(struct redis_peer *p, struct addr *to, const char **name,
                                   const char **why);
static void do_changed(struct redis_peer *p, bool up);
static void do_suspect(struct redis_peer *p);

static const struct redis_peer_ops peer_ops = {
    .locate = do_locate,
    .changed = do_changed,
    .suspect = do_suspect,
};

/* ---- making ---------------------------------------------------------------------------------
 */

struct tls_client *redis_tls_new(const struct redis_target *t, char *error, size_t cap)
{
    /* Strings of the target end in a NUL that is not counted. */
    const char *ca = t->tls_ca.n > 0 ? t->tls_ca.p : NULL;
    struct tls_client *tls = tls_client_new(t->tls_verify, ca, error, cap);
    if (tls == NULL) {
        return NULL;
    }
    tls_client_no_alpn(tls);
    if (t->tls_cert.n > 0 &&
        !tls_client_use_cert(tls, t->tls_cert.p, t->tls_key.p, error, cap)) {
        tls_client_unref(tls);
        return NULL;
    }
    return tls;
}

static msec_t or_default(msec_t value, msec_t standard)
{
    return value > 0 ? value : standard;
}

static void settings_init(struct redis *r, const struct redis_options *o)
{
    const struct redis_target *t = o->target;
    r->link = (struct redis_link_settings){
        .loop = r->loop,
        .tls = t->tls ? tls_client_ref(o->tls) : NULL,
        .user = t->user,
        .password = t->password,
        .database = t->database,
        .name = o->name != NULL ? o->name : "larder",
        .check_role = true,
        .reconnect = true,
        .max_value = o->max_value > 0 ? o->max_value : MAX_VALUE,
        .max_in_flight = o->max_in_flight > 0 ? o->max_in_flight : MAX_IN_FLIGHT,
        .connect_timeout = or_default(o->connect_timeout, CONNECT_TIMEOUT),
        .reconnect_step = or_default(o->reconnect_step, RECONNECT_STEP),
        .reconnect_max = or_default(o->reconnect_max, RECONNECT_MAX),
        .stats = &r->stats,
    };
    unsigned window = (unsigned)or_default(o->breaker_window, 20);
    r->breaker = (struct redis_breaker_settings){
        .failures = (unsigned)or_default(o->breaker_failures, 5),
        .percent = (unsigned)or_default(o->breaker_percent, 50),
        .window = window < REDIS_BREAKER_MAX_WINDOW ? window : REDIS_BREAKER_MAX_WINDOW,
        .min = or_default(o->breaker_min, 250),
        .max = or_default(o->breaker_max, 5000),
    };
}

static void on_sentinel(void *ctx, enum redis_sentinel_event event, const char *why);
static void on_cluster_changed(struct redis_peer *p, bool up);
static void on_resume(struct redis_command *c);

static void cluster_init(struct redis *r, const struct redis_options *o)
{
    const struct redis_cluster_env env = {
        .target = o->target,
        .link = &r->link,
        .breaker = &r->breaker,
        .health = r->health,
        .resolver = o->resolver,
        .roles = o->roles,
        .changed = on_cluster_changed,
        .resume = on_resume,
        .owner = r,
    };
    r->cluster = redis_cluster_new(&env);
}

/* One peer for each role: at the only server, or where Sentinel says. */
static void peers_init(struct redis *r, const struct redis_options *o)
{
    const struct redis_target *t = o->target;
    const struct redis_server *server = &t->servers[0];
    if (t->mode == REDIS_STANDALONE) {
        redis_place_init(&r->place, server->host, server->port, &server->addr, o->resolver);
    }
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        redis_peer_init(&r->peers[role], &r->link, &r->breaker, r->health, &peer_ops, r,
                        (enum redis_role)role,
                        t->mode == REDIS_SENTINEL ? t->master.p : r->place.text);
        if (o->roles & 1u << role) {
            redis_link_start(&r->peers[role].link);
        }
    }
    if (t->mode == REDIS_SENTINEL) {
        r->sentinel =
            redis_sentinel_new(t, &r->link, o->resolver,
                               or_default(o->sentinel_poll, SENTINEL_POLL), on_sentinel, r);
    }
}

struct redis *redis_new(struct loop *loop, const struct redis_options *options)
{
    struct redis *r = xcalloc(1, sizeof(*r));
    r->loop = loop;
    r->target = options->target;
    r->on_state = options->on_state;
    r->ctx = options->ctx;
    r->health =
        options->health != NULL ? redis_health_ref(options->health) : redis_health_new();
    settings_init(r, options);
    if (r->target->mode == REDIS_CLUSTER) {
        cluster_init(r, options);
    } else {
        peers_init(r, options);
    }
    return r;
}

void redis_free(struct redis *r)
{
    if (r == NULL) {
        return;
    }
    redis_sentinel_free(r->sentinel);
    redis_cluster_free(r->cluster);
    for (unsigned role = 0; role < REDIS_ROLES && r->cluster == NULL; role++) {
        redis_peer_fini(&r->peers[role]);
    }
    redis_place_fini(&r->place);
    tls_client_unref(r->link.tls);
    redis_health_unref(r->health);
    free(r);
}

/* ---- what peers ask -------------------------------------------------------------------------
 */

/* Where the only server is, or the master that Sentinel names now. */
static enum redis_locate do_locate(struct redis_peer *p, struct addr *to, const char **name,
                                   const char **why)
{
    struct redis *r = p->owner;
    struct redis_place *place =
        r->sentinel != NULL ? redis_sentinel_master(r->sentinel) : &r->place;
    if (place == NULL) {
        return REDIS_LOCATE_LATER;
    }
    *name = r->target->tls_name.n > 0 ? r->target->tls_name.p : place->host;
    *why = "the name does not resolve";
    redis_peer_set_server(p, place->text);
    return redis_place_get(place, to) ? REDIS_LOCATED : REDIS_LOCATE_FAILED;
}

static void on_sentinel(void *ctx, enum redis_sentinel_event event, const char *why)
{
    struct redis *r = ctx;
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        struct redis_peer *p = &r->peers[role];
        if (event == REDIS_SENTINEL_UNKNOWN) {
            redis_peer_lost(p, why);
            continue;
        }
        if (event == REDIS_SENTINEL_MOVED) {
            redis_link_drop(&p->link, "Sentinel names another master");
        }
        if (event == REDIS_SENTINEL_MOVED || p->link.state == REDIS_LINK_LOCATING) {
            redis_link_kick(&p->link);
        }
    }
}

static void tell(const struct redis *r, const struct redis_peer *p, bool up)
{
    if (r->on_state != NULL) {
        r->on_state(r->ctx, p->role, up);
    }
}

static void do_changed(struct redis_peer *p, bool up)
{
    tell(p->owner, p, up);
}

static void on_cluster_changed(struct redis_peer *p, bool up)
{
    tell(redis_cluster_owner(p), p, up);
}

static void do_suspect(struct redis_peer *p)
{
    struct redis *r = p->owner;
    if (r->sentinel == NULL) {
        redis_place_failed(&r->place);
    }
}

/* ---- commands -------------------------------------------------------------------------------
 */

static void finish(struct redis_command *c, const struct redis_result *result)
{
    struct redis *r = c->owner;
    r->stats.outcomes[result->outcome]++;
    r->stats.in_flight--;
    if (c->done != NULL) {
        c->done(c->ctx, result);
    }
    redis_command_unref(c);
}

static void note_write(struct redis_command *c, const struct redis_reply *reply,
                       enum redis_remedy remedy)
{
    struct redis *r = c->owner;
    if (remedy == REDIS_R_READ) {
        redis_health_write_refused(r->health, reply->error);
    } else if (c->writes && reply->type != REDIS_ERROR) {
        redis_health_write_taken(r->health);
    }
}

static void on_end(struct redis_command *c, enum redis_outcome outcome,
                   const struct redis_reply *reply)
{
    struct redis *r = c->owner;
    struct redis_result result = {.outcome = outcome, .reply = reply};
    if (reply != NULL) {
        struct redis_peer *p = container_of(c->link, struct redis_peer, link);
        result.connection = p->link.connection; /* before it may be dropped */
        enum redis_remedy remedy = redis_peer_note(p, outcome, reply);
        if (outcome == REDIS_DENIED) {
            r->stats.errors[reply->error]++;
            if (r->cluster != NULL && !c->cancelled &&
                redis_cluster_redirect(r->cluster, p, c, reply)) {
                return;
            }
        }
        note_write(c, reply, remedy);
    }
    finish(c, &result);
}

static struct redis_peer *route(struct redis *r, const struct redis_command *c)
{
    if (r->cluster == NULL) {
        return &r->peers[c->role];
    }
    return c->any_node ? redis_cluster_any(r->cluster, c->role)
                       : redis_cluster_route(r->cluster, c->role, c->slot);
}

/* Hands c to its peer, or parks it where there is none yet. False: refused. */
static bool dispatch(struct redis *r, struct redis_command *c, msec_t left, bool wait)
{
    struct redis_peer *p = route(r, c);
    if (p == NULL) {
        struct redis_parking *parking = redis_cluster_parking(r->cluster);
        if (!wait || parking->queue.n >= r->link.max_in_flight) {
            return false;
        }
        redis_parking_add(parking, c, 0);
        return true;
    }
    redis_link_start(&p->link); /* a role's first command; the next one may go */
    return redis_peer_send(p, c, left, wait);
}

static void on_resume(struct redis_command *c)
{
    msec_t left = c->until - clock_monotonic();
    if (c->cancelled || left <= 0 || !dispatch(c->owner, c, left, true)) {
        c->end(c, REDIS_NOT_SENT, NULL);
    }
}

static uint16_t slot_of(const struct segment *key)
{
    return redis_slot_of(str_make(key->p, key->n));
}

struct redis_command *redis_command(struct redis *r, const struct redis_call *call)
{
    uint16_t slot = call->slot;
    if (r->cluster != NULL && call->key > 0) {
        slot = slot_of(&call->argv[call->key]); /* before encoding, which may release it */
    }
    struct redis_command *c = redis_command_new(call->argv, call->argc, on_end);
    c->owner = r;
    c->done = call->done;
    c->ctx = call->ctx;
    c->writes = call->writes;
    c->role = call->role;
    c->slot = slot;
    c->any_node = call->key == 0 && !call->at_slot;
    c->until = clock_monotonic() + call->timeout;
    if (!dispatch(r, c, call->timeout, call->wait)) {
        r->stats.refused++;
        redis_command_unref(c);
        return NULL;
    }
    r->stats.commands++;
    r->stats.in_flight++;
    return c;
}

void redis_cancel(struct redis_command *c)
{
    c->done = NULL;
    c->cancelled = true;
}

bool redis_ready(const struct redis *r, enum redis_role role)
{
    const struct redis_peer *p = &r->peers[role];
    if (r->cluster != NULL) {
        return redis_cluster_ready(r->cluster, role);
    }
    return redis_link_ready(&p->link) && redis_breaker_allows(&p->breaker);
}

size_t redis_masters(const struct redis *r, uint16_t first, uint16_t *slots, size_t cap)
{
    if (r->cluster != NULL) {
        return redis_cluster_masters(r->cluster, first, slots, cap);
    }
    slots[0] = first;
    return 1;
}

void redis_stats_get(const struct redis *r, struct redis_stats *out)
{
    *out = r->stats;
}
