/*
 * What explain.c has found out and explain_json.c and explain_text.c say. Private to
 * flow/explain*.c.
 */
#ifndef FLOW_EXPLAIN_PARTS_H
#define FLOW_EXPLAIN_PARTS_H

#include "cache/entry.h"
#include "flow/explain.h"
#include "flow/flight.h"
#include "flow/request.h"
#include "flow/steps.h"

enum tier_state {
    TIER_NOT_ASKED,
    TIER_UNAVAILABLE,
    TIER_UNKNOWN, /* offline */
    TIER_NONE,
    TIER_OTHER,   /* another entry lies under the name */
    TIER_DAMAGED, /* what lies there does not check out */
    TIER_MARKER,  /* a mark that answers could not be stored */
    TIER_INVALIDATED,
    TIER_EXPIRED,
    TIER_STALE,
    TIER_FRESH,
};

/* What a tier holds under the request's name. */
struct explain_tier {
    enum tier_state state;
    struct entry *entry; /* a reference, or NULL */
};

/* Whether another node fetches the name (cache/lease). */
enum lease_state_seen {
    SEEN_NOT_ASKED, /* of no use, or it is fetched here */
    SEEN_UNAVAILABLE,
    SEEN_NONE,
    SEEN_HELD,
};

/* What the fetch of this request would meet. */
struct explain_fetch {
    bool under_way; /* here; then `flight` is set */
    struct flight_facts flight;
    enum lease_state_seen lease;
    msec_t lease_left; /* SEEN_HELD: until it runs out, unless it is renewed */
};

/* How far the way of the request was followed. */
enum explain_end {
    EXPLAIN_ANSWERED, /* Larder answers itself: request.status */
    EXPLAIN_FORWARD,  /* around the cache */
    EXPLAIN_LOOKUP,   /* offline: to the look-up */
    EXPLAIN_SERVE,    /* from `used`, with request.status */
    EXPLAIN_FETCH,    /* to the origin, as a fill */
};

struct explanation {
    struct request *rq;
    bool offline;
    bool host_assumed; /* none was given */
    enum explain_end end;
    struct lookup_choice choice;  /* EXPLAIN_SERVE, EXPLAIN_FETCH */
    bool settled;                 /* memory alone decides */
    struct explain_tier l1, l2;   /* … of the name, or the variant */
    struct entry *used;           /* serves or validates; of one of the tiers */
    struct explain_fetch fetch;   /* EXPLAIN_FETCH, and of a refresh */
    const struct record *records; /* what a write would invalidate */
    size_t n_records;
    explain_done_fn *done;
    void *ctx;
};

/* explain_fetch.c: looks who fetches the name already. False: explain_finish() follows, once
 * Redis has answered. */
bool explain_fetch_look(struct explanation *x);
/* explain.c: the end. */
void explain_finish(struct explanation *x);

/* explain_json.c: the answer. */
struct cJSON *explain_json(struct explanation *x);

/* explain_text.c: "jwt main (RS256), claim org", "keyed hash of Authorization". */
void explain_identity_how(const struct identity_settings *id, unsigned alg, struct strbuf *out);
/* explain_text.c: "ok", "missing" or "invalid". */
const char *explain_identity_state(enum reason reason);
/* explain_text.c: the tags of an entry, or (NULL, or a mark) those that the route would give
 * now; in the request's arena. Returns how many. */
size_t explain_tags(struct request *rq, const struct entry *e, struct str **list);
/* explain_text.c: "5m where the origin gives none; stale 1m". */
void explain_ttl(const struct route_settings *r, struct strbuf *out);

/* explain_text.c: one sentence about what would happen. */
void explain_would(const struct explanation *x, struct strbuf *out);

#endif
