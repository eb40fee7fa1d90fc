/*
 * The exchange's own state, shared by fetch.c (attempts, retries, the end), fetch_body.c (what
 * is sent) and fetch_answer.c (what comes back). Private to them.
 */
#ifndef UPSTREAM_FETCH_STATE_H
#define UPSTREAM_FETCH_STATE_H

#include "base/arena.h"
#include "base/loop.h"
#include "base/str.h"
#include "http/body.h"
#include "http/guard.h"
#include "http/msg.h"
#include "upstream/fetch.h"
#include "upstream/pool.h"

#define FETCH_ARENA_FIRST 2048

enum fetch_state {
    STATE_IDLE,
    STATE_BACKOFF,
    STATE_CONNECTING,
    STATE_AWAITING, /* request going out or gone, no final head yet */
    STATE_BODY,
    STATE_ENDED,
};

/* One exchange. Everything on the thread of the pool's loop. */
struct fetch {
    struct fetch *prev, *next; /* of the pool's exchanges */
    struct pool *pool;
    struct loop *loop;
    struct origins *origins;
    struct origin *origin;
    struct fetch_request request;
    const struct fetch_ops *ops;
    void *owner;
    enum fetch_state state;
    struct upconn *uc;            /* lent connection of this attempt */
    struct origin_server *server; /* of the last attempt */
    struct deadline phase;        /* connect, first byte, idle or back-off */
    struct deadline total;
    struct deferred deferred;     /* start failure, `writable`, freeing */
    enum fetch_error start_error; /* to be delivered from the loop */
    uint64_t tried;               /* servers that failed, by index */
    unsigned attempts;            /* counted retries so far */
    unsigned stale_conns;         /* reused connections that turned out closed */
    unsigned interims;
    uint64_t out_mark; /* stream.bytes_out at the start of the attempt */
    msec_t request_time;
    bool sent_any;      /* over all attempts */
    bool got_byte;      /* of an answer, this attempt */
    bool body_ended;    /* the owner has sent its last piece */
    bool tell_writable; /* deliver `writable` from the loop */
    bool replay_lost;   /* the request body outgrew the replay buffer */
    bool paused;
    bool surplus;  /* bytes came behind the answer that nobody asked for */
    bool aborting; /* fetch_abort_all() has come across it */
    bool freed;
    bool complete;        /* `done` was called, or is about to be */
    struct strbuf replay; /* request body as sent, for a retry */
    struct guard guard;
    struct strbuf in; /* a head that has not arrived whole */
    struct msg msg;
    struct body body;
    struct str early; /* bytes after a 101 */
    struct arena arena;
    char first[FETCH_ARENA_FIRST];
};

/* fetch.c: this attempt has failed; goes on to the next one, or ends the exchange. */
void fetch_attempt_failed(struct fetch *f, enum fetch_error e);
/* fetch.c: ends the exchange and tells the owner. */
void fetch_finish(struct fetch *f, enum fetch_error e);
/* fetch.c: gives the connection up: for reuse if `clean`, else closed. */
void fetch_release_conn(struct fetch *f, bool clean);
/* fetch.c: the server has answered. */
void fetch_note_success(struct fetch *f);

/* fetch_body.c: the connection took output; the body may go on. */
void fetch_on_written(struct stream *s);
/* fetch_answer.c: bytes of the answer, or the end. */
void fetch_on_readable(struct stream *s);

/* The exchange that a lent connection's stream belongs to. */
static inline struct fetch *fetch_of(struct stream *s)
{
    return container_of(s, struct upconn, stream)->user;
}

static inline void fetch_send_segment(struct fetch *f, const void *p, size_t n)
{
    struct segment seg = {.p = p, .n = n};
    stream_send(&f->uc->stream, &seg, 1);
}

#endif
