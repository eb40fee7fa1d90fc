/*
 * The chunked decoder on arbitrary bytes. However the input is cut (at every position, and byte
 * by byte), payload and end are the same; and where llhttp in strict mode takes the message
 * too, it sees the same payload and the same end.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>

#include "base/str.h"
#include "http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a decoder made of the bytes. */
struct outcome {
    enum body_result result;
    size_t used; /* where the message ended or broke, or all */
    struct strbuf payload;
};

static void require(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_body: %s\n", what);
        abort();
    }
}

/* Feeds one piece; adds to *o. */
static void feed(struct body *b, struct str piece, struct outcome *o)
{
    size_t at = 0;
    do {
        size_t used = 0;
        struct str data;
        o->result = body_next(b, str_skip(piece, at), &used, &data);
        require(used <= piece.n - at, "more used than given");
        require((data.n > 0) == (o->result == BODY_DATA), "data without saying so");
        require(data.n == 0 || (data.p >= piece.p && data.p + data.n <= piece.p + piece.n),
                "data from elsewhere");
        strbuf_add_str(&o->payload, data);
        at += used;
    } while (o->result == BODY_DATA);
    require(o->result != BODY_MORE || at == piece.n, "bytes left over, but more wanted");
    o->used += at;
}

/* Feeds the first `cut` bytes and then the rest in pieces of `step`. */
static void decode(struct str bytes, size_t cut, size_t step, struct outcome *o)
{
    static const struct msg m = {.framing = FRAMING_CHUNKED};
    struct body b;
    body_start(&b, &m);
    o->result = BODY_MORE;
    o->used = 0;
    o->payload.n = 0;
    feed(&b, str_make(bytes.p, cut), o);
    while (o->result == BODY_MORE && o->used < bytes.n) {
        size_t n = bytes.n - o->used < step ? bytes.n - o->used : step;
        feed(&b, str_make(bytes.p + o->used, n), o);
    }
    require(b.received == o->payload.n, "the count of payload bytes");
    require(body_complete_at_eof(&b) == (o->result == BODY_DONE), "complete or not");
}

static void compare(const struct outcome *a, const struct outcome *b)
{
    require(a->result == b->result, "the result depends on the cut");
    require(a->used == b->used, "the end depends on the cut");
    require(str_eq(strbuf_str(&a->payload), strbuf_str(&b->payload)),
            "the payload depends on the cut");
}

/* ---- llhttp --------------------------------------------------------------------------------
 */

struct reading {
    llhttp_t parser;
    struct strbuf payload;
};

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    strbuf_add(&((struct reading *)(void *)p)->payload, at, n);
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void compare_llhttp(struct str bytes, const struct outcome *o)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct reading r = {.payload = {0}};
    llhttp_init(&r.parser, HTTP_REQUEST, &settings);
    llhttp_errno_t e = llhttp_execute(&r.parser, head, sizeof(head) - 1);
    require(e == HPE_OK, "llhttp refuses our head");
    e = llhttp_execute(&r.parser, bytes.p, bytes.n);
    if (e == HPE_PAUSED) {
        size_t end = (size_t)(llhttp_get_error_pos(&r.parser) - bytes.p);
        require(o->result != BODY_MORE, "llhttp is done, we want more");
        if (o->result == BODY_DONE) {
            require(end == o->used, "llhttp sees another end");
            require(str_eq(strbuf_str(&r.payload), strbuf_str(&o->payload)),
                    "llhttp sees another payload");
        }
    } else if (e == HPE_OK) {
        require(o->result != BODY_DONE, "we are done, llhttp wants more");
        require(o->result != BODY_MORE ||
                    str_eq(strbuf_str(&r.payload), strbuf_str(&o->payload)),
                "llhttp sees another payload so far");
    }
    strbuf_free(&r.payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1); /* of this size, for ASan */
    memcpy(copy, data, size);
    struct str bytes = str_make(copy, size);
    struct outcome whole = {.used = 0}, split = {.used = 0};
    decode(bytes, size, 1, &whole);
    decode(bytes, 0, 1, &split);
    compare(&whole, &split);
    size_t stride = 1 + size / 256;
    for (size_t cut = 1; cut < size; cut += stride) {
        decode(bytes, cut, size, &split);
        compare(&whole, &split);
    }
    compare_llhttp(bytes, &whole);
    strbuf_free(&whole.payload);
    strbuf_free(&split.payload);
    free(copy);
    return 0;
}
