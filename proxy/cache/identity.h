/*
 * Who is asking (design section 4): resolves the identities that a route needs for one request.
 * Fails closed: anything missing, expired or unverifiable leaves the identity unknown, and the
 * caller does not look up, store or coalesce.
 *
 * identity_keys holds the verification keys (secrets, PEM, JWK sets); it is shared by all
 * workers, read without a lock (an immutable snapshot is swapped when a JWK set is refetched by
 * the fetching thread that identity_keys owns).
 */
#ifndef CACHE_IDENTITY_H
#define CACHE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "cache/key.h"
#include "cache/reason.h"
#include "http/msg.h"
#include "settings.h"

struct identity_keys;

/* Loads every jwt's keys; false with a message in *error (arena of settings, NUL-terminated)
 * when a local file or secret is unusable. A JWK set URL that cannot be fetched yet is not an
 * error: its tokens are unverifiable (REASON_IDENTITY_KEYS) until it is there. Starts a thread
 * only if there is a URL. `settings` must outlive the result. */
struct identity_keys *identity_keys_new(const struct settings *settings, const char **error)
    __attribute__((warn_unused_result));
void identity_keys_free(struct identity_keys *k);

/* The result for one request. */
struct identity_result {
    struct identity_value values[SETTINGS_MAX_IDENTITIES];
    bool authenticated;   /* a valid jwt or trusted-header identity was found */
    enum reason reason;   /* why a needed one is unknown, else REASON_NONE */
    unsigned missing;     /* index of the first needed identity that is unknown (with reason) */
    uint32_t used_fields; /* what the resolved identities came from: IDENTITY_USED_* */
};

enum identity_used {
    IDENTITY_USED_AUTHORIZATION = 1 << 0,
    IDENTITY_USED_COOKIE = 1 << 1, /* some cookie; which one is the directive's */
};

/*
 * Resolves the identities of `mask` (and, if `authenticated`, whether any is valid). peer is
 * the connection's peer (for header identities); now is wall time. Each token is verified once
 * per request however many claims are used; verified tokens are memoised in a small per-thread
 * table keyed by a hash of the whole token (never beyond its exp).
 */
void identity_resolve(struct identity_keys *k, const struct settings *settings, uint32_t mask,
                      bool authenticated, const struct msg *request, const struct addr *peer,
                      const uint8_t hash_key[32], msec_t now, struct arena *a,
                      struct identity_result *out);

/* Removes identity fields that an untrusted peer sent (header identities), before anything
 * reads or forwards the request. */
void identity_strip(const struct settings *settings, struct msg *request,
                    const struct addr *peer);

#endif
