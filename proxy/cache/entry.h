/*
 * A stored response (design section 5): immutable after entry_new(), refcounted, one
 * allocation. The same bytes are what the Redis tier stores, so an entry is a fixed header
 * followed by its sections. Any thread may hold references; nobody changes an entry but for the
 * few atomic fields at the top, which are this process's own notes and never stored.
 *
 * Owners: L1 holds one reference while the entry is resident, each reply that sends from it
 * one.
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
};

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
    struct str last_modified; /* value; empty when none */
    struct str date;          /* value of Date */
    struct str type;          /* route's type, for type: invalidation; may be empty */
    struct str route;         /* route's name */
    struct str tags;          /* tags separated by one 0x00 byte each; may be empty */
    struct str vary;          /* canonical names separated by "," ; empty when none */
    struct str head;          /* see above */
    enum entry_coding coding;
    uint64_t body_length; /* length of the identity body */
    struct str body;      /* as stored */
};

struct entry {
    atomic_uint refs;
    atomic_uint_fast64_t valid_gen; /* journal generation at which it was last found valid */
    atomic_uint_fast8_t freq;       /* L1's use counter */
    atomic_uint_fast32_t hits;      /* deliveries, for statistics */
    size_t size;                    /* bytes of this allocation, for L1's accounting */
    uint64_t hash;                  /* entry_hash(name, host) */
    struct entry *l1_next;          /* chain of the L1 shard's table; L1's */
    struct entry *q_prev, *q_next;  /* L1's queues */
    uint8_t q;                      /* which queue; L1's */
    struct entry_spec v;            /* slices point into the bytes below */
    /* the stored form follows */
};

/* Seeded 64-bit hash of (name, host); the seed is random for each process. */
uint64_t entry_hash(struct str name, struct str host);

/* Copies the spec into a new entry with one reference. */
struct entry *entry_new(const struct entry_spec *spec) __attribute__((warn_unused_result));

struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry *e);

/* The stored form (magic, schema version, sections, XXH3) appended to out. */
void entry_encode(const struct entry *e, struct strbuf *out);

/* An entry from stored bytes, or NULL when anything does not check out (magic, version,
 * lengths, checksum). Never trusts a length. */
struct entry *entry_decode(struct str bytes) __attribute__((warn_unused_result));

/* Current age in ms at `now` (wall), never negative (RFC 9111 4.2.3). */
msec_t entry_age(const struct entry *e, msec_t now);

enum entry_freshness {
    ENTRY_FRESH,
    ENTRY_STALE_USABLE,   /* within `stale`: serve and refresh */
    ENTRY_STALE_IF_ERROR, /* within `stale_if_error`: only when the origin fails */
    ENTRY_EXPIRED,
};
enum entry_freshness entry_freshness(const struct entry *e, msec_t now);

#endif
