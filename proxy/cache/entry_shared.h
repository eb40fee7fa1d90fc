/*
 * Interning of what the entries of one route have in common. Private to entry.c and
 * entry_codec.c; any thread.
 */
#ifndef CACHE_ENTRY_SHARED_H
#define CACHE_ENTRY_SHARED_H

#include <stddef.h>

#include "base/str.h"
#include "cache/entry.h"

/* A reference to the texts (each at most 65535 bytes). */
struct entry_shared *entry_shared_get(struct str host, struct str type, struct str route,
                                      struct str vary)
    __attribute__((warn_unused_result, returns_nonnull));

/* Gives the reference back. */
void entry_shared_put(struct entry_shared *s);

/* Bytes to charge to an entry for it: 0 when it is shared. */
size_t entry_shared_cost(const struct entry_shared *s);

#endif
