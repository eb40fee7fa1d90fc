/*
 * One request on its way: struct request is the working memory of the steps in tbl/steps.def.
 * Each step is a function that returns MORE (go on with rq->step), WAIT (a callback will call
 * request_run again) or DONE. Belongs to its worker's thread; comes from the worker's free
 * list, its arena holds whatever the steps make.
 */
#ifndef FLOW_REQUEST_H
#define FLOW_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/identity.h"
#include "cache/key.h"
#include "cache/policy.h"
#include "cache/reason.h"
#include "flow/client.h"
#include "flow/flight.h"
#include "flow/pace.h"
#include "flow/route.h"
#include "flow/worker.h"
#include "http/body.h"
#include "http/msg.h"
#include "http/target.h"
#include "upstream/fetch.h"

struct explanation;
struct journal_append;
struct l2_get;
struct lease;
struct refresh_run;

enum step_result {
    STEP_MORE,
    STEP_WAIT,
    STEP_DONE,
};

enum step {
#define STEP(id, function) STEP_##id,
#include "tbl/steps.def"
#undef STEP
    STEP_COUNT
};

/* X-Cache (design section 8). */
enum cache_result {
    CACHE_NONE, /* an answer of Larder itself */
    CACHE_HIT,
    CACHE_MISS,
    CACHE_STALE,
    CACHE_REVALIDATED,
    CACHE_BYPASS,
    CACHE_PASS,
};

/* What the steps note beside their work for a request that is to be explained. */
struct request_notes {
    struct identity_notes identity;
    struct key_notes key;
    const char *problem; /* detail of an answer of Larder's own; NULL: none */
};

#define REQUEST_ARENA 6144

#define REQUEST_CLEARED offsetof(struct request, peer)

struct request {
    struct worker *worker;
    struct client *client; /* NULL after it left */
    struct config_use *config;
    struct request *next_free;
    enum step step;

    /* the request as received and understood */
    struct msg msg;
    struct target target;
    struct host host;
    const struct site_settings *site;
    const struct route_settings *route; /* of the table, or the site's fallback */
    struct body body;                   /* decoder of the request's body */
    uint64_t body_bytes;                /* decoded so far */
    struct pace pace;                   /* of its client, sending the body */
    bool body_done;                     /* the request's body has been read to its end */
    bool continued;                     /* 100 (Continue) has been sent */
    struct strbuf body_text;            /* of it, what was read before the exchange began */
    bool body_keyed;                    /* a read: the whole body is part of the name */
    struct str body_hash;               /* with body_keyed */
    bool tls;
    bool debug;                     /* its answer explains itself: see flow/debug.h */
    struct refresh_run *refreshing; /* it is a scheduled refresh; else NULL */
    struct explanation *explained;  /* nobody's request, only asked about; else NULL */
    struct str id;                  /* request id once request_id() was asked */

    /* caching */
    struct identity_result *identity; /* in the arena; NULL until resolved */
    struct request_notes *notes;      /* what explain wants to know; NULL: nobody asks */
    struct key_query query;
    struct str vary_names;    /* what the name is known to vary on; empty: nothing known */
    unsigned asked_again;     /* fills begun anew because of vary_names */
    const struct msg *view;   /* the request as a fill shows it; NULL until made */
    struct str name;          /* canonical name (with its variant once that is known) */
    struct str base_name;     /* canonical name without variant */
    struct str site_key;      /* the entry's host part */
    uint64_t hash;            /* of (name, site_key) */
    struct entry *stale;      /* a reference: may serve if the origin fails, or validates */
    bool stale_ok;            /* it may serve if the origin fails */
    bool validating;          /* the fill carries its validators */
    struct l2_get *l2;        /* a question to Redis under way */
    char seen[8];             /* mark of what it found (cache/l2) */
    uint8_t seen_n;           /* … 0: nothing */
    bool seen_known;          /* … under the current name */
    msec_t redis_spent;       /* of the request's budget for Redis */
    struct lease *lease;      /* leading: what other nodes wait for; NULL: none */
    unsigned looks;           /* leading: looks at Redis for another node's answer */
    msec_t lease_until;       /* leading: monotonic, when waiting for those is over */
    msec_t asked_at;          /* monotonic; when that question was sent */
    bool uncertain;           /* served although this node may not know everything */
    struct stamp asked;       /* taken before that question was sent */
    bool from_redis;          /* what it found came from there */
    struct deadline patience; /* leading what outgrew: the next look at who is slow */
    unsigned held_up;         /* looks that found readers held up by others */
    struct deadline wait;     /* end of waiting for another request's fetch, or for records */
    struct flight_reader reader;   /* its place in a flight */
    const struct byte_range *part; /* of the flight's body it sends; NULL: all of it */
    struct flight *lead;           /* the flight it leads (a reference), else NULL */
    uint64_t fill_bytes;           /* body bytes the fill has received */
    struct learning *learning;     /* what a passed exchange teaches the cache; NULL: nothing */
    struct store_verdict *storing; /* how the fill will be stored; in the arena */
    unsigned joins;                /* flights tried */
    unsigned hops;                 /* flights left because they were for somebody else */

    /* the exchange of its own (pass, write, or a fill that turned out not storable) */
    struct fetch *fetch;                /* its exchange, filling or passing; NULL: none */
    const struct upstream_settings *up; /* the group it goes to */
    bool upgrade;                       /* an upgrade was asked for and the route allows it */
    bool announced;                     /* its intent, if it has one, was taken care of */
    uint64_t intent;                    /* number of that, until it ends; 0: none */
    struct journal_append *announcing;  /* … on the way into the journal */
    struct journal_append *append;      /* its invalidation on the way into the journal */
    bool held;                          /* the answer waits for that */
    bool held_done;                     /* … and is complete */
    struct strbuf held_body;            /* what of its body came meanwhile */
    enum fetch_error held_error;        /* instead of an answer: the fetch failed */
    struct str position;                /* of its record in the journal: X-Cache-Pos */
    bool invalidation_pending;          /* true here, not told to the other nodes yet */
    bool invalidated;                   /* a write's invalidation has been applied */
    bool unsafe;                        /* its outcome may invalidate */
    bool background;                    /* goes on without a client on purpose (refresh) */

    /* the answer */
    struct str cors; /* its CORS fields, each line with CRLF; empty: none */
    enum cache_result result;
    enum reason reason;
    struct str reason_text;   /* reason as a word ("no-org"); in the arena or static */
    bool stored;              /* Cache-Status stored */
    bool collapsed;           /* Cache-Status collapsed */
    int status;               /* sent to the client; 0: nothing yet */
    bool head_sent;           /* the head is queued on the client's stream */
    bool chunked;             /* the answer goes out chunked */
    bool no_body;             /* HEAD, 204, 304: body bytes are dropped */
    bool close;               /* the connection ends after this answer */
    bool answered;            /* the whole answer is queued */
    struct strbuf head;       /* a rendered head that waits for the first body bytes */
    struct deferred deferred; /* sends that head at the end of the turn; frees */
    bool run_due;             /* deferred: the steps go on */
    bool free_due;
    uint64_t bytes_sent; /* answer bytes queued, head included */

    /* times, for the log */
    msec_t wall_start;
    int64_t start_us;    /* monotonic */
    int64_t upstream_us; /* time in the upstream */
    int64_t fetch_start_us;
    struct str upstream; /* address of the server, for the log */

    struct arena arena;

    /* Not cleared for a new request: each is written whole before it is read. */
    struct addr peer;             /* of the connection; outlives the client */
    struct route_match match;     /* by step_route */
    struct lookup_verdict lookup; /* by step_key */
    struct key_context kc;        /* by step_key, or for a write by invalidate_prepare */
    char first[REQUEST_ARENA] __attribute__((aligned(16)));
};

/* A request for a complete head that passed the guard; the bytes are copied. Runs it. */
void request_start(struct client *c, struct str head);

/* Refuses what is not even a request (guard, timeouts): answers and lingers. */
void request_refuse(struct client *c, int status, const char *why);

/* A raw piece of the request's body; returns the bytes used. Sets *done at the body's end;
 * after a malformed body the client has been refused. */
size_t request_body_input(struct request *rq, struct str in, bool *done);

/* The client has shut its writing side after a complete request. */
void request_input_ended(struct request *rq);

/* The client sent no body byte for body_timeout. */
void request_body_timeout(struct request *rq);

/* The client's stream has drained below the low-water mark. */
void request_writable(struct request *rq);

/* The client left (or ended its input in the middle of the body). */
void request_client_gone(struct request *rq);

/* A request that nobody sent: no client, what is answered goes nowhere. Steps may be run; given
 * back with request_release(). */
struct request *request_new_own(struct worker *w, const struct addr *peer, bool tls)
    __attribute__((warn_unused_result));

/* The same, to be asked about by x (flow/explain): no look-up counts as a use. */
struct request *request_new_explained(struct worker *w, struct explanation *x,
                                      const struct addr *peer, bool tls)
    __attribute__((warn_unused_result));

/* Parses a head that passed the guard; false after the answer that refuses it was queued. */
bool request_read_head(struct request *rq, struct str head);

/* Runs the step rq->step. */
enum step_result request_step(struct request *rq);

/* Runs steps from rq->step until one waits or is done. */
void request_run(struct request *rq);

/* The answer is complete (or given up, `abort`: the client must see that it is cut short).
 * Logs, tells the client, gives the request back. */
void request_finish(struct request *rq, bool abort);

/* Sets result and reason in one go; word STR_NULL takes the reason's own. */
void request_decide(struct request *rq, enum cache_result result, enum reason reason);

/* The request's id, for the log, the backend and problems: a trusted proxy's, else made here.
 */
struct str request_id(struct request *rq);

/* Microseconds of the monotonic clock. */
int64_t request_clock_us(void);

#endif
