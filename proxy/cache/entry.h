/*
 * A stored response (design section 5): immutable after entry_new(), refcounted, one
 * allocation. entry_encode() gives the bytes that the Redis tier stores, entry_decode() makes
 * an entry of them. Any thread may hold references; nobody changes an entry but for the few
 * atomic fields at the top, which are this process's own notes and never stored.
 *
 * Owners: L1 holds one reference while the entry is resident, each reply that sends from it
 * one. Make one from an entry_spec; read status, flags, coding, scope, stamp, stored_at and
 * body_length as members, all else through the entry_…() accessors below. The struct is slim on
 * purpose (148 bytes): durations are kept in units of 10 ms, what all entries of a route have
 * in common (host, type, route, vary) is kept once in an entry_shared.
 */
#ifndef CACHE_ENTRY_H
#define CACHE_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"
#include "cache/stamp.h"

enum entry_coding {
    ENTRY_IDENTITY, /* body as the origin sent it */
    ENTRY_GZIP,     /* gzipped by Larder; body_length is the inflated length */
};

enum entry_flag {
    ENTRY_VARY_MARKER = 1 << 0,     /* no response: its vary section names the fields */
    ENTRY_MUST_REVALIDATE = 1 << 1, /* never served stale (RFC 9111 5.2.2.2, 5.2.2.8) */
    ENTRY_NO_CACHE = 1 << 2,        /* validate before each use (5.2.2.4) */
    ENTRY_IMMUTABLE = 1 << 3,       /* RFC 8246 */
    ENTRY_HIT_FOR_MISS = 1 << 4,    /* a mark: do not coalesce on this name for a while */
    ENTRY_HAS_DATE = 1 << 5,        /* the head holds the origin's Date (else one is added) */
    ENTRY_OWN_ETAG = 1 << 6,        /* its ETag is Larder's: the origin does not know it */
};
#define ENTRY_FLAGS_ALL 0x7fu

/*
 * What the maker of an entry supplies; all slices are copied.
 * `head` is the response head ready to send: status line and field lines, each with CRLF,
 * without the final empty line and without the fields that Larder computes on each delivery
 * (Age, X-Cache, Cache-Status, Connection, Transfer-Encoding, Content-Length, Content-Encoding
 * and Vary when Larder gzipped the body, ETag: kept apart below so that it can be weakened).
 */
struct entry_spec {
    struct str name;    /* full canonical name (key), or NAME#variant */
    struct str host;    /* site identity that globs do not see; may be empty */
    uint32_t scope;     /* scope_kind and mask of the storing route, mixed by the caller */
    struct stamp stamp; /* of the fetch */
    unsigned flags;     /* enum entry_flag */
    int status;
    msec_t stored_at;         /* wall time at which `age_at_store` was right */
    msec_t age_at_store;      /* corrected initial age (RFC 9111 4.2.3) */
    msec_t lifetime;          /* freshness lifetime, from which the current age is compared */
    msec_t stale;             /* stale-while-revalidate window after expiry */
    msec_t stale_if_error;    /* stale-if-error window after expiry */
    struct str etag;          /* validator as received; empty when none */
    struct str last_modified; /* value; empty when none. Costs nothing if the head holds it */
    struct str date;          /* value of Date. Costs nothing if the head holds it */
    struct str type;          /* route's type, for type: invalidation; may be empty */
    struct str route;         /* route's name */
    struct str tags;          /* tags separated by one 0x00 byte each; may be empty */
    struct str vary;          /* canonical names separated by "," ; empty when none */
    struct str head;          /* see above */
    enum entry_coding coding;
    uint64_t body_length; /* length of the identity body */
    struct str body;      /* as stored */
};

/* What entries of one route share; interned and refcounted, private to entry.c. */
struct entry_shared {
    struct entry_shared *next; /* chain of the intern table */
    uint64_t hash;             /* of the four texts */
    uint32_t refs;             /* entries that point here; under the table's lock */
    uint16_t host_n, type_n, route_n, vary_n; /* lengths of the texts, in this order below */
    bool own;                                 /* not in the table: belongs to one entry */
    char bytes[];
};

struct entry {
    _Atomic uint32_t refs;
    _Atomic uint32_t hits;           /* deliveries, for statistics */
    _Atomic uint64_t valid_gen;      /* journal generation at which it was last found valid */
    uint64_t hash;                   /* entry_hash(name, host) */
    struct entry *l1_next;           /* chain of the L1 shard's table; L1's */
    struct entry_shared *shared;     /* host, type, route, vary */
    uint32_t name_n, head_n, body_n; /* lengths of the first sections of `bytes` */
    _Atomic uint8_t freq;            /* L1's use counter */
    uint8_t q;                       /* which queue; L1's */
    uint16_t status;
    uint16_t flags;                /* enum entry_flag */
    uint8_t coding;                /* enum entry_coding */
    uint8_t spare;                 /* 0 */
    uint16_t etag_n, tags_n;       /* lengths of the sections after the body */
    msec_t stored_at;              /* wall time at which the initial age was right */
    uint32_t age_10ms;             /* initial age; this and the next three in units of 10 ms */
    uint32_t lifetime_10ms;        /* freshness lifetime */
    uint32_t stale_10ms;           /* stale-while-revalidate window after expiry */
    uint32_t stale_if_error_10ms;  /* stale-if-error window after expiry */
    uint32_t body_length;          /* length of the identity body */
    uint32_t scope;                /* as in entry_spec */
    struct stamp stamp;            /* of the fetch that filled it */
    struct entry *q_prev, *q_next; /* L1's queues */
    uint32_t date_at, modified_at; /* where in `bytes` these values are (often in the head) */
    uint16_t date_n, modified_n;   /* their lengths */
    char bytes[]; /* name, head, body, etag, tags, then what of date and last_modified the
                     head does not hold */
};

/* Seeded 64-bit hash of (name, host); the seed is random for each process. */
uint64_t entry_hash(struct str name, struct str host);

/*
 * Copies the spec into a new entry with one reference. NULL when it does not fit the format:
 * an empty name, a section other than head and body over 64 KiB - 1, or 4 GiB - 1 in all; such
 * an answer is not stored. Durations are rounded down to 10 ms (the age up) and capped at 497
 * days.
 */
struct entry *entry_new(const struct entry_spec *spec) __attribute__((warn_unused_result));

struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e);

/* Bytes of the entry's allocation, for L1's accounting. */
size_t entry_size(const struct entry *e);

/* Bytes in use of its `bytes`. */
size_t entry_bytes(const struct entry *e);

static inline struct str entry_name(const struct entry *e)
{
    return str_make(e->bytes, e->name_n);
}

/* The name without a variant's suffix: what globs and RECORD_NAME are matched against. */
struct str entry_base_name(struct str name);

static inline struct str entry_head(const struct entry *e)
{
    return str_make(e->bytes + e->name_n, e->head_n);
}

static inline struct str entry_body(const struct entry *e)
{
    return str_make(e->bytes + e->name_n + e->head_n, e->body_n);
}

static inline struct str entry_etag(const struct entry *e)
{
    return str_make(e->bytes + (size_t)e->name_n + e->head_n + e->body_n, e->etag_n);
}

static inline struct str entry_tags(const struct entry *e)
{
    return str_make(e->bytes + (size_t)e->name_n + e->head_n + e->body_n + e->etag_n,
                    e->tags_n);
}

static inline struct str entry_date(const struct entry *e)
{
    return str_make(e->bytes + e->date_at, e->date_n);
}

static inline struct str entry_last_modified(const struct entry *e)
{
    return str_make(e->bytes + e->modified_at, e->modified_n);
}

static inline struct str entry_host(const struct entry *e)
{
    return str_make(e->shared->bytes, e->shared->host_n);
}

static inline struct str entry_type(const struct entry *e)
{
    return str_make(e->shared->bytes + e->shared->host_n, e->shared->type_n);
}

static inline struct str entry_route(const struct entry *e)
{
    return str_make(e->shared->bytes + e->shared->host_n + e->shared->type_n,
                    e->shared->route_n);
}

static inline struct str entry_vary(const struct entry *e)
{
    return str_make(e->shared->bytes + e->shared->host_n + e->shared->type_n +
                        e->shared->route_n,
                    e->shared->vary_n);
}

static inline msec_t entry_age_at_store(const struct entry *e)
{
    return (msec_t)e->age_10ms * 10;
}

static inline msec_t entry_lifetime(const struct entry *e)
{
    return (msec_t)e->lifetime_10ms * 10;
}

static inline msec_t entry_stale(const struct entry *e)
{
    return (msec_t)e->stale_10ms * 10;
}

static inline msec_t entry_stale_if_error(const struct entry *e)
{
    return (msec_t)e->stale_if_error_10ms * 10;
}

/* The stored form (magic, schema version, sections, XXH3) appended to out. fence: of the lease
 * under which it was fetched (cache/lease.h), 0 for none; the first 6 bytes, magic and version,
 * say where it is. */
#define ENTRY_FENCE_AT 104
void entry_encode(const struct entry *e, uint64_t fence, struct strbuf *out);

/* An entry from stored bytes, or NULL when anything does not check out (magic, version,
 * lengths, checksum). Never trusts a length. */
struct entry *entry_decode(struct str bytes) __attribute__((warn_unused_result));

/* Are these bytes the stored form of another schema version (not damage, just not ours)? */
bool entry_is_foreign(struct str bytes);

/* Current age in ms at `now` (wall), never negative (RFC 9111 4.2.3). */
msec_t entry_age(const struct entry *e, msec_t now);

/* What an Age field says of an age, in seconds (RFC 9111 5.1). Ages are counted with a clock
 * that may be behind (LOOP_COARSE_MS); what goes to other caches is never understated by that.
 */
uint64_t entry_age_field(msec_t age);

enum entry_freshness {
    ENTRY_FRESH,
    ENTRY_STALE_USABLE,   /* within `stale`: serve and refresh */
    ENTRY_STALE_IF_ERROR, /* within `stale_if_error`: only when the origin fails */
    ENTRY_EXPIRED,
};

/* By age alone and the windows; an entry that must be revalidated has no windows. */
enum entry_freshness entry_freshness(const struct entry *e, msec_t now);

#endif
