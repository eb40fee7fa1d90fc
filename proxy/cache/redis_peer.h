/*
 * One role at one server: the link, its breaker, the probe that closes the breaker again, and
 * what the errors of commands mean for them. The facade has one for each role, a cluster one
 * for each role and node. Belongs to one loop.
 *
 * Usable means: the link is ready and the breaker lets commands through. A link that comes back
 * after attempts that failed is proof enough to close the breaker; a server that accepts
 * connections but no commands has to wait for the probe, off the request path. A connection in
 * use is asked once a second whether its server is still a master, a silent one now and then
 * whether it is still there.
 */
#ifndef CACHE_REDIS_PEER_H
#define CACHE_REDIS_PEER_H

#include <stdbool.h>

#include "cache/redis_breaker.h"
#include "cache/redis_health.h"
#include "cache/redis_link.h"
#include "cache/redis_place.h"

struct redis_peer;

struct redis_peer_ops {
    /* As redis_link_ops.locate. */
    enum redis_locate (*locate)(struct redis_peer *p, struct addr *to, const char **name,
                                const char **why);
    void (*changed)(struct redis_peer *p, bool up); /* the connection came or went */
    /* The server may be the wrong one, or there is none: a reason to look again where it is. */
    void (*suspect)(struct redis_peer *p);
};

struct redis_peer {
    struct redis_link link;
    struct redis_breaker breaker;
    const struct redis_peer_ops *ops;
    void *owner;
    enum redis_role role;
    struct redis_health *health; /* borrowed */
    char server[128];            /* for the log */
    bool usable;
    enum redis_breaker_state told; /* the breaker's state as the health knows it */
    bool attempt_failed;           /* since the link was last ready */
    struct deadline probe;         /* when the breaker wants to know */
    struct deadline watch;         /* a connection in use is asked for its role */
    bool no_role;                  /* the server does not let us ask */
    struct deadline idle;          /* a silent connection is asked whether it is still there */
};

void redis_peer_init(struct redis_peer *p, const struct redis_link_settings *link,
                     const struct redis_breaker_settings *breaker, struct redis_health *health,
                     const struct redis_peer_ops *ops, void *owner, enum redis_role role,
                     const char *server);
void redis_peer_fini(struct redis_peer *p);

/* The server's name for the log; not while it is usable. */
void redis_peer_set_server(struct redis_peer *p, const char *server);

/* It is not known where the server is: as an attempt to connect that came to nothing. */
void redis_peer_lost(struct redis_peer *p, const char *why);

/* Sends if the breaker lets it; as redis_link_send. */
bool redis_peer_send(struct redis_peer *p, struct redis_command *c, msec_t timeout, bool wait)
    __attribute__((warn_unused_result));

/* How a command that was sent by redis_peer_send ended; may drop the link. Returns what the
 * error asks for (NONE when there was none). */
enum redis_remedy redis_peer_note(struct redis_peer *p, enum redis_outcome outcome,
                                  const struct redis_reply *reply);

#endif
