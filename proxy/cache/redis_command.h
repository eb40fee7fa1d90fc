/*
 * One command on its way: encoded once (RESP arrays of bulk strings), kept until it is answered
 * so that a cluster's redirect can send it again, and linked into the queue of the redis_link
 * that has it. Large arguments stay where their owner has them. Inside of the connection layer;
 * users see cache/redis.h. Belongs to the loop's thread.
 */
#ifndef CACHE_REDIS_COMMAND_H
#define CACHE_REDIS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/stream.h"
#include "cache/redis.h"

struct redis_link;
struct redis_parking;

/* The end of a command, called once, from the loop. reply is the link's and freed after it.
 * The reference that was sent is the callee's now. */
typedef void redis_end_fn(struct redis_command *c, enum redis_outcome outcome,
                          const struct redis_reply *reply);

/* An argument that is sent from where it lies. */
struct redis_piece {
    size_t at;          /* goes out after this many bytes of text */
    struct segment arg; /* released with the command */
};

struct redis_command {
    struct redis_command *prev, *next; /* in its link's queue */
    struct redis_link *link;           /* that has it; NULL: none */
    bool sent;                         /* in the queue of those that wait for a reply */
    bool timed_out;                    /* its link is being closed because of it */
    unsigned refs;                     /* its sender, and one for each piece being written */
    redis_end_fn *end;
    struct deadline deadline;

    struct redis *owner; /* for the sender: */
    redis_done_fn *done; /* NULL: nobody waits, or it was cancelled */
    void *ctx;
    bool cancelled;
    bool writes; /* as in struct redis_call */
    enum redis_role role;
    bool any_node;     /* cluster: it has no key */
    bool pausing;      /* cluster: parked for a moment, not until the map is known */
    uint16_t slot;     /* cluster: of its key */
    uint8_t redirects; /* cluster: followed so far */
    struct redis_parking *parking; /* cluster: where it is parked */
    msec_t until;                  /* monotonic and precise: when its time is over */

    struct redis_piece *pieces;
    size_t n_pieces;
    char *text; /* everything but the pieces */
    size_t n_text;
    size_t n_total; /* bytes on the wire */
};

/* Encodes; releases or takes over the arguments. One reference for the caller. */
struct redis_command *redis_command_new(const struct segment *argv, size_t argc,
                                        redis_end_fn *end) __attribute__((warn_unused_result));
struct redis_command *redis_command_ref(struct redis_command *c);
void redis_command_unref(struct redis_command *c);

/* Commands in order, linked through prev and next. */
struct redis_queue {
    struct redis_command *head, *tail;
    size_t n;
};

void redis_queue_push(struct redis_queue *q, struct redis_command *c);
void redis_queue_remove(struct redis_queue *q, struct redis_command *c);

/* Writes c to the stream by way of buf (cap bytes, of which n are in use and go first), so that
 * small commands leave together. Returns how many bytes of buf are in use afterwards; the
 * caller sends these in the end. */
size_t redis_command_write(struct redis_command *c, struct stream *s, char *buf, size_t n,
                           size_t cap);

#endif
