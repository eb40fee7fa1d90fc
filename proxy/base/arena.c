/*
 * The bump allocator. Chunks double up to a cap, so a request of any size costs few heap calls;
 * a single allocation larger than a chunk gets a chunk of its own size.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ARENA_ALIGN     16
#define ARENA_CHUNK_MIN 4096u

struct arena_chunk {
    struct arena_chunk *older; /* next in the list to free */
    size_t size;               /* bytes of data */
    _Alignas(ARENA_ALIGN) char data[];
};

void arena_init(struct arena *a, void *first, size_t first_size)
{
    a->first = first;
    a->first_size = first_size;
    a->chunks = NULL;
    a->next = first;
    a->end = first != NULL ? a->first + first_size : NULL;
}

void arena_reset(struct arena *a)
{
    while (a->chunks != NULL) {
        struct arena_chunk *chunk = a->chunks;
        a->chunks = chunk->older;
        free(chunk);
    }
    a->next = a->first;
    a->end = a->first != NULL ? a->first + a->first_size : NULL;
}

static void *alloc_in_new_chunk(struct arena *a, size_t n)
{
    size_t size = a->chunks != NULL ? a->chunks->size * 2 : ARENA_CHUNK_MIN;
    if (size > 1024u * 1024u) {
        size = 1024u * 1024u;
    }
    if (size < n) {
        size = n;
    }
    /* A size nobody can mean must not wrap around to a small block: xmalloc aborts on it. */
    bool possible = size <= SIZE_MAX - sizeof(struct arena_chunk);
    struct arena_chunk *chunk = xmalloc(possible ? sizeof(*chunk) + size : SIZE_MAX);
    chunk->older = a->chunks;
    chunk->size = size;
    a->chunks = chunk;
    a->next = chunk->data + n;
    a->end = chunk->data + size;
    return chunk->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t rounded = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded < n) {
        rounded = SIZE_MAX; /* alloc_in_new_chunk refuses it */
    }
    if ((size_t)(a->end - a->next) < rounded || a->next == NULL) {
        return alloc_in_new_chunk(a, rounded);
    }
    void *p = a->next;
    a->next += rounded;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    memset(p, 0, n);
    return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n > 0) {
        memcpy(copy, s.p, s.n);
    }
    copy[s.n] = '\0';
    return str_make(copy, s.n);
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        n = 0;
    }
    char *out = arena_alloc(a, (size_t)n + 1);
    va_start(args, fmt);
    vsnprintf(out, (size_t)n + 1, fmt, args);
    va_end(args);
    return str_make(out, (size_t)n);
}
