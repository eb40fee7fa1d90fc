/*
 * The link. Callbacks may send commands, cancel them and drop the link, so after each one the
 * connection's number is compared before anything of the connection is touched again.
 */
#include "cache/redis_link.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/tls.h"
#include "cache/redis_handshake.h"

#define READS_PER_EVENT 8 /* of a scratch buffer each, then others get their turn */
#define MAX_PENDING     (16u * 1024 * 1024) /* unsent bytes above which nothing is taken */

static void on_connected(struct stream *s);
static void on_readable(struct stream *s);
static void on_failed(struct stream *s, enum stream_error e);
static void on_flush(struct deferred *d);
static void on_timer(struct deadline *d);

static const struct stream_ops stream_events = {
    .connected = on_connected,
    .readable = on_readable,
    .failed = on_failed,
};

static uint64_t next_connection(void)
{
    static _Atomic uint64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static uint32_t random_next(struct redis_link *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 17;
    l->random ^= l->random << 5;
    return l->random;
}

void redis_link_init(struct redis_link *l, const struct redis_link_settings *settings,
                     const struct redis_link_ops *ops)
{
    *l = (struct redis_link){.settings = settings, .ops = ops, .stream.fd = -1};
    l->flush.fn = on_flush;
    l->random = (uint32_t)((uintptr_t)l >> 4) ^ (uint32_t)clock_monotonic() << 8;
    l->random |= 1;
    deadline_init(&l->timer, on_timer);
}

/* ---- the end of a connection ----------------------------------------------------------------
 */

/* Until the n-th attempt: min(n x step, max), less up to a fifth, so that a fleet does not come
 * in step. An error that only an operator can mend is not asked about more often than that. */
static msec_t delay_until_next(struct redis_link *l)
{
    const struct redis_link_settings *s = l->settings;
    msec_t delay = (msec_t)l->attempts * s->reconnect_step;
    if (delay > s->reconnect_max || redis_error_remedy(l->refusal) == REDIS_R_OPERATOR) {
        delay = s->reconnect_max;
    }
    return delay - (msec_t)(random_next(l) % (uint32_t)(delay / 5 + 1));
}

/* Takes all that was sent and ends it. */
static void fail_sent(struct redis_link *l, struct redis_queue *q)
{
    struct redis_command *unwritten = l->unwritten;
    bool written = true;
    l->unwritten = NULL;
    while (q->head != NULL) {
        struct redis_command *c = q->head;
        enum redis_outcome outcome = REDIS_LOST;
        redis_queue_remove(q, c);
        deadline_cancel(&c->deadline);
        written = written && c != unwritten;
        if (!written) {
            outcome = REDIS_NOT_SENT;
        } else if (c->timed_out) {
            outcome = REDIS_TIMED_OUT;
        }
        c->sent = false;
        c->end(c, outcome, NULL);
    }
}

static void close_connection(struct redis_link *l)
{
    stream_close(&l->stream, false);
    redis_decoder_free(l->decoder);
    l->decoder = NULL;
    l->connection = 0;
    l->unwritten_bytes = 0;
    loop_defer_cancel(l->settings->loop, &l->flush);
    deadline_cancel(&l->timer);
}

static void link_end(struct redis_link *l, enum redis_link_end end, enum redis_error error,
                     const char *why)
{
    const struct redis_link_settings *s = l->settings;
    bool was_ready = l->state == REDIS_LINK_READY;
    struct redis_queue failed = l->sent;
    l->sent = (struct redis_queue){0};
    close_connection(l);
    snprintf(l->why, sizeof(l->why), "%s", why);
    s->stats->disconnects += was_ready;
    s->stats->failed_connects += !was_ready;
    /* A connection that did not last counts as an attempt that came to nothing. */
    if (was_ready && s->loop->now - l->ready_at > s->reconnect_max) {
        l->attempts = 0;
    }
    l->attempts++;
    l->refusal = error;
    l->state = s->reconnect ? REDIS_LINK_WAITING : REDIS_LINK_IDLE;
    if (s->reconnect) {
        deadline_set(s->loop, &l->timer, delay_until_next(l));
    }
    l->ops->down(l, end, error);
    fail_sent(l, &failed);
}

void redis_link_drop(struct redis_link *l, const char *why)
{
    if (l->state >= REDIS_LINK_CONNECTING) {
        link_end(l, redis_link_ready(l) ? REDIS_END_ASKED : REDIS_END_CONNECT, REDIS_E_NONE,
                 why);
    }
}

void redis_link_stop(struct redis_link *l, const char *why)
{
    redis_link_drop(l, why);
    close_connection(l);
    l->state = REDIS_LINK_IDLE;
    while (l->waiting.head != NULL) {
        struct redis_command *c = l->waiting.head;
        redis_queue_remove(&l->waiting, c);
        deadline_cancel(&c->deadline);
        c->end(c, REDIS_NOT_SENT, NULL);
    }
}

void redis_link_fini(struct redis_link *l)
{
    struct redis_queue *queues[] = {&l->sent, &l->waiting};
    close_connection(l);
    for (size_t i = 0; i < 2; i++) {
        while (queues[i]->head != NULL) {
            struct redis_command *c = queues[i]->head;
            redis_queue_remove(queues[i], c);
            deadline_cancel(&c->deadline);
            c->link = NULL;
            redis_command_unref(c);
        }
    }
    l->unwritten = NULL;
    l->state = REDIS_LINK_IDLE;
}

/* ---- connecting -----------------------------------------------------------------------------
 */

static SSL *do_make_ssl(void *ctx, int fd)
{
    const struct redis_link *l = ctx;
    return tls_client_session(l->settings->tls, fd, l->name);
}

static void connect_now(struct redis_link *l)
{
    const struct redis_link_settings *s = l->settings;
    struct addr to;
    const char *why = "no address";
    switch (l->ops->locate(l, &to, &l->name, &why)) {
    case REDIS_LOCATED: break;
    case REDIS_LOCATE_LATER: l->state = REDIS_LINK_LOCATING; return;
    case REDIS_LOCATE_FAILED: link_end(l, REDIS_END_CONNECT, REDIS_E_NONE, why); return;
    }
    bool tls = s->tls != NULL && to.u.sa.sa_family != AF_UNIX;
    l->state = REDIS_LINK_CONNECTING;
    l->connection = next_connection();
    l->decoder = redis_decoder_new(s->max_value);
    l->refusal = REDIS_E_NONE;
    deadline_set(s->loop, &l->timer, s->connect_timeout);
    stream_connect(&l->stream, s->loop, &stream_events, &to, tls ? do_make_ssl : NULL, l);
}

void redis_link_start(struct redis_link *l)
{
    if (l->state == REDIS_LINK_IDLE) {
        /* From the loop, so that no callback comes from inside of a call. */
        l->state = REDIS_LINK_WAITING;
        loop_defer(l->settings->loop, &l->flush);
    }
}

void redis_link_kick(struct redis_link *l)
{
    if (l->state == REDIS_LINK_LOCATING || l->state == REDIS_LINK_WAITING) {
        l->state = REDIS_LINK_WAITING;
        loop_defer(l->settings->loop, &l->flush);
    }
}

static void on_timer(struct deadline *d)
{
    struct redis_link *l = container_of(d, struct redis_link, timer);
    if (l->state == REDIS_LINK_WAITING) {
        loop_defer_cancel(l->settings->loop, &l->flush);
        connect_now(l);
    } else if (l->state == REDIS_LINK_CONNECTING) {
        link_end(l, REDIS_END_CONNECT, REDIS_E_NONE,
                 l->stream.handshaking ? "TLS handshake timed out" : "connect timed out");
    } else if (l->state == REDIS_LINK_HANDSHAKE) {
        link_end(l, REDIS_END_CONNECT, REDIS_E_NONE, "no answer to the handshake");
    }
}

static void on_connected(struct stream *s)
{
    struct redis_link *l = container_of(s, struct redis_link, stream);
    l->state = REDIS_LINK_HANDSHAKE;
    redis_handshake_send(l);
}

/* The handshake went well: those who waited are sent. */
static void become_ready(struct redis_link *l)
{
    uint64_t connection = l->connection;
    l->state = REDIS_LINK_READY;
    l->ready_at = l->heard_at = l->settings->loop->now;
    l->settings->stats->connects++;
    deadline_cancel(&l->timer);
    l->ops->up(l);
    while (l->connection == connection && l->waiting.head != NULL) {
        struct redis_command *c = l->waiting.head;
        redis_queue_remove(&l->waiting, c);
        if (c->cancelled) {
            deadline_cancel(&c->deadline);
            c->end(c, REDIS_NOT_SENT, NULL);
            continue;
        }
        redis_link_enqueue(l, c);
    }
}

void redis_link_handshake_done(struct redis_link *l, enum redis_error error, const char *why)
{
    if (why == NULL) {
        become_ready(l);
    } else {
        link_end(l, REDIS_END_REFUSED, error, why);
    }
}

static void on_failed(struct stream *s, enum stream_error e)
{
    struct redis_link *l = container_of(s, struct redis_link, stream);
    char why[sizeof(l->why)];
    const char *errno_text = s->error_number != 0 ? strerror(s->error_number) : "";
    switch (e) {
    case STREAM_HANDSHAKE: snprintf(why, sizeof(why), "TLS handshake failed"); break;
    case STREAM_TRUNCATED: snprintf(why, sizeof(why), "connection cut short"); break;
    case STREAM_OK:
    case STREAM_REFUSED:
    case STREAM_RESET:
        snprintf(why, sizeof(why), "%s", errno_text[0] != '\0' ? errno_text : "reset");
        break;
    }
    link_end(l, redis_link_ready(l) ? REDIS_END_CLOSED : REDIS_END_CONNECT, REDIS_E_NONE, why);
}

/* ---- replies --------------------------------------------------------------------------------
 */

static void protocol_end(struct redis_link *l, enum redis_decode how)
{
    struct redis_stats *stats = l->settings->stats;
    *(how == REDIS_DECODE_TOO_LARGE ? &stats->too_large : &stats->protocol_errors) += 1;
    link_end(l, REDIS_END_PROTOCOL, REDIS_E_NONE, redis_decoder_why(l->decoder));
}

/* A reply that no command waits for. Servers that refuse a connection say why in this way. */
static void unasked(struct redis_link *l, const struct redis_reply *reply)
{
    if (reply->type == REDIS_ERROR) {
        char why[sizeof(l->why)];
        snprintf(why, sizeof(why), "%.*s", STR_ARG(reply->text));
        link_end(l, REDIS_END_REFUSED, reply->error, why);
        return;
    }
    l->settings->stats->protocol_errors++;
    link_end(l, REDIS_END_PROTOCOL, REDIS_E_NONE, "a reply that nobody asked for");
}

static void deliver(struct redis_link *l, const struct redis_reply *reply)
{
    struct redis_command *c = l->sent.head;
    if (c == NULL || c == l->unwritten) {
        unasked(l, reply);
        return;
    }
    redis_queue_remove(&l->sent, c);
    deadline_cancel(&c->deadline);
    c->sent = false;
    c->end(c, reply->type == REDIS_ERROR ? REDIS_DENIED : REDIS_ANSWERED, reply);
}

/* Delivers whatever is complete; false when the connection is not the same any more. */
static bool deliver_all(struct redis_link *l)
{
    uint64_t connection = l->connection;
    struct redis_reply *reply;
    enum redis_decode what;
    while ((what = redis_decoder_next(l->decoder, &reply)) == REDIS_DECODE_REPLY) {
        deliver(l, reply);
        redis_reply_free(reply);
        if (l->connection != connection) {
            return false;
        }
    }
    if (what != REDIS_DECODE_MORE) {
        protocol_end(l, what);
        return false;
    }
    return true;
}

static void on_readable(struct stream *s)
{
    struct redis_link *l = container_of(s, struct redis_link, stream);
    struct loop *loop = s->loop;
    for (unsigned i = 0; i < READS_PER_EVENT; i++) {
        size_t n = 0;
        enum io_result got = stream_read(s, loop->scratch, LOOP_SCRATCH_SIZE, &n);
        if (got == IO_EOF) {
            link_end(l, redis_link_ready(l) ? REDIS_END_CLOSED : REDIS_END_CONNECT,
                     REDIS_E_NONE, "closed by the server");
            return;
        }
        if (got != IO_OK) {
            return; /* nothing now, or `failed` follows */
        }
        l->heard_at = loop->now;
        l->settings->stats->bytes_in += n;
        redis_decoder_feed(l->decoder, loop->scratch, n);
        if (!deliver_all(l) || n < LOOP_SCRATCH_SIZE) {
            return;
        }
    }
}

/* ---- commands -------------------------------------------------------------------------------
 */

static void on_flush(struct deferred *d)
{
    struct redis_link *l = container_of(d, struct redis_link, flush);
    if (l->state == REDIS_LINK_WAITING) {
        deadline_cancel(&l->timer);
        connect_now(l);
        return;
    }
    char *buf = l->settings->loop->scratch;
    size_t n = 0;
    struct redis_command *c = l->unwritten;
    l->unwritten = NULL;
    l->unwritten_bytes = 0;
    for (; c != NULL; c = c->next) {
        l->settings->stats->bytes_out += c->n_total;
        n = redis_command_write(c, &l->stream, buf, n, LOOP_SCRATCH_SIZE);
    }
    if (n > 0) {
        stream_send(&l->stream, &(struct segment){.p = buf, .n = n}, 1);
    }
}

void redis_link_enqueue(struct redis_link *l, struct redis_command *c)
{
    c->link = l;
    c->sent = true;
    redis_queue_push(&l->sent, c);
    if (l->unwritten == NULL) {
        l->unwritten = c;
    }
    l->unwritten_bytes += c->n_total;
    loop_defer(l->settings->loop, &l->flush);
}

/* The time of a command is over. What lies in the socket already is read first: a turn of the
 * loop that took long must not look like a slow server. Nor must the loop's clock, which is
 * coarse and may be ahead of the command by a tick. */
static void on_deadline(struct deadline *d)
{
    struct redis_command *c = container_of(d, struct redis_command, deadline);
    struct redis_link *l = c->link;
    msec_t left = c->until - clock_monotonic();
    if (left > 0) {
        deadline_set(l->settings->loop, d, left);
        return;
    }
    if (!c->sent) {
        redis_queue_remove(&l->waiting, c);
        c->end(c, REDIS_NOT_SENT, NULL);
        return;
    }
    uint64_t connection = l->connection;
    redis_command_ref(c);
    on_readable(&l->stream);
    if (c->sent && c->link == l && l->connection == connection) {
        c->timed_out = true;
        link_end(l, REDIS_END_TIMEOUT, REDIS_E_NONE, "a command was not answered in time");
    }
    redis_command_unref(c);
}

bool redis_link_send(struct redis_link *l, struct redis_command *c, msec_t timeout, bool wait)
{
    bool ready = redis_link_ready(l);
    if ((!ready && !wait) || redis_link_load(l) >= l->settings->max_in_flight ||
        (ready && l->stream.pending + l->unwritten_bytes > MAX_PENDING)) {
        return false;
    }
    c->link = l;
    c->until = clock_monotonic() + timeout;
    deadline_init(&c->deadline, on_deadline);
    deadline_set(l->settings->loop, &c->deadline, timeout);
    if (ready) {
        redis_link_enqueue(l, c);
    } else {
        c->sent = false;
        redis_queue_push(&l->waiting, c);
        redis_link_start(l);
    }
    return true;
}
