/*
 * Request targets (RFC 9112 section 3.2, RFC 3986): one canonical form of path, query and host
 * that routing, keys and forwarding share (hardening K1-K7). Pure functions; results live in
 * the given arena or are slices of the input, which must live as long.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum target_form {
    TARGET_ORIGIN,    /* /path?query */
    TARGET_ABSOLUTE,  /* http://host/path?query: authority is filled */
    TARGET_ASTERISK,  /* * (OPTIONS only); the path is "*" */
    TARGET_AUTHORITY, /* host:port (CONNECT only); the path is empty */
};

/* One canonical target. */
struct target {
    enum target_form form;
    struct str scheme;    /* TARGET_ABSOLUTE: "http" or "https" */
    struct str authority; /* TARGET_ABSOLUTE, TARGET_AUTHORITY: host[:port] as received */
    struct str path;      /* canonical: unreserved bytes decoded, %XX upper case, raw bytes that
                             a path may not hold encoded, dot segments resolved, repeated slashes
                             kept as received */
    struct str query;     /* as received without the "?", %XX checked; p == NULL: no "?" */
    bool semicolon;       /* the path holds a ';' or %3B (no cached route may match it) */
};

/*
 * Splits and canonicalises a raw target. NULL on success, else a short reason ("bad
 * percent-encoding", "encoded slash", "NUL", "backslash", "fragment", "escapes root", ...): the
 * request is refused with 400. canon(canon(x)) == canon(x). Which form suits which method is
 * the caller's to check, and so is the authority (host_parse).
 *
 * A path may not hold an encoded slash, backslash or control byte. A query may (a text field
 * holds line ends), but no %00.
 */
const char *target_parse(struct str raw, struct arena *a, struct target *out)
    __attribute__((warn_unused_result));

/* A validated host. */
struct host {
    struct str name; /* lower case, no port, no trailing dot; IPv6 literals in the form of RFC
                        5952, in brackets */
    struct str port; /* without leading zeros; p == NULL when absent, or empty, or the scheme's
                        default */
};

/* uri-host [":" port] (RFC 9112 3.2): false when empty, with userinfo, bad bytes, empty labels,
 * a port over 65535 or 0. `tls` decides which default port is dropped. */
bool host_parse(struct str value, bool tls, struct arena *a, struct host *out)
    __attribute__((warn_unused_result));

/* name[:port] of a validated host, in the arena. */
struct str host_authority(const struct host *h, struct arena *a);

/* One decoded query parameter; `name` and `value` are percent-decoded ('+' stays '+'). */
struct query_param {
    struct str name;
    struct str value;
    bool has_value; /* an "=" was there */
};

/* Splits a raw query on '&' only; empty elements are dropped. Returns -1 when there are more
 * than max parameters, else the count with *out in the arena. */
int query_split(struct str query, size_t max, struct arena *a, struct query_param **out);

/* Is this a well-known tracking parameter (utm_*, fbclid, gclid, ...)? */
bool query_is_tracking(struct str name);

/* Appends s percent-encoded outside [A-Za-z0-9._-] (design section 4). */
void percent_encode(struct strbuf *out, struct str s);

#endif
