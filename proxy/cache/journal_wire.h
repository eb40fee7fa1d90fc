/*
 * Records of the invalidation journal as bytes: in the stream's field `r` and in the outbox
 * file. Readable with redis-cli: each record is KIND HARDNESS LENGTH ":" TEXT, e.g.
 * `gh8:agents:*`. A record of a kind that this version does not know means `all`: too much,
 * never too little.
 */
#ifndef CACHE_JOURNAL_WIRE_H
#define CACHE_JOURNAL_WIRE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "cache/journal.h"

/* Bytes that the records of one stream entry may take, so that every node can read them. */
#define JOURNAL_WIRE_MAX (256u * 1024u)

/* Appends the records to out. More than JOURNAL_RECORDS_MAX of them, or than JOURNAL_WIRE_MAX
 * bytes, become one RECORD_ALL. */
void journal_wire_encode(const struct record *records, size_t n, struct strbuf *out);

/*
 * Reads records; the array is in the arena, texts are slices of `bytes`. Returns their number,
 * at most JOURNAL_RECORDS_MAX. What cannot be read, and more than that, become one RECORD_ALL.
 */
size_t journal_wire_decode(struct str bytes, struct arena *a, struct record **out)
    __attribute__((warn_unused_result));

#endif
