/*
 * Construction and end of what talks to Redis.
 */
#include "flow/redis_tier.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/tls.h"
#include "cache/redis.h"
#include "cache/redis_health.h"
#include "flow/redis_site.h"

#define HORIZON_MS                                                            \
    (7 * 24 * 3600 * (msec_t)1000) /* records kept; entries older are refused \
                                    */
#define BEAT_MIN 10                /* between two signs of life of a worker that holds leases */

struct redis_tier {
    struct settings *settings;   /* a reference */
    struct tls_client *tls;      /* NULL: plain */
    struct redis_health *health; /* breakers, shared by all threads */
    struct resolver *resolver;
    struct journal *journal;
    struct journal_link *link;
    struct redis *look; /* of the control thread; NULL: nobody has looked yet */
    struct lease_counters leases;
};

struct redis_worker {
    struct redis *redis;
    struct l2 *l2;
    struct leases *leases; /* NULL: off */
};

const struct redis_settings *redis_tier_settings(const struct redis_tier *t)
{
    return &t->settings->redis;
}

static struct redis_options options_of(const struct redis_tier *t)
{
    const struct redis_settings *rs = redis_tier_settings(t);
    return (struct redis_options){
        .target = &rs->target,
        .resolver = t->resolver,
        .tls = t->tls,
        .health = t->health,
        .max_value = rs->max_object + 64u * 1024u,
        .breaker_failures = rs->breaker_failures,
        .breaker_max = rs->breaker_max,
    };
}

/* The longest time that an announced write may have; 0: none is announced. */
static msec_t longest_intent(const struct settings *s)
{
    msec_t longest = 0;
    for (size_t i = 0; i < s->n_sites; i++) {
        const struct site_settings *site = &s->sites[i];
        for (size_t k = 0; k <= site->n_routes; k++) {
            const struct route_settings *r =
                k < site->n_routes ? &site->routes[k] : &site->fallback;
            longest = r->intent_deadline > longest ? r->intent_deadline : longest;
        }
    }
    return longest;
}

struct redis_tier *redis_tier_new(struct settings *settings, struct journal *journal,
                                  struct resolver *resolver, char *error, size_t cap)
{
    struct redis_tier *t = xcalloc(1, sizeof(*t));
    t->settings = settings_ref(settings);
    t->resolver = resolver;
    t->journal = journal;
    const struct redis_settings *rs = redis_tier_settings(t);
    if (rs->target.tls) {
        t->tls = redis_tls_new(&rs->target, error, cap);
        if (t->tls == NULL) {
            settings_unref(t->settings);
            free(t);
            return NULL;
        }
    }
    t->health = redis_health_new();
    struct strbuf site = {0};
    redis_site_text(settings, &site);
    const struct journal_link_options lo = {
        .redis = options_of(t),
        .prefix = rs->prefix,
        .site = strbuf_str(&site),
        .budget = rs->budget,
        .max_lag = rs->max_lag,
        .horizon = HORIZON_MS,
        .max_records = rs->max_records,
        .lookback = longest_intent(settings),
        .state_dir = settings->state_dir,
    };
    t->link = journal_link_new(journal, &lo);
    strbuf_free(&site);
    return t;
}

void redis_tier_reloaded(struct redis_tier *t, const struct settings *settings)
{
    journal_link_look_back(t->link, longest_intent(settings));
}

void redis_tier_stop(struct redis_tier *t)
{
    redis_free(t->look);
    t->look = NULL;
    journal_link_free(t->link);
    t->link = NULL;
}

void redis_tier_free(struct redis_tier *t)
{
    if (t == NULL) {
        return;
    }
    if (t->link != NULL) {
        redis_tier_stop(t);
    }
    redis_health_unref(t->health);
    if (t->tls != NULL) {
        tls_client_unref(t->tls);
    }
    settings_unref(t->settings);
    free(t);
}

struct redis *redis_tier_look(struct redis_tier *t, struct loop *loop)
{
    if (t->look == NULL) {
        struct redis_options ro = options_of(t);
        t->look = redis_new(loop, &ro);
    }
    return t->look;
}

struct journal_link *redis_tier_link(struct redis_tier *t)
{
    return t != NULL ? t->link : NULL;
}

/* ---- what it says of itself ---------------------------------------------------------------
 */

static const char *state_of(const struct redis_tier *t, const struct redis_tier_info *info)
{
    if (!info->connected && !info->following) {
        return "disconnected";
    }
    if (!info->connected || !info->following) {
        return "partial";
    }
    return redis_health_writes(t->health) == REDIS_E_NONE ? "connected" : "read-only";
}

void redis_tier_info_get(const struct redis_tier *t, struct redis_tier_info *out)
{
    static const char *const names[REDIS_ROLES] = {
        [REDIS_DATA] = "redis-data",     [REDIS_JOURNAL] = "redis-journal",
        [REDIS_FOLLOW] = "redis-follow", [REDIS_LEASE] = "redis-lease",
        [REDIS_WAKE] = "redis-wake",     [REDIS_LOOK] = "redis-look",
    };
    struct journal_link_stats stats;
    journal_link_stats_get(t->link, &stats);
    out->connected = redis_health_up(t->health, REDIS_DATA);
    out->following = stats.connected;
    out->state = state_of(t, out);
    journal_link_facts(t->link, &out->facts);
    for (unsigned role = 0; role < REDIS_ROLES; role++) {
        out->breakers[role].name = names[role];
        out->breakers[role].state = redis_health_breakers(t->health, (enum redis_role)role);
    }
}

/* ---- a worker's part ----------------------------------------------------------------------
 */

/* Two beats may come late before a waiter of the same configuration gives up. */
static msec_t beat_of(const struct redis_settings *rs)
{
    msec_t most = rs->lease_time / 3, beat = rs->budget / 3;
    beat = beat > BEAT_MIN ? beat : BEAT_MIN;
    return beat < most ? beat : most;
}

struct redis_worker *redis_worker_new(struct redis_tier *t, struct loop *loop)
{
    struct redis_worker *w = xcalloc(1, sizeof(*w));
    const struct redis_settings *rs = redis_tier_settings(t);
    struct redis_options ro = options_of(t);
    ro.roles = 1u << REDIS_DATA | (rs->lease ? 1u << REDIS_LEASE : 0);
    w->redis = redis_new(loop, &ro);
    w->l2 = l2_new(w->redis, rs->prefix, rs->max_object);
    if (rs->lease) {
        const struct lease_options lo = {.redis = w->redis,
                                         .loop = loop,
                                         .journal = t->journal,
                                         .counters = &t->leases,
                                         .prefix = rs->prefix,
                                         .life = rs->lease_time,
                                         .beat = beat_of(rs)};
        w->leases = leases_new(&lo);
    }
    return w;
}

void redis_worker_free(struct redis_worker *w)
{
    l2_free(w->l2);
    if (w->leases != NULL) {
        leases_free(w->leases);
    }
    redis_free(w->redis);
    free(w);
}

struct l2 *redis_worker_l2(struct redis_worker *w)
{
    return w->l2;
}

struct leases *redis_worker_leases(struct redis_worker *w)
{
    return w->leases;
}

const struct lease_counters *redis_tier_leases(const struct redis_tier *t)
{
    return &t->leases;
}

struct redis *redis_worker_redis(struct redis_worker *w)
{
    return w->redis;
}
