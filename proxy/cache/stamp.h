/*
 * A point in the order of invalidations (design section 6). Taken before the first byte of an
 * origin request goes out; an entry carries the stamp of the fetch that filled it.
 */
#ifndef CACHE_STAMP_H
#define CACHE_STAMP_H

#include <stdint.h>

struct stamp {
    uint64_t epoch;  /* id of the journal's epoch */
    uint64_t id_ms;  /* stream id of the last record applied here: milliseconds … */
    uint64_t id_seq; /* … and sequence; both 0 in memory-only mode */
    uint64_t local;  /* number of records this node had applied */
};

#endif
