/*
 * The slots of a Redis Cluster: which one a key belongs to (CRC16 of the key, or of its hash
 * tag), and reading what nodes say about them. Pure.
 */
#ifndef CACHE_REDIS_SLOTS_H
#define CACHE_REDIS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/redis_reply.h"

#define REDIS_SLOTS 16384

/* The slot of a key: of what is between the first { and the next } if that is not empty. */
uint16_t redis_slot_of(struct str key);

/* One range of slots and its master. host may be empty: the server that was asked. */
typedef void redis_slots_fn(void *ctx, uint16_t first, uint16_t last, struct str host,
                            uint16_t port);

/* Walks the answer to CLUSTER SLOTS; how many slots have a master. Ranges that make no sense
 * are left out. fn == NULL: only counts. */
size_t redis_slots_read(const struct redis_reply *reply, redis_slots_fn *fn, void *ctx);

/* "MOVED 3999 host:port", "ASK 3999 host:port". host may be empty: the server that said it.
 * False when it makes no sense. */
bool redis_redirect_read(struct str line, uint16_t *slot, struct str *host, uint16_t *port);

#endif
