/*
 * Chunks: one allocation each, counted.
 */
#include "flow/chunk.h"

#include <stdlib.h>

#include "base/mem.h"

static atomic_size_t memory;

static size_t size_of(const struct chunk *c)
{
    return sizeof(*c) + c->cap;
}

struct chunk *chunk_new(size_t start, size_t cap)
{
    struct chunk *c = xmalloc(sizeof(*c) + cap);
    *c = (struct chunk){.start = start, .cap = cap};
    atomic_init(&c->refs, 1);
    atomic_fetch_add_explicit(&memory, size_of(c), memory_order_relaxed);
    return c;
}

void chunk_ref(struct chunk *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void chunk_unref(void *chunk)
{
    struct chunk *c = chunk;
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        atomic_fetch_sub_explicit(&memory, size_of(c), memory_order_relaxed);
        free(c);
    }
}

size_t chunk_memory(void)
{
    return atomic_load_explicit(&memory, memory_order_relaxed);
}
