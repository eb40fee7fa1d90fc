/*
 * One instance on a loop of its own, ended by the first answer, by a refusal, or by the clock.
 */
#include "cli/check_redis.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/resolver.h"
#include "base/tls.h"
#include "cache/redis.h"
#include "cache/redis_advice.h"
#include "cache/redis_health.h"
#include "flow/redis_site.h"

#define LIMIT_MS   1500
#define REFUSED_MS 300 /* one server: later attempts will not do better */
#define TICK_MS    20

struct look {
    const struct redis_settings *settings;
    struct str site;
    struct loop *loop;
    struct redis_health *health;
    struct redis *redis;
    struct redis_info *info; /* NULL: not connected yet */
    struct redis_facts facts;
    bool answered;
    msec_t began;
    struct deadline tick;
};

static void on_facts(void *ctx, const struct redis_facts *facts)
{
    struct look *k = ctx;
    k->facts = *facts;
    k->answered = true;
    if (facts->used_memory >= 0) {
        loop_stop(k->loop); /* otherwise a node is missing, or the ACL forbids to ask */
    }
}

static void on_state(void *ctx, enum redis_role role, bool up)
{
    struct look *k = ctx;
    (void)role;
    if (up && k->info == NULL) {
        const struct redis_info_options io = {
            .prefix = k->settings->prefix, .site = k->site, .done = on_facts, .ctx = k};
        k->info = redis_info_new(k->loop, k->redis, &io);
    }
}

static void on_tick(struct deadline *d)
{
    struct look *k = container_of(d, struct look, tick);
    char why[160];
    redis_health_why(k->health, why, sizeof(why));
    bool refused = k->settings->target.mode == REDIS_STANDALONE && why[0] != '\0';
    if (clock_monotonic() - k->began >= (refused ? REFUSED_MS : LIMIT_MS)) {
        loop_stop(k->loop);
    } else {
        deadline_set(k->loop, d, TICK_MS);
    }
}

/* Until the loop is stopped. False with a reason when it cannot begin. */
static bool look(struct look *k, struct resolver *resolver, char *why, size_t cap)
{
    struct redis_options ro = {
        .target = &k->settings->target,
        .resolver = resolver,
        .health = k->health,
        .name = "larder-check",
        .roles = 1u << REDIS_JOURNAL,
        .on_state = on_state,
        .ctx = k,
    };
    if (ro.target->tls) {
        ro.tls = redis_tls_new(ro.target, why, cap);
        if (ro.tls == NULL) {
            return false;
        }
    }
    k->redis = redis_new(k->loop, &ro);
    deadline_init(&k->tick, on_tick);
    deadline_set(k->loop, &k->tick, TICK_MS);
    loop_run(k->loop);
    deadline_cancel(&k->tick);
    redis_info_free(k->info);
    redis_free(k->redis);
    tls_client_unref(ro.tls);
    redis_health_why(k->health, why, cap);
    return true;
}

static unsigned print(const struct look *k, const char *path, const char *why)
{
    unsigned warnings = 0;
    if (!k->answered) {
        fprintf(stderr, "%s: note: redis: could not be asked about its limits: %s\n", path,
                why[0] != '\0' ? why : "no answer in time");
        return 0;
    }
    for (unsigned i = 0; i < REDIS_ADVICES; i++) {
        if (redis_advise(&k->facts) >> i & 1) {
            struct strbuf text = {0};
            redis_advice_text((enum redis_advice)i, &k->facts, k->settings->prefix, &text);
            fprintf(stderr, "%s: warning: redis: %.*s\n", path, STR_ARG(strbuf_str(&text)));
            strbuf_free(&text);
            warnings++;
        }
    }
    return warnings;
}

unsigned check_redis(const struct settings *s, const char *path)
{
    struct resolver *resolver = s->redis.on ? resolver_new() : NULL;
    struct loop *loop = resolver != NULL ? loop_new() : NULL;
    unsigned warnings = 0;
    char why[160] = "";
    if (loop != NULL) {
        struct strbuf site = {0};
        redis_site_text(s, &site);
        struct look k = {.settings = &s->redis,
                         .site = strbuf_str(&site),
                         .loop = loop,
                         .health = redis_health_new(),
                         .began = clock_monotonic()};
        log_setup(LOG_ERROR, false); /* what it finds is printed, not logged */
        (void)look(&k, resolver, why, sizeof(why));
        warnings = print(&k, path, why);
        redis_health_unref(k.health);
        strbuf_free(&site);
        loop_free(loop);
    }
    resolver_free(resolver);
    return warnings;
}
