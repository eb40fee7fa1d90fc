/*
 * Tokens: parse, verify, claims. The algorithm decides how a key is used and the key decides
 * which algorithms it may serve; both must agree before any cryptography runs (RFC 8725 3.1).
 */
#include "cache/jwt.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "base/base64url.h"
#include "base/json.h"

#define DECODED_MAX   BASE64URL_DECODED_MAX(JWT_MAX_TOKEN)
#define SIGNATURE_MAX (JWK_MAX_RSA_BITS / 8)
#define ES256_BYTES   64 /* r || s, RFC 7518 section 3.4 */

/* Year 9999. Larger values are milliseconds taken for seconds, or nonsense: refused. */
#define NUMERIC_DATE_MAX 253402300799.0

static bool refuse(const char **why, const char *text)
{
    if (why != NULL) {
        *why = text;
    }
    return false;
}

/* ---- form and header ------------------------------------------------------------------- */

/* Decodes and parses a part; the result is NULL or an object. */
static cJSON *part_parse(struct str part, const char **why)
{
    uint8_t bytes[DECODED_MAX];
    size_t n;
    if (!base64url_decode(part, bytes, sizeof(bytes), &n)) {
        refuse(why, "a part that is not base64url");
        return NULL;
    }
    cJSON *tree = json_parse(str_make((const char *)bytes, n), DECODED_MAX, JWT_MAX_DEPTH, why);
    if (tree != NULL && !cJSON_IsObject(tree)) {
        refuse(why, "a part that is not a JSON object");
        json_free(tree);
        return NULL;
    }
    return tree;
}

/* RFC 7515 section 4.1; RFC 7797 section 3 for b64. */
static bool header_check(const cJSON *header, const char **why)
{
    if (json_get(header, STR("crit")) != NULL) {
        return refuse(why, "a crit header");
    }
    const cJSON *b64 = json_get(header, STR("b64"));
    if (b64 != NULL && !cJSON_IsTrue(b64)) {
        return refuse(why, "an unencoded payload (b64)");
    }
    const cJSON *kid = json_get(header, STR("kid"));
    if (kid != NULL && !cJSON_IsString(kid)) {
        return refuse(why, "a kid that is not a string");
    }
    return true;
}

bool jwt_parse(struct str token, struct arena *a, struct jwt *out, const char **why)
{
    if (token.n > JWT_MAX_TOKEN) {
        return refuse(why, "longer than 8 KiB");
    }
    size_t first = str_index(token, '.');
    struct str rest = str_skip(token, first + 1);
    size_t second = str_index(rest, '.');
    struct str header_part = str_make(token.p, first);
    *out = (struct jwt){
        .payload = str_make(rest.p, second),
        .signature = str_skip(rest, second + 1),
    };
    if (header_part.n == 0 || out->payload.n == 0 || out->signature.n == 0 ||
        str_index(out->signature, '.') != out->signature.n) {
        return refuse(why, "not three non-empty parts");
    }
    out->signed_part = str_make(token.p, first + 1 + second);

    cJSON *header = part_parse(header_part, why);
    if (header == NULL) {
        return false;
    }
    bool ok = header_check(header, why);
    out->alg = jwk_alg_lookup(json_string(json_get(header, STR("alg"))));
    if (ok && out->alg == 0) {
        ok = refuse(why, "no alg, or one that is not supported");
    }
    const cJSON *kid = json_get(header, STR("kid"));
    if (ok && kid != NULL) {
        out->kid = arena_dup(a, json_string(kid));
    }
    json_free(header);
    return ok;
}

/* ---- signature ------------------------------------------------------------------------- */

static bool verify_hmac(unsigned alg, const struct jwk *key, struct str text,
                        const uint8_t *signature, size_t n)
{
    const EVP_MD *md = alg == JWT_HS256   ? EVP_sha256()
                       : alg == JWT_HS384 ? EVP_sha384()
                                          : EVP_sha512();
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_n = 0;
    return HMAC(md, key->secret, (int)key->secret_n, (const uint8_t *)text.p, text.n, mac,
                &mac_n) != NULL &&
           n == mac_n && CRYPTO_memcmp(mac, signature, mac_n) == 0;
}

/* r || s to the DER that OpenSSL verifies; returns its length, 0 on failure. */
static size_t ecdsa_der(const uint8_t raw[ES256_BYTES], uint8_t der[80])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_BYTES / 2, NULL);
    BIGNUM *s = BN_bin2bn(raw + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    if (sig == NULL || r == NULL || s == NULL || !ECDSA_SIG_set0(sig, r, s)) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }
    uint8_t *p = der;
    int n = i2d_ECDSA_SIG(sig, NULL) <= 80 ? i2d_ECDSA_SIG(sig, &p) : 0;
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

/* RFC 7518 section 3.5: MGF1 and the salt both of the hash. */
static bool set_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify_pkey(unsigned alg, const struct jwk *key, struct str text,
                        const uint8_t *signature, size_t n)
{
    uint8_t der[80];
    if (alg == JWT_ES256) {
        n = n == ES256_BYTES ? ecdsa_der(signature, der) : 0;
        signature = der;
    } else if (n != (size_t)EVP_PKEY_get_size(key->pkey)) {
        n = 0;
    }
    if (n == 0) {
        return false;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL; /* owned by ctx */
    const char *md = alg == JWT_EDDSA ? NULL : "SHA256";
    bool ok = ctx != NULL &&
              EVP_DigestVerifyInit_ex(ctx, &pctx, md, NULL, NULL, key->pkey, NULL) == 1 &&
              (alg != JWT_PS256 || set_pss(pctx)) &&
              EVP_DigestVerify(ctx, signature, n, (const uint8_t *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool kid_matches(const struct jwk *key, struct str kid)
{
    return key->kid != NULL && str_eq(str_from(key->kid), kid);
}

/* Is the key a candidate? `named`: only those of the token's kid; else only those without. */
static bool is_candidate(const struct jwt *t, const struct jwk *key, bool named)
{
    if ((key->algs & t->alg) == 0) {
        return false;
    }
    return t->kid.p == NULL || (named ? kid_matches(key, t->kid) : key->kid == NULL);
}

static bool any_named(const struct jwt *t, const struct jwk_set *set)
{
    for (size_t i = 0; t->kid.p != NULL && i < set->n; i++) {
        if (kid_matches(&set->keys[i], t->kid)) {
            return true;
        }
    }
    return false;
}

enum jwt_verdict jwt_verify(const struct jwt *t, const struct jwk_set *set, unsigned algs)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t n;
    if ((algs & t->alg) == 0 ||
        !base64url_decode(t->signature, signature, sizeof(signature), &n)) {
        return JWT_FORGED;
    }
    bool named = any_named(t, set);
    enum jwt_verdict verdict = named ? JWT_FORGED : JWT_NO_KEY;
    unsigned tries = 0;
    for (size_t i = 0; i < set->n && tries < JWT_MAX_TRIES; i++) {
        const struct jwk *key = &set->keys[i];
        if (!is_candidate(t, key, named)) {
            continue;
        }
        tries++;
        verdict = JWT_FORGED;
        if (key->type == JWK_OCT ? verify_hmac(t->alg, key, t->signed_part, signature, n)
                                 : verify_pkey(t->alg, key, t->signed_part, signature, n)) {
            verdict = JWT_VERIFIED;
            break;
        }
    }
    /* The worker's TLS code reads the same per-thread queue. */
    ERR_clear_error();
    return verdict;
}

/* ---- claims ---------------------------------------------------------------------------- */

/* NumericDate (RFC 7519 section 2) in milliseconds; false when absent or malformed. */
static bool numeric_date(const cJSON *item, msec_t *out)
{
    if (!cJSON_IsNumber(item) ||
        !(item->valuedouble >= 0 && item->valuedouble <= NUMERIC_DATE_MAX)) {
        return false;
    }
    *out = (msec_t)(item->valuedouble * 1000);
    return true;
}

static bool read_times(const cJSON *tree, msec_t leeway, struct jwt_claims *out,
                       const char **why)
{
    msec_t exp;
    if (!numeric_date(json_get(tree, STR("exp")), &exp)) {
        return refuse(why, "no exp, or one that is not a time");
    }
    msec_t from = 0;
    static const struct str names[] = {{"nbf", 3}, {"iat", 3}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const cJSON *item = json_get(tree, names[i]);
        msec_t when = 0;
        if (item != NULL && !numeric_date(item, &when)) {
            return refuse(why, "an nbf or iat that is not a time");
        }
        from = when > from ? when : from;
    }
    out->expires = exp + leeway;
    out->not_before = from - leeway;
    return true;
}

/* RFC 7519 section 4.1.3: one string, or an array of strings. */
static bool audience_holds(const cJSON *aud, struct str wanted)
{
    if (cJSON_IsString(aud)) {
        return str_eq(json_string(aud), wanted);
    }
    bool found = false;
    for (const cJSON *item = cJSON_IsArray(aud) ? aud->child : NULL; item != NULL;
         item = item->next) {
        if (!cJSON_IsString(item)) {
            return false;
        }
        found = found || str_eq(json_string(item), wanted);
    }
    return found;
}

bool jwt_read_claims(const struct jwt *t, const struct jwt_settings *settings,
                     struct jwt_claims *out, const char **why)
{
    *out = (struct jwt_claims){0};
    cJSON *tree = part_parse(t->payload, why);
    if (tree == NULL) {
        return false;
    }
    bool ok = read_times(tree, settings->leeway, out, why);
    if (ok && settings->iss.n > 0 &&
        !str_eq(json_string(json_get(tree, STR("iss"))), settings->iss)) {
        ok = refuse(why, "another issuer, or none");
    }
    if (ok && settings->aud.n > 0 &&
        !audience_holds(json_get(tree, STR("aud")), settings->aud)) {
        ok = refuse(why, "another audience, or none");
    }
    if (!ok) {
        json_free(tree);
        return false;
    }
    out->tree = tree;
    return true;
}

void jwt_claims_fini(struct jwt_claims *claims)
{
    json_free(claims->tree);
    claims->tree = NULL;
}

bool jwt_claim(const struct jwt_claims *claims, const struct str_list *path, struct arena *a,
               struct str *out)
{
    const cJSON *item = path->n > 0 ? claims->tree : NULL;
    for (size_t i = 0; i < path->n; i++) {
        item = json_get(item, path->list[i]);
    }
    if (cJSON_IsString(item)) {
        struct str text = json_string(item);
        if (text.n == 0 || text.n > JWT_MAX_CLAIM) {
            return false;
        }
        *out = arena_dup(a, text);
        return true;
    }
    /* Doubles hold every integer below 2^53; beyond it, two ids could become one. */
    if (cJSON_IsNumber(item) && fabs(item->valuedouble) < 9007199254740992.0 &&
        item->valuedouble == trunc(item->valuedouble)) {
        *out = arena_printf(a, "%" PRId64, (int64_t)item->valuedouble);
        return true;
    }
    return false;
}
