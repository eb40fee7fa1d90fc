/*
 * Who is asking (design section 4): resolves the identities that a route needs for one request.
 * Fails closed: anything missing, expired or unverifiable leaves the identity unknown, and the
 * caller does not look up, store or coalesce.
 *
 * identity_keys holds the verification keys (secrets, PEM, JWK sets); it is shared by all
 * workers. A token that a worker has seen before is judged without a lock; a new one takes a
 * reference to the immutable key set in use, which the fetching thread that identity_keys owns
 * swaps when a JWK set has changed.
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

/* Loads every jwt's keys; NULL with a message in *error (a buffer of the calling thread, valid
 * until its next call) when a local file or secret is unusable. A JWK set URL is not waited
 * for, and one that cannot be fetched is not an error: its tokens are unverifiable
 * (REASON_IDENTITY_KEYS) until it is there. Starts a thread only if there is a URL. `settings`
 * must outlive the result. */
struct identity_keys *identity_keys_new(const struct settings *settings, const char **error)
    __attribute__((warn_unused_result));

/* Ends the thread at once, even in the middle of a fetch. NULL is allowed. No other thread may
 * use k any more. */
void identity_keys_free(struct identity_keys *k);

/* At a reload, before k is used: the JWK sets that `old` has fetched serve k for the same URLs
 * until its own fetches are done, so that a reload verifies as before. */
void identity_keys_adopt(struct identity_keys *k, struct identity_keys *old);

/* The result for one request. */
struct identity_result {
    struct identity_value values[SETTINGS_MAX_IDENTITIES];
    bool authenticated;   /* a valid jwt or trusted-header identity was found */
    enum reason reason;   /* why a needed one is unknown, else REASON_NONE */
    unsigned missing;     /* index of the first needed identity that is unknown (with reason);
                             n_identities when it is only `authenticated` that failed */
    uint32_t used_fields; /* what the resolved identities came from: IDENTITY_USED_* */
};

enum identity_used {
    IDENTITY_USED_AUTHORIZATION = 1 << 0,
    IDENTITY_USED_COOKIE = 1 << 1, /* some cookie; which one is the directive's */
};

/* How one identity came out. */
struct identity_note {
    enum reason reason; /* REASON_NONE: it is known */
    const char *why;    /* a refusal's constant text, where there is one; may be NULL */
    unsigned alg;       /* of the token, one bit of enum jwt_alg; 0: none was looked at */
};

/* For whoever wants to know more than one reason (flow/explain). */
struct identity_notes {
    struct identity_note each[SETTINGS_MAX_IDENTITIES]; /* of the mask */
    struct identity_note anybody; /* of the last token that was looked at */
    uint32_t mask;                /* identities that were asked for */
};

/*
 * Resolves the identities of `mask` (and, if `authenticated`, whether any is valid). peer is
 * the connection's peer (for header identities); now is wall time. Each token is verified once
 * per request however many claims are used; verified tokens are memoised in a small per-thread
 * table keyed by a hash of the whole token (never beyond its exp).
 *
 * Reasons: REASON_NO_IDENTITY when what it comes from is absent (no bearer token, no such
 * cookie or field, a valid token without the claim), REASON_BAD_IDENTITY when it is there and
 * refused (also two Authorization lines, or a cookie sent twice), REASON_IDENTITY_KEYS when no
 * key for the token is there yet but one may come. notes (may be NULL) are written beside it.
 */
void identity_resolve(struct identity_keys *k, const struct settings *settings, uint32_t mask,
                      bool authenticated, const struct msg *request, const struct addr *peer,
                      const uint8_t hash_key[32], msec_t now, struct arena *a,
                      struct identity_notes *notes, struct identity_result *out);

/* Removes identity fields that an untrusted peer sent (header identities), before anything
 * reads or forwards the request; from any peer, other spellings of such a field with '_' for
 * '-' or the reverse, which CGI-like backends take for the same field. */
void identity_strip(const struct settings *settings, struct msg *request,
                    const struct addr *peer);

#endif
