/*
 * `redis … intent=`: from when on an announced write of a route counts as lost. By then its
 * backend must have ended it or never will: the time that the route waits for the answer, and a
 * margin. A write that takes longer, because its body is long in coming, is announced again
 * while the margin lasts.
 */
#include "base/units.h"
#include "config/build.h"

#define MARGIN_MS       10000 /* of the default */
#define MARGIN_LEAST_MS 1000  /* of intent_deadline= */

/* How long the backend may take for an answer; -1: for ever. */
static msec_t patience(const struct timeout_settings *t)
{
    if (t->first_byte < 0 || (t->total >= 0 && t->total < t->first_byte)) {
        return t->total;
    }
    return t->first_byte;
}

static bool writes(const struct route_settings *r)
{
    for (size_t i = 0; i < r->methods.n; i++) {
        struct str m = r->methods.list[i];
        if (!str_eq(m, STR("GET")) && !str_eq(m, STR("HEAD")) && !str_eq(m, STR("OPTIONS"))) {
            return true;
        }
    }
    return false;
}

static void set_deadline(const struct redis_settings *rs, struct route_settings *r)
{
    msec_t waits = patience(&r->timeout);

    r->intent_deadline = rs->intent_deadline > 0 ? rs->intent_deadline : waits + MARGIN_MS;
    r->intent_renew = (r->intent_deadline - (waits >= 0 ? waits : 0)) / 2;
}

static void say_too_short(struct conf_build *b, const struct conf_arg *given, struct str label,
                          msec_t waits)
{
    char text[UNITS_TEXT_MAX];
    size_t n = duration_text(waits, text);

    conf_error(b->d, given->at, "%.*s waits %.*s for its answer", STR_ARG(label), (int)n, text);
    n = duration_text(waits + MARGIN_LEAST_MS, text);
    conf_hint(b->d, "at least intent_deadline=%.*s, or a shorter `timeout first_byte=` there",
              (int)n, text);
}

/* Sets the route's deadline, or says why it has none; false then. */
static bool take_route(struct conf_build *b, const struct conf_stmt *redis,
                       struct route_settings *r, struct str label)
{
    const struct redis_settings *rs = &b->s->redis;
    const struct conf_arg *given = conf_opt(redis, "intent_deadline");
    msec_t waits = patience(&r->timeout);

    if (given == NULL && waits < 0) {
        conf_error(b->d, conf_opt(redis, "intent")->at,
                   "a write to %.*s may take for ever: first_byte=off and total=off",
                   STR_ARG(label));
        conf_hint(b->d, "give it a timeout, or say intent_deadline=DURATION");
        return false;
    }
    if (given != NULL && waits >= 0 && rs->intent_deadline < waits + MARGIN_LEAST_MS) {
        say_too_short(b, given, label, waits);
        return false;
    }
    set_deadline(rs, r);
    return true;
}

void conf_check_intents(struct conf_build *b)
{
    const struct conf_stmt *redis = b->sites[0].index.first[DIR_redis];

    if (b->s->redis.intent == INTENT_OFF || redis == NULL ||
        (conf_opt(redis, "intent_deadline") != NULL && b->s->redis.intent_deadline == 0)) {
        return; /* or it is no duration, which has been said */
    }
    if (!b->s->redis.on) {
        conf_warn(b->d, conf_opt(redis, "intent")->at,
                  "nothing is announced without Redis: a node that dies loses its entries too");
        return;
    }
    for (size_t i = 0; i < b->s->n_sites; i++) {
        struct site_settings *site = &b->s->sites[i];

        for (size_t k = 0; k < site->n_routes; k++) {
            if (writes(&site->routes[k]) &&
                !take_route(b, redis, &site->routes[k], site->routes[k].label)) {
                return;
            }
        }
        if (!take_route(b, redis, &site->fallback, STR("a path without a route"))) {
            return;
        }
    }
}
