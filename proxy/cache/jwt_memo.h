/*
 * What this thread has lately learnt about whole tokens, so that a hit costs no cryptography:
 * the verdict, the times between which it holds, and the claims that are identities. A table
 * per thread, made at first use and freed when the thread ends; no locks.
 *
 * A token is known by a 128-bit XXH3 hash of all its bytes under a secret drawn once for each
 * process, its length, and the generation of the key set that judged it. To pass for another's
 * token, a forged one would have to collide with bytes that its maker does not know (a valid
 * signature) under a secret that he does not know either; two tokens of his own gain nothing.
 */
#ifndef CACHE_JWT_MEMO_H
#define CACHE_JWT_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"
#include "settings.h"

/* A token under a key set. */
struct jwt_memo_key {
    uint64_t low;        /* hash */
    uint64_t high;       /* hash */
    uint64_t generation; /* of the key set, never 0 (jwks.h) */
    size_t length;       /* of the token */
};

/* What is known of it. */
struct jwt_memo {
    bool verified;     /* signature, issuer and audience are good; else refused for good */
    uint8_t alg;       /* its algorithm, one bit of enum jwt_alg; 0: not known */
    const char *why;   /* not verified: a constant text */
    msec_t not_before; /* verified: wall times between which it is valid */
    msec_t expires;
    uint32_t known;     /* verified: identities (bits by index) that have a value … */
    struct str *values; /* … and those, in order of index */
};

/* The key of `token` under the set of this generation. */
void jwt_memo_key(struct str token, uint64_t generation, struct jwt_memo_key *out);

/* NULL when the token is not remembered. Valid until this thread's next call here. */
const struct jwt_memo *jwt_memo_find(const struct jwt_memo_key *key);

/* Remembers a token; `values` are copied. Refused tokens never displace the verified one that
 * was used last. */
void jwt_memo_store(const struct jwt_memo_key *key, const struct jwt_memo *memo);

#endif
