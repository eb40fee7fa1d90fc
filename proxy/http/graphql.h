/*
 * What a request body asks of a GraphQL service (October 2021 and later; GraphQL over HTTP), as
 * far as a cache must know: does it only read? Pure functions over complete bodies, which the
 * caller bounds.
 *
 * Policy: an operation is a query only if the whole document was understood. Whatever could be
 * executed and was not understood is GRAPHQL_UNKNOWN, which callers treat as a mutation. What
 * no GraphQL parser can take for a document (its first token begins none, or no operation but
 * queries is spelt in it) is no GraphQL: a search for "shoes" has a member `query` too.
 */
#ifndef HTTP_GRAPHQL_H
#define HTTP_GRAPHQL_H

#include "base/str.h"

/* In order of what counts when a request holds several: the greatest. */
enum graphql_kind {
    GRAPHQL_NONE,         /* not a GraphQL request */
    GRAPHQL_QUERY,        /* reads */
    GRAPHQL_SUBSCRIPTION, /* reads, but its answer is a stream */
    GRAPHQL_UNKNOWN,      /* may do anything */
    GRAPHQL_MUTATION,     /* writes */
};

/*
 * The operation that a document runs. operation_name (STR_NULL or empty: none) chooses among
 * several; where it names not exactly one of them, all count. GRAPHQL_NONE for an empty
 * document and for what begins none.
 */
enum graphql_kind graphql_document(struct str document, struct str operation_name);

/*
 * A request's body with its Content-Type (p == NULL: none). JSON is looked at whatever type is
 * claimed, since servers do so too: an object with the member `query`, or an array of such (a
 * batch). An operation that the server knows by an id alone (a persisted one) is unknown. The
 * body must not be coded (Content-Encoding).
 */
enum graphql_kind graphql_request(struct str content_type, struct str body);

#endif
