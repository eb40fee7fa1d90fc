/*
 * How globs are found by hash. A glob is filed under its anchor: its literal head, its literal
 * tail and, if there is one, a literal segment between separators in its middle (the 42 of
 * `x:*:42:*`). What has to be cut out of a name to compare it with an anchor is the anchor's
 * shape, counted in separators and bytes beyond the last one: `agents:list:org-42:*` and
 * `agents:list:a:*` have one shape, three separators. So a name is looked up once for each
 * shape in use, of which there are at most 64; a glob whose shape finds no place is filed under
 * a coarser one (a shorter anchor), down to the empty one, which is always there.
 *
 * A separator is any byte that is not in [A-Za-z0-9._-%~], the bytes of an encoded value.
 * Private to the journal, which locks.
 */
#ifndef CACHE_JOURNAL_SHAPE_H
#define CACHE_JOURNAL_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "cache/glob.h"

#define SHAPES_MAX 64
#define ANCHOR_MAX 255 /* bytes of head and of tail that count */

struct shape {
    uint8_t head_seps, head_extra; /* head: through this separator, and so many bytes more */
    uint8_t tail_seps, tail_extra; /* the same, from the name's end */
    bool middle;                   /* there is a middle segment */
    uint32_t globs;                /* filed under this shape */
    uint64_t newest;               /* position of the newest of them */
};

struct shapes {
    struct shape list[SHAPES_MAX]; /* [0] is the empty one */
    unsigned n;                    /* in use, or once in use */
    struct shape reach;            /* the largest of each count, of all shapes in use */
    uint64_t seed;
};

void shapes_init(struct shapes *s, uint64_t seed);

/* The shape to file a glob under, and the key to keep it under. */
unsigned shapes_choose(struct shapes *s, struct str glob, const struct glob_parts *parts,
                       uint64_t *key);

/* A glob with this shape was filed, or filed again. */
void shapes_use(struct shapes *s, unsigned shape, uint64_t position, bool again);

/* A glob of this shape is gone. */
void shapes_drop(struct shapes *s, unsigned shape);

/* One end of a name or glob, read from that end. */
struct side {
    uint64_t hash[ANCHOR_MAX + 1];   /* of the first i bytes */
    uint16_t end_of[ANCHOR_MAX + 1]; /* bytes through the i-th separator; [0] is 0 */
    unsigned seps;                   /* separators read */
    unsigned n;                      /* bytes read */
};

/* A name, ready to be looked up. */
struct shape_lookup {
    struct str name;
    uint64_t after; /* globs that are no newer do not matter */
    struct side front, back;
};

void shapes_lookup(const struct shapes *s, struct str name, uint64_t after,
                   struct shape_lookup *l);

/* The keys under which globs without a middle segment may match; returns how many. */
unsigned shapes_keys(const struct shapes *s, const struct shape_lookup *l,
                     uint64_t keys[SHAPES_MAX]);

/* The same for globs with one: calls fn with each key until it returns true, and returns
 * whether it did. */
bool shapes_each_middle(const struct shapes *s, const struct shape_lookup *l,
                        bool (*fn)(uint64_t key, void *ctx), void *ctx);

/* Shapes with globs. */
unsigned shapes_count(const struct shapes *s);

#endif
