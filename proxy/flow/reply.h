/*
 * What is sent to clients: entries, streamed answers and Larder's own errors. One answer for
 * each request; everything is queued on the client's stream in order. Without a client (it
 * left) all of it is dropped silently.
 */
#ifndef FLOW_REPLY_H
#define FLOW_REPLY_H

#include <stdbool.h>

#include "base/str.h"
#include "flow/request.h"
#include "http/msg.h"
#include "http/range.h"

/* An answer of Larder itself (RFC 9457 problem+json, no-store, with the request id); `detail`
 * is static text without inner detail. Completes the answer; the caller finishes the request.
 */
void reply_problem(struct request *rq, int status, enum reason reason, const char *detail);

/* The status that reply_entry() would give: the entry's, 304, 206 or 416. Sends nothing. */
int reply_entry_status(struct request *rq, const struct entry *e);

/* 416 for a representation of this length (RFC 9110 15.5.17). */
void reply_unsatisfiable(struct request *rq, uint64_t length);

/* 204 with these field lines. */
void reply_no_content(struct request *rq, enum reason reason, struct str fields);

/* 308 to the https form of the request's URL. */
void reply_redirect_https(struct request *rq);

/* The answer from an entry: 200 or its status, 304 for a matching precondition, 206 or 416 for
 * a Range, HEAD without body. Takes over the caller's reference. */
void reply_entry(struct request *rq, struct entry *e);

/* A streamed answer: head (held back until the first body bytes or the end of the turn),
 * pieces, end. length -1: not known before the end. */
void reply_head(struct request *rq, const struct msg *m);
/* The same from a head in stored form (a flight's). */
void reply_stored_head(struct request *rq, const struct flight_head *h);
/* What a Range makes of a 200. */
struct range_plan {
    enum range_verdict verdict; /* RANGE_IGNORE: the whole is sent */
    struct byte_range list[RANGE_MAX];
    size_t n;
};

/* Judges the request's Range and If-Range against a representation of `length` bytes with these
 * validators (RFC 9110 13.1.5, 14.2). */
void reply_plan_range(const struct request *rq, uint64_t length, struct str etag,
                      struct str last_modified, struct str date, struct range_plan *out);

/* The head of a 206 with one part of a body that is under way; its pieces follow. */
void reply_part_head(struct request *rq, const struct flight_head *h,
                     const struct byte_range *part, uint64_t length);

/* A copy of the piece is made only if it cannot be sent at once. */
void reply_piece(struct request *rq, struct str piece);
/* The piece stays where it is until release(owner). */
void reply_piece_ref(struct request *rq, struct str piece, void (*release)(void *),
                     void *owner);
void reply_end(struct request *rq);

/* Sends a held-back head now. */
void reply_flush(struct request *rq);

/* An interim answer (1xx) to a client that understands it. */
void reply_interim(struct request *rq, const struct msg *m);
/* 100 (Continue). */
void reply_continue(struct request *rq);

/* 101 with the backend's fields. */
void reply_switching(struct request *rq, const struct msg *m);

/* The X-Cache word. */
struct str reply_result_word(enum cache_result result);

/* Are more than the high-water mark's bytes queued on the client? */
bool reply_full(const struct request *rq);

/* Appends an answer's field lines for a client: everything that may be forwarded
 * but what Larder computes on delivery (see entry_spec.head), with the route's header
 * directives applied. `omit` (comma-separated, may be STR_NULL) names fields to leave out. */
void reply_render_fields(struct request *rq, const struct msg *m, struct str omit,
                         struct strbuf *out);

/* The same for an entry: without ETag and Age, which are kept apart because each delivery
 * writes its own, and with Accept-Ranges as Larder serves them. */
void reply_render_stored_fields(struct request *rq, const struct msg *m, struct str omit,
                                struct strbuf *out);

/* Does a `header` directive of the route take the origin's field away? */
bool reply_removes(const struct route_settings *route, struct str name);

#endif
