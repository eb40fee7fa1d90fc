/*
 * Chunks: the pieces of memory that hold the body of a flight. The flight holds a reference to
 * each and every send under way one to what it sends, so a chunk may outlive its flight. Their
 * sum over the process is known, because it is memory that peers decide about.
 */
#ifndef FLOW_CHUNK_H
#define FLOW_CHUNK_H

#include <stdatomic.h>
#include <stddef.h>

/* Immutable up to `used`, which only grows. */
struct chunk {
    struct chunk *next; /* the flight's */
    atomic_uint refs;
    size_t start; /* offset of its first byte in the body */
    size_t used;  /* bytes filled; under the flight's lock */
    size_t cap;
    char data[];
};

/* An empty one with one reference, for cap bytes of the body from `start` on. */
struct chunk *chunk_new(size_t start, size_t cap)
    __attribute__((warn_unused_result, returns_nonnull));

/* Any thread; takes void * so that it can release a segment of a stream. */
void chunk_ref(struct chunk *c);
void chunk_unref(void *chunk);

/* Bytes of all chunks of the process. Any thread. */
size_t chunk_memory(void);

#endif
