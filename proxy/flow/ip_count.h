/*
 * How many client connections each address has open, over all workers of the process: the limit
 * connections_per_ip would mean something else on every machine if each worker counted for
 * itself. Used only where that limit is set. IPv6 addresses count by their /64, which is what
 * one subscriber gets; Unix-socket peers are not counted.
 *
 * Any thread; one lock, held for a hash look-up, once at the start and once at the end of a
 * connection.
 */
#ifndef FLOW_IP_COUNT_H
#define FLOW_IP_COUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct ip_count;

struct ip_count *ip_count_new(void) __attribute__((warn_unused_result));
void ip_count_free(struct ip_count *t);

/* Counts one more connection of this peer; false, and nothing counted, when it has `max`. */
bool ip_count_take(struct ip_count *t, const struct addr *peer, size_t max)
    __attribute__((warn_unused_result));

/* Takes back what ip_count_take() counted. */
void ip_count_release(struct ip_count *t, const struct addr *peer);

#endif
