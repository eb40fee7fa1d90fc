/*
 * The variants of a name (RFC 9111 section 4.1), bounded: clients choose the values of the
 * fields that an answer varies on, and must not fill the memory with copies of one answer
 * (hardening C3). The marker under the base name lists them: its body is the hashes of their
 * names, the one filled last first. Over VARIANTS_MAX the one used least goes, so that a flood
 * of values that nobody asks for twice pushes out itself and not what is in use.
 *
 * Counted are the variants that are resident in this process; the list is carried over when a
 * marker is replaced and lost only with the marker. In Redis the marker written last counts, so
 * that several nodes may leave some more there until they expire. Any thread; one lock for each
 * of some groups of names, held while shards of L1 are locked, never the other way round.
 */
#ifndef CACHE_VARIANTS_H
#define CACHE_VARIANTS_H

#include "base/arena.h"
#include "base/str.h"
#include "cache/entry.h"
#include "cache/l1.h"

#define VARIANTS_MAX 32 /* of one name and host */

struct variants;

struct variants *variants_new(struct l1 *l1) __attribute__((warn_unused_result));
void variants_free(struct variants *v);

/* Makes this marker (ENTRY_VARY_MARKER; body empty) resident under its base name. */
void variants_mark(struct variants *v, const struct entry_spec *marker);

/* The first variant of base, from the one filled last, that fits() takes: a reference, or NULL.
 * Does not count as a use. */
struct entry *variants_find(struct variants *v, struct str base, struct str host,
                            struct arena *a, bool (*fits)(struct entry *e, void *ctx),
                            void *ctx) __attribute__((warn_unused_result));

/*
 * Notes that a variant of base is resident under `name`, a name of key_variant(). *gone is the
 * name of one that had to go for it, in the arena, or STR_NULL: it has left L1, other tiers are
 * the caller's. Returns a reference to the new marker; NULL when none is resident (then nobody
 * finds the variant either).
 */
struct entry *variants_add(struct variants *v, struct str base, struct str host,
                           struct str name, struct arena *a, struct str *gone)
    __attribute__((warn_unused_result));

#endif
