/*
 * The first commands on a fresh connection, and what their answers mean: AUTH, SELECT, CLIENT
 * SETNAME, ROLE, PING. The other half of redis_link, which alone includes this.
 */
#ifndef CACHE_REDIS_HANDSHAKE_H
#define CACHE_REDIS_HANDSHAKE_H

#include "cache/redis_link.h"

/* Sends them; redis_link_handshake_done() follows, or the connection ends. */
void redis_handshake_send(struct redis_link *l);

/* ---- given by redis_link.c ---- */

/* All went well (why == NULL), or why not. */
void redis_link_handshake_done(struct redis_link *l, enum redis_error error, const char *why);

/* Puts c into the queue of what is sent at the end of the turn, without a deadline. */
void redis_link_enqueue(struct redis_link *l, struct redis_command *c);

#endif
