/*
 * Conditional requests (RFC 9110 section 13) against one stored or just received
 * representation. Pure functions.
 */
#ifndef HTTP_CONDITIONAL_H
#define HTTP_CONDITIONAL_H

#include <stdbool.h>

#include "base/str.h"
#include "http/msg.h"

/* What a cache with a usable response answers (13.2.2 as it applies to caches, RFC 9111 4.3.2).
 */
enum conditional {
    CONDITIONAL_NONE,         /* no precondition that a cache evaluates: send the response */
    CONDITIONAL_SEND,         /* preconditions hold: send the response */
    CONDITIONAL_NOT_MODIFIED, /* 304 */
};

/* Is s an entity-tag: [W/] DQUOTE *etagc DQUOTE (obs-text allowed)? */
bool etag_valid(struct str s);

/* RFC 9110 8.8.3.2. False when either is no entity-tag. */
bool etag_strong_match(struct str a, struct str b);
bool etag_weak_match(struct str a, struct str b);

/* Does an If-None-Match / If-Match list hold a match for etag (p == NULL: none)? "*" matches.
 * A malformed list matches up to its error. In a weak comparison an origin's malformed ETag
 * (unquoted, say) matches when the client sends back exactly its bytes. */
bool etag_list_match(struct str list, struct str etag, bool strong);

/*
 * If-None-Match, else If-Modified-Since, of a GET or HEAD request against a representation with
 * this ETag and Last-Modified (STR_NULL when absent; `date` stands in for a missing
 * Last-Modified as RFC 9111 4.3.2 allows). The caller asks only for a representation that it
 * would send with 200 (13.2.1); If-Match and If-Unmodified-Since are not for caches and are not
 * looked at.
 */
enum conditional conditional_evaluate(const struct msg *request, struct str etag,
                                      struct str last_modified, struct str date);

/* Does If-Range (p == NULL: absent, true) allow the Range (RFC 9110 13.1.5, strong comparison)?
 */
bool if_range_match(struct str if_range, struct str etag, struct str last_modified,
                    struct str date);

#endif
