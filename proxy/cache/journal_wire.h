/*
 * Records of the invalidation journal as bytes: in the stream's field `r` and in the outbox
 * file. Readable with redis-cli: each record is KIND HARDNESS LENGTH ":" TEXT, e.g.
 * `gh8:agents:*`. A record of a kind that this version does not know means `all`: too much,
 * never too little.
 */
#ifndef CACHE_JOURNAL_WIRE_H
#define CACHE_JOURNAL_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "cache/journal.h"

/* Appends the records to out. */
void journal_wire_encode(const struct record *records, size_t n, struct strbuf *out);

/*
 * Reads records; the array is in the arena, texts are slices of `bytes`. Returns their number.
 * What cannot be read, and more than `max` records, become one RECORD_ALL.
 */
size_t journal_wire_decode(struct str bytes, size_t max, struct arena *a, struct record **out);

#endif
