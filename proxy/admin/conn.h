/*
 * Connections of the admin address: what libevent 2.1's HTTP server does not bound itself
 * (their number, the time of a request), and its input. Every byte from the socket goes through
 * admin/inlet; evhttp is shown a head of ours for each request that is complete, or refused,
 * and keeps connections, answers and their order. Private to admin/; control thread.
 */
#ifndef ADMIN_CONN_H
#define ADMIN_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/bufferevent.h>

#include "admin/inlet.h"
#include "admin/linger.h"
#include "base/loop.h"

struct conns;

struct conn {
    struct conn *prev, *next;
    struct conns *all;
    struct bufferevent *bev;       /* a reference of ours */
    struct evbuffer_cb_entry *tap; /* on its input */
    struct inlet inlet;
    msec_t since; /* loop time of the last change of busy */
    bool busy;    /* a request was shown to evhttp and its answer is not out */
    bool showing; /* what is added to the input is ours */
    bool last;    /* the connection ends with the answer under way */
    bool cut;     /* shut down: only libevent's part of the end is missing */
};

/* All connections of one address. */
struct conns {
    struct loop *loop;
    struct conn *list; /* newest first */
    size_t n;
    struct deadline sweep;
    struct deferred excess; /* a connection too many came */
    struct lingers lingers;
    bool draining;
    void (*drained)(void *ctx); /* draining: the last one is gone; may free this */
    void *ctx;
};

void conns_init(struct conns *all, struct loop *loop);

/* Forgets all; evhttp must be done with them. */
void conns_fini(struct conns *all);

/* The bufferevent for a connection that evhttp has accepted; NULL when there is none. */
struct bufferevent *conns_add(struct conns *all);

/* The connection of a bufferevent, NULL when it is gone. */
struct conn *conns_find(const struct conns *all, const struct bufferevent *bev);

/* No more come. Idle ones are closed, the others when they are answered; then drained(ctx). */
void conns_drain(struct conns *all, void (*drained)(void *ctx), void *ctx);

/* The last byte of an answer is out. */
void conn_answered(struct conn *c);

#endif
