/*
 * Bump allocator for one request or one configuration: many small allocations, one release.
 * Not thread-safe: one owner at a time. The first chunk may be supplied by the owner, so that
 * an ordinary request allocates nothing from the heap.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct arena_chunk;

struct arena {
    char *next; /* first free byte of the current chunk */
    char *end;  /* one past the current chunk */
    struct arena_chunk
        *chunks;       /* heap chunks, newest first; NULL while the first chunk lasts */
    char *first;       /* the owner's first chunk, may be NULL */
    size_t first_size; /* its size in bytes */
};

/* Starts an arena; `first` (may be NULL) must outlive it and be aligned for any type. */
void arena_init(struct arena *a, void *first, size_t first_size);

/* Frees the heap chunks and starts over with the first chunk. All pointers become invalid. */
void arena_reset(struct arena *a);

/* n bytes aligned for any type, uninitialised. Aborts when memory is exhausted. */
void *arena_alloc(struct arena *a, size_t n)
    __attribute__((warn_unused_result, returns_nonnull));

/* n zero bytes. */
void *arena_zalloc(struct arena *a, size_t n)
    __attribute__((warn_unused_result, returns_nonnull));

/* A copy with a terminating NUL that is not counted in the slice. */
struct str arena_dup(struct arena *a, struct str s);

/* printf into the arena; NUL-terminated. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
