/*
 * Message bodies on the wire (RFC 9112 sections 6 and 7): an incremental decoder for the
 * framing that http/h1 found, stricter than llhttp where a proxy must be (F14-F17): chunk lines
 * end in CRLF only, sizes are plain hex, extensions are bounded and dropped, trailers are
 * checked and dropped.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/msg.h"

/* Decoder state; start with body_start(). */
struct body {
    enum framing framing;
    uint8_t state;      /* of the chunked grammar */
    uint8_t digits;     /* hex digits of the current size */
    bool quoted;        /* inside a quoted extension value */
    uint64_t left;      /* bytes left of the body (length) or of the chunk */
    uint32_t ext_bytes; /* extension bytes of the message so far */
    uint32_t trailer_bytes;
    uint32_t line_bytes; /* bytes in the current extension or trailer line */
    uint64_t received;   /* payload bytes so far */
};

enum body_result {
    BODY_MORE,  /* everything given was used (or nothing is there): feed more */
    BODY_DATA,  /* *data holds payload; call again with what is left */
    BODY_DONE,  /* the message is complete; bytes after *used belong to the next one */
    BODY_ERROR, /* malformed: close */
};

void body_start(struct body *b, const struct msg *m);

/* Decodes from in. *used bytes were taken; *data is a slice of `in`. Call again after
 * BODY_DATA. */
enum body_result body_next(struct body *b, struct str in, size_t *used, struct str *data);

/* The same, with the payload of all chunks in one slice: it is moved together over the framing
 * between it, so `in` must be memory that may be changed. Many small chunks then cost one write
 * further on, not one each. */
enum body_result body_next_run(struct body *b, struct str in, size_t *used, struct str *data);

/* Is the message complete if the connection ends here (FRAMING_CLOSE: yes)? */
bool body_complete_at_eof(const struct body *b);

#endif
