/*
 * Allocation that cannot fail: every function aborts the process with one line on stderr when
 * memory is exhausted. Where a size comes from a peer, the caller checks its limit first.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* n bytes, uninitialised; n == 0 gives a valid pointer. Free with free(). */
void *xmalloc(size_t n) __attribute__((malloc, warn_unused_result, returns_nonnull));

/* count * size bytes of zeroes; overflow of the product aborts. Free with free(). */
void *xcalloc(size_t count, size_t size)
    __attribute__((malloc, warn_unused_result, returns_nonnull));

/* As realloc(); p may be NULL. */
void *xrealloc(void *p, size_t n) __attribute__((warn_unused_result, returns_nonnull));

/* A NUL-terminated copy of s on the heap. */
char *xstrdup(const char *s) __attribute__((malloc, warn_unused_result, returns_nonnull));

#endif
