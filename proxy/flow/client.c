/*
 * Client connections. Input is read into the loop's scratch buffer and consumed from there;
 * only what cannot be used yet is kept, so an ordinary request needs no buffer of its own and
 * an idle connection holds none.
 */
#include "flow/client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "flow/ip_count.h"
#include "flow/proxy_protocol.h"
#include "flow/request.h"
#include "flow/tunnel.h"
#include "flow/worker.h"

#define INPUT_MAX         (64u * 1024u) /* input kept while a request is being answered */
#define REQUESTS_PER_TURN 64            /* pipelined requests before others get their turn */
#define LINGER_MS         1000
#define LINGER_KB         64

static void on_readable(struct stream *s);
static void on_written(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);
static void on_deadline(struct deadline *d);
static void on_deferred(struct deferred *d);

static const struct stream_ops client_ops = {
    .readable = on_readable,
    .written = on_written,
    .failed = on_failed,
};

static struct client *client_of(struct stream *s)
{
    return container_of(s, struct client, stream);
}

static const struct limit_settings *limits_of(const struct client *c)
{
    return &config_settings(c->worker->config)->limits;
}

static void arm_deadline(struct client *c, msec_t after)
{
    deadline_set(c->worker->loop, &c->deadline, after);
}

/* ---- lifetime --------------------------------------------------------------------------- */

void client_new(struct worker *worker, int fd, SSL *ssl, const struct addr *peer,
                bool proxy_protocol)
{
    struct client *c = xcalloc(1, sizeof(*c));
    c->worker = worker;
    c->peer = *peer;
    c->tls = ssl != NULL;
    c->counted = !proxy_protocol && limits_of(c)->connections_per_ip > 0;
    c->state = proxy_protocol ? CLIENT_PROXY : CLIENT_IDLE;
    c->deferred.fn = on_deferred;
    deadline_init(&c->deadline, on_deadline);
    c->next = worker->clients;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    worker->clients = c;
    worker->n_clients++;
    /* The PROXY protocol's header comes in the clear, before the handshake. */
    c->ssl = proxy_protocol ? ssl : NULL;
    stream_open(&c->stream, worker->loop, &client_ops, fd, proxy_protocol ? NULL : ssl);
    /* The handshake and the first head share one deadline: both are a new peer's to finish. */
    arm_deadline(c, limits_of(c)->head_timeout);
}

static void unlink_client(struct client *c)
{
    struct worker *w = c->worker;
    *(c->prev != NULL ? &c->prev->next : &w->clients) = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    w->n_clients--;
    atomic_fetch_sub_explicit(&w->node->connections, 1, memory_order_relaxed);
    if (c->counted) {
        ip_count_release(w->node->peers, &c->peer);
    }
}

void client_close(struct client *c, bool reset)
{
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    c->state = CLIENT_CLOSED;
    deadline_cancel(&c->deadline);
    stream_close(&c->stream, reset);
    if (c->request != NULL) {
        struct request *rq = c->request;
        c->request = NULL;
        request_client_gone(rq);
    }
    if (c->tunnel != NULL) {
        struct tunnel *t = c->tunnel;
        c->tunnel = NULL;
        tunnel_client_gone(t);
    }
    unlink_client(c);
    c->free_due = true;
    loop_defer(c->worker->loop, &c->deferred);
}

static void process_input(struct client *c, struct str in);

static void on_deferred(struct deferred *d)
{
    struct client *c = container_of(d, struct client, deferred);
    if (c->free_due) {
        struct worker *w = c->worker;
        strbuf_free(&c->in);
        SSL_free(c->ssl);
        free(c);
        worker_check_drained(w);
        return;
    }
    if (c->again) {
        c->again = false;
        process_input(c, STR_NULL);
    }
}

static void look_again(struct client *c)
{
    c->again = true;
    loop_defer(c->worker->loop, &c->deferred);
}

/* Our side ends; the peer's bytes are read and dropped for a moment, because closing with
 * unread input would reset the connection and take the answer with it (RFC 9112 9.6). */
static void linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    c->in.n = 0;
    stream_shutdown(&c->stream);
    if (c->input_ended && c->stream.pending == 0) {
        client_close(c, false);
        return;
    }
    stream_want_read(&c->stream, !c->input_ended);
    arm_deadline(c, c->stream.pending > 0 ? limits_of(c)->write_timeout : LINGER_MS);
}

/* ---- input ------------------------------------------------------------------------------ */

/* Keeps the unused rest of `in` in c->in. `in` is either the end of c->in or foreign bytes. */
static void keep_input(struct client *c, struct str in)
{
    bool own = c->in.p != NULL && in.p >= c->in.p && in.p <= c->in.p + c->in.n;
    if (own) {
        strbuf_consume(&c->in, (size_t)(in.p - c->in.p));
    } else {
        strbuf_add_str(&c->in, in);
    }
    if (c->in.n == 0 && c->in.cap > 0) {
        strbuf_free(&c->in);
    }
}

/* A head, or part of one, at the start of `in`; returns the bytes used. */
static size_t take_head(struct client *c, struct str in)
{
    const struct limit_settings *l = limits_of(c);
    const struct guard_limits limits = {l->header_bytes, l->target_length + 32, l->header_line,
                                        l->header_count};
    size_t head_len = 0;
    int status = 0;
    const char *why = NULL;
    if (c->state == CLIENT_IDLE) {
        c->state = CLIENT_HEAD;
        c->head_at = c->worker->loop->now;
        c->guard = (struct guard){0};
    }
    switch (guard_scan(&c->guard, in, &limits, false, &head_len, &status, &why)) {
    case GUARD_MORE: return 0;
    case GUARD_REFUSE: request_refuse(c, status, why); return 0;
    case GUARD_DONE: break;
    }
    c->state = CLIENT_REQUEST;
    c->body_open = false;
    /* Nothing is armed while the answer is made: upstream deadlines count, then write stalls.
     */
    deadline_disarm(&c->deadline);
    request_start(c, str_make(in.p + c->guard.start, head_len - c->guard.start));
    return head_len;
}

/* Bytes for the active request's body; returns what was used. */
static size_t feed_body(struct client *c, struct str in)
{
    bool done = false;
    size_t used = request_body_input(c->request, in, &done);
    if (c->request == NULL) {
        return used;
    }
    if (done) {
        c->body_open = false;
        deadline_cancel(&c->deadline);
    } else if (c->body_open) {
        arm_deadline(c, limits_of(c)->body_timeout);
    }
    return used;
}

/* Uses input until there is none or it has to wait; the rest stays in c->in. */
static void process_input(struct client *c, struct str in)
{
    unsigned heads = 0;
    if (c->in.n > 0) {
        strbuf_add_str(&c->in, in);
        in = strbuf_str(&c->in);
    }
    while (c->state < CLIENT_TUNNEL) {
        size_t used = 0;
        if (c->state == CLIENT_REQUEST) {
            if (!c->body_open || c->request == NULL) {
                break;
            }
            used = feed_body(c, in);
        } else if (in.n == 0) {
            break;
        } else if (heads++ == REQUESTS_PER_TURN || c->stream.pending > CLIENT_SEND_HIGH_WATER) {
            if (c->stream.pending <= CLIENT_SEND_HIGH_WATER) {
                look_again(c);
            }
            break;
        } else {
            used = take_head(c, in);
        }
        in = str_skip(in, used);
        if (used == 0) {
            break;
        }
    }
    if (c->state < CLIENT_TUNNEL) {
        keep_input(c, in);
        stream_want_read(&c->stream,
                         c->in.n < INPUT_MAX && !c->input_ended &&
                             (c->state != CLIENT_REQUEST || c->body_open || c->in.n == 0));
    } else if (c->state == CLIENT_LINGER) {
        strbuf_free(&c->in);
    }
}

/* Behind a balancer the client counts by its own address, which is known only now. */
static bool count_client(struct client *c)
{
    size_t max = limits_of(c)->connections_per_ip;
    c->counted = max > 0 && ip_count_take(c->worker->node->peers, &c->peer, max);
    return c->counted || max == 0;
}

/* The PROXY protocol's header; nothing else is taken before it (hardening: trusted peers only,
 * which the listener has checked). */
static void take_proxy_header(struct client *c, struct str in)
{
    struct addr src, dst;
    size_t used = 0;
    strbuf_add_str(&c->in, in);
    in = strbuf_str(&c->in);
    switch (pp_parse(in, &src, &dst, &used)) {
    case PP_NEED_MORE: return;
    case PP_BAD:
        log_debug("a malformed PROXY protocol header");
        client_close(c, true);
        return;
    case PP_OK:
        c->peer = src;
        if (!count_client(c)) {
            client_close(c, false);
            return;
        }
        break;
    case PP_LOCAL: break;
    }
    strbuf_consume(&c->in, used);
    c->state = CLIENT_IDLE;
    if (c->ssl != NULL) {
        stream_start_tls(&c->stream, c->ssl);
        c->ssl = NULL;
        return;
    }
    process_input(c, STR_NULL);
}

/* The peer ended its side. A request under way is still answered (the peer may only have shut
 * its writing half), unless its body is not complete. */
static void input_end(struct client *c)
{
    c->input_ended = true;
    stream_want_read(&c->stream, false);
    if (c->state == CLIENT_TUNNEL) {
        tunnel_client_end(c->tunnel);
    } else if (c->state != CLIENT_REQUEST) {
        client_close(c, false);
    } else if (!c->request->body_done) {
        client_close(c, true);
    } else {
        request_input_ended(c->request);
    }
}

static void discard(struct client *c, size_t n)
{
    c->lingered_kb = (uint16_t)(c->lingered_kb + n / 1024 + 1);
    if (c->lingered_kb > LINGER_KB) {
        client_close(c, true);
    }
}

static void on_readable(struct stream *s)
{
    struct client *c = client_of(s);
    size_t n = 0;
    size_t cap = c->ssl != NULL ? pp_safe_read(strbuf_str(&c->in)) : LOOP_SCRATCH_SIZE;
    switch (stream_read(s, s->loop->scratch, cap, &n)) {
    case IO_AGAIN:
    case IO_ERROR: return; /* `failed` follows an error */
    case IO_EOF: input_end(c); return;
    case IO_OK: break;
    }
    struct str in = str_make(s->loop->scratch, n);
    switch ((enum client_state)c->state) {
    case CLIENT_PROXY: take_proxy_header(c, in); break;
    case CLIENT_TUNNEL: tunnel_client_input(c->tunnel, in); break;
    case CLIENT_LINGER: discard(c, n); break;
    case CLIENT_CLOSED: break;
    case CLIENT_IDLE:
        arm_deadline(c, limits_of(c)->head_timeout);
        process_input(c, in);
        break;
    default: process_input(c, in); break;
    }
}

static void on_written(struct stream *s)
{
    struct client *c = client_of(s);
    switch ((enum client_state)c->state) {
    case CLIENT_TUNNEL: tunnel_client_written(c->tunnel); return;
    case CLIENT_LINGER:
        if (s->pending == 0) {
            if (c->input_ended) {
                client_close(c, false);
            } else {
                arm_deadline(c, LINGER_MS);
            }
        } else {
            arm_deadline(c, limits_of(c)->write_timeout);
        }
        return;
    case CLIENT_REQUEST:
        if (s->pending > 0) {
            arm_deadline(c, limits_of(c)->write_timeout);
        } else if (!c->body_open) {
            deadline_cancel(&c->deadline);
        }
        if (s->pending <= CLIENT_SEND_LOW_WATER && c->request != NULL) {
            request_writable(c->request);
        }
        return;
    default:
        arm_deadline(c,
                     s->pending > 0 ? limits_of(c)->write_timeout : limits_of(c)->idle_timeout);
        if (s->pending <= CLIENT_SEND_LOW_WATER && c->in.n > 0) {
            look_again(c);
        }
        return;
    }
}

static void on_failed(struct stream *s, enum stream_error e)
{
    (void)e;
    client_close(client_of(s), false);
}

static void on_deadline(struct deadline *d)
{
    struct client *c = container_of(d, struct client, deadline);
    bool stalled = c->stream.pending > 0;
    if (stalled) {
        client_close(c, true);
        return;
    }
    switch ((enum client_state)c->state) {
    case CLIENT_HEAD: request_refuse(c, 408, "the request head took too long"); return;
    case CLIENT_REQUEST:
        if (c->request != NULL && c->body_open) {
            request_body_timeout(c->request);
            return;
        }
        break;
    case CLIENT_TUNNEL: tunnel_timeout(c->tunnel); return;
    default: break;
    }
    client_close(c, false);
}

/* ---- what requests ask ------------------------------------------------------------------ */

void client_request_done(struct client *c, bool keep)
{
    c->request = NULL;
    c->requests++;
    c->body_open = false;
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    if (!keep || (c->input_ended && c->in.n == 0)) {
        linger(c);
        return;
    }
    c->state = CLIENT_IDLE;
    arm_deadline(c, c->stream.pending > 0 ? limits_of(c)->write_timeout
                                          : limits_of(c)->idle_timeout);
    if (c->in.n > 0) {
        look_again(c);
    } else {
        stream_want_read(&c->stream, true);
    }
}

void client_want_body(struct client *c, bool want)
{
    if (c->state != CLIENT_REQUEST || c->body_open == want) {
        return;
    }
    c->body_open = want;
    if (!want) {
        deadline_cancel(&c->deadline);
        return;
    }
    arm_deadline(c, limits_of(c)->body_timeout);
    stream_want_read(&c->stream, !c->input_ended);
    if (c->in.n > 0) {
        look_again(c);
    }
}

struct str client_become_tunnel(struct client *c, struct tunnel *t)
{
    c->request = NULL;
    c->state = CLIENT_TUNNEL;
    c->tunnel = t;
    deadline_cancel(&c->deadline);
    stream_want_read(&c->stream, !c->input_ended);
    return strbuf_str(&c->in);
}
