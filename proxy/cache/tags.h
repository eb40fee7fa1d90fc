/*
 * Tags of an answer, by which it can be invalidated: the route's `tag` templates and what the
 * origin sends in Surrogate-Key, Cache-Tag and Cache-Groups (RFC 9875). All share one
 * namespace, compared byte by byte. Pure functions; results in the arena.
 */
#ifndef CACHE_TAGS_H
#define CACHE_TAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "cache/key.h"
#include "http/msg.h"

#define TAGS_MAX       64  /* tags of one answer */
#define TAG_LENGTH_MAX 128 /* bytes of one tag */

struct tag_set {
    struct str list[TAGS_MAX]; /* distinct, in order of appearance */
    size_t n;
    bool incomplete; /* a tag did not fit or could not be rendered: an answer stored without it
                        would survive its invalidation, so it must not be stored */
};

/* The tags of a response to the request in kc. q as for key_render(). */
void tags_collect(const struct key_context *kc, const struct key_query *q,
                  const struct msg *response, struct arena *a, struct tag_set *out);

/* The form of entry_spec: one NUL after each but the last; empty when there is none. */
struct str tags_join(const struct tag_set *tags, struct arena *a);

/*
 * The groups that the answer to an unsafe request invalidates (Cache-Group-Invalidation, RFC
 * 9875 section 3). An invalid field is ignored. The caller looks only at answers of writes.
 * When incomplete is set, more was named than fits: the caller invalidates everything.
 */
void tags_invalidated(const struct msg *response, struct arena *a, struct tag_set *out);

#endif
