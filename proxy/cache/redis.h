/*
 * Redis for one thread: connections, reconnects, breakers, Sentinel and Cluster behind one
 * function that sends a command and one callback that brings its end.
 *
 * Everything of an instance belongs to its loop's thread: each worker has one, the journal's
 * thread has one. Nothing here blocks, nothing a server sends can crash or mix up replies: one
 * connection answers in order, and it is closed whenever that order may be in doubt (a timeout,
 * a malformed byte, a value over the cap). Commands are never repeated behind the caller's
 * back, except where a cluster said that it has not run them (MOVED, ASK, TRYAGAIN).
 *
 * Each role has connections and a breaker of its own, so that a blocking read never delays a
 * GET, and a slow lease never opens the breaker of the data.
 */
#ifndef CACHE_REDIS_H
#define CACHE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/stream.h"
#include "cache/redis_reply.h"
#include "config/redis_url.h"

struct loop;
struct redis;
struct redis_command;
struct redis_health;
struct resolver;
struct tls_client;

enum redis_role {
    REDIS_DATA,    /* entries: GET, SET, UNLINK */
    REDIS_JOURNAL, /* the journal's short commands: append, epoch, registration */
    REDIS_FOLLOW,  /* the journal's blocking reads: XREAD BLOCK */
    REDIS_LEASE,   /* leases across nodes */
    REDIS_WAKE,    /* blocking waits for leases */
    REDIS_LOOK,    /* what people look at: SCAN, and values in full */
    REDIS_ROLES
};

/* How a command ended. Whatever it was, the connection layer has done its own part already. */
enum redis_outcome {
    REDIS_ANSWERED,  /* reply is the answer, not an error */
    REDIS_DENIED,    /* reply is an error line; reply->error says which */
    REDIS_TIMED_OUT, /* no answer in time; it may or may not have run */
    REDIS_LOST,      /* the connection ended before the answer; it may or may not have run */
    REDIS_NOT_SENT,  /* certainly not run: no connection within its time */
    REDIS_OUTCOMES
};

struct redis_result {
    enum redis_outcome outcome;
    const struct redis_reply *reply; /* ANSWERED, DENIED: valid until the callback returns */
    uint64_t connection; /* ANSWERED, DENIED: number of the connection that brought it; a new
                            number means that the server may be another one, or restarted */
};

/* Called once for each command, from the loop, never from inside redis_command(). May send and
 * cancel commands, but not call redis_free(). */
typedef void redis_done_fn(void *ctx, const struct redis_result *result);

/* One command. Arguments are byte strings (binary-safe); one with a release function is sent
 * from where it lies without being copied, and released once when it is not needed any more. */
struct redis_call {
    enum redis_role role;
    const struct segment *argv; /* argv[0] is the command's name */
    size_t argc;
    size_t key;   /* index in argv of the key, which decides the cluster's node; 0: none */
    bool at_slot; /* without a key, but for the master of `slot` */
    uint16_t slot;
    msec_t timeout;      /* from now; > 0. A blocking command: its block time and a bit more */
    bool wait;           /* may wait for a connection within its time; otherwise it is refused
                            at once when there is none */
    bool writes;         /* that it goes well proves that the server takes writes: a full
                            one still deletes, and runs scripts that find nothing to write */
    redis_done_fn *done; /* NULL: nobody waits for the end */
    void *ctx;
};

#define REDIS_ARG(literal) ((struct segment){.p = ("" literal), .n = sizeof(literal) - 1})

static inline struct segment redis_arg(struct str s)
{
    return (struct segment){.p = s.p, .n = s.n};
}

/* Tells that a role's connection was made (up: ready for commands) or lost. In a cluster for
 * each node, whose number of connection redis_result repeats. From the loop. */
typedef void redis_state_fn(void *ctx, enum redis_role role, bool up);

/* Zero means the default throughout. */
struct redis_options {
    const struct redis_target *target; /* must outlive the instance */
    struct resolver *resolver;         /* for host names; may be NULL when all are literal */
    struct tls_client *tls; /* from redis_tls_new() when target->tls; a reference is taken */
    struct redis_health *health; /* shared by the instances of a process; a reference is taken;
                                    NULL: an own one */
    const char *name;            /* CLIENT SETNAME, without blanks; default "larder" */
    unsigned roles;              /* mask 1u << role: connected from the start and always kept;
                                    others begin with their first command, even if that
                                    one is refused. In a cluster: to every node */
    size_t max_value;            /* longest string of a reply; longer: closed before it is read.
                                    Default 1 MiB + 64 KiB */
    size_t max_in_flight;        /* commands of one connection; default 1000 */
    msec_t connect_timeout;      /* connect, TLS and handshake together; default 1 s */
    msec_t reconnect_step;       /* n-th attempt waits min(n x step, max), jittered; 50 ms */
    msec_t reconnect_max;        /* 2 s */
    unsigned breaker_failures;   /* consecutive failures that open it; default 5 */
    unsigned breaker_percent;    /* failures among the last window that open it; default 50 */
    unsigned breaker_window;     /* default 20, at most 64 */
    msec_t breaker_min;          /* first back-off until a probe; default 250 ms */
    msec_t breaker_max;          /* longest; default 5 s */
    msec_t sentinel_poll;        /* how often Sentinel is asked while all is well; 5 s */
    redis_state_fn *on_state;    /* may be NULL */
    void *ctx;
};

/* What the instance has done since it was made. */
struct redis_stats {
    uint64_t commands; /* accepted by redis_command() */
    uint64_t refused;  /* NULL from redis_command() */
    uint64_t outcomes[REDIS_OUTCOMES];
    uint64_t errors[REDIS_ERRORS]; /* error lines by class, redirects included */
    uint64_t connects;             /* connections that became ready */
    uint64_t disconnects;          /* of these, how many ended */
    uint64_t failed_connects;      /* attempts that did not become ready */
    uint64_t protocol_errors;      /* connections closed because of malformed replies */
    uint64_t too_large;            /* … because of a value over max_value */
    uint64_t breaker_opened;
    uint64_t redirects; /* MOVED and ASK followed */
    uint64_t bytes_in, bytes_out;
    size_t in_flight; /* now */
};

/* TLS context for a target: verification, CA, client certificate. NULL with a message. */
struct tls_client *redis_tls_new(const struct redis_target *t, char *error, size_t cap)
    __attribute__((warn_unused_result));

/* Starts connecting and returns; Redis may be absent for as long as it likes. Never NULL. */
struct redis *redis_new(struct loop *loop, const struct redis_options *options)
    __attribute__((warn_unused_result));

/* Commands under way end without a callback. Not from inside a callback of this instance. */
void redis_free(struct redis *r);

/*
 * Sends a command; all of one turn of the loop leave in one write. Returns a handle that is
 * valid until `done` is called, or NULL when it is refused at once (no connection and !wait,
 * breaker open, too many in flight): then `done` is not called. Arguments are released or
 * copied in any case.
 */
struct redis_command *redis_command(struct redis *r, const struct redis_call *call);

/* Forgets about the end of a command: `done` is not called any more. It may still run. */
void redis_cancel(struct redis_command *c);

/* Would a command of this role be sent now? In a cluster: to at least one node. */
bool redis_ready(const struct redis *r, enum redis_role role);

/* One slot of each master that is known; the first one is the master of `first`. Without a
 * cluster that slot alone. Returns how many, at most cap; 0 while nothing is known. */
size_t redis_masters(const struct redis *r, uint16_t first, uint16_t *slots, size_t cap);

void redis_stats_get(const struct redis *r, struct redis_stats *out);

#endif
