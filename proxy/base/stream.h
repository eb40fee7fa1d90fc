/*
 * A non-blocking byte stream over one socket, plain or TLS: the only place that reads, writes
 * or polls a connection. Knows nothing of what the bytes mean.
 *
 * Embedded in its owner (a client, an upstream connection, a Redis link), which finds itself
 * with container_of. All calls and callbacks on the loop's thread. Callbacks come from the loop
 * only, never from inside a stream_ call; an error met while sending is delivered by `failed`
 * at the end of the turn. After stream_close() no callback comes any more; outside a callback
 * of the stream itself its memory may go away at once. Zero-initialise it before the first use.
 */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/addr.h"
#include "base/loop.h"

struct stream;

enum stream_error {
    STREAM_OK,
    STREAM_REFUSED,   /* connect failed: errno in s->error_number */
    STREAM_HANDSHAKE, /* TLS handshake or verification failed, or cut short; text in the log */
    STREAM_RESET,     /* reset or another I/O error */
    STREAM_TRUNCATED, /* TLS ended without close_notify */
};

/* Domain events. `failed` and `readable` are required. */
struct stream_ops {
    void (*connected)(struct stream *s); /* connect and TLS handshake are done */
    void (*readable)(struct stream *s);  /* bytes or the end can be read */
    void (*written)(struct stream *s);   /* queued output made progress; s->pending remains */
    void (*failed)(struct stream *s, enum stream_error e); /* of no use any more: close it */
};

enum io_result {
    IO_OK,    /* *n bytes, more than zero */
    IO_AGAIN, /* nothing now; readable follows */
    IO_EOF,   /* the peer ended its side in an orderly way */
    IO_ERROR, /* broken; `failed` follows too */
};

/* A piece of output. Without release, what cannot be sent at once is copied; with it, the bytes
 * stay where they are and release(owner) is called exactly once when they are no longer needed.
 */
struct segment {
    const void *p;
    size_t n;
    void (*release)(void *owner);
    void *owner;
};

struct send_node;

struct stream {
    struct loop *loop;
    const struct stream_ops *ops;
    struct event event;       /* the fd's registration */
    int fd;                   /* -1: closed */
    short armed;              /* EV_READ | EV_WRITE as registered */
    bool want_read;           /* the owner takes input */
    bool connecting;          /* connect under way */
    bool handshaking;         /* TLS handshake under way */
    bool broken;              /* an error was met; `failed` is due or delivered */
    bool write_failed;        /* output is broken; input is read once more, then `failed` */
    bool tls_wants_write;     /* SSL_read needs the socket writable */
    bool corked;              /* output is kept back: stream_cork() */
    bool shut;                /* our side is to end when the queue is empty */
    uint8_t error;            /* enum stream_error to deliver */
    int error_number;         /* errno of the error */
    SSL *ssl;                 /* NULL: plain */
    struct send_node *q_head; /* queued output */
    struct send_node *q_tail;
    size_t pending;           /* bytes queued */
    uint64_t bytes_in;        /* payload read since open */
    uint64_t bytes_out;       /* payload accepted by the kernel since open */
    struct deferred deferred; /* error or TLS-pending delivery; the end of corking */
};

/* What the kernel holds of a connection that stream_connect() opened beyond what it could send
 * already. By itself it takes megabytes, and tells of progress only after megabytes: too late
 * for the deadline of a slow peer. Clients' connections are left to it: large answers then cost
 * a fifth less. */
#define STREAM_UNSENT_MAX (128 * 1024)

/* Sets a TCP socket up for streams: no delay, which what a listening socket accepts inherits.
 * Nothing happens to other sockets. */
void stream_tune(int fd);

/* Takes over a connected fd (non-blocking). ssl: a session made for this fd, or NULL; the
 * stream owns it. accepting: server side. Reading is enabled. */
void stream_open(struct stream *s, struct loop *l, const struct stream_ops *ops, int fd,
                 SSL *ssl);

/* The peer's next byte begins a TLS handshake (after a PROXY protocol header): `connected`
 * follows. Nothing may be queued; the stream owns the session. */
void stream_start_tls(struct stream *s, SSL *ssl);

/* Starts a connection; `connected` or `failed` follows. The session is made after the socket
 * exists by make_ssl(ctx, fd) (NULL function: plain). */
void stream_connect(struct stream *s, struct loop *l, const struct stream_ops *ops,
                    const struct addr *to, SSL *(*make_ssl)(void *ctx, int fd), void *ctx);

/* Reads up to cap bytes. */
enum io_result stream_read(struct stream *s, void *buf, size_t cap, size_t *n);

/* Enables or disables `readable`. Disabling costs nothing until something arrives. */
void stream_want_read(struct stream *s, bool want);

/* Sends or queues the segments in order, taking over their owners. Never fails visibly. At most
 * 8 segments. */
void stream_send(struct stream *s, const struct segment *segs, size_t n);

/* Keeps output back, so that what is sent in pieces leaves as one, until stream_uncork(): then
 * it goes out at the end of the turn, behind whatever else the turn still sends. */
void stream_cork(struct stream *s);
void stream_uncork(struct stream *s);

/* Payload that has left this machine's socket for good: taken by the peer's kernel. With TLS
 * and on Unix sockets an estimate, of use for differences only. */
int64_t stream_delivered(const struct stream *s);

/* Ends our side in an orderly way once the queue is empty (shutdown or close_notify). */
void stream_shutdown(struct stream *s);

/* Closes at once, releases the queue. With reset, the peer sees RST (an aborted answer must not
 * look complete). Idempotent. */
void stream_close(struct stream *s, bool reset);

/* Is there anything to read or an end, right now, without consuming it? (Reuse hygiene.) */
bool stream_peek_dirty(struct stream *s);

static inline bool stream_is_open(const struct stream *s)
{
    return s->fd >= 0 && !s->broken && !s->write_failed;
}

#endif
