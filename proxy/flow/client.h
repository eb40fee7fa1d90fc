/*
 * One client connection: finds the heads in its input, has one request at a time answered,
 * feeds that request its body, and keeps, lingers or closes. Pipelined requests wait in the
 * input buffer (bounded), so answers keep their order.
 *
 * Ownership: the worker's list has the client; the client has at most one request. Everything
 * on the worker's thread. Ended by client_close() only; freed at the end of the turn.
 */
#ifndef FLOW_CLIENT_H
#define FLOW_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/str.h"
#include "base/stream.h"
#include "http/guard.h"

struct request;
struct stall;
struct tunnel;
struct worker;

enum client_state {
    CLIENT_PROXY,   /* the PROXY protocol's header is expected */
    CLIENT_IDLE,    /* between requests */
    CLIENT_HEAD,    /* part of a head has come */
    CLIENT_REQUEST, /* a request is being answered */
    CLIENT_TUNNEL,  /* bytes go through (upgraded) */
    CLIENT_LINGER,  /* our side has ended; the peer's bytes are discarded for a moment */
    CLIENT_CLOSED,
};

struct client {
    struct stream stream;
    struct worker *worker;
    struct client *prev, *next; /* worker's list */
    struct request *request;    /* the active one, or NULL */
    struct tunnel *tunnel;      /* CLIENT_TUNNEL */
    struct strbuf in;           /* input not consumed yet; empty while idle */
    struct guard guard;         /* progress in the current head */
    struct deadline deadline;   /* for the peer's next bytes, by the state */
    struct stall *stall;        /* for it to take what is queued; NULL: nothing is */
    struct deferred deferred;   /* continue with input; free */
    struct addr_brief peer;     /* after the PROXY protocol */
    SSL *ssl;                   /* waits for the PROXY protocol's header to end; else NULL */
    uint32_t requests;          /* answered so far */
    uint16_t lingered_kb;       /* discarded while lingering */
    uint8_t state;              /* enum client_state */
    bool tls;
    bool counted;     /* in node->peers, under `peer` */
    bool input_ended; /* the peer has shut its side */
    bool body_open;   /* the active request takes body bytes now */
    bool again;       /* deferred: look at the input again */
    bool free_due;    /* deferred: free */
};

/* Takes over an accepted, non-blocking fd that the listener has counted, by its address too
 * where connections_per_ip is set and the PROXY protocol is not to be waited for. */
void client_new(struct worker *worker, int fd, SSL *ssl, const struct addr *peer,
                bool proxy_protocol);

/* Ends the connection; with reset the peer sees RST instead of an orderly end. The request, if
 * any, is told that its client left. */
void client_close(struct client *c, bool reset);

/* The active request has queued its whole answer. keep: the connection may carry another one.
 */
void client_request_done(struct client *c, bool keep);

/* Opens or shuts the flow of body bytes to the active request (back-pressure, 100-continue). */
void client_want_body(struct client *c, bool want);

/* Bytes have been sent on the stream: sees to it that the peer takes them in time. */
void client_sent(struct client *c);

/* The connection becomes a tunnel: the request is over. Returns input that came early. */
struct str client_become_tunnel(struct client *c, struct tunnel *t);

#define CLIENT_SEND_HIGH_WATER (128u * 1024u) /* queued bytes above which producers pause */
#define CLIENT_SEND_LOW_WATER  (32u * 1024u)

#endif
