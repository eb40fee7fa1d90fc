/*
 * A round: one link and one question for each sentinel. It is decided as soon as more than half
 * of all sentinels say the same, or when all have answered or failed, or when the time is over:
 * then the answer with most voices. Links are closed at the end of the turn, because none may
 * be from inside its own callback.
 */
#include "cache/redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define FRESH_MS     200 /* an answer of this age needs no new round */
#define RETRY_MIN_MS 100 /* after a round that found nothing; doubled up to … */
#define RETRY_MAX_MS 2000

/* What one sentinel says in this round. */
enum voice {
    VOICE_PENDING,
    VOICE_NONE, /* no answer, or it does not know the name */
    VOICE_MASTER,
};

struct sentinel {
    struct redis_link link;
    struct redis_sentinel *owner;
    struct redis_place place;
    enum voice voice;
    char host[256];
    uint16_t port;
};

struct redis_sentinel {
    struct redis_link_settings settings;
    struct redis_stats stats; /* of these links; nobody looks */
    const struct redis_target *target;
    struct resolver *resolver;
    redis_sentinel_fn *event;
    void *ctx;
    msec_t poll;
    struct sentinel *list;
    size_t n;
    bool asking;
    struct deadline timer;   /* the round's end, or the next round */
    struct deferred settle;  /* looks at the voices, at the end of a turn */
    struct redis_place last; /* the master of the last round that found one */
    bool known;              /* `last` is set */
    msec_t answered_at;
    unsigned failures; /* rounds in a row that found nothing */
    char why[200];     /* of the last of these */
    uint32_t random;
};

static void on_timer(struct deadline *d);
static void on_settle(struct deferred *d);

/* ---- one sentinel ---------------------------------------------------------------------------
 */

static enum redis_locate do_locate(struct redis_link *l, struct addr *to, const char **name,
                                   const char **why)
{
    struct sentinel *i = container_of(l, struct sentinel, link);
    const struct redis_target *t = i->owner->target;
    *name = t->tls_name.n > 0 ? t->tls_name.p : i->place.host;
    *why = "the name does not resolve";
    return redis_place_get(&i->place, to) ? REDIS_LOCATED : REDIS_LOCATE_FAILED;
}

static void set_voice(struct sentinel *i, enum voice voice)
{
    if (i->voice == VOICE_PENDING) {
        i->voice = voice;
        loop_defer(i->owner->settings.loop, &i->owner->settle);
    }
}

static void do_up(struct redis_link *l)
{
    (void)l;
}

static void do_down(struct redis_link *l, enum redis_link_end end, enum redis_error error)
{
    struct sentinel *i = container_of(l, struct sentinel, link);
    (void)end;
    (void)error;
    redis_place_failed(&i->place);
    set_voice(i, VOICE_NONE);
}

static const struct redis_link_ops link_ops = {
    .locate = do_locate,
    .up = do_up,
    .down = do_down,
};

/* [host, port] */
static bool read_master(struct sentinel *i, const struct redis_reply *reply)
{
    const struct redis_reply *host = redis_reply_item(reply, 0, REDIS_STRING);
    const struct redis_reply *port = redis_reply_item(reply, 1, REDIS_STRING);
    uint64_t number;
    if (host == NULL || port == NULL || host->text.n == 0 || host->text.n >= sizeof(i->host) ||
        memchr(host->text.p, '\0', host->text.n) != NULL ||
        !str_to_u64(port->text, 65535, &number) || number == 0) {
        return false;
    }
    memcpy(i->host, host->text.p, host->text.n);
    i->host[host->text.n] = '\0';
    i->port = (uint16_t)number;
    return true;
}

static void on_answer(struct redis_command *c, enum redis_outcome outcome,
                      const struct redis_reply *reply)
{
    struct sentinel *i = container_of(c->link, struct sentinel, link);
    redis_command_unref(c);
    bool good = outcome == REDIS_ANSWERED && read_master(i, reply);
    set_voice(i, good ? VOICE_MASTER : VOICE_NONE);
}

static void ask(struct sentinel *i)
{
    struct redis_sentinel *s = i->owner;
    const struct segment argv[] = {REDIS_ARG("SENTINEL"), REDIS_ARG("get-master-addr-by-name"),
                                   redis_arg(s->target->master)};
    struct redis_command *c = redis_command_new(argv, 3, on_answer);
    i->voice = VOICE_PENDING;
    redis_link_init(&i->link, &s->settings, &link_ops);
    if (!redis_link_send(&i->link, c, s->settings.connect_timeout, true)) {
        redis_command_unref(c);
        set_voice(i, VOICE_NONE);
    }
}

/* ---- rounds ---------------------------------------------------------------------------------
 */

static void round_begin(struct redis_sentinel *s)
{
    s->asking = true;
    for (size_t i = 0; i < s->n; i++) {
        ask(&s->list[i]);
    }
    deadline_set(s->settings.loop, &s->timer, s->settings.connect_timeout);
}

/* How many say the same as i. */
static size_t voices_for(const struct redis_sentinel *s, const struct sentinel *i)
{
    size_t n = 0;
    for (size_t k = 0; k < s->n; k++) {
        const struct sentinel *other = &s->list[k];
        n += other->voice == VOICE_MASTER && other->port == i->port &&
             str_ieq(str_from(other->host), str_from(i->host));
    }
    return n;
}

/* The sentinel to believe, or NULL. *pending: somebody has not answered yet. */
static const struct sentinel *count(const struct redis_sentinel *s, size_t *most, bool *pending)
{
    const struct sentinel *best = NULL;
    *most = 0;
    *pending = false;
    for (size_t i = 0; i < s->n; i++) {
        *pending = *pending || s->list[i].voice == VOICE_PENDING;
        size_t n = s->list[i].voice == VOICE_MASTER ? voices_for(s, &s->list[i]) : 0;
        if (n > *most) {
            *most = n;
            best = &s->list[i];
        }
    }
    return best;
}

static msec_t jittered(struct redis_sentinel *s, msec_t time)
{
    s->random = s->random * 1664525u + 1013904223u;
    return time - (msec_t)((s->random >> 8) % (uint32_t)(time / 5 + 1));
}

static void round_failed(struct redis_sentinel *s)
{
    msec_t delay = RETRY_MIN_MS;
    for (unsigned i = 0; i < s->failures && delay < RETRY_MAX_MS; i++) {
        delay *= 2;
    }
    s->failures++;
    deadline_set(s->settings.loop, &s->timer,
                 jittered(s, delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS));
}

static bool take_master(struct redis_sentinel *s, const struct sentinel *i)
{
    bool moved = !s->known || !redis_place_is(&s->last, str_from(i->host), i->port);
    if (moved) {
        if (s->known) {
            redis_place_fini(&s->last);
        }
        redis_place_init(&s->last, str_from(i->host), i->port, NULL, s->resolver);
        s->known = true;
    }
    s->answered_at = s->settings.loop->now;
    s->failures = 0;
    return moved;
}

/* Why nobody knows: the sentinels that can be reached do not have the name, or what is wrong
 * with the last one. */
static void note_why(struct redis_sentinel *s)
{
    snprintf(s->why, sizeof(s->why), "no sentinel can be reached: %s",
             s->list[s->n - 1].link.why);
    for (size_t i = 0; i < s->n; i++) {
        if (redis_link_ready(&s->list[i].link)) {
            snprintf(s->why, sizeof(s->why), "Sentinel knows no master named %.*s",
                     STR_ARG(s->target->master));
        }
    }
}

static void round_end(struct redis_sentinel *s, const struct sentinel *best)
{
    enum redis_sentinel_event event = REDIS_SENTINEL_UNKNOWN;
    s->asking = false;
    deadline_cancel(&s->timer);
    if (best != NULL) {
        event = take_master(s, best) ? REDIS_SENTINEL_MOVED : REDIS_SENTINEL_SAME;
        if (s->poll > 0) {
            deadline_set(s->settings.loop, &s->timer, jittered(s, s->poll));
        }
    } else {
        note_why(s);
        round_failed(s);
    }
    for (size_t i = 0; i < s->n; i++) {
        redis_link_fini(&s->list[i].link);
    }
    s->event(s->ctx, event, s->why);
}

static void on_settle(struct deferred *d)
{
    struct redis_sentinel *s = container_of(d, struct redis_sentinel, settle);
    size_t most;
    bool pending;
    const struct sentinel *best = count(s, &most, &pending);
    if (s->asking && (!pending || 2 * most > s->n)) {
        round_end(s, best);
    }
}

static void on_timer(struct deadline *d)
{
    struct redis_sentinel *s = container_of(d, struct redis_sentinel, timer);
    size_t most;
    bool pending;
    if (s->asking) {
        round_end(s, count(s, &most, &pending));
    } else {
        round_begin(s);
    }
}

/* ---- lifetime ------------------------------------------------------------------------------
 */

struct redis_sentinel *redis_sentinel_new(const struct redis_target *target,
                                          const struct redis_link_settings *settings,
                                          struct resolver *resolver, msec_t poll,
                                          redis_sentinel_fn *event, void *ctx)
{
    struct redis_sentinel *s = xcalloc(1, sizeof(*s));
    s->settings = *settings;
    s->settings.user = target->sentinel_user;
    s->settings.password = target->sentinel_password;
    s->settings.database = 0;
    s->settings.check_role = false;
    s->settings.reconnect = false;
    s->settings.stats = &s->stats;
    s->target = target;
    s->resolver = resolver;
    s->poll = poll;
    s->event = event;
    s->ctx = ctx;
    s->n = target->n_servers;
    s->list = xcalloc(s->n, sizeof(*s->list));
    s->random = (uint32_t)((uintptr_t)s >> 4) ^ (uint32_t)clock_monotonic();
    s->settle.fn = on_settle;
    deadline_init(&s->timer, on_timer);
    for (size_t i = 0; i < s->n; i++) {
        const struct redis_server *server = &target->servers[i];
        s->list[i].owner = s;
        redis_place_init(&s->list[i].place, server->host, server->port, &server->addr,
                         resolver);
    }
    round_begin(s);
    return s;
}

void redis_sentinel_free(struct redis_sentinel *s)
{
    if (s == NULL) {
        return;
    }
    deadline_cancel(&s->timer);
    for (size_t i = 0; i < s->n; i++) {
        if (s->asking) {
            redis_link_fini(&s->list[i].link);
        }
        redis_place_fini(&s->list[i].place);
    }
    loop_defer_cancel(s->settings.loop, &s->settle);
    if (s->known) {
        redis_place_fini(&s->last);
    }
    free(s->list);
    free(s);
}

struct redis_place *redis_sentinel_master(struct redis_sentinel *s)
{
    if (s->known && s->settings.loop->now - s->answered_at < FRESH_MS) {
        return &s->last;
    }
    if (!s->asking && s->failures == 0) {
        round_begin(s); /* otherwise one is under way, or due */
    }
    return NULL;
}
