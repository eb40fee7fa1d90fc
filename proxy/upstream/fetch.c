/*
 * The exchange as a small state machine:
 *
 *   IDLE -> CONNECTING -> AWAITING -> BODY -> ENDED
 *              |   ^          |
 *              v   |          v          (before the first byte of an answer only)
 *             BACKOFF <-------+
 *
 * Everything that ends an attempt passes attempt_failed(), everything that ends the exchange
 * passes finish(): reuse, retry and accounting have one place each.
 */
#include "upstream/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/body.h"
#include "http/guard.h"
#include "http/h1.h"

#define SEND_HIGH_WATER (64u * 1024u) /* queued request bytes that stop the owner */
#define REPLAY_MAX      (64u * 1024u) /* request body kept for a retry */
#define INTERIM_MAX     10            /* 1xx answers before the origin counts as broken */
#define FRESH_TRIES_MAX 3             /* reused connections found closed in one exchange */
#define BACKOFF_MS      25            /* before asking the same server again; doubles */
#define ARENA_FIRST     2048

enum fetch_state {
    STATE_IDLE,
    STATE_BACKOFF,
    STATE_CONNECTING,
    STATE_AWAITING, /* request going out or gone, no final head yet */
    STATE_BODY,
    STATE_ENDED,
};

struct fetch {
    struct fetch *prev, *next; /* of the pool's exchanges */
    struct pool *pool;
    struct loop *loop;
    struct origins *origins;
    struct origin *origin;
    struct fetch_request request;
    const struct fetch_ops *ops;
    void *owner;
    enum fetch_state state;
    struct upconn *uc;            /* lent connection of this attempt */
    struct origin_server *server; /* of the last attempt */
    struct deadline phase;        /* connect, first byte, idle or back-off */
    struct deadline total;
    struct deferred deferred;     /* start failure, `writable`, freeing */
    enum fetch_error start_error; /* to be delivered from the loop */
    uint64_t tried;               /* servers that failed, by index */
    unsigned attempts;            /* counted retries so far */
    unsigned stale_conns;         /* reused connections that turned out closed */
    unsigned interims;
    uint64_t out_mark; /* stream.bytes_out at the start of the attempt */
    msec_t request_time;
    bool sent_any;      /* over all attempts */
    bool got_byte;      /* of an answer, this attempt */
    bool body_ended;    /* the owner has sent its last piece */
    bool tell_writable; /* deliver `writable` from the loop */
    bool replay_lost;   /* the request body outgrew the replay buffer */
    bool paused;
    bool aborting; /* fetch_abort_all() has come across it */
    bool freed;
    struct strbuf replay; /* request body as sent, for a retry */
    struct guard guard;
    struct strbuf in; /* a head that has not arrived whole */
    struct msg msg;
    struct body body;
    struct str early; /* bytes after a 101 */
    struct arena arena;
    char first[ARENA_FIRST];
};

static void attempt_begin(struct fetch *f);
static void attempt_failed(struct fetch *f, enum fetch_error e);
static void on_connected(struct stream *s);
static void on_readable(struct stream *s);
static void on_written(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);

static const struct stream_ops fetch_stream_ops = {
    .connected = on_connected,
    .readable = on_readable,
    .written = on_written,
    .failed = on_failed,
};

static struct fetch *fetch_of(struct stream *s)
{
    return container_of(s, struct upconn, stream)->user;
}

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

/* What an exchange says about its server; a health check has its own judgement. */
static void note_failure(struct fetch *f)
{
    if (f->server != NULL && f->request.pinned == NULL) {
        origin_server_failed(f->server, f->loop->now);
    }
}

static void note_success(struct fetch *f)
{
    if (f->request.pinned == NULL) {
        origin_server_succeeded(f->server);
    }
}

/* Gives the connection up: for reuse if `clean`, else closed. */
static void release_conn(struct fetch *f, bool clean)
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
    release_conn(f, false);
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
        attempt_failed(f, e);
        return;
    }
    if (f->tell_writable && !f->body_ended && f->state == STATE_AWAITING) {
        f->tell_writable = false;
        f->ops->writable(f);
    }
}

/* Ends the exchange and tells the owner. */
static void finish(struct fetch *f, enum fetch_error e)
{
    f->state = STATE_ENDED;
    f->start_error = FETCH_OK;
    deadline_cancel(&f->phase);
    deadline_cancel(&f->total);
    release_conn(f, false);
    if (e == FETCH_OK) {
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

static void send_segment(struct fetch *f, const void *p, size_t n)
{
    struct segment seg = {.p = p, .n = n};
    stream_send(&f->uc->stream, &seg, 1);
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
    send_segment(f, f->request.head.p, f->request.head.n);
    if (f->replay.n > 0) {
        send_segment(f, f->replay.p, f->replay.n);
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
    if (sent && !method_is_idempotent(f->request.method)) {
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

static void attempt_failed(struct fetch *f, enum fetch_error e)
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
        finish(f, e);
        return;
    }
    release_conn(f, false);
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
    attempt_failed(f, FETCH_TIMEOUT);
}

static void on_total(struct deadline *d)
{
    struct fetch *f = container_of(d, struct fetch, total);
    note_failure(f);
    finish(f, FETCH_TIMEOUT);
}

static void on_connected(struct stream *s)
{
    send_request(fetch_of(s));
}

static void on_failed(struct stream *s, enum stream_error e)
{
    struct fetch *f = fetch_of(s);
    (void)e;
    attempt_failed(f, f->state == STATE_CONNECTING ? FETCH_CONNECT : FETCH_RESET);
}

/* ---- the request body ------------------------------------------------------------------- */

/* Does a connection stand that takes body bytes? Between two attempts there is none. */
static bool takes_body(const struct fetch *f)
{
    return f->uc != NULL && (f->state == STATE_AWAITING || f->state == STATE_BODY);
}

/* Keeps bytes for another attempt; those that come between two attempts are kept whatever their
 * number, which fetch_body_full() bounds, and go out with the next one. */
static void body_bytes(struct fetch *f, const void *p, size_t n)
{
    if (!f->replay_lost && (f->replay.n + n <= REPLAY_MAX || !takes_body(f))) {
        strbuf_add(&f->replay, p, n);
    } else if (!f->replay_lost) {
        f->replay_lost = true;
        strbuf_free(&f->replay);
    }
}

void fetch_send(struct fetch *f, struct str piece)
{
    if (piece.n == 0 || f->state == STATE_ENDED) {
        return;
    }
    char line[20];
    size_t n = 0;
    if (f->request.body == FRAMING_CHUNKED) {
        static const char hex[] = "0123456789abcdef";
        int shift = 60;
        while (shift > 0 && (piece.n >> shift) == 0) {
            shift -= 4;
        }
        for (; shift >= 0; shift -= 4) {
            line[n++] = hex[piece.n >> shift & 15];
        }
        line[n++] = '\r';
        line[n++] = '\n';
    }
    size_t crlf = n > 0 ? 2 : 0;
    struct segment segs[3] = {
        {.p = line, .n = n}, {.p = piece.p, .n = piece.n}, {.p = "\r\n", .n = crlf}};
    if (takes_body(f)) {
        stream_send(&f->uc->stream, segs, 3);
    }
    body_bytes(f, line, n);
    body_bytes(f, piece.p, piece.n);
    body_bytes(f, "\r\n", crlf);
    if (takes_body(f) && f->uc->stream.pending > 0) {
        deadline_set(f->loop, &f->phase, f->request.timeout.idle);
    }
}

void fetch_send_end(struct fetch *f)
{
    if (f->body_ended) {
        return;
    }
    f->body_ended = true;
    if (f->request.body == FRAMING_CHUNKED) {
        if (takes_body(f)) {
            send_segment(f, "0\r\n\r\n", 5);
        }
        body_bytes(f, "0\r\n\r\n", 5);
    }
    if (f->state == STATE_AWAITING) {
        deadline_set(f->loop, &f->phase, f->request.timeout.first_byte);
    }
}

bool fetch_body_full(const struct fetch *f)
{
    return f->state != STATE_AWAITING ||
           (f->uc != NULL && f->uc->stream.pending > SEND_HIGH_WATER);
}

static void on_written(struct stream *s)
{
    struct fetch *f = fetch_of(s);
    if (f->state != STATE_AWAITING) {
        return;
    }
    if (f->body_ended) {
        deadline_set(f->loop, &f->phase, f->request.timeout.first_byte);
        return;
    }
    if (s->pending == 0) {
        deadline_cancel(&f->phase); /* now the client's own deadline counts */
    } else {
        deadline_set(f->loop, &f->phase, f->request.timeout.idle);
    }
    if (s->pending <= SEND_HIGH_WATER / 2) {
        f->ops->writable(f);
    }
}

/* ---- the answer ------------------------------------------------------------------------- */

/* The message is complete; `surplus`: bytes follow that nobody asked for. */
static void answer_done(struct fetch *f, bool surplus)
{
    bool written = f->body_ended && f->uc->stream.pending == 0;
    bool clean = !surplus && written && f->msg.keep_alive;
    release_conn(f, clean);
    finish(f, FETCH_OK);
}

static void body_input(struct fetch *f, struct str in)
{
    for (;;) {
        size_t used;
        struct str piece;
        enum body_result r = body_next(&f->body, in, &used, &piece);
        in = str_skip(in, used);
        if (r == BODY_DATA) {
            f->ops->data(f, piece);
            if (f->state != STATE_BODY) {
                return;
            }
            continue;
        }
        if (r == BODY_DONE) {
            answer_done(f, in.n > 0);
        } else if (r == BODY_ERROR) {
            attempt_failed(f, FETCH_BAD);
        } else if (!f->paused) {
            deadline_set(f->loop, &f->phase, f->request.timeout.idle);
        }
        return;
    }
}

/* 101 (RFC 9110 7.8): only if it was asked for; the connection changes hands. */
static void switch_protocols(struct fetch *f, struct str rest)
{
    if (!f->request.upgrade || !f->msg.upgrade) {
        attempt_failed(f, FETCH_BAD);
        return;
    }
    f->early = arena_dup(&f->arena, rest);
    f->state = STATE_ENDED;
    deadline_cancel(&f->phase);
    deadline_cancel(&f->total);
    note_success(f);
    f->ops->upgraded(f, &f->msg);
}

/* A complete head at the start of `in`. Returns what follows it; ends the exchange if it is
 * bad. */
static struct str head_input(struct fetch *f, struct str in, size_t head_len)
{
    struct str rest = str_skip(in, head_len);
    struct str head = arena_dup(&f->arena, str_make(in.p, head_len));
    struct h1_verdict v = h1_parse_response(head, f->request.method, &f->arena, &f->msg);
    f->guard = (struct guard){0};
    if (v.status != 0) {
        static struct log_limit limit;
        if (log_allowed(&limit)) {
            log_warn("upstream %.*s: bad answer: %s", STR_ARG(f->server->settings->url), v.why);
        }
        attempt_failed(f, FETCH_BAD);
        return STR_NULL;
    }
    if (f->msg.status == 101) {
        switch_protocols(f, rest);
        return STR_NULL;
    }
    if (f->msg.status < 200) {
        if (++f->interims > INTERIM_MAX) {
            attempt_failed(f, FETCH_BAD);
        } else if (f->msg.status != 100 && f->ops->interim != NULL) {
            f->ops->interim(f, &f->msg);
        }
        return rest;
    }
    f->state = STATE_BODY;
    body_start(&f->body, &f->msg);
    note_success(f);
    f->ops->head(f, &f->msg);
    return rest;
}

/* Keeps an incomplete head for the next read. */
static void keep_input(struct fetch *f, struct str in)
{
    if (in.p == f->in.p) {
        return;
    }
    if (f->in.n > 0 && in.p > f->in.p && in.p < f->in.p + f->in.n) {
        strbuf_consume(&f->in, (size_t)(in.p - f->in.p));
        return;
    }
    f->in.n = 0;
    strbuf_add_str(&f->in, in);
}

static void answer_input(struct fetch *f, struct str in)
{
    const struct guard_limits limits = {f->request.head_limit, f->request.line_limit,
                                        f->request.line_limit, f->request.count_limit};
    if (f->in.n > 0) {
        strbuf_add_str(&f->in, in);
        in = strbuf_str(&f->in);
    }
    while (f->state == STATE_AWAITING && in.n > 0) {
        size_t head_len = 0;
        int status;
        const char *why = NULL;
        switch (guard_scan(&f->guard, in, &limits, true, &head_len, &status, &why)) {
        case GUARD_MORE: keep_input(f, in); return;
        case GUARD_REFUSE:
            log_debug("upstream %.*s: bad answer: %s", STR_ARG(f->server->settings->url), why);
            attempt_failed(f, FETCH_BAD);
            return;
        case GUARD_DONE: in = head_input(f, in, head_len); break;
        }
    }
    if (f->state == STATE_BODY) {
        body_input(f, in);
    }
    f->in.n = 0;
}

static void on_readable(struct stream *s)
{
    struct fetch *f = fetch_of(s);
    size_t n = 0;
    switch (stream_read(s, f->loop->scratch, LOOP_SCRATCH_SIZE, &n)) {
    case IO_AGAIN:
    case IO_ERROR: return; /* `failed` follows an error */
    case IO_EOF:
        stream_want_read(s, false);
        if (f->state == STATE_BODY && body_complete_at_eof(&f->body)) {
            f->msg.keep_alive = false;
            answer_done(f, false);
        } else {
            attempt_failed(f, FETCH_RESET);
        }
        return;
    case IO_OK: break;
    }
    f->got_byte = true;
    answer_input(f, str_make(f->loop->scratch, n));
}

void fetch_pause(struct fetch *f)
{
    if (f->state == STATE_BODY && !f->paused) {
        f->paused = true;
        deadline_cancel(&f->phase);
        stream_want_read(&f->uc->stream, false);
    }
}

void fetch_resume(struct fetch *f)
{
    if (f->paused && f->state == STATE_BODY) {
        f->paused = false;
        deadline_set(f->loop, &f->phase, f->request.timeout.idle);
        stream_want_read(&f->uc->stream, true);
    }
}

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
        finish(f, FETCH_RESET);
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
