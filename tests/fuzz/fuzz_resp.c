/*
 * libFuzzer: replies of Redis (cache/redis_decoder) and what reads their content: error lines,
 * redirects, maps of slots. The first byte is the size of the pieces in which the rest arrives.
 *
 * What must hold: the same replies come out whatever the pieces; no value is longer than the
 * limit; no array is deeper or wider than it may be; whole replies that were let through are
 * all delivered; after something bad nothing follows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cache/redis_decoder.h"
#include "cache/redis_slots.h"

#define MAX_VALUE 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What came out, as one number for each order of events, and how it ended. */
struct outcome {
    uint64_t hash;
    size_t replies;
    enum redis_decode end;
};

static void mix(struct outcome *o, const void *p, size_t n)
{
    const uint8_t *bytes = p;
    for (size_t i = 0; i < n; i++) {
        o->hash = (o->hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
}

static void on_range(void *ctx, uint16_t first, uint16_t last, struct str host, uint16_t port)
{
    struct outcome *o = ctx;
    check(first <= last && last < REDIS_SLOTS && port > 0 && host.n <= 253);
    mix(o, host.p, host.n);
}

static void read_line(struct str line)
{
    uint16_t slot, port;
    struct str host;
    if (redis_redirect_read(line, &slot, &host, &port)) {
        check(slot < REDIS_SLOTS && port > 0 && host.n <= 253);
    }
    check(redis_slot_of(line) < REDIS_SLOTS);
}

static void walk(struct outcome *o, const struct redis_reply *r, unsigned depth)
{
    check(depth <= REDIS_MAX_DEPTH);
    check(r->type <= REDIS_ERROR && r->error < REDIS_ERRORS);
    check((r->type == REDIS_ERROR) == (r->error != REDIS_E_NONE));
    check(r->type != REDIS_STRING || r->text.n <= MAX_VALUE);
    check(r->text.n <= REDIS_MAX_LINE && r->n_items <= REDIS_MAX_ITEMS);
    check(r->type == REDIS_ARRAY || r->n_items == 0);
    mix(o, &r->type, sizeof(r->type));
    mix(o, &r->integer, sizeof(r->integer));
    mix(o, r->text.p, r->text.n);
    if (r->type == REDIS_ERROR) {
        read_line(r->text);
        check(redis_error_name(r->error) != NULL);
    }
    check(redis_slots_read(r, on_range, o) <= (size_t)REDIS_MAX_ITEMS * REDIS_SLOTS);
    for (size_t i = 0; i < r->n_items; i++) {
        walk(o, r->items[i], depth + 1);
    }
}

static struct outcome run(const uint8_t *data, size_t n, size_t piece)
{
    struct outcome o = {.hash = 14695981039346656037u, .end = REDIS_DECODE_MORE};
    struct redis_decoder *d = redis_decoder_new(MAX_VALUE);
    for (size_t at = 0; at < n && o.end == REDIS_DECODE_MORE; at += piece) {
        struct redis_reply *reply;
        redis_decoder_feed(d, (const char *)data + at, n - at < piece ? n - at : piece);
        while ((o.end = redis_decoder_next(d, &reply)) == REDIS_DECODE_REPLY) {
            o.replies++;
            walk(&o, reply, 0);
            redis_reply_free(reply);
        }
        check(reply == NULL);
    }
    check(redis_decoder_why(d) != NULL);
    redis_decoder_free(d);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    struct outcome whole = run(data + 1, n - 1, n);
    struct outcome pieces = run(data + 1, n - 1, piece);
    check(whole.hash == pieces.hash && whole.replies == pieces.replies &&
          whole.end == pieces.end);
    return 0;
}
