/*
 * The asker's side of an append: a handle on its thread, answered by mail from the link's.
 * Either side may end first: the link drops what was cancelled, and a mail that is on its way
 * when its handle is cancelled says nothing. Private to cache/journal_*.
 */
#ifndef CACHE_JOURNAL_ASKER_H
#define CACHE_JOURNAL_ASKER_H

#include "cache/journal_link.h"

/* A handle for the asker; the link answers or drops it, exactly once. */
struct journal_append *asker_new(struct loop *loop, journal_append_fn *done, void *ctx)
    __attribute__((warn_unused_result));

/* The link's thread: sends the answer to the asker's loop, which frees the handle. */
void asker_answer(struct journal_append *a, enum append_outcome outcome,
                  const struct append_place *place);

/* The link's thread, or after it: there will be no answer. */
void asker_drop(struct journal_append *a);

#endif
