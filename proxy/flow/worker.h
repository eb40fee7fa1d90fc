/*
 * One worker thread: its loop, its listeners, its clients and its upstream connections. All of
 * it belongs to the worker's thread; other threads talk to it through worker_reload() and
 * worker_drain(), which post mail.
 */
#ifndef FLOW_WORKER_H
#define FLOW_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/str.h"
#include "flow/listener.h"
#include "flow/node.h"
#include "upstream/pool.h"

struct accesslog_writer;
struct client;
struct redis_worker;
struct request;
struct settling;
struct stats_cell;
struct stats_worker;
struct recent;
struct top;

/* A worker's use of one runtime: counts requests without touching shared memory. */
struct config_use {
    struct runtime *runtime; /* one reference for the whole worker */
    struct worker *worker;
    unsigned requests;         /* requests and fetches of it that are not finished */
    bool retired;              /* a newer one has taken its place */
    struct stats_cell **cells; /* the worker's counters by route number; NULL: not used yet */
    struct mail drop;          /* gives the reference back on the control thread */
};

/* The Host that was validated last, by its bytes as sent. */
struct host_memo {
    char raw[96];   /* the field's value; its name and port are slices of it */
    uint8_t n;      /* its length; 0: nothing is remembered */
    uint8_t name_n; /* length of the name at its start */
    uint8_t port_n; /* length of the port at its end; 0: none, or the default one */
    bool tls;       /* which default port was meant */
};

struct worker {
    struct loop *loop;
    struct node *node;
    struct config_use *config;  /* the current one */
    struct redis_worker *redis; /* NULL: memory only */
    struct pool *pool;
    struct stats_worker *stats;      /* its counters; the node's */
    struct recent *recent;           /* its last requests, where there is an admin plane */
    struct top *top;                 /* likewise: what it is asked for most */
    struct accesslog_writer *access; /* of the current configuration; NULL: off */
    struct listener **listeners;     /* array */
    size_t n_listeners;
    struct client *clients; /* list of all */
    size_t n_clients;
    struct request *free_requests; /* list of finished ones, to be used again */
    size_t n_free_requests;
    size_t n_uses; /* requests and fetches that are not finished, of every configuration */
    size_t fills;  /* fetches that fill the cache without a client */
    struct settling *settling;     /* invalidations to be repeated: see flow/settle */
    struct settling *settling_all; /* of these the one that stands for many; NULL: none */
    size_t n_settling;
    struct strbuf build; /* text that one step builds; empty between steps */
    unsigned index;
    uint64_t next_id; /* request ids: random start, counted up */
    uint64_t id_salt;
    struct host_memo host_memo;  /* see flow/request */
    bool draining;               /* listeners are closed, clients leave after their answer */
    bool cut;                    /* the drain's limit has passed: everything was aborted */
    bool stopped;                /* the loop has ended or is about to */
    struct deadline drain_end;   /* what runs then is cut */
    struct deadline drain_sweep; /* idle clients are looked for */
    msec_t drain_start;
    struct loop *control; /* of the thread that made the worker */
    struct mail ended;    /* tells it that the thread has ended */
    void (*on_ended)(struct worker *w);
    void *owner; /* whoever made the worker */
    pthread_t thread;
    bool started;
};

/* Makes a worker. fds: one listening socket for each of settings->listens, in their order; the
 * worker owns them. NULL (fds closed) when the kernel refuses a loop. */
struct worker *worker_new(unsigned index, struct node *node, struct runtime *runtime,
                          const int *fds, void *owner) __attribute__((warn_unused_result));

/* Runs the loop on a new thread. `ended` is called on the control loop when that thread is
 * about to end (worker_join() then takes no time). False with errno. */
bool worker_start(struct worker *w, struct loop *control, void (*ended)(struct worker *w))
    __attribute__((warn_unused_result));

/*
 * Any thread: use this runtime for requests from now on (takes a reference). fds as in
 * worker_new(), -1 where the listening socket of the same address stays; sockets of addresses
 * that are gone are closed once what waits in their queues is accepted. done(ctx) is called on
 * the control loop when the worker has changed over.
 */
void worker_reload(struct worker *w, struct runtime *runtime, const int *fds,
                   void (*done)(void *ctx), void *ctx);

/*
 * Any thread: stop accepting, close idle connections, finish what runs within `limit` ms; then
 * the thread ends. May be called again with a shorter limit.
 */
void worker_drain(struct worker *w, msec_t limit);

/* Waits for the thread. All workers are joined before the first one is freed, because they send
 * each other mail. */
void worker_join(struct worker *w);

/* When all workers are joined, or were never started, and before redis_tier_stop(): closes what
 * is left, and applies the invalidations that are still to be repeated, so that other nodes
 * hear of them. Idempotent. */
void worker_end(struct worker *w);

/* Frees a worker that has ended. */
void worker_free(struct worker *w);

/* Same thread: takes and gives back the use of a configuration. */
struct config_use *worker_config_take(struct worker *w);
void worker_config_release(struct config_use *use);

/* Same thread: writes a new request id, lower-case hex digits without NUL. */
#define WORKER_ID_LENGTH 16
void worker_draw_id(struct worker *w, char out[WORKER_ID_LENGTH]);

/* Same thread: called when a client or a fill ends; ends a draining worker when nothing is
 * left. */
void worker_check_drained(struct worker *w);

/* Same thread: file descriptors have run out. Gives back those that nobody uses right now: idle
 * upstream connections, and a few keep-alive connections that have been idle longest. */
void worker_free_fds(struct worker *w);

static inline const struct settings *config_settings(const struct config_use *use)
{
    return use->runtime->settings;
}

#endif
