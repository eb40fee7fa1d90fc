/*
 * The asker's side of an append: a handle on his thread, answered by mail from the link's.
 * Private to cache/journal_*.
 */
#ifndef CACHE_JOURNAL_APPEND_H
#define CACHE_JOURNAL_APPEND_H

#include "cache/journal_link.h"

/* A handle; freed when its answer has been delivered. */
struct journal_append *append_new(struct loop *loop, journal_append_fn *done, void *ctx);

/* The link's thread, exactly once: sends the answer to the asker's loop. */
void append_answer(struct journal_append *a, enum append_outcome outcome);

/* Frees a handle whose loop is gone. */
void append_free(struct journal_append *a);

#endif
