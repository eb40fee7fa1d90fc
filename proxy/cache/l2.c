/*
 * The Redis tier: GET, SET … PX, UNLINK, each one round trip, pipelined by the connection
 * layer. What was fetched under a lease is written by a script, which leaves alone what a later
 * lease has brought.
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

/* KEYS entry · ARGV value px -> 1, or 0 when the value there has a later fence. Only values of
 * the same magic and version are compared: bytes 1-6; the fence is where entry.h says. */
#define STORE_FENCED                                                              \
    "local old = redis.call('GETRANGE', KEYS[1], 0, 111)\n"                       \
    "if #old == 112 and string.sub(old, 1, 6) == string.sub(ARGV[1], 1, 6)\n"     \
    "    and struct.unpack('<I8', string.sub(old, 105)) >\n"                      \
    "        struct.unpack('<I8', string.sub(ARGV[1], 105, 112)) then return 0\n" \
    "end\n"                                                                       \
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"                        \
    "return 1\n"
_Static_assert(ENTRY_FENCE_AT == 104, "STORE_FENCED counts on it");

struct l2 {
    struct redis *redis;
    struct str prefix; /* owned */
    uint64_t max_object;
    struct l2_get *gets;     /* reads under way */
    struct l2_write *writes; /* fenced ones under way */
    char mark[L2_MARK];      /* l2_mark() */
    size_t mark_n;
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

/* A fenced write under way. */
struct l2_write {
    struct l2 *tier;
    struct l2_write *prev, *next;
    struct redis_command *command;
    l2_written_fn *done;
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

static void write_free(struct l2_write *w)
{
    *(w->prev != NULL ? &w->prev->next : &w->tier->writes) = w->next;
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    free(w);
}

void l2_free(struct l2 *t)
{
    while (t->gets != NULL) {
        l2_get_cancel(t->gets);
    }
    while (t->writes != NULL) {
        redis_cancel(t->writes->command);
        write_free(t->writes);
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

/* The checksum at its end. */
static void set_mark(struct l2 *t, struct str bytes)
{
    t->mark_n = bytes.n < L2_MARK ? bytes.n : L2_MARK;
    if (t->mark_n > 0) {
        memcpy(t->mark, bytes.p + bytes.n - t->mark_n, t->mark_n);
    }
}

struct str l2_mark(const struct l2 *t)
{
    return str_make(t->mark, t->mark_n);
}

static void on_get(void *ctx, const struct redis_result *result)
{
    struct l2_get *g = ctx;
    struct l2 *t = g->tier;
    struct entry *e = NULL;
    enum l2_outcome outcome = L2_FAILED;
    set_mark(t, result->outcome == REDIS_ANSWERED ? result->reply->text : STR(""));
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
static msec_t useful_for(msec_t fresh, msec_t stale, msec_t on_error, unsigned flags)
{
    msec_t window = stale > on_error ? stale : on_error;
    return fresh + (flags & ENTRY_MUST_REVALIDATE ? 0 : window);
}

bool l2_keeps(msec_t fresh, msec_t stale, msec_t on_error, unsigned flags)
{
    return useful_for(fresh, stale, on_error, flags) > EXPIRY_MIN;
}

bool l2_takes(const struct l2 *t, uint64_t bytes)
{
    return bytes <= t->max_object;
}

/* For how long the entry is to be written; 0: not at all. */
static msec_t expiry_of(struct l2 *t, const struct entry *e, msec_t now)
{
    msec_t expiry = useful_for(entry_lifetime(e) - entry_age(e, now), entry_stale(e),
                               entry_stale_if_error(e), e->flags);
    if (expiry < EXPIRY_MIN || !l2_ready(t)) {
        return 0;
    }
    if (!l2_takes(t, entry_bytes(e))) {
        counter_add(&t->counts.too_large, 1);
        return 0;
    }
    return expiry;
}

static struct segment value_of(const struct entry *e, uint64_t fence)
{
    struct l2_value *v = xcalloc(1, sizeof(*v));
    entry_encode(e, fence, &v->bytes);
    return (struct segment){
        .p = v->bytes.p, .n = v->bytes.n, .release = value_free, .owner = v};
}

/* Sends a command that writes; NULL when it is refused. */
static struct redis_command *write_command(struct l2 *t, const struct segment *argv,
                                           size_t argc, size_t key, redis_done_fn *done,
                                           void *ctx)
{
    const struct redis_call call = {.role = REDIS_DATA,
                                    .argv = argv,
                                    .argc = argc,
                                    .key = key,
                                    .timeout = WRITE_TIMEOUT,
                                    .writes = done == on_written, /* a fenced one may not */
                                    .done = done,
                                    .ctx = ctx};
    struct redis_command *c = redis_command(t->redis, &call);
    counter_add(&t->counts.writes, 1);
    counter_add(&t->counts.write_errors, c == NULL);
    return c;
}

void l2_put(struct l2 *t, const struct entry *e, msec_t now)
{
    msec_t expiry = expiry_of(t, e, now);
    if (expiry == 0) {
        return;
    }
    char ms[20];
    const struct segment argv[] = {
        REDIS_ARG("SET"),
        redis_arg(scratch_name(t, entry_name(e))),
        value_of(e, 0),
        REDIS_ARG("PX"),
        redis_arg(str_make(ms, u64_to_dec((uint64_t)expiry, ms))),
    };
    (void)write_command(t, argv, 5, 1, on_written, t);
}

static void on_fenced(void *ctx, const struct redis_result *result)
{
    struct l2_write *w = ctx;
    l2_written_fn *done = w->done;
    void *done_ctx = w->ctx;
    enum l2_written how = L2_UNWRITTEN;
    if (result->outcome == REDIS_ANSWERED) {
        how = result->reply->integer == 0 ? L2_FENCED : L2_WRITTEN;
    } else {
        counter_add(&w->tier->counts.write_errors, 1);
    }
    write_free(w);
    done(done_ctx, how);
}

bool l2_put_fenced(struct l2 *t, const struct entry *e, msec_t now, uint64_t fence,
                   l2_written_fn *done, void *ctx)
{
    msec_t expiry = expiry_of(t, e, now);
    if (expiry == 0) {
        return false;
    }
    struct l2_write *w = xcalloc(1, sizeof(*w));
    *w = (struct l2_write){.tier = t, .done = done, .ctx = ctx, .next = t->writes};
    char ms[20];
    const struct segment argv[] = {
        REDIS_ARG("EVAL"),  REDIS_ARG(STORE_FENCED),
        REDIS_ARG("1"),     redis_arg(scratch_name(t, entry_name(e))),
        value_of(e, fence), redis_arg(str_make(ms, u64_to_dec((uint64_t)expiry, ms))),
    };
    w->command = write_command(t, argv, 6, 3, on_fenced, w);
    if (w->command == NULL) {
        free(w);
        return false;
    }
    if (w->next != NULL) {
        w->next->prev = w;
    }
    t->writes = w;
    return true;
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
