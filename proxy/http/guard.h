/*
 * The guard in front of llhttp: finds the end of a message head and refuses what llhttp 8.1.0
 * still lets through or what a proxy must be stricter about (RFC 9112 sections 2.2, 3, 5;
 * hardening F9-F13, F19, F20): bare CR or LF, NUL and other controls, obs-fold, white space
 * around field names, empty names, other protocols and versions, sizes. Works on whatever has
 * arrived, resumes where it stopped.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct guard_limits {
    size_t head_bytes; /* whole head */
    size_t start_line; /* request or status line */
    size_t field_line; /* one field line */
    size_t field_count;
};

/* Progress through one head; zero-initialise for each message. */
struct guard {
    size_t scanned; /* start of the first line not looked at yet */
    size_t start;   /* offset of the start line (after one tolerated empty line) */
    size_t lines;   /* lines seen, start line included */
};

enum guard_result {
    GUARD_MORE,   /* the head is not complete */
    GUARD_DONE,   /* complete and clean: bytes g->start to *head_len of the buffer */
    GUARD_REFUSE, /* refuse and close: *status and *why say how (request side) */
};

/*
 * Looks at buf (all of the head that has arrived so far; each call gets at least the bytes of
 * the one before). On GUARD_DONE *head_len is the offset just after the empty line, and the
 * head to parse begins at g->start: a request may have one empty line before it (RFC 9112 2.2),
 * a response (`response`) may not. *status is 400, 414, 431 or 505.
 */
enum guard_result guard_scan(struct guard *g, struct str buf, const struct guard_limits *limits,
                             bool response, size_t *head_len, int *status, const char **why);

#endif
