/*
 * What the files of reply share: lines put together in memory of known size, the fields that
 * Larder computes, the way to the client. Private to flow/reply*.c.
 */
#ifndef FLOW_REPLY_PARTS_H
#define FLOW_REPLY_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "base/stream.h"
#include "cache/entry.h"
#include "flow/request.h"

#define PSEUDONYM "larder" /* in Cache-Status */

#define CACHE_FIELDS_MAX 320 /* X-Cache and Cache-Status with the longest reason */

#define REPLY_PARTIAL STR("HTTP/1.1 206 Partial Content\r\n")

/* Bytes being put together in a buffer that is known to be large enough. */
struct cursor {
    char *p;
};

static inline void cursor_put(struct cursor *c, struct str s)
{
    memcpy(c->p, s.p, s.n);
    c->p += s.n;
}

#define PUT(c, literal) cursor_put((c), STR(literal))

void cursor_number(struct cursor *c, int64_t v);

/* Lines that this request wants beside those of every answer: CORS, debug. e: the entry that it
 * comes from, or NULL. */
struct str reply_extra_lines(struct request *rq, const struct entry *e);

/* Bytes that reply_put_cache_fields() may write. */
size_t reply_cache_fields_room(const struct request *rq);

/* X-Cache and Cache-Status; e: the entry an answer comes from,
 * NULL for a forwarded one. */
void reply_put_cache_fields(struct cursor *c, const struct request *rq, const struct entry *e);

/* Connection, where the client must be told (at most 32 bytes). */
void reply_put_connection(struct cursor *c, struct request *rq);

/* Queues segments on the client, counting them; without a client they are dropped. */
void reply_send(struct request *rq, const struct segment *segs, size_t n);

/* A stored head under another status line (with its CRLF), without the lines that begin with
 * one of the names in `omit` (lower case, with the colon). In the request's arena. */
struct str reply_rewrite_head(struct request *rq, struct str head, struct str status_line,
                              const struct str *omit, size_t n_omit);

/* The lines of an entry's answer that depend on the moment and the client, with the empty line
 * at the end; `length` of the body that follows. In the request's arena. */
struct str reply_entry_lines(struct request *rq, const struct entry *e, int status, bool gzip,
                             uint64_t length);

/* The identity body of a gzipped entry in memory of its own, for free(); false when the stored
 * bytes do not check out. */
bool reply_inflate(const struct entry *e, struct str *body);

/* The parts of a fresh entry that a Range asks for, or 416. Takes over the caller's reference;
 * false, with nothing done, when the whole is to be sent. */
bool reply_entry_range(struct request *rq, struct entry *e);

/* Fields that are written elsewhere: computed on each delivery, or framing. */
bool reply_computes(enum field_id id);

#endif
