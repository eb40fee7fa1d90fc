/*
 * One parsed HTTP message head (RFC 9110): request or response as slices into a buffer that the
 * owner keeps (an arena). http/h1 fills it, everything above only reads it. Semantics only; the
 * bytes of the wire are http/h1's.
 */
#ifndef HTTP_MSG_H
#define HTTP_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/field.h"

/* Methods Larder decides by; any other valid token is METHOD_OTHER. */
enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_CONNECT,
};

/* One field line. */
struct field {
    struct str name;  /* as received */
    struct str value; /* trimmed of OWS */
    enum field_id id; /* FIELD_OTHER when not in tbl/fields.def */
};

/* How the body is delimited (RFC 9112 section 6.3). */
enum framing {
    FRAMING_NONE,    /* no body */
    FRAMING_LENGTH,  /* Content-Length */
    FRAMING_CHUNKED, /* chunked transfer coding */
    FRAMING_CLOSE,   /* response only: until the connection closes */
};

/* A message head. */
struct msg {
    enum method method;     /* request */
    struct str method_name; /* request: as received */
    struct str target;      /* request: as received */
    int status;             /* response */
    struct str reason;      /* response: reason phrase, may be empty */
    int minor;              /* HTTP/1.minor: 0 or 1 */
    struct field *fields;   /* in order of arrival, in the arena */
    size_t n_fields;
    size_t cap_fields; /* room in fields */
    enum framing framing;
    uint64_t content_length; /* FRAMING_LENGTH */
    bool keep_alive;         /* the sender allows another message on this connection */
    bool expect_continue;    /* request: Expect: 100-continue with a body, HTTP/1.1 */
    bool upgrade;            /* Connection: upgrade and an Upgrade field are there */
    bool has_debug;          /* the same for X-Larder-Debug */
    bool has_range;          /* a Range field was added: most requests need not be searched */
};

/* Method of an exact (case-sensitive) token. */
enum method method_lookup(struct str name);

/* RFC 9110 9.2.1: GET, HEAD, OPTIONS, TRACE. METHOD_OTHER counts as unsafe. */
bool method_is_safe(enum method m);

/* RFC 9110 9.2.2: the safe ones, PUT and DELETE. */
bool method_is_idempotent(enum method m);

/* First field line with this id, or NULL. */
const struct field *msg_find(const struct msg *m, enum field_id id);

/* First value, or STR_NULL (p == NULL) when the field is absent. */
struct str msg_get(const struct msg *m, enum field_id id);

/* Value of a field by name (any case; for names not in the table); STR_NULL when absent. */
struct str msg_get_name(const struct msg *m, struct str name);

/* Number of lines with this id. */
size_t msg_count(const struct msg *m, enum field_id id);

/* All lines of a list field joined with ", " (RFC 9110 5.3); STR_NULL when absent. One line is
 * returned as it is, several are joined in the arena. */
struct str msg_joined(const struct msg *m, enum field_id id, struct arena *a);

/* As msg_joined for a name that may not be in the table. */
struct str msg_joined_name(const struct msg *m, struct str name, struct arena *a);

/* Does a list field hold this token (any case)? Looks at every line. */
bool msg_has_token(const struct msg *m, enum field_id id, struct str token);

/* Has the request If-None-Match or If-Modified-Since? */
bool msg_is_conditional(const struct msg *m);

/* Is the field named in Connection (RFC 9110 7.6.1)? */
bool msg_connection_lists(const struct msg *m, struct str name);

/* Appends a field line; name and value must live as long as the arena. A NULL value is "". */
void msg_add(struct msg *m, struct arena *a, struct str name, struct str value);

/* Removes every line with this id. */
void msg_remove(struct msg *m, enum field_id id);

/* Value of cookie `name` in the Cookie fields (RFC 6265 4.2); STR_NULL when absent or sent more
 * than once with different values (then *ambiguous is set; may be NULL). */
struct str msg_cookie(const struct msg *m, struct str name, bool *ambiguous);

/* The status's standard phrase, "" for unknown ones. */
struct str status_phrase(int status);

#endif
