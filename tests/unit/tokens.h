/*
 * Keys and tokens for tests: makes OpenSSL keys, their JWK and PEM texts, and signs exactly the
 * header and payload given, so that malformed tokens are properly signed ones. Everything that
 * is returned as char * is on the heap.
 */
#ifndef TESTS_UNIT_TOKENS_H
#define TESTS_UNIT_TOKENS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/base64url.h"
#include "base/mem.h"
#include "base/str.h"

#define TOKENS_UNUSED __attribute__((unused))

#define TOKENS_SECRET "a-test-secret-of-more-than-32-bytes!"

/* base64url of n bytes. */
TOKENS_UNUSED static char *tokens_b64(const void *bytes, size_t n)
{
    char *out = xmalloc(BASE64URL_ENCODED(n) + 1);
    out[base64url_encode(bytes, n, out)] = '\0';
    return out;
}

TOKENS_UNUSED static char *tokens_printf(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

TOKENS_UNUSED static char *tokens_printf(const char *fmt, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, fmt);
    assert_true(vasprintf(&out, fmt, args) >= 0);
    va_end(args);
    return out;
}

TOKENS_UNUSED static EVP_PKEY *tokens_rsa(size_t bits)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
    assert_non_null(pkey);
    return pkey;
}

TOKENS_UNUSED static EVP_PKEY *tokens_ec(const char *curve)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve);
    assert_non_null(pkey);
    return pkey;
}

TOKENS_UNUSED static EVP_PKEY *tokens_ed25519(void)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(pkey);
    return pkey;
}

/* The public key in PEM form. */
TOKENS_UNUSED static char *tokens_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    char *out = strndup(text, (size_t)n);
    BIO_free(bio);
    return out;
}

/* An integer parameter as base64url, padded with zeroes to `width` bytes (0: minimal). */
TOKENS_UNUSED static char *tokens_param(EVP_PKEY *pkey, const char *name, int width)
{
    BIGNUM *bn = NULL;
    uint8_t bytes[2048];
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &bn), 1);
    int n = BN_bn2binpad(bn, bytes, width > 0 ? width : BN_num_bytes(bn));
    assert_true(n > 0);
    BN_free(bn);
    return tokens_b64(bytes, (size_t)n);
}

/* The public key as a JWK; `extra` (may be "") is put in front of it: "\"kid\":\"k1\",". */
TOKENS_UNUSED static char *tokens_jwk(EVP_PKEY *pkey, const char *extra)
{
    char *out = NULL;
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        char *n = tokens_param(pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        char *e = tokens_param(pkey, OSSL_PKEY_PARAM_RSA_E, 0);
        out = tokens_printf("{%s\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", extra, n, e);
        free(n);
        free(e);
    } else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC) {
        char *x = tokens_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32);
        char *y = tokens_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
        out = tokens_printf("{%s\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}",
                            extra, x, y);
        free(x);
        free(y);
    } else {
        uint8_t raw[32];
        size_t n = sizeof(raw);
        assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &n), 1);
        char *x = tokens_b64(raw, n);
        out = tokens_printf("{%s\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", extra, x);
        free(x);
    }
    return out;
}

/* DER of an ECDSA signature to r || s. */
TOKENS_UNUSED static size_t tokens_raw_ecdsa(const uint8_t *der, size_t n, uint8_t raw[64])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32), 32);
    ECDSA_SIG_free(sig);
    return 64;
}

/* Signature of `text` with a private key: "RS256", "PS256", "ES256", "EdDSA". */
TOKENS_UNUSED static size_t tokens_pkey_sign(EVP_PKEY *pkey, const char *alg, struct str text,
                                             uint8_t out[1024])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    uint8_t sig[1024];
    size_t n = sizeof(sig);
    const char *md = strcmp(alg, "EdDSA") == 0 ? NULL : "SHA256";
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, pkey, NULL), 1);
    if (strcmp(alg, "PS256") == 0) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)text.p, text.n), 1);
    EVP_MD_CTX_free(ctx);
    if (strcmp(alg, "ES256") == 0) {
        return tokens_raw_ecdsa(sig, n, out);
    }
    memcpy(out, sig, n);
    return n;
}

/* Signature of `text` with a secret: "HS256", "HS384", "HS512". */
TOKENS_UNUSED static size_t tokens_hmac(struct str secret, const char *alg, struct str text,
                                        uint8_t out[1024])
{
    const EVP_MD *md = strcmp(alg, "HS256") == 0   ? EVP_sha256()
                       : strcmp(alg, "HS384") == 0 ? EVP_sha384()
                                                   : EVP_sha512();
    unsigned n = 0;
    assert_non_null(
        HMAC(md, secret.p, (int)secret.n, (const uint8_t *)text.p, text.n, out, &n));
    return n;
}

/* header "." payload, both as given; the caller signs it. */
TOKENS_UNUSED static char *tokens_body(const char *header, const char *payload)
{
    char *h = tokens_b64(header, strlen(header));
    char *p = tokens_b64(payload, strlen(payload));
    char *out = tokens_printf("%s.%s", h, p);
    free(h);
    free(p);
    return out;
}

/* Appends the signature of `body` (already "header.payload") and frees it. `how` names the way
 * of signing; pkey for RS256, PS256, ES256, EdDSA, else the secret. */
TOKENS_UNUSED static char *tokens_seal(char *body, const char *how, EVP_PKEY *pkey,
                                       struct str secret)
{
    uint8_t sig[1024];
    size_t n = how[0] == 'H' ? tokens_hmac(secret, how, str_from(body), sig)
                             : tokens_pkey_sign(pkey, how, str_from(body), sig);
    char *s = tokens_b64(sig, n);
    char *out = tokens_printf("%s.%s", body, s);
    free(s);
    free(body);
    return out;
}

/* A token of this header and payload, signed with a key. */
TOKENS_UNUSED static char *tokens_make(const char *header, const char *payload, const char *how,
                                       EVP_PKEY *pkey)
{
    return tokens_seal(tokens_body(header, payload), how, pkey, STR(TOKENS_SECRET));
}

/* HS256 with TOKENS_SECRET. */
TOKENS_UNUSED static char *tokens_hs256(const char *payload)
{
    return tokens_make("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", payload, "HS256", NULL);
}

#endif
