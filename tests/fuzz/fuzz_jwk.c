/*
 * libFuzzer: JWK sets and PEM texts (cache/jwk). An input that begins with "-----" is read as
 * PEM, any other as a JWK set. Every key that is taken must have its algorithms, its material
 * and its minimum strength.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "cache/jwk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_key(const struct jwk *key)
{
    static const unsigned algs[] = {
        [JWK_RSA] = JWT_RS256 | JWT_PS256,
        [JWK_EC_P256] = JWT_ES256,
        [JWK_ED25519] = JWT_EDDSA,
        [JWK_OCT] = JWT_HS256 | JWT_HS384 | JWT_HS512,
    };
    check(key->algs != 0 && (key->algs & ~algs[key->type]) == 0);
    if (key->type == JWK_OCT) {
        check(key->pkey == NULL && key->secret != NULL && key->secret_n >= JWK_MIN_SECRET);
        return;
    }
    check(key->pkey != NULL && key->secret == NULL);
    if (key->type == JWK_RSA) {
        int bits = EVP_PKEY_get_bits(key->pkey);
        check(bits >= JWK_MIN_RSA_BITS && bits <= JWK_MAX_RSA_BITS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *why = NULL;
    char *text = xmalloc(n);
    memcpy(text, data, n);
    bool pem = n >= 5 && memcmp(data, "-----", 5) == 0;
    struct jwk_set *set = pem ? jwk_set_from_pem(str_make(text, n), &why)
                              : jwk_set_parse(str_make(text, n), &why);
    free(text);
    if (set == NULL) {
        check(why != NULL);
        return 0;
    }
    check(set->n + set->skipped <= JWK_SET_MAX_KEYS);
    check((set->skipped == 0) == (set->skipped_why == NULL));
    for (size_t i = 0; i < set->n; i++) {
        check_key(&set->keys[i]);
    }
    jwk_set_unref(set);
    return 0;
}
