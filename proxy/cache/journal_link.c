/*
 * The link's life: its thread, its connections, going down and coming back, and what other
 * threads ask. See journal_link_state.h for its parts.
 */
#include "cache/journal_link.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/hash.h"
#include "cache/journal_link_state.h"
#include "cache/journal_wire.h"
#include "cache/redis_advice.h"

#define RETRY_STEP_MS 50 /* before the second attempt to sync; doubles … */
#define RETRY_MAX_MS  2000
#define STEADY_MS     1000 /* who has followed for this long starts over at once */
#define LAST_CALL_MS  500  /* for what is on its way when the link ends */
#define REPLY_MAX     (2 * JOURNAL_WIRE_MAX) /* longest string that the journal reads */

/* ---- down and up again ------------------------------------------------------------------- */

static uint64_t random_u64(void)
{
    uint64_t v = 0;
    if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v)) {
        v = hash_str(STR("id"), hash_seed() ^ (uint64_t)clock_monotonic());
    }
    return v;
}

void link_random(char out[17])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t v = random_u64();
    for (size_t i = 0; i < 16; i++) {
        out[i] = hex[v >> (4 * i) & 15];
    }
    out[16] = '\0';
}

/* One line per change. */
static void say_down(struct journal_link *l, const char *why)
{
    if (!l->said_down) {
        log_warn("journal: not following Redis: %s", why);
        l->said_down = true;
        l->said_up = false;
    }
}

void link_down(struct journal_link *l, const char *why)
{
    for (size_t i = 0; i < LINK_SLOTS; i++) {
        if (l->slots[i] != NULL) {
            redis_cancel(l->slots[i]);
            l->slots[i] = NULL;
        }
    }
    if (l->state == LINK_FOLLOWING && l->loop->now - l->following_since >= STEADY_MS) {
        l->retry_ms = 0;
    }
    say_down(l, why);
    l->state = LINK_DOWN;
    atomic_store_explicit(&l->following, false, memory_order_release);
    msec_t wait = l->retry_ms - (msec_t)(random_u64() % (uint64_t)(l->retry_ms / 2 + 1));
    deadline_set(l->loop, &l->retry, wait);
    l->retry_ms = l->retry_ms > 0 ? l->retry_ms * 2 : RETRY_STEP_MS;
    l->retry_ms = l->retry_ms < RETRY_MAX_MS ? l->retry_ms : RETRY_MAX_MS;
    link_check_closing(l);
}

static void on_retry(struct deadline *d)
{
    sync_start(container_of(d, struct journal_link, retry));
}

static void on_resync(struct deferred *d)
{
    struct journal_link *l = container_of(d, struct journal_link, resync);
    if (l->state == LINK_DOWN) {
        deadline_cancel(&l->retry);
        sync_start(l);
    }
    append_flush(l);
}

/* A connection is there: no reason to wait any longer. What a lost one means, its commands say
 * themselves. */
static void on_state(void *ctx, enum redis_role role, bool up)
{
    struct journal_link *l = ctx;
    (void)role;
    if (up) {
        loop_defer(l->loop, &l->resync);
    }
}

bool link_send(struct journal_link *l, enum link_slot slot, const struct redis_call *call)
{
    l->slots[slot] = redis_command(l->redis, call);
    if (l->slots[slot] == NULL) {
        link_down(l, "no connection");
        return false;
    }
    return true;
}

const char *link_why(const struct redis_result *result)
{
    switch (result->outcome) {
    case REDIS_DENIED: return redis_error_name(result->reply->error);
    case REDIS_TIMED_OUT: return "no answer in time";
    case REDIS_LOST: return "the connection was lost";
    case REDIS_NOT_SENT: return "no connection";
    case REDIS_ANSWERED:
    default: return "an answer that makes no sense";
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static struct str key_of(struct str prefix, const char *what)
{
    struct strbuf b = {0};
    strbuf_addf(&b, "{%.*s}:%s", STR_ARG(prefix), what);
    return strbuf_str(&b);
}

static void disown(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

static void *thread_main(void *arg)
{
    struct journal_link *l = arg;
    loop_run(l->loop);
    return NULL;
}

static void on_last_call(struct deadline *d)
{
    loop_stop(container_of(d, struct journal_link, last_call)->loop);
}

/* With signals blocked: they are for the main thread. */
static void start_thread(struct journal_link *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&l->thread, NULL, thread_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        log_error("journal: cannot start its thread: %s", strerror(error));
        abort();
    }
}

static void open_redis(struct journal_link *l)
{
    struct redis_options ro = l->options.redis;
    ro.roles = 1u << REDIS_FOLLOW | 1u << REDIS_JOURNAL;
    ro.max_value = REPLY_MAX;
    ro.on_state = on_state;
    ro.ctx = l;
    l->redis = redis_new(l->loop, &ro);
}

static void on_facts(void *ctx, const struct redis_facts *facts)
{
    struct journal_link *l = ctx;
    struct str prefix = str_skip(l->key_stream, 1);
    prefix.n = str_index(prefix, '}');
    redis_advice_log(&l->advised, facts, prefix);
}

static void start_info(struct journal_link *l)
{
    const struct redis_info_options io = {
        .prefix = l->options.prefix,
        .site = l->options.site,
        .member = true,
        .done = on_facts,
        .ctx = l,
    };
    l->info = redis_info_new(l->loop, l->redis, &io);
}

struct journal_link *journal_link_new(struct journal *j,
                                      const struct journal_link_options *options)
{
    struct journal_link *l = xcalloc(1, sizeof(*l));
    l->journal = j;
    l->options = *options;
    l->replicated = options->redis.target->mode == REDIS_SENTINEL;
    l->key_stream = key_of(options->prefix, "journal");
    l->key_epoch = key_of(options->prefix, "epoch");
    l->key_nodes = key_of(options->prefix, "nodes");
    l->key_applied = key_of(options->prefix, "applied");
    l->key_probe = key_of(options->prefix, "probe");
    memcpy(l->cursor, "0-0", sizeof("0-0"));
    link_random(l->node);
    atomic_init(&l->lookback, options->lookback);
    l->loop = loop_new();
    if (l->loop == NULL) {
        abort();
    }
    outbox_init(&l->outbox, options->state_dir, options->prefix, l->node);
    append_init(l);
    intent_init(l);
    deadline_init(&l->retry, on_retry);
    deadline_init(&l->last_call, on_last_call);
    l->resync.fn = on_resync;
    open_redis(l);
    start_info(l);
    sync_start(l);
    l->options.prefix = l->options.site = l->options.state_dir = STR_NULL; /* the caller's */
    start_thread(l);
    return l;
}

void journal_link_look_back(struct journal_link *l, msec_t deadline)
{
    msec_t longest = atomic_load_explicit(&l->lookback, memory_order_relaxed);
    while (deadline > longest &&
           !atomic_compare_exchange_weak_explicit(&l->lookback, &longest, deadline,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ---- the end ----------------------------------------------------------------------------- */

/* Travels to the link's thread. */
struct closing_note {
    struct mail mail;
    struct journal_link *link;
};

static void on_unregistered(void *ctx, const struct redis_result *result)
{
    struct journal_link *l = ctx;
    (void)result;
    loop_stop(l->loop);
}

/* The other nodes need not wait until this one's registration ends. */
static void unregister(struct journal_link *l)
{
    const struct segment argv[] = {REDIS_ARG("ZREM"), redis_arg(l->key_nodes),
                                   link_text(l->node)};
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv,
                                    .argc = sizeof(argv) / sizeof(argv[0]),
                                    .key = 1,
                                    .timeout = LAST_CALL_MS,
                                    .done = on_unregistered,
                                    .ctx = l};
    redis_info_leave(l->info);
    if (redis_command(l->redis, &call) == NULL) {
        loop_stop(l->loop);
    }
}

void link_check_closing(struct journal_link *l)
{
    bool said = l->outbox.going.n == 0 && !intent_unsaid(l);
    if (l->closing && (l->state != LINK_FOLLOWING || said)) {
        l->closing = false;
        unregister(l);
    }
}

static void on_closing(struct mail *m)
{
    struct journal_link *l = container_of(m, struct closing_note, mail)->link;
    l->closing = true;
    deadline_set(l->loop, &l->last_call, LAST_CALL_MS);
    link_check_closing(l);
}

void journal_link_free(struct journal_link *l)
{
    struct closing_note note = {.mail.fn = on_closing, .link = l};
    loop_post(l->loop, &note.mail);
    pthread_join(l->thread, NULL);
    wait_drop_all(l);
    redis_info_free(l->info);
    redis_free(l->redis);
    l->redis = NULL;
    l->state = LINK_DOWN;
    deadline_cancel(&l->retry);
    deadline_cancel(&l->last_call);
    loop_defer_cancel(l->loop, &l->resync);
    loop_turn(l->loop, false); /* what was asked for in the last moment is kept too */
    intent_fini(l);
    size_t lost = outbox_fini(&l->outbox);
    if (lost > 0) {
        log_warn("journal: %zu invalidations were not told to the other nodes", lost);
    }
    loop_free(l->loop);
    disown(l->key_stream);
    disown(l->key_epoch);
    disown(l->key_nodes);
    disown(l->key_applied);
    disown(l->key_probe);
    free(l);
}

/* ---- what others ask --------------------------------------------------------------------- */

bool journal_link_certain(const struct journal_link *l, msec_t now)
{
    msec_t proof = atomic_load_explicit(&l->proof, memory_order_acquire);
    if (proof == 0) {
        return false;
    }
    /* Alone on the prefix: whatever was written passed through this node. */
    return now - proof <= l->options.max_lag ||
           atomic_load_explicit(&l->nodes, memory_order_acquire) == 1;
}

bool journal_link_pending(const struct journal_link *l)
{
    return atomic_load_explicit(&l->waiting, memory_order_acquire) > 0;
}

void journal_link_facts(const struct journal_link *l, struct redis_facts *out)
{
    redis_info_get(l->info, out);
}

void journal_link_stats_get(const struct journal_link *l, struct journal_link_stats *out)
{
    msec_t proof = atomic_load_explicit(&l->proof, memory_order_acquire);
    uint64_t nodes = atomic_load_explicit(&l->nodes, memory_order_relaxed);
    *out = (struct journal_link_stats){
        .connected = atomic_load_explicit(&l->following, memory_order_acquire),
        .alone = nodes == 1,
        .nodes = nodes,
        .lag = proof != 0 ? clock_monotonic() - proof : -1,
        .seq = journal_seq(l->journal),
        .outbox = atomic_load_explicit(&l->waiting, memory_order_relaxed),
        .appended = atomic_load_explicit(&l->appended, memory_order_relaxed),
        .epochs = atomic_load_explicit(&l->epochs, memory_order_relaxed),
        .intents = atomic_load_explicit(&l->intents.n_open, memory_order_relaxed),
        .healed = atomic_load_explicit(&l->intents.healed, memory_order_relaxed),
        .unannounced = atomic_load_explicit(&l->intents.failed, memory_order_relaxed),
    };
}
