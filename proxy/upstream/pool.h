/*
 * Upstream connections of one worker: keep-alive lists by server, and the hygiene of reuse
 * (F22): a connection goes back only after a complete exchange without surplus bytes, and one
 * that shows any sign of life while idle is closed.
 *
 * Ownership: a connection is either idle (the pool's, on its list) or lent to exactly one
 * fetch.
 */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/stream.h"
#include "upstream/origin.h"

/* One connection to an upstream server. */
struct upconn {
    struct stream stream;
    struct pool *pool;
    struct origins *origins; /* a reference: keeps server valid */
    struct origin_server *server;
    struct upconn *prev, *next; /* idle list */
    struct deadline idle;       /* end of its time in the list */
    struct deferred dead;       /* deferred free */
    void *user;                 /* the fetch that has it; NULL when idle */
    unsigned exchanges;         /* finished ones; 0: fresh */
    bool listed;                /* on an idle list */
};

struct fetch;
struct pool;

struct pool *pool_new(struct loop *loop) __attribute__((warn_unused_result));
/* Closes everything idle. No connection may be lent any more. */
void pool_free(struct pool *p);

/* The loop it runs on. */
struct loop *pool_loop(const struct pool *p);

/* An idle connection to this server that looks clean, or NULL. */
struct upconn *pool_get(struct pool *p, struct origin_server *server);

/* A new connection, connecting; its ops are the caller's. NULL when the server has no address.
 */
struct upconn *pool_connect(struct pool *p, struct origins *origins,
                            struct origin_server *server, const struct stream_ops *ops,
                            void *user);

/* Back for reuse; the caller vouches for a complete, clean exchange. */
void pool_put(struct upconn *uc);

/* Closes a lent or idle connection; freed at the end of the turn. */
void upconn_close(struct upconn *uc, bool reset);

/* Closes idle connections of every configuration but this one (reload). */
void pool_drop_others(struct pool *p, const struct origins *keep);

size_t pool_idle(const struct pool *p);

/* Connections that are not closed, lent or idle. Any thread. */
uint64_t pool_open(const struct pool *p);

/* Where upstream/fetch keeps the list of exchanges under way on this pool. */
struct fetch **pool_fetches(struct pool *p);

#endif
