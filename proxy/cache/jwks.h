/*
 * The key sets of a configuration's jwt directives: loads secrets, PEM files and JWK set files
 * at start, and fetches JWK set URLs in one thread of its own, off every request's path. A set
 * that was fetched stays in use until the next one arrives, however long its source is away.
 *
 * Every set that comes into use gets a generation that no other set of the process has, ever:
 * whoever remembers what a set said (jwt_memo) remembers the generation with it.
 */
#ifndef CACHE_JWKS_H
#define CACHE_JWKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "cache/jwk.h"
#include "settings.h"

struct jwks;

/* When sets are fetched; all in milliseconds. jwks_timing_default unless a test says otherwise.
 */
struct jwks_timing {
    msec_t period;          /* to the next fetch where Cache-Control has no max-age: 10 min */
    msec_t period_min;      /* bounds of a max-age: 1 min … */
    msec_t period_max;      /* … 1 day */
    msec_t retry_min;       /* first pause after a failed fetch, doubled each time: 1 s … */
    msec_t retry_max;       /* … 60 s */
    msec_t early_gap;       /* between two fetches for an unknown kid: 10 s */
    msec_t connect_timeout; /* 2 s */
    msec_t total_timeout;   /* of one fetch: 5 s */
};
extern const struct jwks_timing jwks_timing_default;

/*
 * Loads the keys of every jwt directive. NULL with a message in *error (a buffer of the calling
 * thread, valid until its next call) when a secret or a file is unusable. A URL is not waited
 * for; the thread is started only if there is one. `settings` must outlive the result.
 */
struct jwks *jwks_new(const struct settings *settings, const struct jwks_timing *timing,
                      const char **error) __attribute__((warn_unused_result));

/* Stops the thread, at once even in the middle of a fetch, and drops the sets. NULL is
 * allowed. */
void jwks_free(struct jwks *k);

/* At a reload: sets that `old` has fetched serve k for the same URLs until its own arrive. */
void jwks_adopt(struct jwks *k, struct jwks *old);

/* The generation of the set in use for jwt `index`; 0 while there is none. No lock. */
uint64_t jwks_generation(const struct jwks *k, unsigned index);

/* The set in use, with a reference for the caller (jwk_set_unref), and its generation; NULL
 * while there is none. Takes a lock: not for the hit path. */
struct jwk_set *jwks_get(struct jwks *k, unsigned index, uint64_t *generation)
    __attribute__((warn_unused_result));

/* A token named a key that the set in use has not. Asks for a fetch ahead of time, at most once
 * per early_gap and not while fetches fail; never waits. False when the source is not a URL,
 * so that no other keys can come. */
bool jwks_want(struct jwks *k, unsigned index);

#endif
