/*
 * A point in the order of invalidations (design section 6). Taken before the first byte of an
 * origin request goes out; an entry carries the stamp of the fetch that filled it.
 */
#ifndef CACHE_STAMP_H
#define CACHE_STAMP_H

#include <stdint.h>

struct stamp {
    uint64_t epoch; /* id of the journal's epoch */
    uint64_t seq;   /* number of the last stream record applied here, the same on every node; 0
                       in memory-only mode */
    uint64_t local; /* place in this node's own order: finer than seq, meaningless elsewhere */
};

#endif
