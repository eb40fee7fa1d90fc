/*
 * Records of the invalidation journal as bytes: in the stream's field `r` and in the outbox
 * file. Readable with redis-cli: each record is KIND HARDNESS LENGTH ":" TEXT, e.g.
 * `gh8:agents:*`. A record of a kind that this version does not know means `all`: too much,
 * never too little.
 *
 * An intent is in the field `i` of an entry without records: MID " " DEADLINE " " RECORDS, e.g.
 * `0123456789abcdef:7 40000 gh8:agents:*`, the deadline in ms from the entry's id. The field
 * `c` of a later entry, whose records are what became of it, names those that are over: MID, or
 * several with a space between. A version that knows no intents sees an entry without records
 * and then an ordinary one: it takes no part in the healing, and nothing else changes for it.
 */
#ifndef CACHE_JOURNAL_WIRE_H
#define CACHE_JOURNAL_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
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

#define JOURNAL_MID_MAX         64                             /* bytes */
#define JOURNAL_INTENT_DEADLINE (8 * 24 * 3600 * (msec_t)1000) /* above any `timeout` */

/* A write that was announced. */
struct journal_intent {
    struct str mid;
    msec_t deadline;    /* 1 to JOURNAL_INTENT_DEADLINE, from the id of its entry */
    struct str records; /* as encoded; journal_wire_decode() reads them */
};

/* Appends the field's value to out. */
void journal_wire_encode_intent(const struct journal_intent *intent, struct strbuf *out);

/* Reads one; slices of `bytes`. False when it makes no sense. */
bool journal_wire_decode_intent(struct str bytes, struct journal_intent *out)
    __attribute__((warn_unused_result));

#endif
