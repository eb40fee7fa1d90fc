/*
 * The stream: its socket, its events, its input; output is in stream_send.c. One libevent
 * registration per socket, level-triggered and persistent, changed only when interest changes:
 * an ordinary request costs one epoll_wait, one read and one writev.
 */
#include "base/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/log.h"
#include "base/stream_parts.h"

#define LAST_READS 64

static void on_event(evutil_socket_t fd, short what, void *arg);
static void on_deferred(struct deferred *d);

/* The events that the stream's state asks for. */
static short wanted_events(const struct stream *s)
{
    short want = 0;
    if (s->connecting) {
        return EV_WRITE;
    }
    if (s->broken) {
        return 0;
    }
    if (s->want_read || s->handshaking) {
        want |= EV_READ;
    }
    /* Queued payload waits for the handshake; a writable socket must not wake us for it. */
    if ((s->q_head != NULL && !s->handshaking && !s->corked) || s->tls_wants_write) {
        want |= EV_WRITE;
    }
    return want;
}

static void register_events(struct stream *s, short want)
{
    if (want == s->armed || s->fd < 0) {
        return;
    }
    if (s->armed != 0) {
        event_del(&s->event);
    }
    s->armed = want;
    if (want != 0) {
        event_assign(&s->event, s->loop->base, s->fd, (short)(want | EV_PERSIST), on_event, s);
        event_add(&s->event, NULL);
    }
}

/* Input that is not wanted any more usually does not come before it is wanted again (a client
 * waits for its answer): the registration stays until an event comes for nothing. */
void stream_arm(struct stream *s)
{
    short want = wanted_events(s);
    if (s->armed == (want | EV_READ) && !s->broken) {
        return;
    }
    register_events(s, want);
}

static void stream_fail(struct stream *s, enum stream_error e, int error_number)
{
    if (s->broken || s->fd < 0) {
        return;
    }
    s->broken = true;
    s->error = (uint8_t)e;
    s->error_number = error_number;
    stream_arm(s);
    loop_defer(s->loop, &s->deferred);
}

static void stream_init(struct stream *s, struct loop *l, const struct stream_ops *ops, int fd)
{
    *s = (struct stream){.loop = l, .ops = ops, .fd = fd, .want_read = true};
    s->deferred.fn = on_deferred;
}

void stream_open(struct stream *s, struct loop *l, const struct stream_ops *ops, int fd,
                 SSL *ssl)
{
    stream_init(s, l, ops, fd);
    s->ssl = ssl;
    s->handshaking = ssl != NULL;
    s->tls_wants_write = ssl != NULL && !SSL_is_server(ssl); /* the client speaks first */
    stream_arm(s);
}

void stream_start_tls(struct stream *s, SSL *ssl)
{
    s->ssl = ssl;
    s->handshaking = true;
    stream_arm(s);
}

void stream_tune(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void bound_unsent(int fd)
{
    int unsent = STREAM_UNSENT_MAX;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void stream_connect(struct stream *s, struct loop *l, const struct stream_ops *ops,
                    const struct addr *to, SSL *(*make_ssl)(void *ctx, int fd), void *ctx)
{
    int family = to->u.sa.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    stream_init(s, l, ops, fd);
    if (fd < 0) {
        /* No fd to wait on: the failure is still delivered from the loop. */
        s->broken = true;
        s->error = STREAM_REFUSED;
        s->error_number = errno;
        loop_defer(l, &s->deferred);
        return;
    }
    stream_tune(fd);
    bound_unsent(fd);
    /* EAGAIN is a Unix socket's full backlog: nothing is under way then. */
    if (connect(fd, &to->u.sa, to->len) != 0 && errno != EINPROGRESS) {
        stream_fail(s, STREAM_REFUSED, errno);
        return;
    }
    if (make_ssl != NULL) {
        s->ssl = make_ssl(ctx, fd);
        if (s->ssl == NULL) {
            stream_fail(s, STREAM_HANDSHAKE, 0);
            return;
        }
        s->handshaking = true;
    }
    s->connecting = true;
    stream_arm(s);
}

/* One line for a failed handshake, with the name asked for and what verification said. */
static void log_handshake(const SSL *ssl, bool closed)
{
    static struct log_limit limit;
    if (!log_allowed(&limit)) {
        return;
    }
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    long verify = SSL_get_verify_result(ssl);
    log_info("TLS handshake %s %s failed: %s%s%s", SSL_is_server(ssl) ? "for" : "with",
             name != NULL ? name : "a peer without a name",
             closed || reason == NULL ? "connection closed" : reason,
             verify != X509_V_OK ? ": " : "",
             verify != X509_V_OK ? X509_verify_cert_error_string(verify) : "");
}

/* Translates an OpenSSL result; IO_AGAIN leaves the interest as the session wants it. */
enum io_result stream_tls_result(struct stream *s, int result, enum stream_error when_broken)
{
    int error = SSL_get_error(s->ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
        return IO_AGAIN;
    }
    if (error == SSL_ERROR_WANT_WRITE) {
        s->tls_wants_write = true;
        stream_arm(s);
        return IO_AGAIN;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        return IO_EOF;
    }
    int error_number = errno;
    bool truncated = error == SSL_ERROR_SSL &&
                     ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (when_broken == STREAM_HANDSHAKE) {
        log_handshake(s->ssl, truncated);
    } else if (truncated) {
        when_broken = STREAM_TRUNCATED;
    }
    ERR_clear_error();
    stream_fail(s, when_broken, error_number);
    return IO_ERROR;
}

enum io_result stream_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
    if (s->fd < 0 || s->broken) {
        return IO_ERROR;
    }
    if (s->ssl != NULL) {
        ERR_clear_error();
        int got = SSL_read(s->ssl, buf, cap > INT32_MAX ? INT32_MAX : (int)cap);
        if (got <= 0) {
            return stream_tls_result(s, got, STREAM_RESET);
        }
        *n = (size_t)got;
        s->bytes_in += (size_t)got;
        if (SSL_pending(s->ssl) > 0) {
            loop_defer(s->loop, &s->deferred); /* poll cannot see what OpenSSL holds */
        }
        return IO_OK;
    }
    ssize_t got;
    do {
        got = read(s->fd, buf, cap);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        s->bytes_in += (size_t)got;
        return IO_OK;
    }
    if (got == 0) {
        return IO_EOF;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return IO_AGAIN;
    }
    stream_fail(s, STREAM_RESET, errno);
    return IO_ERROR;
}

void stream_want_read(struct stream *s, bool want)
{
    if (s->want_read == want) {
        return;
    }
    s->want_read = want;
    stream_arm(s);
    if (want && s->ssl != NULL && !s->handshaking && s->fd >= 0 && SSL_pending(s->ssl) > 0) {
        loop_defer(s->loop, &s->deferred);
    }
}

static bool finish_connect(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        s->connecting = false;
        stream_fail(s, STREAM_REFUSED, error);
        return false;
    }
    s->connecting = false;
    return true;
}

static bool continue_handshake(struct stream *s)
{
    ERR_clear_error();
    int result = SSL_do_handshake(s->ssl);
    if (result != 1) {
        enum io_result io = stream_tls_result(s, result, STREAM_HANDSHAKE);
        if (io == IO_EOF) {
            stream_fail(s, STREAM_HANDSHAKE, 0);
        }
        stream_arm(s);
        return false;
    }
    s->handshaking = false;
    return true;
}

/* True when the stream is ready for payload; tells the owner once. */
static bool establish(struct stream *s)
{
    bool was_opening = s->connecting || s->handshaking;
    if (s->connecting && !finish_connect(s)) {
        return false;
    }
    if (s->handshaking && !continue_handshake(s)) {
        return false;
    }
    if (was_opening) {
        if (s->shut && s->q_head == NULL) {
            stream_finish_shutdown(s);
        }
        stream_arm(s);
        if (s->ops->connected != NULL) {
            s->ops->connected(s);
        }
    }
    return s->fd >= 0 && !s->broken;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct stream *s = arg;
    loop_touch(s->loop);
    s->tls_wants_write = false;
    if ((s->connecting || s->handshaking) && !establish(s)) {
        return;
    }
    if ((what & EV_WRITE) && s->q_head != NULL && stream_flush(s) && s->ops->written != NULL) {
        s->ops->written(s);
    }
    if (s->fd < 0 || s->broken) {
        return;
    }
    if (s->want_read && ((what & EV_READ) || s->ssl != NULL)) {
        s->ops->readable(s);
    } else if (what & EV_READ) {
        register_events(s, wanted_events(s)); /* came for nothing: not again */
        return;
    }
    if (s->fd >= 0) {
        stream_arm(s);
    }
}

/* After a failed write: what the peer had sent is read, within reason, then `failed`. */
static void last_read(struct stream *s)
{
    for (unsigned i = 0; i < LAST_READS && s->want_read; i++) {
        uint64_t before = s->bytes_in;
        s->ops->readable(s);
        if (s->fd < 0 || s->broken || s->bytes_in == before) {
            break;
        }
    }
    if (s->fd >= 0 && !s->broken) {
        stream_fail(s, STREAM_RESET, s->error_number);
    }
}

static void uncork_now(struct stream *s)
{
    s->corked = false;
    if (s->fd < 0 || s->q_head == NULL || s->connecting || s->handshaking) {
        return;
    }
    stream_flush(s);
    stream_arm(s);
    if (!s->write_failed && !s->broken && s->ops->written != NULL) {
        /* Without progress, too: nothing was said of it when it was queued. */
        s->ops->written(s);
    }
}

static void on_deferred(struct deferred *d)
{
    struct stream *s = container_of(d, struct stream, deferred);
    if (s->fd >= 0 && s->write_failed && !s->broken) {
        last_read(s); /* queues us again, with the failure to deliver */
        return;
    }
    if (s->broken) {
        s->ops->failed(s, (enum stream_error)s->error);
        return;
    }
    if (s->corked) {
        uncork_now(s);
        if (s->ssl == NULL) {
            return;
        }
    }
    if (s->fd >= 0 && s->want_read && !s->handshaking && !s->connecting) {
        s->ops->readable(s);
    }
}

void stream_close(struct stream *s, bool reset)
{
    if (s->ops != NULL) {
        loop_defer_cancel(s->loop, &s->deferred);
    }
    if (s->fd < 0) {
        return;
    }
    if (s->armed != 0) {
        event_del(&s->event);
        s->armed = 0;
    }
    if (s->ssl != NULL) {
        if (!reset && !s->broken && !s->shut && !s->handshaking && !s->connecting) {
            ERR_clear_error();
            SSL_shutdown(s->ssl);
        }
        SSL_free(s->ssl);
        s->ssl = NULL;
    }
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    close(s->fd);
    s->fd = -1;
    stream_queue_release(s);
}

bool stream_peek_dirty(struct stream *s)
{
    char byte;
    if (s->fd < 0 || s->broken || s->write_failed ||
        (s->ssl != NULL && SSL_pending(s->ssl) > 0)) {
        return true;
    }
    ssize_t got = recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got >= 0) {
        return true; /* the end, or bytes nobody asked for (with TLS: any record) */
    }
    return errno != EAGAIN && errno != EWOULDBLOCK;
}
