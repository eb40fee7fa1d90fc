/*
 * What stands before evhttp on the admin address, on arbitrary bytes:
 *   - requests and where they end do not depend on how the bytes arrive, nor on how long the
 *     answers take;
 *   - evhttp sees heads that admin/conn wrote, one for each request or refusal, and no byte of
 *     the client's;
 *   - no body is larger than the bound, and what is kept of the input is bounded;
 *   - a sender that goes on for ever is refused.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "admin/conn.h"
#include "admin/inlet.h"
#include "base/loop.h"
#include "base/mem.h"

#define REQUEST_MIN 18           /* "GET / HTTP/1.0" with its line end and the empty line */
#define AHEAD_MAX   (64u * 1024) /* admin/conn's */
#define FILLER      4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a reader made of the bytes. */
struct outcome {
    struct strbuf seen; /* every request in a form that can be compared */
    size_t requests;
    int refused;
    bool last; /* the connection ends with a request that was read */
};

static void require(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_inlet: %s\n", what);
        abort();
    }
}

static void add_clean(struct strbuf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        require(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0', "a head with a line end");
    }
    strbuf_add_str(out, s);
    strbuf_add_char(out, '\n');
}

/* Takes the request that the inlet has. */
static void take(struct inlet *i, struct outcome *o)
{
    struct arena a;
    struct msg m;
    struct str body;
    bool expects = i->msg.framing != FRAMING_NONE;
    inlet_take(i, &a, &m, &body);
    require(m.method != METHOD_CONNECT, "CONNECT is handed on");
    require(m.framing != FRAMING_CLOSE, "a request without an end");
    require(m.target.n > 0 && m.minor >= 0 && m.minor <= 1, "a strange request line");
    require(body.n <= INLET_BODY_MAX, "too much of a body");
    require(expects || body.n == 0, "a body where there is none");
    require(m.framing != FRAMING_LENGTH || body.n == m.content_length, "another length");
    add_clean(&o->seen, m.method_name);
    add_clean(&o->seen, m.target);
    for (size_t f = 0; f < m.n_fields; f++) {
        add_clean(&o->seen, m.fields[f].name);
        add_clean(&o->seen, m.fields[f].value);
    }
    strbuf_addf(&o->seen, "HTTP/1.%d, %zu bytes\n", m.minor, body.n);
    strbuf_add_str(&o->seen, body);
    o->requests++;
    o->last = !m.keep_alive || m.minor == 0;
    arena_reset(&a);
}

static void refuse(struct inlet *i, struct outcome *o)
{
    require(i->status >= 400 && i->status <= 505 && i->why != NULL, "refused without a reason");
    require(i->in.n == 0 && i->body.n == 0, "something is kept of what was refused");
    require(inlet_look(i) == INLET_REFUSED, "a refusal is taken back");
    o->refused = i->status;
}

/* ---- the inlet alone -----------------------------------------------------------------------
 */

/* Adds a piece; reads what there is. `patient` is set once for a head: 100 Continue was said.
 */
static void read_piece(struct inlet *i, struct str piece, bool *patient, struct outcome *o)
{
    enum inlet_result r;
    strbuf_add_str(&i->in, piece);
    while ((r = inlet_look(i)) == INLET_REQUEST) {
        take(i, o);
        inlet_next_request(i);
        *patient = false;
        if (o->last) {
            return;
        }
    }
    if (r == INLET_REFUSED) {
        refuse(i, o);
        return;
    }
    require(r != INLET_CONTINUE || !*patient, "100 Continue is said twice");
    require(r != INLET_CONTINUE || (i->in_body && i->in.n == 0), "100 Continue too early");
    *patient = *patient || r == INLET_CONTINUE;
    require(i->body.n <= INLET_BODY_MAX, "too much of a body is kept");
    require(i->in.n <= INLET_HEAD_MAX + piece.n, "too much of a head is kept");
}

/* Whoever sends the same byte for ever comes to an end. */
static void read_filler(struct inlet *i, char byte, bool *patient)
{
    char filler[FILLER];
    struct outcome o = {.requests = 0};
    memset(filler, byte, sizeof(filler));
    for (size_t n = 0; n <= INLET_BODY_MAX + INLET_HEAD_MAX + 2 * FILLER; n += FILLER) {
        if (o.refused == 0 && !o.last) {
            read_piece(i, str_make(filler, FILLER), patient, &o);
        }
    }
    require(o.refused != 0 || o.last, "there is no end to it");
    strbuf_free(&o.seen);
}

static void read_inlet(struct str bytes, size_t step, bool fill, struct outcome *o)
{
    struct inlet i;
    bool patient = false;
    *o = (struct outcome){.requests = 0};
    inlet_init(&i);
    for (size_t at = 0; at < bytes.n && o->refused == 0 && !o->last; at += step) {
        size_t n = bytes.n - at < step ? bytes.n - at : step;
        read_piece(&i, str_make(bytes.p + at, n), &patient, o);
    }
    require(o->requests * REQUEST_MIN <= bytes.n, "requests out of nothing");
    if (fill && o->refused == 0 && !o->last) {
        read_filler(&i, bytes.n % 2 == 0 ? 'x' : '0', &patient);
    }
    inlet_fini(&i);
}

/* ---- with admin/conn, in evhttp's place ----------------------------------------------------
 */

/* Is there a head for evhttp? Takes it; nothing else is ever there. */
static bool take_head(struct conn *c)
{
    static const struct str heads[] = {{"GET / HTTP/1.1\r\n\r\n", 18},
                                       {"HEAD / HTTP/1.1\r\n\r\n", 19}};
    struct evbuffer *input = bufferevent_get_input(c->bev);
    char got[64];
    ev_ssize_t n = evbuffer_remove(input, got, sizeof(got));
    if (n <= 0) {
        return false;
    }
    bool head = c->inlet.msg.method == METHOD_HEAD;
    require(str_eq(str_make(got, (size_t)n), heads[head]), "evhttp sees a foreign head");
    require(c->busy, "evhttp sees a head without a request");
    return true;
}

/* Answers everything that can be. */
static void answer(struct conn *c, struct outcome *o)
{
    while (take_head(c)) {
        require(o->refused == 0 && !o->last, "a request after the end");
        if (c->inlet.status != 0) {
            refuse(&c->inlet, o);
            c->last = true;
        } else {
            take(&c->inlet, o);
            c->last = o->last;
        }
        conn_answered(c);
        require(!c->last || evbuffer_get_length(bufferevent_get_input(c->bev)) == 0,
                "a head after the last");
    }
    require(c->last || !c->busy, "a request that evhttp does not see");
}

/* As the bytes come from the socket. */
static void arrive(struct conn *c, struct str piece)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    evbuffer_unfreeze(input, 0);
    evbuffer_add(input, piece.p, piece.n);
    evbuffer_freeze(input, 0);
    size_t bound = c->busy ? AHEAD_MAX : INLET_HEAD_MAX;
    require(c->inlet.in.n <= bound + piece.n, "too much is kept");
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    (void)arg;
}

/* Answers come after every `patience` pieces, or when the connection wants no more. */
static void read_conn(struct loop *loop, struct str bytes, size_t step, size_t patience,
                      struct outcome *o)
{
    struct conns all;
    *o = (struct outcome){.requests = 0};
    conns_init(&all, loop);
    struct bufferevent *bev = conns_add(&all);
    struct conn *c = conns_find(&all, bev);
    bufferevent_setcb(bev, NULL, NULL, on_event, NULL);
    size_t pieces = 0;
    for (size_t at = 0; at < bytes.n; at += step) {
        bufferevent_enable(bev, EV_READ);
        arrive(c, str_make(bytes.p + at, bytes.n - at < step ? bytes.n - at : step));
        bool full = (bufferevent_get_enabled(bev) & EV_READ) == 0;
        if (full || ++pieces % patience == 0) {
            answer(c, o);
        }
    }
    answer(c, o);
    bufferevent_free(bev);
    conns_fini(&all);
    loop_turn(loop, false); /* libevent frees it there */
}

/* ---- comparison ----------------------------------------------------------------------------
 */

static void compare(const struct outcome *whole, struct outcome *o)
{
    require(whole->requests == o->requests, "the count of requests depends on the cut");
    require(str_eq(strbuf_str(&whole->seen), strbuf_str(&o->seen)),
            "the requests depend on the cut");
    require(whole->last == o->last, "the end depends on the cut");
    require((whole->refused != 0) == (o->refused != 0), "the refusal depends on the cut");
    strbuf_free(&o->seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    struct outcome whole, o;
    if (loop == NULL) {
        field_table_init();
        loop = loop_new();
    }
    char *copy = xmalloc(size > 0 ? size : 1); /* of this size, for ASan */
    memcpy(copy, data, size);
    struct str bytes = str_make(copy, size);
    size_t step = 1 + size % 61;
    read_inlet(bytes, size > 0 ? size : 1, true, &whole);
    read_inlet(bytes, 1, false, &o);
    compare(&whole, &o);
    read_inlet(bytes, step, false, &o);
    compare(&whole, &o);
    read_conn(loop, bytes, size > 0 ? size : 1, 1, &o);
    compare(&whole, &o);
    read_conn(loop, bytes, step, 1, &o);
    compare(&whole, &o);
    read_conn(loop, bytes, step, 3, &o);
    compare(&whole, &o);
    strbuf_free(&whole.seen);
    free(copy);
    return 0;
}
