/*
 * Bytes of one connection to replies: hiredis' reader behind a guard. The guard sees every byte
 * first and lets through only what RESP2 allows and our limits permit (type byte, line length,
 * digits, bulk length, items, depth, size of the whole reply), so that a length is judged
 * before anything is allocated or read for it. Used by one redis_link; nothing here does I/O.
 */
#ifndef CACHE_REDIS_DECODER_H
#define CACHE_REDIS_DECODER_H

#include <stddef.h>

#include "cache/redis_reply.h"

#define REDIS_MAX_DEPTH 7            /* arrays in arrays */
#define REDIS_MAX_ITEMS 65536        /* of one array */
#define REDIS_MAX_NODES (256 * 1024) /* values of one reply */
#define REDIS_MAX_LINE  (16 * 1024)  /* status or error line */

enum redis_decode {
    REDIS_DECODE_REPLY,
    REDIS_DECODE_MORE,      /* no whole reply is there yet */
    REDIS_DECODE_MALFORMED, /* not RESP2: the connection is of no use any more */
    REDIS_DECODE_TOO_LARGE, /* within the protocol, but over a limit: likewise */
};

struct redis_decoder;

/* max_value: longest string. A whole reply may have four times that, at least 16 MiB. */
struct redis_decoder *redis_decoder_new(size_t max_value) __attribute__((warn_unused_result));
void redis_decoder_free(struct redis_decoder *d);

/* Takes all n bytes; what is wrong with them is said by redis_decoder_next() after the replies
 * before it. */
void redis_decoder_feed(struct redis_decoder *d, const char *p, size_t n);

/* The next reply, which becomes the caller's. After MALFORMED or TOO_LARGE nothing follows. */
enum redis_decode redis_decoder_next(struct redis_decoder *d, struct redis_reply **reply);

/* What was wrong, for the log: a constant text. */
const char *redis_decoder_why(const struct redis_decoder *d);

#endif
