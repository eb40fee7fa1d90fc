/*
 * Client connections: their life, the events of their streams, and what is due of the peer
 * when. client_input.c makes requests of what is read.
 *
 * Two deadlines run side by side: for the peer to send what the state expects, and for it to
 * take what is queued.
 */
#include "flow/client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "flow/client_parts.h"
#include "flow/ip_count.h"
#include "flow/pace.h"
#include "flow/proxy_protocol.h"
#include "flow/request.h"
#include "flow/tunnel.h"
#include "flow/worker.h"

#define LINGER_MS 1000 /* for the peer to read the last answer and leave */
#define LINGER_KB 64   /* taken from the peer meanwhile */

static void on_readable(struct stream *s);
static void on_written(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);
static void on_deadline(struct deadline *d);
static void on_stall(struct deadline *d);

/* Watches that the peer takes what is queued. Few clients have one: an idle one is to be small.
 */
struct stall {
    struct deadline deadline;
    struct pace pace; /* since the queue was empty last */
    struct client *client;
};
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

/* ---- lifetime --------------------------------------------------------------------------- */

void client_new(struct worker *worker, int fd, SSL *ssl, const struct addr *peer,
                bool proxy_protocol)
{
    struct client *c = xcalloc(1, sizeof(*c));
    c->worker = worker;
    addr_shorten(peer, &c->peer);
    c->tls = ssl != NULL;
    c->counted = !proxy_protocol && client_limits(c)->connections_per_ip > 0;
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
    client_arm(c, client_limits(c)->head_timeout);
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
        struct addr peer;
        addr_restore(&c->peer, &peer);
        ip_count_release(w->node->peers, &peer);
    }
}

static void stall_end(struct client *c)
{
    if (c->stall != NULL) {
        deadline_cancel(&c->stall->deadline);
        free(c->stall);
        c->stall = NULL;
    }
}

void client_close(struct client *c, bool reset)
{
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    c->state = CLIENT_CLOSED;
    deadline_cancel(&c->deadline);
    stall_end(c);
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
        client_process_input(c, STR_NULL);
    }
}

void client_look_again(struct client *c)
{
    c->again = true;
    loop_defer(c->worker->loop, &c->deferred);
}

/* Everything is sent: the peer gets a moment to read it, then the connection goes. */
static void linger_sent(struct client *c)
{
    if (c->input_ended) {
        client_close(c, false);
    } else {
        client_arm(c, LINGER_MS);
    }
}

void client_linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    c->in.n = 0;
    deadline_disarm(&c->deadline);
    stream_shutdown(&c->stream);
    stream_want_read(&c->stream, !c->input_ended);
    if (c->stream.pending == 0) {
        linger_sent(c);
    }
}

/* ---- input ------------------------------------------------------------------------------ */

/* Behind a balancer the client counts by its own address, which is known only now. */
static bool count_client(struct client *c, const struct addr *peer)
{
    size_t max = client_limits(c)->connections_per_ip;
    c->counted = max > 0 && ip_count_take(c->worker->node->peers, peer, max);
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
        addr_shorten(&src, &c->peer);
        if (!count_client(c, &src)) {
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
    client_process_input(c, STR_NULL);
}

/* The peer ended its side. What it has asked for is still answered (it may only have shut its
 * writing half), unless a body is not complete. */
static void input_end(struct client *c)
{
    c->input_ended = true;
    stream_want_read(&c->stream, false);
    switch ((enum client_state)c->state) {
    case CLIENT_TUNNEL: tunnel_client_end(c->tunnel); break;
    case CLIENT_REQUEST:
        if (c->request->body_done) {
            request_input_ended(c->request);
        } else {
            client_close(c, true);
        }
        break;
    case CLIENT_IDLE:
    case CLIENT_HEAD: client_process_input(c, STR_NULL); break;
    case CLIENT_LINGER:
        if (c->stream.pending == 0) {
            client_close(c, false);
        }
        break;
    case CLIENT_PROXY: client_close(c, false); break;
    case CLIENT_CLOSED: break;
    }
}

/* Beyond a measure the rest stays unread, which stops a sender as well as a reset would, but
 * leaves it the time to read its answer. */
static void discard(struct client *c, size_t n)
{
    c->lingered_kb = (uint16_t)(c->lingered_kb + n / 1024 + 1);
    if (c->lingered_kb > LINGER_KB) {
        stream_want_read(&c->stream, false);
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
    default: client_process_input(c, in); break;
    }
}

static void on_written(struct stream *s)
{
    struct client *c = client_of(s);
    if (s->pending == 0) {
        stall_end(c);
    }
    switch ((enum client_state)c->state) {
    case CLIENT_TUNNEL: tunnel_client_written(c->tunnel); break;
    case CLIENT_LINGER:
        if (s->pending == 0) {
            linger_sent(c);
        }
        break;
    case CLIENT_REQUEST:
        if (s->pending <= CLIENT_SEND_LOW_WATER && c->request != NULL) {
            request_writable(c->request);
        }
        break;
    default:
        if (s->pending <= CLIENT_SEND_LOW_WATER && c->in.n > 0) {
            client_look_again(c);
        }
        break;
    }
}

static void on_failed(struct stream *s, enum stream_error e)
{
    (void)e;
    client_close(client_of(s), false);
}

/* The peer has not sent what was due. */
static void on_deadline(struct deadline *d)
{
    struct client *c = container_of(d, struct client, deadline);
    switch ((enum client_state)c->state) {
    case CLIENT_HEAD: request_refuse(c, 408, "the request head took too long"); break;
    case CLIENT_REQUEST:
        if (c->request != NULL && c->body_open) {
            request_body_timeout(c->request);
        }
        break;
    case CLIENT_TUNNEL: tunnel_timeout(c->tunnel); break;
    case CLIENT_IDLE:
        if (c->stream.pending > 0) {
            client_arm(c, client_limits(c)->idle_timeout); /* it is still busy with reading */
            break;
        }
        client_close(c, false);
        break;
    default: client_close(c, false); break;
    }
}

/* The peer may have taken too little of what is queued. */
static void on_stall(struct deadline *d)
{
    struct stall *stall = container_of(d, struct stall, deadline);
    struct client *c = stall->client;
    const struct limit_settings *l = client_limits(c);
    int64_t delivered = stream_delivered(&c->stream);
    bool stalled = pace_stalled(&stall->pace, delivered);
    msec_t patience = pace_patience(&stall->pace, c->worker->loop->now, delivered,
                                    l->write_timeout, l->min_rate);
    if (stalled || patience == 0) {
        client_close(c, true);
    } else {
        deadline_set(c->worker->loop, d, patience);
    }
}

static void stall_begin(struct client *c)
{
    c->stall = xcalloc(1, sizeof(*c->stall));
    c->stall->client = c;
    pace_start(&c->stall->pace, c->worker->loop->now, stream_delivered(&c->stream));
    deadline_init(&c->stall->deadline, on_stall);
    deadline_set(c->worker->loop, &c->stall->deadline, client_limits(c)->write_timeout);
}

void client_sent(struct client *c)
{
    if (c->stream.pending > 0 && c->stall == NULL) {
        stall_begin(c);
    }
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
        client_linger(c);
        return;
    }
    c->state = CLIENT_IDLE;
    client_arm(c, client_limits(c)->idle_timeout);
    if (c->in.n > 0) {
        client_look_again(c);
    } else {
        stream_want_read(&c->stream, true);
    }
}

struct str client_become_tunnel(struct client *c, struct tunnel *t)
{
    c->request = NULL;
    c->state = CLIENT_TUNNEL;
    c->tunnel = t;
    deadline_disarm(&c->deadline);
    stream_want_read(&c->stream, !c->input_ended);
    return strbuf_str(&c->in);
}
