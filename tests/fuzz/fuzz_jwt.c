/*
 * libFuzzer: a token's whole way (cache/jwt). An input that begins with 'S' is a header and a
 * payload, separated by a newline, which are encoded and signed here, so that the fuzzer gets
 * behind the signature; any other is a token as a client sends it.
 *
 * What must hold: a token that is accepted is under its limits, names a known algorithm and has
 * an expiry; a claim that becomes an identity is non-empty, bounded and without NUL; and only
 * tokens signed here are verified.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "base/base64url.h"
#include "base/mem.h"
#include "cache/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char secret[] = "a-fuzzing-secret-of-at-least-32-bytes";

/* RFC 7517 appendix A.1 and RFC 8037 appendix A.2; nobody signs with them here. */
static const char key_text[] =
    "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"ec\",\"crv\":\"P-256\","
    "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kty\":\"RSA\",\"kid\":\"rsa\",\"e\":\"AQAB\","
    "\"n\":"
    "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS"
    "oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-"
    "65YGjQR0_"
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
    "bFTWhAI4vM"
    "QFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}]}";

static void check(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* The token of a 'S' input: header and payload encoded, signed HS256. */
static char *sign(const uint8_t *data, size_t n, size_t *token_n)
{
    const uint8_t *line = memchr(data, '\n', n);
    size_t header_n = line != NULL ? (size_t)(line - data) : n;
    const uint8_t *payload = line != NULL ? line + 1 : data + n;
    size_t payload_n = (size_t)(data + n - payload);
    char *token = xmalloc(BASE64URL_ENCODED(header_n) + BASE64URL_ENCODED(payload_n) + 64);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_n = 0;
    size_t at = base64url_encode(data, header_n, token);
    token[at++] = '.';
    at += base64url_encode(payload, payload_n, token + at);
    HMAC(EVP_sha256(), secret, sizeof(secret) - 1, (const uint8_t *)token, at, mac, &mac_n);
    token[at++] = '.';
    *token_n = at + base64url_encode(mac, mac_n, token + at);
    return token;
}

static void read_claims(const struct jwt *t, const struct jwt_settings *settings,
                        struct arena *a)
{
    static struct str names[] = {{"org", 3}, {"id", 2}};
    struct jwt_claims claims;
    const char *why = NULL;
    if (!jwt_read_claims(t, settings, &claims, &why)) {
        check(why != NULL && claims.tree == NULL);
        return;
    }
    check(claims.tree != NULL && claims.expires >= 0 && claims.expires < INT64_C(1) << 50);
    for (size_t depth = 1; depth <= 2; depth++) {
        struct str_list path = {names, depth};
        struct str text;
        if (jwt_claim(&claims, &path, a, &text)) {
            check(text.n > 0 && text.n <= JWT_MAX_CLAIM);
            check(memchr(text.p, '\0', text.n) == NULL);
        }
    }
    jwt_claims_fini(&claims);
}

static void try_token(struct str token, bool ours, const struct jwk_set *public_keys,
                      const struct jwk_set *secret_key)
{
    static const struct jwt_settings any = {.algs = 0x7f};
    static const struct jwt_settings strict = {
        .algs = JWT_HS256, .iss = {"me", 2}, .aud = {"api", 3}, .leeway = 1000};
    struct arena a;
    struct jwt t;
    const char *why = NULL;
    arena_init(&a, NULL, 0);
    if (!jwt_parse(token, &a, &t, &why)) {
        check(why != NULL);
        arena_reset(&a);
        return;
    }
    check(token.n <= JWT_MAX_TOKEN && t.alg != 0 && (t.alg & (t.alg - 1)) == 0);
    check(t.signature.n > 0 && t.signed_part.n + 1 + t.signature.n == token.n);
    check(jwt_verify(&t, public_keys, any.algs) != JWT_VERIFIED);
    check(jwt_verify(&t, secret_key, JWT_RS256 | JWT_ES256) != JWT_VERIFIED);
    if (ours && t.alg == JWT_HS256) {
        check(jwt_verify(&t, secret_key, any.algs) == JWT_VERIFIED);
    }
    read_claims(&t, &any, &a);
    read_claims(&t, &strict, &a);
    arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct jwk_set *public_keys;
    static struct jwk_set *secret_key;
    if (public_keys == NULL) {
        const char *why;
        public_keys = jwk_set_parse(str_from(key_text), &why);
        secret_key = jwk_set_from_secret(str_from(secret), &why);
        check(public_keys != NULL && public_keys->n == 3 && secret_key != NULL);
    }
    if (n > 0 && data[0] == 'S') {
        size_t token_n;
        char *token = sign(data + 1, n - 1, &token_n);
        try_token(str_make(token, token_n), true, public_keys, secret_key);
        free(token);
    } else {
        /* Its own allocation: reading past its end is seen. */
        char *token = xmalloc(n);
        memcpy(token, data, n);
        try_token(str_make(token, n), false, public_keys, secret_key);
        free(token);
    }
    return 0;
}
