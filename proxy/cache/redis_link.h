/*
 * One connection to one Redis server, made again whenever it ends: connect, TLS, handshake
 * (AUTH, SELECT, CLIENT SETNAME, ROLE, PING in one write), then commands in order.
 *
 * Replies are matched by order alone, so the connection is closed whenever that may be in
 * doubt: a command's time is over, bytes are malformed, a value is over the cap, a reply comes
 * that nobody asked for. Attempts follow after min(n x step, max) with jitter. Used by
 * redis_peer and redis_ask; belongs to one loop.
 */
#ifndef CACHE_REDIS_LINK_H
#define CACHE_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/stream.h"
#include "cache/redis.h"
#include "cache/redis_command.h"
#include "cache/redis_decoder.h"

struct redis_link;

/* What all links of an instance share. */
struct redis_link_settings {
    struct loop *loop;
    struct tls_client *tls;    /* NULL: plain */
    struct str user, password; /* password empty: no AUTH */
    unsigned database;
    const char *name; /* CLIENT SETNAME; NULL: none */
    bool check_role;  /* a replica is of no use */
    bool reconnect;   /* false: an attempt that fails is the last one */
    size_t max_value;
    size_t max_in_flight;
    msec_t connect_timeout;
    msec_t reconnect_step;
    msec_t reconnect_max;
    struct redis_stats *stats;
};

/* Where to connect to. */
enum redis_locate {
    REDIS_LOCATED,
    REDIS_LOCATE_LATER, /* being found out: redis_link_kick() follows */
    REDIS_LOCATE_FAILED,
};

/* Why a connection (or an attempt) ended. */
enum redis_link_end {
    REDIS_END_CONNECT,  /* no connection: refused, unreachable, no address, TLS, time over */
    REDIS_END_REFUSED,  /* connected, but the handshake was answered with an error, or is a
                           replica: the class is in `error` */
    REDIS_END_CLOSED,   /* it was ready, and the server ended it */
    REDIS_END_TIMEOUT,  /* it was ready, and a command got no answer in time */
    REDIS_END_PROTOCOL, /* malformed, too large, unasked for */
    REDIS_END_ASKED,    /* redis_link_drop() */
};

/* All called from the loop. */
struct redis_link_ops {
    /* The address to connect to now, and the name to verify there. On failure a text. */
    enum redis_locate (*locate)(struct redis_link *l, struct addr *to, const char **name,
                                const char **why);
    void (*up)(struct redis_link *l); /* ready for commands */
    /* Before the commands in flight are ended. l->why says it in words. */
    void (*down)(struct redis_link *l, enum redis_link_end end, enum redis_error error);
};

enum redis_link_state {
    REDIS_LINK_IDLE,       /* never started, or stopped */
    REDIS_LINK_LOCATING,   /* waits for a kick */
    REDIS_LINK_WAITING,    /* until the next attempt */
    REDIS_LINK_CONNECTING, /* connect and TLS */
    REDIS_LINK_HANDSHAKE,
    REDIS_LINK_READY,
};

struct redis_link {
    const struct redis_link_settings *settings;
    const struct redis_link_ops *ops;
    enum redis_link_state state;
    struct stream stream;
    struct redis_decoder *decoder;   /* of this connection */
    uint64_t connection;             /* its number, unique in the process */
    struct redis_queue sent;         /* in the order of their replies */
    struct redis_command *unwritten; /* first of `sent` that is not written yet; or NULL */
    size_t unwritten_bytes;          /* of those */
    struct redis_queue waiting;      /* for a connection */
    struct deferred flush;           /* writes at the end of the turn */
    struct deadline timer;           /* of the attempt, or until the next one */
    unsigned attempts;               /* in a row that came to nothing */
    msec_t ready_at;                 /* when it last became ready */
    msec_t heard_at;                 /* when the last bytes came */
    uint32_t random;                 /* for the jitter */
    const char *name;                /* to verify; from locate */
    enum redis_error refusal;        /* first error of the handshake */
    unsigned steps;                  /* replies of the handshake still to come */
    char why[160];                   /* the last end in words */
};

void redis_link_init(struct redis_link *l, const struct redis_link_settings *settings,
                     const struct redis_link_ops *ops);

/* Closes it; its commands end without a call. Not from inside one of its callbacks. */
void redis_link_fini(struct redis_link *l);

/* Begins to connect and to keep connected; does nothing when it has begun already. */
void redis_link_start(struct redis_link *l);

/* Attempts now what would be attempted later (LOCATING, WAITING). */
void redis_link_kick(struct redis_link *l);

/* Ends the connection (commands in flight are LOST) and makes a new one: the server is not the
 * one that it should be, or does not do what it should. */
void redis_link_drop(struct redis_link *l, const char *why);

/* Ends the connection and makes no new one; whoever waits for one is NOT_SENT. Not from inside
 * one of its callbacks. */
void redis_link_stop(struct redis_link *l, const char *why);

/*
 * Sends c, with its time in ms; `end` follows. wait: without a connection it waits for one.
 * False: refused (no connection, too much in flight), c is still the caller's.
 */
bool redis_link_send(struct redis_link *l, struct redis_command *c, msec_t timeout, bool wait)
    __attribute__((warn_unused_result));

static inline bool redis_link_ready(const struct redis_link *l)
{
    return l->state == REDIS_LINK_READY;
}

static inline size_t redis_link_load(const struct redis_link *l)
{
    return l->sent.n + l->waiting.n;
}

#endif
