/*
 * One exchange with an upstream: picks a server, borrows or opens a connection, sends the
 * request (body streamed by the owner), parses the answer strictly and hands it over piece by
 * piece. Retries where that is safe: only before the first byte of an answer, only idempotent
 * or repeatable requests (or when not a byte was sent), within the budget.
 *
 * Knows nothing of caches or clients. Callbacks come from the loop, never from inside a fetch_
 * call. After `done` or `failed` the owner calls fetch_free(); fetch_free() at any other time
 * cancels. A malformed answer is a failure (RFC 9112 section 6.3; hardening F21).
 */
#ifndef UPSTREAM_FETCH_H
#define UPSTREAM_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/msg.h"
#include "settings.h"
#include "upstream/pool.h"

struct fetch;

enum fetch_error {
    FETCH_OK,
    FETCH_NO_SERVER, /* no server of the group is available */
    FETCH_CONNECT,   /* no connection (refused, unreachable, TLS) */
    FETCH_TIMEOUT,   /* a deadline passed */
    FETCH_BAD,       /* a malformed answer */
    FETCH_RESET,     /* the connection ended before the answer was complete */
};

struct fetch_ops {
    /* The request body may be sent (the connection stands), or go on after fetch_body_full().
     */
    void (*writable)(struct fetch *f);
    /* A 1xx answer other than 100 and 101; forwarded, never stored. May be NULL. */
    void (*interim)(struct fetch *f, const struct msg *m);
    /* The final head; valid until fetch_free(). */
    void (*head)(struct fetch *f, const struct msg *m);
    /* A decoded piece of the body; valid during the call only. */
    void (*data)(struct fetch *f, struct str piece);
    void (*done)(struct fetch *f);
    void (*failed)(struct fetch *f, enum fetch_error e);
    /* 101 to a request with `upgrade`: the connection is the owner's now (fetch_take). */
    void (*upgraded)(struct fetch *f, const struct msg *m);
};

/* What to send. Slices must live until the fetch is freed. */
struct fetch_request {
    enum method method;
    struct str head;              /* complete, with the empty line */
    enum framing body;            /* FRAMING_NONE, _LENGTH or _CHUNKED */
    bool repeatable;              /* a read, whatever its method: may be sent again */
    bool upgrade;                 /* a 101 may follow */
    struct origin_server *pinned; /* ask this server and no other, whatever its marks say, and
                                     leave no mark (health checks); NULL: origin_pick() */
    struct timeout_settings timeout;
    unsigned retries;   /* further attempts */
    size_t head_limit;  /* bytes of an answer's head */
    size_t count_limit; /* its field lines */
    size_t line_limit;  /* one field line */
};

struct fetch *fetch_new(struct pool *pool, struct origins *origins, struct origin *origin,
                        const struct fetch_request *request, const struct fetch_ops *ops,
                        void *owner) __attribute__((warn_unused_result));
/* Begins; the first callback comes from the loop. */
void fetch_start(struct fetch *f);
void fetch_free(struct fetch *f);

void *fetch_owner(const struct fetch *f);
void fetch_set_owner(struct fetch *f, const struct fetch_ops *ops, void *owner);

/* A decoded piece of the request body; framed here. Only after `writable` was called. */
void fetch_send(struct fetch *f, struct str piece);
/* The request body is complete. */
void fetch_send_end(struct fetch *f);
/* Should the owner stop feeding the body (until `writable`)? */
bool fetch_body_full(const struct fetch *f);

/* Back-pressure on the answer's body: no data callbacks while paused (but for what one read
 * already holds). */
void fetch_pause(struct fetch *f);
void fetch_resume(struct fetch *f);

/* Was any byte of the request handed to a server (an unknown outcome counts as done)? */
bool fetch_sent_any(const struct fetch *f);
/* Was any of it handed over in an attempt before the one that is answered? */
bool fetch_sent_before(const struct fetch *f);
/* Has the whole request been handed to the kernel? */
bool fetch_request_done(const struct fetch *f);
/* The final head, once `head` was called. */
const struct msg *fetch_msg(const struct fetch *f);
/* Did the exchange come to its complete answer (`done`)? */
bool fetch_complete(const struct fetch *f);
/* Did bytes follow the complete answer that nobody asked for? It may not be what it seems
 * (hardening F22): not to be stored. */
bool fetch_surplus(const struct fetch *f);
/* The server of the last attempt, for the log; NULL before the first. */
const struct origin_server *fetch_server(const struct fetch *f);
/* Wall and monotonic time at which the last attempt's request went out (RFC 9111 4.2.3). */
msec_t fetch_request_time(const struct fetch *f);

/* Ends every exchange on this pool as FETCH_RESET, without a retry (the end of a drain); calls
 * their `failed`. Not from inside a callback of a fetch. */
void fetch_abort_all(struct pool *pool);

/* After `upgraded`: takes the connection; bytes that came after the 101 are in *early (valid
 * until fetch_free). */
struct upconn *fetch_take(struct fetch *f, struct str *early);

#endif
