/*
 * The stored form of an entry, little-endian:
 *
 *   0 magic 4 · version 2 · flags 2 · status 2 · coding 1 · zero 1 · scope 4
 *  16 stored_at 8 · age 4 · lifetime 4 · stale 4 · stale_if_error 4 (units of 10 ms)
 *  40 stamp: epoch 8 · seq 8 (`local` means nothing elsewhere)
 *  56 body_length 4 · lengths: name 4 · head 4 · body 4 · bytes 4
 *  76 lengths: etag 2 · tags 2 · host 2 · type 2 · route 2 · vary 2 · date 2 · modified 2
 *  92 date_at 4 · modified_at 4 · zero 4 · fence 8 (see cache/lease.h)
 * 112 host, type, route, vary · bytes (as in struct entry) · XXH3-64 of all before it 8
 *
 * A change of any of this is a new version; a foreign version is a miss.
 */
#include "cache/entry.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"
#include "cache/entry_shared.h"

#define MAGIC       0x3144524cu /* "LRD1" */
#define VERSION     2u
#define HEADER_SIZE (ENTRY_FENCE_AT + 8)
#define SUM_SIZE    8

static void add_le(struct strbuf *out, uint64_t v, size_t n)
{
    unsigned char b[8];
    for (size_t i = 0; i < n; i++) {
        b[i] = (unsigned char)(v >> (8 * i));
    }
    strbuf_add(out, b, n);
}

/* Takes n bytes off *in, whose length the caller has checked. */
static uint64_t take_le(struct str *in, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)(unsigned char)in->p[i] << (8 * i);
    }
    *in = str_make(in->p + n, in->n - n);
    return v;
}

static uint64_t checksum(const char *p, size_t n)
{
    return XXH3_64bits(p, n); /* unseeded: other nodes must find the same */
}

void entry_encode(const struct entry *e, uint64_t fence, struct strbuf *out)
{
    size_t from = out->n;
    size_t bytes_n = entry_bytes(e);
    const struct entry_shared *sh = e->shared;
    size_t shared_n = (size_t)sh->host_n + sh->type_n + sh->route_n + sh->vary_n;
    strbuf_reserve(out, HEADER_SIZE + shared_n + bytes_n + SUM_SIZE);

    add_le(out, MAGIC, 4);
    add_le(out, VERSION, 2);
    add_le(out, e->flags, 2);
    add_le(out, e->status, 2);
    add_le(out, e->coding, 1);
    add_le(out, 0, 1);
    add_le(out, e->scope, 4);
    add_le(out, (uint64_t)e->stored_at, 8);
    const uint32_t durations[] = {e->age_10ms, e->lifetime_10ms, e->stale_10ms,
                                  e->stale_if_error_10ms};
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        add_le(out, durations[i], 4);
    }
    add_le(out, e->stamp.epoch, 8);
    add_le(out, e->stamp.seq, 8);
    const uint64_t longs[] = {e->body_length, e->name_n, e->head_n, e->body_n, bytes_n};
    for (size_t i = 0; i < sizeof(longs) / sizeof(longs[0]); i++) {
        add_le(out, longs[i], 4);
    }
    const uint16_t shorts[] = {e->etag_n,   e->tags_n,  sh->host_n, sh->type_n,
                               sh->route_n, sh->vary_n, e->date_n,  e->modified_n};
    for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); i++) {
        add_le(out, shorts[i], 2);
    }
    add_le(out, e->date_at, 4);
    add_le(out, e->modified_at, 4);
    add_le(out, 0, 4);
    add_le(out, fence, 8);
    strbuf_add(out, sh->bytes, shared_n);
    strbuf_add(out, e->bytes, bytes_n);
    add_le(out, checksum(out->p + from, out->n - from), 8);
}

/* What the header says beyond the fields of struct entry. */
struct wire {
    size_t bytes_n;                           /* length of `bytes` */
    uint16_t host_n, type_n, route_n, vary_n; /* lengths of the shared texts */
};

/* Magic, version and checksum; *in is left at the flags. */
static bool take_envelope(struct str *in)
{
    if (in->n < HEADER_SIZE + SUM_SIZE || in->n > UINT32_MAX) {
        return false;
    }
    size_t covered = in->n - SUM_SIZE;
    struct str sum = str_skip(*in, covered);
    uint64_t want = checksum(in->p, covered);
    *in = str_make(in->p, covered);
    return take_le(in, 4) == MAGIC && take_le(in, 2) == VERSION && take_le(&sum, 8) == want;
}

bool entry_is_foreign(struct str bytes)
{
    struct str in = bytes;
    return in.n >= 6 && take_le(&in, 4) == MAGIC && take_le(&in, 2) != VERSION;
}

static void take_fields(struct str *in, struct entry *e, struct wire *w, uint64_t *zeroes)
{
    e->flags = (uint16_t)take_le(in, 2);
    e->status = (uint16_t)take_le(in, 2);
    e->coding = (uint8_t)take_le(in, 1);
    *zeroes = take_le(in, 1);
    e->scope = (uint32_t)take_le(in, 4);
    e->stored_at = (msec_t)take_le(in, 8);
    e->age_10ms = (uint32_t)take_le(in, 4);
    e->lifetime_10ms = (uint32_t)take_le(in, 4);
    e->stale_10ms = (uint32_t)take_le(in, 4);
    e->stale_if_error_10ms = (uint32_t)take_le(in, 4);
    e->stamp.epoch = take_le(in, 8);
    e->stamp.seq = take_le(in, 8);
    e->body_length = (uint32_t)take_le(in, 4);
    e->name_n = (uint32_t)take_le(in, 4);
    e->head_n = (uint32_t)take_le(in, 4);
    e->body_n = (uint32_t)take_le(in, 4);
    w->bytes_n = take_le(in, 4);
    e->etag_n = (uint16_t)take_le(in, 2);
    e->tags_n = (uint16_t)take_le(in, 2);
    w->host_n = (uint16_t)take_le(in, 2);
    w->type_n = (uint16_t)take_le(in, 2);
    w->route_n = (uint16_t)take_le(in, 2);
    w->vary_n = (uint16_t)take_le(in, 2);
    e->date_n = (uint16_t)take_le(in, 2);
    e->modified_n = (uint16_t)take_le(in, 2);
    e->date_at = (uint32_t)take_le(in, 4);
    e->modified_at = (uint32_t)take_le(in, 4);
    *zeroes |= take_le(in, 4);
    (void)take_le(in, 8); /* the fence is Redis's business */
}

/* Do the fields make sense, and do the sections fill the `rest` exactly? */
static bool fields_check_out(const struct entry *e, const struct wire *w, uint64_t zeroes,
                             size_t rest)
{
    size_t shared_n = (size_t)w->host_n + w->type_n + w->route_n + w->vary_n;
    if (zeroes != 0 || (e->flags & ~ENTRY_FLAGS_ALL) != 0 || e->status > 999 ||
        e->stored_at < 0 || e->stored_at > (msec_t)1 << 48) {
        return false;
    }
    if (shared_n > rest || w->bytes_n != rest - shared_n) {
        return false;
    }
    size_t sections = (size_t)e->name_n + e->head_n + e->body_n + e->etag_n + e->tags_n;
    if (e->name_n == 0 || e->name_n > UINT16_MAX || sections > w->bytes_n ||
        (size_t)e->date_at + e->date_n > w->bytes_n ||
        (size_t)e->modified_at + e->modified_n > w->bytes_n || entry_bytes(e) != w->bytes_n) {
        return false;
    }
    return e->coding == ENTRY_GZIP ||
           (e->coding == ENTRY_IDENTITY && e->body_length == e->body_n);
}

struct entry *entry_decode(struct str bytes)
{
    struct str in = bytes;
    struct entry e = {0};
    struct wire w;
    uint64_t zeroes;
    if (!take_envelope(&in)) {
        return NULL;
    }
    take_fields(&in, &e, &w, &zeroes);
    if (!fields_check_out(&e, &w, zeroes, in.n)) {
        return NULL;
    }
    struct str type = str_make(in.p + w.host_n, w.type_n);
    struct str route = str_make(type.p + w.type_n, w.route_n);
    struct str vary = str_make(route.p + w.route_n, w.vary_n);
    struct str host = str_make(in.p, w.host_n);
    const char *payload = vary.p + w.vary_n;

    e.shared = entry_shared_get(host, type, route, vary);
    e.hash = entry_hash(str_make(payload, e.name_n), host);
    struct entry *out = xmalloc(offsetof(struct entry, bytes) + w.bytes_n);
    memcpy(out, &e, offsetof(struct entry, bytes));
    atomic_init(&out->refs, 1);
    memcpy(out->bytes, payload, w.bytes_n);
    return out;
}
