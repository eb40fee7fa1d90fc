/*
 * Keys that tokens are verified with (RFC 7517, RFC 7518 section 6): from a JWK set, a PEM file
 * or a secret, to what OpenSSL works on. jwks loads and keeps the sets, jwt verifies with them.
 *
 * Each key carries the algorithms that it may verify: those of its type (RSA: RS256 and PS256,
 * EC P-256: ES256, Ed25519: EdDSA, oct: HS*), narrowed by its own "alg". That binding is what
 * makes algorithm confusion impossible (RFC 8725 section 3.1). A set is immutable and shared by
 * reference; any thread.
 */
#ifndef CACHE_JWK_H
#define CACHE_JWK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "base/str.h"
#include "settings.h"

#define JWK_SET_MAX_BYTES (256 * 1024) /* largest set or PEM file that is read */
#define JWK_SET_MAX_KEYS  128          /* more is an error */
#define JWK_MIN_RSA_BITS  2048         /* RFC 7518 section 3.3 */
#define JWK_MAX_RSA_BITS  8192         /* bounds the work of one verification */
#define JWK_MIN_SECRET    32           /* bytes of an HMAC secret */

/* What a key is. */
enum jwk_type {
    JWK_RSA,
    JWK_EC_P256,
    JWK_ED25519,
    JWK_OCT,
};

/* One key. */
struct jwk {
    enum jwk_type type;
    unsigned algs;   /* mask of enum jwt_alg that it may verify; never 0 */
    char *kid;       /* NUL-terminated; NULL when the key has none */
    EVP_PKEY *pkey;  /* public key; NULL for JWK_OCT */
    uint8_t *secret; /* JWK_OCT: the bytes, else NULL */
    size_t secret_n; /* at least JWK_MIN_SECRET */
};

/* The usable keys of one source. */
struct jwk_set {
    atomic_uint refs;
    struct jwk *keys;
    size_t n;                /* may be 0: a set that holds nothing for us */
    size_t skipped;          /* keys of the set that are not usable (RFC 7517 section 5) … */
    const char *skipped_why; /* … and why the first of them is not: a constant text, or NULL */
};

/* The bit of enum jwt_alg with this exact name (RFC 7518 section 3.1); 0 for any other, "none"
 * among them. */
unsigned jwk_alg_lookup(struct str name);

/* Its name as tokens spell it ("RS256"); "" for what is not one bit of enum jwt_alg. */
struct str jwk_alg_name(unsigned alg);

/*
 * A JWK set, or a single JWK. Keys that are not usable (other types and curves, weak or
 * malformed ones, those whose use, key_ops or alg is not verification with an algorithm known
 * here) are skipped and counted. NULL with a constant text in *why when the text as a whole is
 * none: not JSON, no "keys" array, too many keys. One reference belongs to the caller.
 */
struct jwk_set *jwk_set_parse(struct str text, const char **why)
    __attribute__((warn_unused_result));

/* The first public key (SubjectPublicKeyInfo or PKCS#1) or X.509 certificate of a PEM text; the
 * certificate's dates and issuer are not looked at. NULL as above. */
struct jwk_set *jwk_set_from_pem(struct str pem, const char **why)
    __attribute__((warn_unused_result));

/* A secret of at least JWK_MIN_SECRET bytes, which are copied. NULL as above. */
struct jwk_set *jwk_set_from_secret(struct str secret, const char **why)
    __attribute__((warn_unused_result));

struct jwk_set *jwk_set_ref(struct jwk_set *set);

/* Drops a reference; the last one wipes and frees the keys. NULL is allowed. */
void jwk_set_unref(struct jwk_set *set);

#endif
