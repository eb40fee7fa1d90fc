/*
 * JWK sets and PEM files to OpenSSL keys. Every public key, wherever it comes from, goes
 * through key_adopt(), so that the same minimum strength holds for all of them. A function
 * that returns a text returns why the key is not usable, or NULL when it is.
 */
#include "cache/jwk.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/base64url.h"
#include "base/json.h"
#include "base/mem.h"

#define SET_MAX_DEPTH 8                          /* levels of a JWK set */
#define RSA_MAX_BYTES (JWK_MAX_RSA_BITS / 8 + 1) /* some issuers write a leading zero byte */
#define ALGS_HMAC     ((unsigned)(JWT_HS256 | JWT_HS384 | JWT_HS512))
#define ALGS_RSA      ((unsigned)(JWT_RS256 | JWT_PS256))

static const struct {
    struct str name;
    unsigned alg;
} algs[] = {
    {{"HS256", 5}, JWT_HS256}, {{"HS384", 5}, JWT_HS384}, {{"HS512", 5}, JWT_HS512},
    {{"RS256", 5}, JWT_RS256}, {{"PS256", 5}, JWT_PS256}, {{"ES256", 5}, JWT_ES256},
    {{"EdDSA", 5}, JWT_EDDSA},
};

unsigned jwk_alg_lookup(struct str name)
{
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (str_eq(algs[i].name, name)) {
            return algs[i].alg;
        }
    }
    return 0;
}

struct str jwk_alg_name(unsigned alg)
{
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (algs[i].alg == alg) {
            return algs[i].name;
        }
    }
    return STR("");
}

/* ---- strength -------------------------------------------------------------------------- */

/* e = 1 would make every signature valid. Whether n has small factors is its issuer's concern:
 * that test takes 0.1 s for a large key. */
static const char *rsa_check(const EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    const char *why = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) ||
        !EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e)) {
        why = "an RSA key without modulus or exponent";
    } else if (BN_num_bits(n) < JWK_MIN_RSA_BITS) {
        why = "an RSA key of fewer than 2048 bits";
    } else if (BN_num_bits(n) > JWK_MAX_RSA_BITS) {
        why = "an RSA key of more than 8192 bits";
    } else if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 64) {
        why = "an RSA key with an impossible modulus or exponent";
    }
    BN_free(n);
    BN_free(e);
    return why;
}

static const char *ec_check(EVP_PKEY *pkey)
{
    char group[32];
    size_t n = 0;
    if (!EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) ||
        !str_eq(str_make(group, n), STR("prime256v1"))) {
        return "an EC key on another curve than P-256";
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool valid = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return valid ? NULL : "an EC key whose point is not on the curve";
}

/* Checks a public key and puts it into *k, which then owns it; on failure it is freed. */
static const char *key_adopt(struct jwk *k, EVP_PKEY *pkey)
{
    const char *why = NULL;
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        k->type = JWK_RSA;
        k->algs = ALGS_RSA;
        why = rsa_check(pkey);
        break;
    case EVP_PKEY_EC:
        k->type = JWK_EC_P256;
        k->algs = JWT_ES256;
        why = ec_check(pkey);
        break;
    case EVP_PKEY_ED25519:
        k->type = JWK_ED25519;
        k->algs = JWT_EDDSA;
        break;
    default: why = "a key of another type than RSA, EC P-256 and Ed25519"; break;
    }
    if (why != NULL) {
        EVP_PKEY_free(pkey);
        return why;
    }
    k->pkey = pkey;
    return NULL;
}

static const char *secret_adopt(struct jwk *k, const uint8_t *bytes, size_t n)
{
    if (n < JWK_MIN_SECRET) {
        return "an HMAC secret of fewer than 32 bytes";
    }
    k->type = JWK_OCT;
    k->algs = ALGS_HMAC;
    k->secret = xmalloc(n);
    k->secret_n = n;
    memcpy(k->secret, bytes, n);
    return NULL;
}

/* ---- one JWK --------------------------------------------------------------------------- */

/* Decodes a base64url member; 0 when it is absent, empty, malformed or larger than cap. */
static size_t member_bytes(const cJSON *object, struct str name, uint8_t *out, size_t cap)
{
    struct str text = json_string(json_get(object, name));
    size_t n = 0;
    return text.n > 0 && base64url_decode(text, out, cap, &n) ? n : 0;
}

/* EVP_PKEY of `type` from the parameters gathered in bld; NULL when OpenSSL refuses them. */
static EVP_PKEY *pkey_build(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* RFC 7518 section 6.3.1 */
static const char *rsa_parse(struct jwk *k, const cJSON *object)
{
    uint8_t n[RSA_MAX_BYTES];
    uint8_t e[9];
    size_t n_n = member_bytes(object, STR("n"), n, sizeof(n));
    size_t e_n = member_bytes(object, STR("e"), e, sizeof(e));
    if (n_n == 0 || e_n == 0) {
        return "an RSA key with a malformed \"n\" or \"e\"";
    }
    EVP_PKEY *pkey = NULL;
    BIGNUM *bn_n = BN_bin2bn(n, (int)n_n, NULL);
    BIGNUM *bn_e = BN_bin2bn(e, (int)e_n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bn_n != NULL && bn_e != NULL && bld != NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e)) {
        pkey = pkey_build("RSA", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(bn_n);
    BN_free(bn_e);
    return pkey != NULL ? key_adopt(k, pkey) : "an RSA key that OpenSSL refuses";
}

/* RFC 7518 section 6.2.1; both coordinates have the full length of the field. */
static const char *ec_parse(struct jwk *k, const cJSON *object)
{
    uint8_t point[65] = {4}; /* uncompressed: 04 x y */
    if (!str_eq(json_string(json_get(object, STR("crv"))), STR("P-256"))) {
        return "an EC key on another curve than P-256";
    }
    uint8_t coordinate[33];
    for (int i = 0; i < 2; i++) {
        struct str name = i == 0 ? STR("x") : STR("y");
        if (member_bytes(object, name, coordinate, sizeof(coordinate)) != 32) {
            return "an EC key with a malformed coordinate";
        }
        memcpy(point + 1 + 32 * i, coordinate, 32);
    }
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point))) {
        pkey = pkey_build("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    return pkey != NULL ? key_adopt(k, pkey) : "an EC key whose point is not on the curve";
}

/* RFC 8037 section 2 */
static const char *okp_parse(struct jwk *k, const cJSON *object)
{
    uint8_t x[33];
    if (!str_eq(json_string(json_get(object, STR("crv"))), STR("Ed25519"))) {
        return "an OKP key on another curve than Ed25519";
    }
    if (member_bytes(object, STR("x"), x, sizeof(x)) != 32) {
        return "an Ed25519 key with a malformed \"x\"";
    }
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, 32);
    return pkey != NULL ? key_adopt(k, pkey) : "an Ed25519 key that OpenSSL refuses";
}

/* RFC 7518 section 6.4.1 */
static const char *oct_parse(struct jwk *k, const cJSON *object)
{
    uint8_t bytes[1024];
    size_t n = member_bytes(object, STR("k"), bytes, sizeof(bytes));
    const char *why =
        n > 0 ? secret_adopt(k, bytes, n) : "a symmetric key with a malformed \"k\"";
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return why;
}

/* RFC 7517 sections 4.2 and 4.3: absent, or verification among what the key is for. */
static bool is_for_verification(const cJSON *object)
{
    const cJSON *use = json_get(object, STR("use"));
    if (use != NULL && !str_eq(json_string(use), STR("sig"))) {
        return false;
    }
    const cJSON *ops = json_get(object, STR("key_ops"));
    if (ops == NULL) {
        return true;
    }
    for (const cJSON *op = cJSON_IsArray(ops) ? ops->child : NULL; op != NULL; op = op->next) {
        if (str_eq(json_string(op), STR("verify"))) {
            return true;
        }
    }
    return false;
}

static const char *material_parse(struct jwk *k, const cJSON *object)
{
    struct str kty = json_string(json_get(object, STR("kty")));
    if (str_eq(kty, STR("RSA"))) {
        return rsa_parse(k, object);
    }
    if (str_eq(kty, STR("EC"))) {
        return ec_parse(k, object);
    }
    if (str_eq(kty, STR("OKP"))) {
        return okp_parse(k, object);
    }
    if (str_eq(kty, STR("oct"))) {
        return oct_parse(k, object);
    }
    return "a key of another type than RSA, EC, OKP and oct";
}

static void key_fini(struct jwk *k)
{
    EVP_PKEY_free(k->pkey);
    if (k->secret != NULL) {
        OPENSSL_cleanse(k->secret, k->secret_n);
        free(k->secret);
    }
    free(k->kid);
    *k = (struct jwk){0};
}

static const char *key_parse(struct jwk *k, const cJSON *object)
{
    const cJSON *kid = json_get(object, STR("kid"));
    const cJSON *alg = json_get(object, STR("alg"));
    if (!cJSON_IsObject(object) || (kid != NULL && !cJSON_IsString(kid))) {
        return "a key that is not an object, or whose \"kid\" is not a string";
    }
    if (!is_for_verification(object)) {
        return "a key whose \"use\" or \"key_ops\" is not verification";
    }
    const char *why = material_parse(k, object);
    if (why == NULL && alg != NULL) {
        k->algs &= jwk_alg_lookup(json_string(alg));
        why = k->algs == 0 ? "a key whose \"alg\" is unknown or not one of its type" : NULL;
    }
    if (why != NULL) {
        key_fini(k);
    } else if (kid != NULL) {
        k->kid = str_dup(json_string(kid));
    }
    return why;
}

/* ---- sets ------------------------------------------------------------------------------ */

static struct jwk_set *set_new(size_t room)
{
    struct jwk_set *set = xcalloc(1, sizeof(*set));
    atomic_init(&set->refs, 1);
    set->keys = xcalloc(room, sizeof(*set->keys));
    return set;
}

static void set_add(struct jwk_set *set, const cJSON *object)
{
    const char *why = key_parse(&set->keys[set->n], object);
    if (why == NULL) {
        set->n++;
        return;
    }
    set->skipped++;
    if (set->skipped_why == NULL) {
        set->skipped_why = why;
    }
}

struct jwk_set *jwk_set_parse(struct str text, const char **why)
{
    cJSON *tree = json_parse(text, JWK_SET_MAX_BYTES, SET_MAX_DEPTH, why);
    if (tree == NULL) {
        return NULL;
    }
    struct jwk_set *set = NULL;
    const cJSON *keys = json_get(tree, STR("keys"));
    if (keys == NULL && json_get(tree, STR("kty")) != NULL) {
        set = set_new(1);
        set_add(set, tree);
    } else if (!cJSON_IsArray(keys)) {
        *why = "it has no \"keys\" array";
    } else if (cJSON_GetArraySize(keys) > JWK_SET_MAX_KEYS) {
        *why = "it has more than 128 keys";
    } else {
        set = set_new((size_t)cJSON_GetArraySize(keys));
        for (const cJSON *key = keys->child; key != NULL; key = key->next) {
            set_add(set, key);
        }
    }
    json_free(tree);
    ERR_clear_error();
    return set;
}

/* SubjectPublicKeyInfo, PKCS#1 or certificate; NULL when there is none of them. */
static EVP_PKEY *pem_read(struct str pem)
{
    EVP_PKEY *pkey = NULL;
    const unsigned char *p = (const unsigned char *)pem.p;
    size_t n = pem.n;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&pkey, "PEM", NULL, NULL,
                                                          EVP_PKEY_PUBLIC_KEY, NULL, NULL);
    if (ctx == NULL || OSSL_DECODER_from_data(ctx, &p, &n) != 1) {
        pkey = NULL;
    }
    OSSL_DECODER_CTX_free(ctx);
    if (pkey != NULL) {
        return pkey;
    }
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    pkey = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    BIO_free(bio);
    return pkey;
}

static bool holds(struct str text, struct str part)
{
    return memmem(text.p, text.n, part.p, part.n) != NULL;
}

struct jwk_set *jwk_set_from_pem(struct str pem, const char **why)
{
    if (pem.n == 0 || pem.n > JWK_SET_MAX_BYTES) {
        *why = pem.n == 0 ? "it is empty" : "it is too large";
        return NULL;
    }
    if (holds(pem, STR("PRIVATE KEY-----"))) {
        *why = "it holds a private key; give the public key or the certificate";
        return NULL;
    }
    EVP_PKEY *pkey = pem_read(pem);
    ERR_clear_error();
    if (pkey == NULL) {
        *why = "no public key or certificate in PEM form is in it";
        return NULL;
    }
    struct jwk_set *set = set_new(1);
    *why = key_adopt(&set->keys[0], pkey);
    ERR_clear_error();
    if (*why != NULL) {
        jwk_set_unref(set);
        return NULL;
    }
    set->n = 1;
    return set;
}

struct jwk_set *jwk_set_from_secret(struct str secret, const char **why)
{
    struct jwk_set *set = set_new(1);
    *why = secret_adopt(&set->keys[0], (const uint8_t *)secret.p, secret.n);
    if (*why != NULL) {
        jwk_set_unref(set);
        return NULL;
    }
    set->n = 1;
    return set;
}

struct jwk_set *jwk_set_ref(struct jwk_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void jwk_set_unref(struct jwk_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        key_fini(&set->keys[i]);
    }
    free(set->keys);
    free(set);
}
