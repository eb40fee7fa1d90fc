/*
 * Vary (RFC 9111 section 4.1): which request fields chose a response, and one canonical form of
 * their values, so that requests that mean the same share a variant. Pure functions; results
 * live in the given arena or are slices of the message.
 */
#ifndef HTTP_VARY_H
#define HTTP_VARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/msg.h"

#define VARY_MAX 32 /* names; a response with more is never reused */

/* The selecting fields of a response. */
struct vary_spec {
    struct str *names; /* lower case, sorted, each once */
    size_t n;          /* 0: the response does not vary */
    bool star;         /* "*", a malformed name or too many names: matches no request */
};

/* Reads all Vary lines of a response. False (and out->star, no names) when no later request can
 * be said to match. */
bool vary_parse(const struct msg *response, struct arena *a, struct vary_spec *out);

/* The same from one list of names, as vary_list() writes it. */
bool vary_parse_list(struct str list, struct arena *a, struct vary_spec *out);

/* The names separated by ","; empty when there are none. */
struct str vary_list(const struct vary_spec *spec, struct arena *a);

/*
 * Canonical value of one request field; STR_NULL when it is absent (an empty one is not).
 *
 * Accept-Encoding: "gzip" or "identity", never absent, by what request_accepts_gzip() says.
 * This holds only if the request was sent upstream with this value as its Accept-Encoding: an
 * origin that saw the client's own could have answered with another coding.
 * Accept-Language: lower case, by weight and then alphabetically; what is refused (q=0) is
 * dropped where nothing else would accept it. Other lists, and fields that Larder does not
 * know: lines joined, no white space around commas outside of quoted strings. All else
 * (Cookie, User-Agent, ...): as received.
 */
struct str vary_value(struct str name, const struct msg *request, struct arena *a);

/* Appends an unambiguous text of the names and the request's values, for hashing: equal exactly
 * when the two requests select the same variant. */
void vary_variant_text(const struct vary_spec *spec, const struct msg *request, struct arena *a,
                       struct strbuf *out);

/* The language that the client prefers to every other (RFC 9110 12.5.4), in lower case;
 * STR_NULL when there is no such one, or it is "*", or the field is malformed. */
struct str request_language(const struct msg *request, struct arena *a);

/* Does the client take gzip, and not like identity better (RFC 9110 12.5.3)? */
bool request_accepts_gzip(const struct msg *request);

#endif
