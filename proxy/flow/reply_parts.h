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

/* X-Cache and Cache-Status, at most CACHE_FIELDS_MAX bytes; e: the entry an answer comes from,
 * NULL for a forwarded one. */
void reply_put_cache_fields(struct cursor *c, const struct request *rq, const struct entry *e);

/* Connection, where the client must be told (at most 32 bytes). */
void reply_put_connection(struct cursor *c, struct request *rq);

/* Queues segments on the client, counting them; without a client they are dropped. */
void reply_send(struct request *rq, const struct segment *segs, size_t n);

/* Fields that are written elsewhere: computed on each delivery, or framing. */
bool reply_computes(enum field_id id);

/* Does a `header` directive of the route take the origin's field away? */
bool reply_removes(const struct route_settings *route, struct str name);

#endif
