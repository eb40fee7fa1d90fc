/*
 * Entity-tags for answers that have none (`etag on`): a hash of the body, so that every node
 * makes the same one. Strong (RFC 9110 8.8.1): other bytes, another tag. It says nothing to the
 * origin, which does not know it; an entry that has one bears ENTRY_OWN_ETAG.
 */
#ifndef CACHE_OWN_ETAG_H
#define CACHE_OWN_ETAG_H

#include "base/str.h"

#define OWN_ETAG_LEN 34 /* 128 bits in hex between quotation marks */

/* Writes the tag of an identity body into out and returns it as a slice. */
struct str own_etag(struct str body, char out[OWN_ETAG_LEN]);

#endif
