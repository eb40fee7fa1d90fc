/*
 * `settle D`: an invalidation is repeated D later, for backends that commit after they have
 * answered. What was fetched between answer and commit is old, and the first record does not
 * reach it, because its fetch began after that.
 *
 * A worker keeps its own; same thread only.
 */
#ifndef FLOW_SETTLE_H
#define FLOW_SETTLE_H

#include <stddef.h>

#include "base/clock.h"
#include "cache/journal.h"

struct worker;

/* Applies copies of the records again after so many milliseconds. Of very many writes under way
 * the later ones are repeated as one `all`. */
void settle_later(struct worker *w, const struct record *records, size_t n, msec_t after);

/* At the worker's end: what is left is applied now, sooner than asked for but not lost. */
void settle_finish(struct worker *w);

#endif
