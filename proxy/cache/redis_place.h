/*
 * One server by host and port, and its addresses one after the other: a literal, or what the
 * resolver knows of a name at the moment. Belongs to one loop.
 */
#ifndef CACHE_REDIS_PLACE_H
#define CACHE_REDIS_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/resolver.h"
#include "base/str.h"

struct redis_place {
    char *host; /* NUL-terminated; empty for a Unix socket */
    uint16_t port;
    char *text;                /* "host:port" or "unix:/path", for logs */
    struct addr addr;          /* len > 0: literal */
    struct resolver *resolver; /* of `resolved` */
    struct resolved *resolved; /* NULL: literal, or there is no resolver */
    unsigned turn;             /* which of the addresses is next */
};

/* `literal` (may be NULL, or unset) spares the look at the host. */
void redis_place_init(struct redis_place *p, struct str host, uint16_t port,
                      const struct addr *literal, struct resolver *resolver);
void redis_place_fini(struct redis_place *p);

/* The address to try now; false while the name has none. */
bool redis_place_get(struct redis_place *p, struct addr *to);

/* The address came to nothing: the next one's turn, and a fresh lookup. */
void redis_place_failed(struct redis_place *p);

bool redis_place_is(const struct redis_place *p, struct str host, uint16_t port);

#endif
