/*
 * HTTP/1.1 message heads on the wire (RFC 9112): parsing with llhttp in strict mode behind
 * http/guard, framing rules stricter than llhttp's, and the one writer of heads.
 */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/msg.h"

/* What became of a head. */
struct h1_verdict {
    int status;      /* 0: fine; else the status to refuse with (a bad answer: 502) */
    const char *why; /* static text for the log and the problem's detail */
};

/*
 * Parses one complete request head that has passed the guard: the bytes from the start line to
 * the end of the empty line, nothing before (guard.start) or after. Slices point into `head` or
 * the arena; `head` must outlive the message. Checks method, version, Host, framing (F1-F6),
 * Expect (F8), Connection (H2), singletons (H3) and underscores (F13; those that imitate a
 * known field are refused, others are dropped unless kept). *out is usable only with status 0.
 */
struct h1_verdict h1_parse_request(struct str head, struct arena *a, bool keep_underscores,
                                   struct msg *out) __attribute__((warn_unused_result));

/* The same for an answer to `method`; a bad one gives 502. Answers to HEAD and 304 keep their
 * Content-Length field but have FRAMING_NONE; 1xx and 204 lose it. Repeated fields are kept. */
struct h1_verdict h1_parse_response(struct str head, enum method method, struct arena *a,
                                    struct msg *out) __attribute__((warn_unused_result));

/* Is this field line to be forwarded: not hop-by-hop, not named by Connection (H1, H2)? */
bool h1_forwardable(const struct msg *m, const struct field *f);

/* The writer: a head is start, fields, end. Nothing that we emit can be split: a field with CR,
 * LF or NUL in its name or value is dropped and logged, such a reason is left out, and a byte
 * that could end a method or target is percent-encoded. */
void h1_write_request_line(struct strbuf *out, struct str method, struct str target);
void h1_write_status_line(struct strbuf *out, int status, struct str reason);
void h1_write_field(struct strbuf *out, struct str name, struct str value);
void h1_write_u64_field(struct strbuf *out, struct str name, uint64_t value);
void h1_write_end(struct strbuf *out);

#endif
