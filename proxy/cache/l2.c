/*
 * The Redis tier: GET, SET … PX, UNLINK, each one round trip, pipelined by the connection
 * layer.
 */
#include "cache/l2.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/counter.h"
#include "base/mem.h"

#define NAME_MAX_REDIS 512  /* bytes of a name in Redis, prefix included */
#define NAME_HEAD      400  /* readable bytes kept of a longer one */
#define WRITE_TIMEOUT  1000 /* ms; nobody waits for a write */
#define EXPIRY_MIN     1000 /* ms; what would expire sooner is not written */

struct l2 {
    struct redis *redis;
    struct str prefix; /* owned */
    uint64_t max_object;
    struct l2_get *gets; /* reads under way */
    struct {
        struct counter outcomes[L2_OUTCOMES];
        struct counter writes, write_errors, too_large;
    } counts;           /* as struct l2_stats */
    struct strbuf key;  /* scratch */
    struct arena arena; /* scratch, reset with each use */
};

struct l2_get {
    struct l2 *tier;
    struct l2_get *prev, *next;
    struct redis_command *command;
    struct str name, host; /* the caller's */
    l2_done_fn *done;
    void *ctx;
};

/* Written values are sent from this; freed when the connection has taken the bytes. */
struct l2_value {
    struct strbuf bytes;
};

struct l2 *l2_new(struct redis *redis, struct str prefix, uint64_t max_object)
{
    struct l2 *t = xcalloc(1, sizeof(*t));
    t->redis = redis;
    t->prefix = str_make(str_dup(prefix), prefix.n);
    t->max_object = max_object;
    arena_init(&t->arena, NULL, 0);
    return t;
}

static void get_free(struct l2_get *g)
{
    *(g->prev != NULL ? &g->prev->next : &g->tier->gets) = g->next;
    if (g->next != NULL) {
        g->next->prev = g->prev;
    }
    free(g);
}

void l2_free(struct l2 *t)
{
    while (t->gets != NULL) {
        l2_get_cancel(t->gets);
    }
    free((void *)(uintptr_t)t->prefix.p);
    strbuf_free(&t->key);
    arena_reset(&t->arena);
    free(t);
}

bool l2_ready(const struct l2 *t)
{
    return redis_ready(t->redis, REDIS_DATA);
}

struct str l2_redis_name(struct str prefix, struct str name, struct arena *a)
{
    static const char hex[] = "0123456789abcdef";
    bool fits = prefix.n + 1 + name.n <= NAME_MAX_REDIS;
    size_t head = fits ? name.n : NAME_HEAD - prefix.n;
    char *out = arena_alloc(a, prefix.n + head + 70);
    memcpy(out, prefix.p, prefix.n);
    out[prefix.n] = ':';
    memcpy(out + prefix.n + 1, name.p, head);
    size_t n = prefix.n + 1 + head;
    if (!fits) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned int len = 0;
        EVP_Digest(name.p, name.n, digest, &len, EVP_sha256(), NULL);
        out[n++] = '~';
        for (unsigned int i = 0; i < len; i++) {
            out[n++] = hex[digest[i] >> 4];
            out[n++] = hex[digest[i] & 15];
        }
    }
    return str_make(out, n);
}

/* The Redis name in scratch memory, good until the next call. */
static struct str scratch_name(struct l2 *t, struct str name)
{
    arena_reset(&t->arena);
    return l2_redis_name(t->prefix, name, &t->arena);
}

/* ---- reading ---------------------------------------------------------------------------- */

/* The entry in these bytes if it is the one that was asked for. */
static struct entry *judge_bytes(const struct l2_get *g, struct str bytes,
                                 enum l2_outcome *outcome)
{
    struct entry *e = entry_decode(bytes);
    if (e == NULL) {
        *outcome = entry_is_foreign(bytes) ? L2_OTHER : L2_DAMAGED;
        return NULL;
    }
    if (!str_eq(entry_name(e), g->name) || !str_eq(entry_host(e), g->host)) {
        entry_unref(e);
        *outcome = L2_OTHER;
        return NULL;
    }
    *outcome = L2_HIT;
    return e;
}

static void on_get(void *ctx, const struct redis_result *result)
{
    struct l2_get *g = ctx;
    struct l2 *t = g->tier;
    struct entry *e = NULL;
    enum l2_outcome outcome = L2_FAILED;
    if (result->outcome == REDIS_ANSWERED) {
        const struct redis_reply *reply = result->reply;
        if (reply->type == REDIS_NIL) {
            outcome = L2_MISS;
        } else if (reply->type == REDIS_STRING) {
            e = judge_bytes(g, reply->text, &outcome);
        } else {
            outcome = L2_DAMAGED;
        }
    }
    counter_add(&t->counts.outcomes[outcome], 1);
    l2_done_fn *done = g->done;
    void *done_ctx = g->ctx;
    get_free(g);
    done(done_ctx, e, outcome);
}

struct l2_get *l2_get_start(struct l2 *t, struct str name, struct str host, msec_t budget,
                            l2_done_fn *done, void *ctx)
{
    struct l2_get *g = xcalloc(1, sizeof(*g));
    *g = (struct l2_get){
        .tier = t, .name = name, .host = host, .done = done, .ctx = ctx, .next = t->gets};
    const struct segment argv[] = {REDIS_ARG("GET"), redis_arg(scratch_name(t, name))};
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 2,
                                    .key = 1,
                                    .timeout = budget,
                                    .done = on_get,
                                    .ctx = g};
    g->command = redis_command(t->redis, &call);
    if (g->command == NULL) {
        free(g);
        counter_add(&t->counts.outcomes[L2_FAILED], 1);
        return NULL;
    }
    if (g->next != NULL) {
        g->next->prev = g;
    }
    t->gets = g;
    return g;
}

void l2_get_cancel(struct l2_get *g)
{
    redis_cancel(g->command);
    get_free(g);
}

/* ---- writing ---------------------------------------------------------------------------- */

static void on_written(void *ctx, const struct redis_result *result)
{
    struct l2 *t = ctx;
    if (result->outcome != REDIS_ANSWERED) {
        counter_add(&t->counts.write_errors, 1);
    }
}

static void value_free(void *owner)
{
    struct l2_value *v = owner;
    strbuf_free(&v->bytes);
    free(v);
}

/* How long the entry can be of any use from now on. */
static msec_t useful_for(const struct entry *e, msec_t now)
{
    msec_t stale = entry_stale(e), on_error = entry_stale_if_error(e);
    msec_t window = stale > on_error ? stale : on_error;
    if (e->flags & ENTRY_MUST_REVALIDATE) {
        window = 0;
    }
    return entry_lifetime(e) - entry_age(e, now) + window;
}

void l2_put(struct l2 *t, const struct entry *e, msec_t now)
{
    msec_t expiry = useful_for(e, now);
    if (expiry < EXPIRY_MIN || !l2_ready(t)) {
        return;
    }
    if (entry_bytes(e) > t->max_object) {
        counter_add(&t->counts.too_large, 1);
        return;
    }
    struct l2_value *v = xcalloc(1, sizeof(*v));
    entry_encode(e, &v->bytes);
    char ms[20];
    struct str px = str_make(ms, u64_to_dec((uint64_t)expiry, ms));
    const struct segment argv[] = {
        REDIS_ARG("SET"),
        redis_arg(scratch_name(t, entry_name(e))),
        {.p = v->bytes.p, .n = v->bytes.n, .release = value_free, .owner = v},
        REDIS_ARG("PX"),
        redis_arg(px),
    };
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = 5,
                                    .key = 1,
                                    .timeout = WRITE_TIMEOUT,
                                    .done = on_written,
                                    .ctx = t};
    counter_add(&t->counts.writes, 1);
    if (redis_command(t->redis, &call) == NULL) {
        counter_add(&t->counts.write_errors, 1);
    }
}

void l2_unlink(struct l2 *t, struct str name)
{
    const struct segment argv[] = {REDIS_ARG("UNLINK"), redis_arg(scratch_name(t, name))};
    const struct redis_call call = {
        .role = REDIS_DATA, .argv = argv, .argc = 2, .key = 1, .timeout = WRITE_TIMEOUT};
    (void)redis_command(t->redis, &call);
}

void l2_stats_get(const struct l2 *t, struct l2_stats *out)
{
    for (int i = 0; i < L2_OUTCOMES; i++) {
        out->outcomes[i] = counter_get(&t->counts.outcomes[i]);
    }
    out->writes = counter_get(&t->counts.writes);
    out->write_errors = counter_get(&t->counts.write_errors);
    out->too_large = counter_get(&t->counts.too_large);
}
