/*
 * A round asks every master two things at once and ends with the last answer. A server that
 * does not answer one of them makes that figure unknown, never too small. After NOPERM that
 * question is left out for a while: an operator's decision is no reason to open the breaker of
 * the connection that we borrow.
 */
#include "cache/redis_info.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "cache/redis.h"
#include "cache/redis_slots.h"

#define EVERY_MS    5000
#define RETRY_MS    500  /* while there is no answer */
#define COMMAND_MS  5000 /* patient: who gives up first closes the connection */
#define MAX_MASTERS 512
#define SKIP_ROUNDS 120     /* after NOPERM: ten minutes */
#define SITE_MS     "15000" /* a site that has not said so for this long is gone */

/* KEYS sites · ARGV own life-ms join -> members */
#define SITES                                                              \
    "local t = redis.call('TIME')\n"                                       \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"                  \
    "local first = string.format('%.0f', now - tonumber(ARGV[2]))\n"       \
    "if ARGV[3] == '1' then\n"                                             \
    "  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', first)\n"           \
    "  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])\n" \
    "  redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)\n"                      \
    "end\n"                                                                \
    "return redis.call('ZRANGEBYSCORE', KEYS[1], first, '+inf', 'LIMIT', 0, 16)\n"

enum what {
    ASK_MEMORY,
    ASK_KEYS,
    ASK_SITES, /* the journal's master only */
    ASKS,
};

/* One command under way. */
struct question {
    struct redis_info *info;
    struct redis_command *command; /* NULL: ended */
    enum what what;
    bool journal; /* goes to the master that has the journal: the first one */
};

struct redis_info {
    struct loop *loop;
    struct redis *redis;
    struct redis_info_options options; /* strings owned */
    struct str key_sites;              /* in the journal's slot */
    struct deadline timer;
    struct question *questions; /* of the round */
    size_t n_questions;
    size_t open;          /* of them without an end */
    size_t answers[ASKS]; /* of the round */
    size_t masters;       /* asked in the round */
    unsigned skip[ASKS];  /* rounds for which it is not asked */
    bool unlimited;       /* of the round: a master without maxmemory */
    struct redis_facts round;
    pthread_mutex_t lock;
    struct redis_facts facts; /* under lock */
};

/* ---- answers ------------------------------------------------------------------------------
 */

/* The value of "name:" at the start of a line; empty if there is none. */
static struct str field_of(struct str text, struct str name)
{
    struct str line;
    while (str_next(&text, '\r', &line)) {
        line = str_skip(line, line.n > 0 && line.p[0] == '\n');
        if (line.n > name.n && str_starts(line, name) && line.p[name.n] == ':') {
            return str_skip(line, name.n + 1);
        }
    }
    return STR_NULL;
}

static int64_t number_of(struct str text, struct str name)
{
    uint64_t v;
    return str_to_u64(field_of(text, name), INT64_MAX, &v) ? (int64_t)v : -1;
}

static enum redis_eviction eviction_of(struct str policy)
{
    if (str_starts(policy, STR("allkeys-"))) {
        return REDIS_EVICTS_ANYTHING;
    }
    if (str_starts(policy, STR("volatile-"))) {
        return REDIS_EVICTS_VOLATILE;
    }
    return str_eq(policy, STR("noeviction")) ? REDIS_EVICTS_NOTHING : REDIS_EVICTS_UNKNOWN;
}

static void take_policy(struct redis_facts *f, struct str policy)
{
    f->eviction = eviction_of(policy);
    size_t n = policy.n < sizeof(f->policy) ? policy.n : 0;
    memcpy(f->policy, n > 0 ? policy.p : "", n);
    f->policy[n] = '\0';
}

/* False when it is not what INFO memory looks like. */
static bool take_memory(struct redis_info *i, struct str text, bool journal)
{
    struct redis_facts *f = &i->round;
    int64_t used = number_of(text, STR("used_memory"));
    int64_t max = number_of(text, STR("maxmemory"));
    if (used < 0 || max < 0) {
        return false;
    }
    if (journal) {
        take_policy(f, field_of(text, STR("maxmemory_policy")));
    }
    f->used_memory += used;
    f->max_memory += max;
    i->unlimited = i->unlimited || max == 0;
    return true;
}

/* One that is not ours, made printable: it is for people. */
static bool take_sites(struct redis_info *i, const struct redis_reply *reply)
{
    char *out = i->round.other;
    for (size_t k = 0; k < reply->n_items && out[0] == '\0'; k++) {
        const struct redis_reply *site = redis_reply_item(reply, k, REDIS_STRING);
        if (site == NULL || str_eq(site->text, i->options.site)) {
            continue;
        }
        size_t n = site->text.n;
        n = n < sizeof(i->round.other) ? n : sizeof(i->round.other) - 1;
        for (size_t c = 0; c < n; c++) {
            char byte = site->text.p[c];
            out[c] = '?';
            if (byte >= ' ' && byte <= '~') {
                out[c] = byte;
            }
        }
        out[n] = '\0';
    }
    return reply->type == REDIS_ARRAY;
}

static bool take(struct redis_info *i, const struct question *q,
                 const struct redis_reply *reply)
{
    if (q->what == ASK_SITES) {
        return take_sites(i, reply);
    }
    if (q->what == ASK_MEMORY) {
        return reply->type == REDIS_STRING && take_memory(i, reply->text, q->journal);
    }
    if (reply->type != REDIS_INTEGER || reply->integer < 0) {
        return false;
    }
    i->round.keys += reply->integer;
    return true;
}

/* The last answer has come: what is complete counts. */
static void publish(struct redis_info *i)
{
    struct redis_facts *f = &i->round;
    bool any = i->answers[ASK_MEMORY] + i->answers[ASK_KEYS] > 0;
    if (i->unlimited) {
        f->max_memory = 0;
    }
    if (i->answers[ASK_MEMORY] < i->masters || i->masters == 0) {
        f->used_memory = f->max_memory = -1;
    }
    if (i->answers[ASK_KEYS] < i->masters || i->masters == 0) {
        f->keys = -1;
    }
    pthread_mutex_lock(&i->lock);
    f->at = any ? f->at : i->facts.at;
    i->facts = *f;
    pthread_mutex_unlock(&i->lock);
    bool soon = f->used_memory < 0 && i->skip[ASK_MEMORY] == 0;
    deadline_set(i->loop, &i->timer, soon ? RETRY_MS : EVERY_MS);
    if (any && i->options.done != NULL) {
        i->options.done(i->options.ctx, f);
    }
}

static void on_answer(void *ctx, const struct redis_result *result)
{
    struct question *q = ctx;
    struct redis_info *i = q->info;
    q->command = NULL;
    if (result->outcome == REDIS_ANSWERED && take(i, q, result->reply)) {
        i->answers[q->what]++;
    } else if (result->outcome == REDIS_DENIED && result->reply->error == REDIS_E_NOPERM) {
        i->skip[q->what] = SKIP_ROUNDS;
    }
    if (--i->open == 0) {
        publish(i);
    }
}

/* ---- questions ----------------------------------------------------------------------------
 */

static void ask(struct redis_info *i, struct question *q, uint16_t slot)
{
    const struct segment memory[] = {REDIS_ARG("INFO"), REDIS_ARG("memory")};
    const struct segment keys[] = {REDIS_ARG("DBSIZE")};
    const struct segment sites[] = {
        REDIS_ARG("EVAL"),
        REDIS_ARG(SITES),
        REDIS_ARG("1"),
        redis_arg(i->key_sites),
        redis_arg(i->options.site),
        REDIS_ARG(SITE_MS),
        i->options.member ? REDIS_ARG("1") : REDIS_ARG("0"),
    };
    const struct segment *const argv[ASKS] = {memory, keys, sites};
    static const size_t argc[ASKS] = {2, 1, 7};
    const struct redis_call call = {.role = REDIS_JOURNAL,
                                    .argv = argv[q->what],
                                    .argc = argc[q->what],
                                    .at_slot = true,
                                    .slot = slot,
                                    .timeout = COMMAND_MS,
                                    .done = on_answer,
                                    .ctx = q};
    q->command = redis_command(i->redis, &call);
    i->open += q->command != NULL;
}

/* Is it of use to ask? */
static bool wanted(const struct redis_info *i, const struct question *q)
{
    return i->skip[q->what] == 0 &&
           (q->what != ASK_SITES || (q->journal && i->options.site.n > 0));
}

static void begin_round(struct redis_info *i)
{
    uint16_t slots[MAX_MASTERS];
    i->masters = redis_masters(i->redis, redis_slot_of(i->key_sites), slots, MAX_MASTERS);
    i->round = (struct redis_facts){.at = clock_monotonic()};
    i->unlimited = false;
    memset(i->answers, 0, sizeof(i->answers));
    free(i->questions);
    i->n_questions = i->masters * ASKS;
    i->questions = xcalloc(i->n_questions + 1, sizeof(*i->questions));
    for (size_t k = 0; k < i->n_questions; k++) {
        struct question *q = &i->questions[k];
        *q = (struct question){.info = i, .what = (enum what)(k % ASKS), .journal = k < ASKS};
        if (wanted(i, q)) {
            ask(i, q, slots[k / ASKS]);
        }
    }
    for (size_t k = 0; k < ASKS; k++) {
        i->skip[k] -= i->skip[k] > 0;
    }
    if (i->open == 0) {
        publish(i);
    }
}

static void on_timer(struct deadline *d)
{
    begin_round(container_of(d, struct redis_info, timer));
}

/* ---- life ---------------------------------------------------------------------------------
 */

struct redis_info *redis_info_new(struct loop *loop, struct redis *r,
                                  const struct redis_info_options *options)
{
    struct redis_info *i = xcalloc(1, sizeof(*i));
    struct strbuf key = {0};
    strbuf_addf(&key, "{%.*s}:sites", STR_ARG(options->prefix));
    i->loop = loop;
    i->redis = r;
    i->options = *options;
    i->options.prefix = STR_NULL;
    i->options.site = str_make(str_dup(options->site), options->site.n);
    i->key_sites = strbuf_str(&key);
    i->facts = (struct redis_facts){.used_memory = -1, .max_memory = -1, .keys = -1};
    pthread_mutex_init(&i->lock, NULL);
    deadline_init(&i->timer, on_timer);
    deadline_set(loop, &i->timer, LOOP_TICK_MS);
    return i;
}

/* No question is under way any more. */
static void stop(struct redis_info *i)
{
    for (size_t k = 0; k < i->n_questions; k++) {
        if (i->questions[k].command != NULL) {
            redis_cancel(i->questions[k].command);
            i->questions[k].command = NULL;
        }
    }
    deadline_cancel(&i->timer);
}

void redis_info_leave(struct redis_info *i)
{
    const struct segment argv[] = {REDIS_ARG("ZREM"), redis_arg(i->key_sites),
                                   redis_arg(i->options.site)};
    const struct redis_call call = {
        .role = REDIS_JOURNAL, .argv = argv, .argc = 3, .key = 1, .timeout = COMMAND_MS};
    stop(i);
    if (i->options.member && i->options.site.n > 0) {
        (void)redis_command(i->redis, &call);
    }
}

void redis_info_free(struct redis_info *i)
{
    if (i == NULL) {
        return;
    }
    stop(i);
    free((void *)(uintptr_t)i->key_sites.p);
    free((void *)(uintptr_t)i->options.site.p);
    pthread_mutex_destroy(&i->lock);
    free(i->questions);
    free(i);
}

void redis_info_get(struct redis_info *i, struct redis_facts *out)
{
    pthread_mutex_lock(&i->lock);
    *out = i->facts;
    pthread_mutex_unlock(&i->lock);
}
