/*
 * Tunnels. Each side stops being read while the other has more than the high-water mark queued.
 */
#include "flow/tunnel.h"

#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/stream.h"
#include "flow/client.h"
#include "flow/worker.h"
#include "upstream/pool.h"

#define TUNNEL_HIGH_WATER (64u * 1024u)
#define TUNNEL_LOW_WATER  (16u * 1024u)

struct tunnel {
    struct client *client; /* NULL once it is gone */
    struct upconn *uc;     /* NULL once it is closed */
    msec_t idle_timeout;
    bool client_ended;    /* the client shut its side */
    bool upstream_ended;  /* the backend did */
    struct deferred dead; /* deferred free */
};

static void on_readable(struct stream *s);
static void on_written(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);

static const struct stream_ops upstream_ops = {
    .readable = on_readable,
    .written = on_written,
    .failed = on_failed,
};

static struct tunnel *tunnel_of(struct stream *s)
{
    return container_of(s, struct upconn, stream)->user;
}

static void on_dead(struct deferred *d)
{
    free(container_of(d, struct tunnel, dead));
}

/* Ends both sides and the tunnel. */
static void tunnel_end(struct tunnel *t, bool reset)
{
    struct loop *loop = NULL;
    if (t->uc != NULL) {
        loop = t->uc->stream.loop;
        upconn_close(t->uc, reset);
        t->uc = NULL;
    }
    if (t->client != NULL) {
        struct client *c = t->client;
        loop = c->worker->loop;
        t->client = NULL;
        c->tunnel = NULL;
        client_close(c, reset);
    }
    if (loop != NULL) {
        loop_defer(loop, &t->dead);
    }
}

static void touch(struct tunnel *t)
{
    if (t->client != NULL) {
        deadline_set(t->client->worker->loop, &t->client->deadline, t->idle_timeout);
    }
}

static void pass(struct tunnel *t, struct stream *from, struct stream *to, struct str in)
{
    struct segment seg = {.p = in.p, .n = in.n};
    stream_send(to, &seg, 1);
    if (to->pending > TUNNEL_HIGH_WATER) {
        stream_want_read(from, false);
    }
    client_sent(t->client);
    touch(t);
}

/* Both sides have said their last and all of it has been passed on. */
static bool is_over(const struct tunnel *t)
{
    return t->client_ended && t->upstream_ended && t->client->stream.pending == 0 &&
           t->uc->stream.pending == 0;
}

void tunnel_start(struct client *c, struct upconn *uc, struct str from_upstream,
                  msec_t idle_timeout)
{
    struct tunnel *t = xcalloc(1, sizeof(*t));
    t->client = c;
    t->uc = uc;
    t->idle_timeout = idle_timeout;
    t->dead.fn = on_dead;
    uc->user = t;
    uc->stream.ops = &upstream_ops;
    struct str early = client_become_tunnel(c, t);
    if (from_upstream.n > 0) {
        pass(t, &uc->stream, &c->stream, from_upstream);
    }
    if (early.n > 0) {
        pass(t, &c->stream, &uc->stream, early);
        strbuf_free(&c->in);
    }
    stream_want_read(&uc->stream, true);
    touch(t);
    if (c->input_ended) {
        tunnel_client_end(t);
    }
}

/* One side has ended: so does ours towards the other, behind what is queued there. */
static void side_ended(struct tunnel *t, struct stream *other)
{
    stream_shutdown(other);
    if (is_over(t)) {
        tunnel_end(t, false);
    }
}

static void on_readable(struct stream *s)
{
    struct tunnel *t = tunnel_of(s);
    size_t n = 0;
    switch (stream_read(s, s->loop->scratch, LOOP_SCRATCH_SIZE, &n)) {
    case IO_AGAIN:
    case IO_ERROR: return;
    case IO_EOF:
        t->upstream_ended = true;
        stream_want_read(s, false);
        side_ended(t, &t->client->stream);
        return;
    case IO_OK: break;
    }
    pass(t, s, &t->client->stream, str_make(s->loop->scratch, n));
}

static void on_written(struct stream *s)
{
    struct tunnel *t = tunnel_of(s);
    touch(t);
    if (is_over(t)) {
        tunnel_end(t, false);
    } else if (s->pending <= TUNNEL_LOW_WATER && !t->client_ended) {
        stream_want_read(&t->client->stream, true);
    }
}

static void on_failed(struct stream *s, enum stream_error e)
{
    (void)e;
    tunnel_end(tunnel_of(s), true);
}

void tunnel_client_input(struct tunnel *t, struct str in)
{
    pass(t, &t->client->stream, &t->uc->stream, in);
}

void tunnel_client_end(struct tunnel *t)
{
    t->client_ended = true;
    side_ended(t, &t->uc->stream);
}

void tunnel_client_written(struct tunnel *t)
{
    touch(t);
    if (is_over(t)) {
        tunnel_end(t, false);
    } else if (t->client->stream.pending <= TUNNEL_LOW_WATER && !t->upstream_ended) {
        stream_want_read(&t->uc->stream, true);
    }
}

void tunnel_client_gone(struct tunnel *t)
{
    t->client = NULL;
    tunnel_end(t, true);
}

void tunnel_timeout(struct tunnel *t)
{
    tunnel_end(t, false);
}
