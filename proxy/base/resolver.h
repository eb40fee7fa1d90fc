/*
 * Names of servers to addresses, off the request path: one thread looks every name up
 * again every ten seconds and at once after a connect failure, and keeps the last good answer
 * while lookups fail. Workers copy the current list under a short lock.
 *
 * Lookups may hang for as long as the C library likes, so nothing ever waits for the thread: it
 * is detached and shares the ownership of all it touches; resolver_free() leaves it behind and
 * the last one out frees. One name whose lookup hangs delays the refresh of the others, which
 * keep their addresses meanwhile.
 */
#ifndef BASE_RESOLVER_H
#define BASE_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"

#define RESOLVED_MAX 32 /* addresses kept of one name */

struct resolver;
struct resolved;

/* Looks a name up: at most max addresses (port 0) into out, their number into *n. 0, or an EAI_
 * code of getaddrinfo(3). Called by the resolver's thread; may take its time. */
typedef int resolver_lookup_fn(const char *host, struct addr *out, size_t max, size_t *n);

/* Starts the thread. NULL (with a log line) when there is none to be had. */
struct resolver *resolver_new(void) __attribute__((warn_unused_result));

/* The same with another lookup and interval, for tests. */
struct resolver *resolver_new_custom(resolver_lookup_fn *lookup, msec_t interval)
    __attribute__((warn_unused_result));

/* Returns at once, whatever the thread is doing. Names not removed yet stay usable (their
 * addresses do not change any more) and must still be removed. */
void resolver_free(struct resolver *r);

/* The addresses of a name, looked up from now on until it is removed as often as it was added.
 * The same name and port give the same pointer. Does not wait. Any thread. */
struct resolved *resolver_add(struct resolver *r, struct str host, uint16_t port);
void resolver_remove(struct resolver *r, struct resolved *name);

/* Waits until every name has been looked up once, but at most `limit` ms: at start, so that the
 * first request finds addresses; the start goes on without them too. True when all were. */
bool resolver_wait(struct resolver *r, msec_t limit);

/* Copies up to max addresses, with the port; 0 when the name has never resolved. Any thread. */
size_t resolved_get(struct resolved *name, struct addr *out, size_t max);

/* Changes whenever the addresses do. Any thread, without a lock. */
unsigned resolved_generation(const struct resolved *name);

/* Asks for a lookup soon, after a connect failure: at most one a second for each name. Any
 * thread. */
void resolver_kick(struct resolved *name);

#endif
