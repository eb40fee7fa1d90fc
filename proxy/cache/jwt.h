/*
 * One JSON Web Token (RFC 7519) as a signed compact serialisation (RFC 7515 section 7.1): its
 * form, its signature and its claims, each checked by RFC 8725. identity calls the three in
 * this order: jwt_parse() looks at the header only, jwt_verify() at the signature, and the
 * payload is read by jwt_read_claims() after the signature was found good.
 *
 * Policy, where the RFCs leave it open:
 *   - a token without "exp" is refused (RFC 8725 recommends it): what never expires would be a
 *     key to the cache for ever;
 *   - any "crit" and any "b64" other than true are refused: nothing critical is understood
 * here;
 *   - jku, x5u, jwk and x5c in a header are ignored: a token does not choose its own key;
 *   - "typ" is not restricted;
 *   - "iat" in the future makes a token not yet valid, as "nbf" does.
 * Reasons are constant texts for the debug log; a client never sees them. Any thread.
 */
#ifndef CACHE_JWT_H
#define CACHE_JWT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "cache/jwk.h"
#include "settings.h"

struct cJSON;

#define JWT_MAX_TOKEN 8192 /* bytes of a token */
#define JWT_MAX_DEPTH 8    /* levels of its header and of its payload */
#define JWT_MAX_TRIES 8    /* keys tried for one token */
#define JWT_MAX_CLAIM 256  /* bytes of a claim that becomes an identity */

/* A token whose header was read. Slices point into the token. */
struct jwt {
    unsigned alg;           /* one bit of enum jwt_alg */
    struct str kid;         /* in the arena; p == NULL when the header has none */
    struct str signed_part; /* header.payload */
    struct str payload;     /* base64url */
    struct str signature;   /* base64url, never empty */
};

/* What jwt_verify() found. */
enum jwt_verdict {
    JWT_VERIFIED,
    JWT_FORGED, /* there are keys for it and none verifies the signature */
    JWT_NO_KEY, /* no key has its kid; or it has no kid, and no key serves its algorithm */
};

/* The claims of a verified token. */
struct jwt_claims {
    struct cJSON *tree; /* the payload, an object; freed by jwt_claims_fini() */
    msec_t not_before;  /* wall time from which it is valid, leeway included */
    msec_t expires;     /* wall time from which it is no longer valid, leeway included */
};

/* Splits a token and reads its header. False with a text in *why (may be NULL) when it is not a
 * three-part token of known form and algorithm. Nothing of it is verified then. */
bool jwt_parse(struct str token, struct arena *a, struct jwt *out, const char **why)
    __attribute__((warn_unused_result));

/*
 * Verifies the signature with the keys of `set` that have the token's kid and may verify its
 * algorithm; without such a kid, with those that have none; for a token without kid, with all.
 * At most JWT_MAX_TRIES keys are tried. `algs`, the directive's mask, must hold the algorithm.
 */
enum jwt_verdict jwt_verify(const struct jwt *t, const struct jwk_set *set, unsigned algs)
    __attribute__((warn_unused_result));

/*
 * Reads the payload of a verified token and checks iss and aud as the directive wants them, and
 * the form of exp, nbf and iat; comparing them with the clock is the caller's. False with a
 * text in *why (may be NULL); *out then needs no jwt_claims_fini().
 */
bool jwt_read_claims(const struct jwt *t, const struct jwt_settings *settings,
                     struct jwt_claims *out, const char **why)
    __attribute__((warn_unused_result));

void jwt_claims_fini(struct jwt_claims *claims);

/*
 * The text of the claim at `path` (member names from the outermost): a non-empty string of at
 * most JWT_MAX_CLAIM bytes as it is, an integer of a magnitude below 2^53 in decimal. False for
 * all else. The result is in the arena.
 */
bool jwt_claim(const struct jwt_claims *claims, const struct str_list *path, struct arena *a,
               struct str *out) __attribute__((warn_unused_result));

#endif
