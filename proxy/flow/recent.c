/*
 * A seqlock for each slot. The writer marks the slot as being written, stores the words with
 * release order, and marks it as whole; a reader that has seen any new word (acquire) sees the
 * first mark as well, and gives the slot up. No fences, so that ThreadSanitizer follows.
 */
#include "flow/recent.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/mem.h"

#define WORDS     (RECENT_BYTES / 8)
#define WINDOW_MS 100 /* in which … */
#define WINDOW    128 /* … so many hits are kept */

/* Texts of a record: X(member, cap in bytes). */
#define TEXTS(X)           \
    X(id, 64)              \
    X(client, 64)          \
    X(method, 24)          \
    X(host, 64)            \
    X(path, 256)           \
    X(route, RECENT_ROUTE) \
    X(cache, 16)           \
    X(reason, 40)          \
    X(tier, 4)             \
    X(upstream, 64)        \
    X(protocol, 12)        \
    X(agent, 64)

enum {
#define X(member, cap) TEXT_##member,
    TEXTS(X)
#undef X
        N_TEXTS
};

/* The start of a record; its texts follow without gaps. */
struct head {
    int64_t time, total_us, upstream_us;
    uint64_t bytes, request_bytes;
    int32_t status;
    uint16_t tls;
    uint16_t n_words; /* of the whole record */
    uint16_t lengths[N_TEXTS];
};

#define X(member, cap) +(cap)
_Static_assert(sizeof(struct head) + 0 TEXTS(X) <= RECENT_BYTES, "a full record fits");
#undef X

struct slot {
    _Atomic uint64_t mark; /* 2 x number + 1: being written; + 2: whole; 0: empty */
    _Atomic uint64_t words[WORDS];
};

struct recent {
    _Atomic uint64_t count;
    struct counter skipped;
    msec_t window;      /* the worker's own: start of the current one … */
    unsigned in_window; /* … and hits kept in it */
    struct slot slots[RECENT_SLOTS];
};

struct recent *recent_new(void)
{
    return xcalloc(1, sizeof(struct recent));
}

void recent_free(struct recent *r)
{
    free(r);
}

uint64_t recent_count(const struct recent *r)
{
    return atomic_load_explicit(&r->count, memory_order_acquire);
}

uint64_t recent_skipped(const struct recent *r)
{
    return counter_get(&r->skipped);
}

bool recent_wants(struct recent *r, bool plain_hit, msec_t now)
{
    if (!plain_hit) {
        return true;
    }
    if (now - r->window >= WINDOW_MS) {
        r->window = now;
        r->in_window = 0;
    }
    if (r->in_window == WINDOW) {
        counter_add(&r->skipped, 1);
        return false;
    }
    r->in_window++;
    return true;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* A target that is cut could lose the @ by which its password would be known as one. */
static struct str safe_path(struct str path, size_t cap)
{
    bool origin_form = path.n > 0 && path.p[0] == '/';
    return path.n <= cap || origin_form ? path : STR("");
}

static char *put_text(char *at, struct str s, size_t cap, uint16_t *length)
{
    size_t n = s.n < cap ? s.n : cap;
    if (n > 0) {
        memcpy(at, s.p, n);
    }
    *length = (uint16_t)n;
    return at + n;
}

/* Lays the record out; returns its length in words. */
static size_t encode(const struct access_record *r, uint64_t words[WORDS])
{
    struct head h = {.time = r->time,
                     .total_us = r->total_us,
                     .upstream_us = r->upstream_us,
                     .bytes = r->bytes,
                     .request_bytes = r->request_bytes,
                     .status = r->status,
                     .tls = r->tls};
    char *start = (char *)words;
    char *at = start + sizeof(h);
    struct access_record safe = *r;
    safe.path = safe_path(r->path, 256);
#define X(member, cap) at = put_text(at, safe.member, cap, &h.lengths[TEXT_##member]);
    TEXTS(X)
#undef X
    size_t n = ((size_t)(at - start) + 7) / 8;
    h.n_words = (uint16_t)n;
    memcpy(start, &h, sizeof(h));
    return n;
}

void recent_add(struct recent *r, const struct access_record *record)
{
    uint64_t words[WORDS];
    size_t n = encode(record, words);
    uint64_t number = atomic_load_explicit(&r->count, memory_order_relaxed);
    struct slot *s = &r->slots[number % RECENT_SLOTS];
    atomic_store_explicit(&s->mark, 2 * number + 1, memory_order_relaxed);
    for (size_t i = 0; i < n; i++) {
        atomic_store_explicit(&s->words[i], words[i], memory_order_release);
    }
    atomic_store_explicit(&s->mark, 2 * number + 2, memory_order_release);
    atomic_store_explicit(&r->count, number + 1, memory_order_release);
}

/* ---- reading ----------------------------------------------------------------------------- */

static void load_words(const struct slot *s, size_t from, size_t n, char *out)
{
    for (size_t i = from; i < n; i++) {
        uint64_t word = atomic_load_explicit(&s->words[i], memory_order_acquire);
        memcpy(out + 8 * i, &word, 8);
    }
}

static void decode(struct recent_copy *c)
{
    struct head h;
    memcpy(&h, c->bytes, sizeof(h));
    const char *at = c->bytes + sizeof(h);
    c->record = (struct access_record){.time = h.time,
                                       .total_us = h.total_us,
                                       .upstream_us = h.upstream_us,
                                       .bytes = h.bytes,
                                       .request_bytes = h.request_bytes,
                                       .status = h.status,
                                       .tls = h.tls != 0};
#define X(member, cap)                                         \
    c->record.member = str_make(at, h.lengths[TEXT_##member]); \
    at += h.lengths[TEXT_##member];
    TEXTS(X)
#undef X
}

bool recent_get(const struct recent *r, uint64_t number, struct recent_copy *out)
{
    const struct slot *s = &r->slots[number % RECENT_SLOTS];
    struct head h;
    if (atomic_load_explicit(&s->mark, memory_order_acquire) != 2 * number + 2) {
        return false;
    }
    load_words(s, 0, (sizeof(h) + 7) / 8, out->bytes);
    memcpy(&h, out->bytes, sizeof(h));
    if (h.n_words > WORDS) {
        return false; /* torn: it is being overwritten */
    }
    load_words(s, (sizeof(h) + 7) / 8, h.n_words, out->bytes);
    if (atomic_load_explicit(&s->mark, memory_order_relaxed) != 2 * number + 2) {
        return false;
    }
    out->number = number;
    decode(out);
    return true;
}
