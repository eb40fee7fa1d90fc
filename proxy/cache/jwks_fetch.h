/*
 * One JWK set over HTTP (RFC 7517 section 5): a libcurl transfer that jwks' thread runs on its
 * multi handle. Certificates are always verified; redirects are followed only within the
 * scheme of the URL; at most JWK_SET_MAX_BYTES are read; no cookies, no netrc. Belongs to one
 * thread.
 */
#ifndef CACHE_JWKS_FETCH_H
#define CACHE_JWKS_FETCH_H

#include <stdbool.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/str.h"

struct jwks_fetch;

/* What one transfer brought. */
struct jwks_fetch_result {
    bool ok;         /* a 200 with a whole body */
    const char *why; /* when not ok: a text that is valid until the next start */
    struct str body; /* when ok: valid until the next start */
    msec_t max_age;  /* of its Cache-Control; -1 when it has none */
};

/* A transfer of `url` (http or https) that can be run again and again. `owner` comes back from
 * jwks_fetch_owner(). Never NULL. */
struct jwks_fetch *jwks_fetch_new(struct str url, msec_t connect_timeout, msec_t total_timeout,
                                  void *owner) __attribute__((warn_unused_result));

/* Must not be running. NULL is allowed. */
void jwks_fetch_free(struct jwks_fetch *f);

/* Adds it to the multi handle. */
void jwks_fetch_start(struct jwks_fetch *f, CURLM *multi);

/* Takes it off the multi handle: after curl said it is done with `code`, or before (cancel). */
void jwks_fetch_stop(struct jwks_fetch *f, CURLM *multi);

/* What a stopped transfer brought, given the code that curl ended it with. */
void jwks_fetch_read(struct jwks_fetch *f, CURLcode code, struct jwks_fetch_result *out);

/* The owner of the transfer that this easy handle belongs to. */
void *jwks_fetch_owner(CURL *easy);

#endif
