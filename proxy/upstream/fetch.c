/*
 * The exchange as a small state machine:
 *
 *   IDLE -> CONNECTING -> AWAITING -> BODY -> ENDED
 *              |   ^          |
 *              v   |          v          (before the first byte of an answer only)
 *             BACKOFF <-------+
 *
 * Everything that ends an attempt passes fetch_attempt_failed(), everything that ends the
 * exchange passes fetch_finish(): reuse, retry and accounting have one place each.
 */
#include "upstream/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "upstream/fetch_state.h"

#define FRESH_TRIES_MAX 3  /* reused connections found closed in one exchange */
#define BACKOFF_MS      25 /* before asking the same server again; doubles */

static void attempt_begin(struct fetch *f);
static void on_connected(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);

static const struct stream_ops fetch_stream_ops = {
    .connected = on_connected,
    .readable = fetch_on_readable,
    .written = fetch_on_written,
    .failed = on_failed,
};

/* ---- lifetime --------------------------------------------------------------------------- */

static void on_phase(struct deadline *d);
static void on_total(struct deadline *d);
static void on_deferred(struct deferred *d);

struct fetch *fetch_new(struct pool *pool, struct origins *origins, struct origin *origin,
                        const struct fetch_request *request, const struct fetch_ops *ops,
                        void *owner)
{
    struct fetch *f = xmalloc(sizeof(*f));
    memset(f, 0, offsetof(struct fetch, first));
    f->pool = pool;
    f->loop = pool_loop(pool);
    f->origins = origins_ref(origins);
    f->origin = origin;
    f->request = *request;
    f->ops = ops;
    f->owner = owner;
    f->body_ended = request->body == FRAMING_NONE;
    f->deferred.fn = on_deferred;
    deadline_init(&f->phase, on_phase);
    deadline_init(&f->total, on_total);
    arena_init(&f->arena, f->first, sizeof(f->first));
    struct fetch **head = pool_fetches(pool);
    f->next = *head;
    if (f->next != NULL) {
        f->next->prev = f;
    }
    *head = f;
    return f;
}

static void unlink_fetch(struct fetch *f)
{
    *(f->prev != NULL ? &f->prev->next : pool_fetches(f->pool)) = f->next;
    if (f->next != NULL) {
        f->next->prev = f->prev;
    }
}

/* Was it us who could not connect? That says nothing about the server. */
static bool out_of_descriptors(const struct fetch *f)
{
    int number = f->uc != NULL && f->uc->stream.fd < 0 ? f->uc->stream.error_number : 0;
    return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

/* What an exchange says about its server; a health check has its own judgement. */
static void note_failure(struct fetch *f)
{
    if (f->server != NULL && f->request.pinned == NULL && !out_of_descriptors(f)) {
        origin_server_failed(f->server, f->loop->now);
    }
}

void fetch_note_success(struct fetch *f)
{
    if (f->request.pinned == NULL) {
        origin_server_succeeded(f->server);
    }
}

/* Gives the connection up: for reuse if `clean`, else closed. */
void fetch_release_conn(struct fetch *f, bool clean)
{
    struct upconn *uc = f->uc;
    if (uc == NULL) {
        return;
    }
    f->sent_any = f->sent_any || uc->stream.bytes_out > f->out_mark;
    f->uc = NULL;
    atomic_fetch_sub_explicit(&uc->server->in_flight, 1, memory_order_relaxed);
    if (clean) {
        pool_put(uc);
    } else {
        upconn_close(uc, false);
    }
}

void fetch_free(struct fetch *f)
{
    if (f->freed) {
        return;
    }
    f->freed = true;
    f->state = STATE_ENDED;
    unlink_fetch(f);
    deadline_cancel(&f->phase);
    deadline_cancel(&f->total);
    fetch_release_conn(f, false);
    loop_defer(f->loop, &f->deferred);
}

static void fetch_destroy(struct fetch *f)
{
    arena_reset(&f->arena);
    strbuf_free(&f->in);
    strbuf_free(&f->replay);
    origins_unref(f->origins);
    free(f);
}

static void on_deferred(struct deferred *d)
{
    struct fetch *f = container_of(d, struct fetch, deferred);
    if (f->freed) {
        fetch_destroy(f);
        return;
    }
    if (f->start_error != FETCH_OK) {
        enum fetch_error e = f->start_error;
        f->start_error = FETCH_OK;
        fetch_attempt_failed(f, e);
        return;
    }
    if (f->tell_writable) {
        f->tell_writable = false;
        if (!f->body_ended && (f->state == STATE_AWAITING || f->state == STATE_BODY)) {
            f->ops->writable(f);
        }
        if (f->uc != NULL) {
            stream_uncork(&f->uc->stream);
        }
    }
}

/* Ends the exchange and tells the owner. */
void fetch_finish(struct fetch *f, enum fetch_error e)
{
    f->state = STATE_ENDED;
    f->start_error = FETCH_OK;
    deadline_cancel(&f->phase);
    deadline_cancel(&f->total);
    fetch_release_conn(f, false);
    if (e == FETCH_OK) {
        f->complete = true;
        f->ops->done(f);
    } else {
        f->ops->failed(f, e);
    }
}

/* ---- attempts --------------------------------------------------------------------------- */

void fetch_start(struct fetch *f)
{
    if (f->request.pinned == NULL) {
        origin_count_request(f->origin);
    }
    if (f->request.timeout.total >= 0) {
        deadline_set(f->loop, &f->total, f->request.timeout.total);
    }
    attempt_begin(f);
}

/* From inside a call of the owner: the failure is delivered by the loop. */
static void fail_later(struct fetch *f, enum fetch_error e)
{
    f->start_error = e;
    loop_defer(f->loop, &f->deferred);
}

/* The connection stands: the request goes out. */
static void send_request(struct fetch *f)
{
    f->state = STATE_AWAITING;
    f->request_time = f->loop->wall;
    f->guard = (struct guard){0};
    f->in.n = 0;
    f->got_byte = false;
    f->out_mark = f->uc->stream.bytes_out;
    if (!f->body_ended) {
        stream_cork(&f->uc->stream); /* the body, or its beginning, is often there already */
    }
    fetch_send_segment(f, f->request.head.p, f->request.head.n);
    if (f->replay.n > 0) {
        fetch_send_segment(f, f->replay.p, f->replay.n);
    }
    if (f->body_ended) {
        deadline_set(f->loop, &f->phase, f->request.timeout.first_byte);
    } else {
        deadline_cancel(&f->phase);
        f->tell_writable = true;
        loop_defer(f->loop, &f->deferred);
    }
}

static struct origin_server *choose_server(struct fetch *f)
{
    if (f->request.pinned != NULL) {
        return f->request.pinned;
    }
    struct origin_server *server = origin_pick(f->origin, f->tried, f->loop->now);
    if (server == NULL && f->tried != 0) {
        server = origin_pick(f->origin, 0, f->loop->now);
    }
    return server;
}

static void attempt_begin(struct fetch *f)
{
    struct origin_server *server = choose_server(f);
    f->state = STATE_CONNECTING;
    if (server == NULL) {
        fail_later(f, FETCH_NO_SERVER);
        return;
    }
    f->server = server;
    if (f->request.pinned == NULL) {
        origin_server_asked(server);
    }
    f->uc = f->stale_conns < FRESH_TRIES_MAX ? pool_get(f->pool, server) : NULL;
    if (f->uc != NULL) {
        f->uc->user = f;
        f->uc->stream.ops = &fetch_stream_ops;
        atomic_fetch_add_explicit(&server->in_flight, 1, memory_order_relaxed);
        send_request(f);
        return;
    }
    f->uc = pool_connect(f->pool, f->origins, server, &fetch_stream_ops, f);
    if (f->uc == NULL) {
        fail_later(f, FETCH_CONNECT);
        return;
    }
    f->out_mark = 0;
    atomic_fetch_add_explicit(&server->in_flight, 1, memory_order_relaxed);
    deadline_set(f->loop, &f->phase, f->request.timeout.connect);
}

/* May the request be sent once more after this failure? Decides from what went out. */
static bool may_retry(struct fetch *f, enum fetch_error e, bool reused, bool sent)
{
    if (f->got_byte || f->replay_lost || f->state == STATE_BODY || e == FETCH_BAD ||
        e == FETCH_NO_SERVER) {
        return false;
    }
    if (sent && !f->request.repeatable && !method_is_idempotent(f->request.method)) {
        return false;
    }
    if (reused && e == FETCH_RESET && f->stale_conns < FRESH_TRIES_MAX) {
        f->stale_conns++;
        return true; /* the usual race with the backend's keep-alive timeout: costs nothing */
    }
    if (e == FETCH_TIMEOUT && f->origin->n_servers == 1 && sent) {
        return false; /* asking the same slow server twice only makes it slower */
    }
    if (f->attempts >= f->request.retries || !origin_take_retry(f->origin)) {
        return false;
    }
    f->attempts++;
    f->tried |= (uint64_t)1 << f->server->index;
    return true;
}

void fetch_attempt_failed(struct fetch *f, enum fetch_error e)
{
    bool reused = f->uc != NULL && f->uc->exchanges > 0;
    bool sent = f->uc != NULL && f->uc->stream.bytes_out > f->out_mark;
    unsigned attempts = f->attempts;
    deadline_cancel(&f->phase);
    bool again = may_retry(f, e, reused, sent);
    if (e != FETCH_NO_SERVER && (f->attempts > attempts || !again)) {
        note_failure(f);
    }
    if (!again) {
        fetch_finish(f, e);
        return;
    }
    fetch_release_conn(f, false);
    if (f->attempts == attempts || f->origin->n_servers > f->attempts) {
        attempt_begin(f);
        return;
    }
    f->state = STATE_BACKOFF;
    msec_t wait = (msec_t)BACKOFF_MS << (f->attempts < 6 ? f->attempts : 6);
    deadline_set(f->loop, &f->phase, wait / 2 + random() % (wait / 2 + 1));
}

static void on_phase(struct deadline *d)
{
    struct fetch *f = container_of(d, struct fetch, phase);
    if (f->state == STATE_BACKOFF) {
        attempt_begin(f);
        return;
    }
    fetch_attempt_failed(f, FETCH_TIMEOUT);
}

static void on_total(struct deadline *d)
{
    struct fetch *f = container_of(d, struct fetch, total);
    note_failure(f);
    fetch_finish(f, FETCH_TIMEOUT);
}

static void on_connected(struct stream *s)
{
    send_request(fetch_of(s));
}

static void on_failed(struct stream *s, enum stream_error e)
{
    struct fetch *f = fetch_of(s);
    (void)e;
    fetch_attempt_failed(f, f->state == STATE_CONNECTING ? FETCH_CONNECT : FETCH_RESET);
}

/* ---- the end of a drain ------------------------------------------------------------------ */

void fetch_abort_all(struct pool *pool)
{
    struct fetch *f;
    /* Marked first: what a `failed` callback begins anew is not ours to end. */
    for (f = *pool_fetches(pool); f != NULL; f = f->next) {
        f->aborting = f->state != STATE_IDLE && f->state != STATE_ENDED;
    }
    for (;;) {
        for (f = *pool_fetches(pool); f != NULL && !f->aborting; f = f->next) {
        }
        if (f == NULL) {
            return;
        }
        f->aborting = false;
        fetch_finish(f, FETCH_RESET);
    }
}

/* ---- what owners ask -------------------------------------------------------------------- */

void *fetch_owner(const struct fetch *f)
{
    return f->owner;
}

void fetch_set_owner(struct fetch *f, const struct fetch_ops *ops, void *owner)
{
    f->ops = ops;
    f->owner = owner;
}

bool fetch_sent_before(const struct fetch *f)
{
    return f->sent_any; /* noted when an attempt gives up its connection */
}

bool fetch_sent_any(const struct fetch *f)
{
    return f->sent_any || (f->uc != NULL && f->uc->stream.bytes_out > f->out_mark);
}

bool fetch_request_done(const struct fetch *f)
{
    return f->body_ended && (f->uc == NULL || f->uc->stream.pending == 0);
}

const struct origin_server *fetch_server(const struct fetch *f)
{
    return f->server;
}

bool fetch_complete(const struct fetch *f)
{
    return f->complete;
}

bool fetch_surplus(const struct fetch *f)
{
    return f->surplus;
}

const struct msg *fetch_msg(const struct fetch *f)
{
    return &f->msg;
}

msec_t fetch_request_time(const struct fetch *f)
{
    return f->request_time;
}

struct upconn *fetch_take(struct fetch *f, struct str *early)
{
    struct upconn *uc = f->uc;
    f->uc = NULL;
    *early = f->early;
    atomic_fetch_sub_explicit(&uc->server->in_flight, 1, memory_order_relaxed);
    return uc;
}
