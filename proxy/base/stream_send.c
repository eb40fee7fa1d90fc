/*
 * A stream's output: what the kernel does not take at once waits in a queue, as copies or,
 * where the owner said so, as the owner's own bytes. TLS gets whole records.
 */
#include "base/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <openssl/err.h>

#include "base/mem.h"
#include "base/stream_parts.h"

#define SEGMENTS_MAX   8
#define GATHER_MAX     2048
#define FLUSH_IOV      32
#define TLS_RECORD_MAX 16384

/* One queued piece of output: bytes of its own behind the struct, or somebody's until release.
 */
struct send_node {
    struct send_node *next;
    const char *p; /* first unsent byte */
    size_t n;      /* unsent bytes */
    void (*release)(void *owner);
    void *owner;
};

static void node_free(struct send_node *node)
{
    if (node->release != NULL) {
        node->release(node->owner);
    }
    free(node);
}

void stream_queue_release(struct stream *s)
{
    while (s->q_head != NULL) {
        struct send_node *node = s->q_head;
        s->q_head = node->next;
        node_free(node);
    }
    s->q_tail = NULL;
    s->pending = 0;
}

/* A plain socket that takes no more output may still hold the peer's answer (413, then a
 * close): the owner is offered what has arrived before it hears of the failure. */
static void write_fail(struct stream *s, int error_number)
{
    s->write_failed = true;
    s->error_number = error_number;
    loop_defer(s->loop, &s->deferred);
}

/* Several small pieces as one: copying 2 KiB costs less than the kernel's walk over a vector.
 * Returns the length, 0 when there is one piece or too much. */
static size_t gather(const struct iovec *iov, int n, char out[GATHER_MAX])
{
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        total += iov[i].iov_len;
    }
    if (n == 1 || total > GATHER_MAX) {
        return 0;
    }
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        memcpy(out + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return total;
}

/* Writes from iov; *sent bytes were taken. False when broken. */
static bool write_plain(struct stream *s, const struct iovec *iov, int n, size_t *sent)
{
    ssize_t wrote;
    char gathered[GATHER_MAX];
    struct iovec one = {.iov_base = gathered, .iov_len = gather(iov, n, gathered)};
    if (one.iov_len > 0) {
        iov = &one;
        n = 1;
    }
    do {
        wrote = n == 1 ? send(s->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                       : writev(s->fd, iov, n);
    } while (wrote < 0 && errno == EINTR);
    if (wrote < 0) {
        *sent = 0;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return true;
        }
        write_fail(s, errno);
        return false;
    }
    *sent = (size_t)wrote;
    return true;
}

/* The same through TLS: small pieces are gathered into one record. */
static bool write_tls(struct stream *s, const struct iovec *iov, int n, size_t *sent)
{
    *sent = 0;
    int i = 0;
    size_t offset = 0;
    while (i < n) {
        char record[TLS_RECORD_MAX];
        const char *p = (const char *)iov[i].iov_base + offset;
        size_t len = iov[i].iov_len - offset;
        if (len < TLS_RECORD_MAX && i + 1 < n) {
            len = 0;
            size_t from = offset;
            for (int k = i; k < n && len < sizeof(record); k++) {
                size_t part = iov[k].iov_len - from;
                part = part < sizeof(record) - len ? part : sizeof(record) - len;
                memcpy(record + len, (const char *)iov[k].iov_base + from, part);
                len += part;
                from = 0;
            }
            p = record;
        }
        len = len < TLS_RECORD_MAX ? len : TLS_RECORD_MAX;
        if (len == 0) {
            break;
        }
        ERR_clear_error();
        int wrote = SSL_write(s->ssl, p, (int)len);
        if (wrote <= 0) {
            return stream_tls_result(s, wrote, STREAM_RESET) == IO_AGAIN;
        }
        *sent += (size_t)wrote;
        size_t skip = (size_t)wrote;
        while (i < n && skip >= iov[i].iov_len - offset) {
            skip -= iov[i].iov_len - offset;
            offset = 0;
            i++;
        }
        offset += skip;
    }
    return true;
}

static bool write_some(struct stream *s, const struct iovec *iov, int n, size_t *sent)
{
    bool ok = s->ssl != NULL ? write_tls(s, iov, n, sent) : write_plain(s, iov, n, sent);
    s->bytes_out += *sent;
    return ok;
}

static void queue_segment(struct stream *s, const struct segment *seg, size_t skip)
{
    bool copy = seg->release == NULL;
    size_t n = seg->n - skip;
    struct send_node *node = xmalloc(sizeof(*node) + (copy ? n : 0));
    *node = (struct send_node){.n = n, .release = seg->release, .owner = seg->owner};
    if (copy) {
        char *own = (char *)(node + 1);
        memcpy(own, (const char *)seg->p + skip, n);
        node->p = own;
    } else {
        node->p = (const char *)seg->p + skip;
    }
    if (s->q_tail != NULL) {
        s->q_tail->next = node;
    } else {
        s->q_head = node;
    }
    s->q_tail = node;
    s->pending += n;
}

static void segment_done(const struct segment *seg)
{
    if (seg->release != NULL) {
        seg->release(seg->owner);
    }
}

/* Can bytes be handed to the kernel right now, without overtaking queued ones? */
static bool can_write_now(const struct stream *s)
{
    return s->q_head == NULL && !s->connecting && !s->handshaking && !s->corked;
}

void stream_send(struct stream *s, const struct segment *segs, size_t n)
{
    size_t sent = 0;
    if (s->fd < 0 || s->broken || s->write_failed || s->shut) {
        for (size_t i = 0; i < n; i++) {
            segment_done(&segs[i]);
        }
        return;
    }
    if (can_write_now(s)) {
        struct iovec iov[SEGMENTS_MAX];
        for (size_t i = 0; i < n; i++) {
            iov[i].iov_base = (void *)(uintptr_t)segs[i].p;
            iov[i].iov_len = segs[i].n;
        }
        if (!write_some(s, iov, (int)n, &sent)) {
            for (size_t i = 0; i < n; i++) {
                segment_done(&segs[i]);
            }
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (sent >= segs[i].n) {
            sent -= segs[i].n;
            segment_done(&segs[i]);
        } else {
            queue_segment(s, &segs[i], sent);
            sent = 0;
        }
    }
    if (s->q_head != NULL) {
        stream_arm(s);
    }
}

void stream_cork(struct stream *s)
{
    s->corked = true;
}

void stream_uncork(struct stream *s)
{
    if (s->corked) {
        loop_defer(s->loop, &s->deferred);
    }
}

int64_t stream_delivered(const struct stream *s)
{
    int queued = 0;
    if (s->fd >= 0 && ioctl(s->fd, TIOCOUTQ, &queued) != 0) {
        queued = 0;
    }
    return (int64_t)s->bytes_out - queued;
}

void stream_finish_shutdown(struct stream *s)
{
    if (s->ssl != NULL) {
        ERR_clear_error();
        SSL_shutdown(s->ssl);
    }
    shutdown(s->fd, SHUT_WR);
}

void stream_shutdown(struct stream *s)
{
    if (s->fd < 0 || s->broken || s->write_failed || s->shut) {
        return;
    }
    s->shut = true;
    if (s->q_head == NULL && !s->connecting && !s->handshaking) {
        stream_finish_shutdown(s);
    }
}

static void queue_consume(struct stream *s, size_t sent)
{
    s->pending -= sent;
    while (s->q_head != NULL && sent >= s->q_head->n) {
        struct send_node *node = s->q_head;
        sent -= node->n;
        s->q_head = node->next;
        if (s->q_head == NULL) {
            s->q_tail = NULL;
        }
        node_free(node);
    }
    if (s->q_head != NULL) {
        s->q_head->p += sent;
        s->q_head->n -= sent;
    }
}

bool stream_flush(struct stream *s)
{
    struct iovec iov[FLUSH_IOV];
    int n = 0;
    size_t sent;
    for (struct send_node *node = s->q_head; node != NULL && n < FLUSH_IOV; node = node->next) {
        iov[n].iov_base = (void *)(uintptr_t)node->p;
        iov[n++].iov_len = node->n;
    }
    if (n == 0) {
        return false;
    }
    if (!write_some(s, iov, n, &sent)) {
        stream_queue_release(s);
        stream_arm(s);
        return false;
    }
    queue_consume(s, sent);
    if (s->q_head == NULL) {
        if (s->shut) {
            stream_finish_shutdown(s);
        }
        stream_arm(s);
    }
    return sent > 0;
}
