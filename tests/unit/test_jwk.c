/*
 * cache/jwk: JWK sets, PEM files and secrets: which keys are taken, for which algorithms, and
 * which weak, foreign or malformed ones are not.
 */
#include "unit.h"

#include "tokens.h"

#include "cache/jwk.h"

static EVP_PKEY *rsa;
static EVP_PKEY *ec;
static EVP_PKEY *ed;

static int make_keys(void **state)
{
    (void)state;
    rsa = tokens_rsa(2048);
    ec = tokens_ec("P-256");
    ed = tokens_ed25519();
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
    return 0;
}

/* Parses {"keys":[key]} and frees key. */
static struct jwk_set *set_of(char *key)
{
    const char *why = NULL;
    char *text = tokens_printf("{\"keys\":[%s]}", key);
    struct jwk_set *set = jwk_set_parse(str_from(text), &why);
    free(text);
    free(key);
    assert_non_null(set);
    return set;
}

static void takes(char *key, unsigned algs)
{
    char *copy = xstrdup(key);
    struct jwk_set *set = set_of(key);
    if (set->n != 1 || set->keys[0].algs != algs) {
        fail_msg("%s: %zu keys (%s)", copy, set->n, set->skipped_why);
    }
    free(copy);
    jwk_set_unref(set);
}

static void skips(char *key, const char *why)
{
    char *copy = xstrdup(key);
    struct jwk_set *set = set_of(key);
    if (set->n != 0 || set->skipped != 1 || strstr(set->skipped_why, why) == NULL) {
        fail_msg("%s: %zu keys, \"%s\" where \"%s\" was expected", copy, set->n,
                 set->skipped_why, why);
    }
    free(copy);
    jwk_set_unref(set);
}

static char *oct(const char *extra, size_t n)
{
    char bytes[64];
    memset(bytes, 'k', sizeof(bytes));
    char *k = tokens_b64(bytes, n);
    char *out = tokens_printf("{%s\"kty\":\"oct\",\"k\":\"%s\"}", extra, k);
    free(k);
    return out;
}

#define HMAC_ALGS (JWT_HS256 | JWT_HS384 | JWT_HS512)

static void test_types(void **state)
{
    (void)state;
    takes(tokens_jwk(rsa, ""), JWT_RS256 | JWT_PS256);
    takes(tokens_jwk(ec, ""), JWT_ES256);
    takes(tokens_jwk(ed, ""), JWT_EDDSA);
    takes(oct("", 32), HMAC_ALGS);
}

static void test_restrictions(void **state)
{
    (void)state;
    takes(tokens_jwk(rsa, "\"alg\":\"RS256\","), JWT_RS256);
    takes(tokens_jwk(rsa, "\"alg\":\"PS256\","), JWT_PS256);
    takes(oct("\"alg\":\"HS512\",", 64), JWT_HS512);
    takes(tokens_jwk(ec, "\"use\":\"sig\","), JWT_ES256);
    takes(tokens_jwk(ec, "\"key_ops\":[\"sign\",\"verify\"],"), JWT_ES256);
    takes(tokens_jwk(ed, "\"kid\":\"a\",\"x5c\":[\"zz\"],\"x5u\":\"http://h/\","), JWT_EDDSA);
    skips(tokens_jwk(rsa, "\"alg\":\"HS256\","), "alg");
    skips(tokens_jwk(rsa, "\"alg\":\"RS512\","), "alg");
    skips(tokens_jwk(rsa, "\"alg\":\"RSA-OAEP\","), "alg");
    skips(tokens_jwk(rsa, "\"alg\":\"none\","), "alg");
    skips(tokens_jwk(rsa, "\"alg\":7,"), "alg");
    skips(oct("\"alg\":\"RS256\",", 32), "alg");
    skips(tokens_jwk(ec, "\"alg\":\"EdDSA\","), "alg");
    skips(tokens_jwk(rsa, "\"use\":\"enc\","), "use");
    skips(tokens_jwk(rsa, "\"use\":1,"), "use");
    skips(tokens_jwk(rsa, "\"key_ops\":[\"encrypt\"],"), "key_ops");
    skips(tokens_jwk(rsa, "\"key_ops\":[],"), "key_ops");
    skips(tokens_jwk(rsa, "\"key_ops\":\"verify\","), "key_ops");
    skips(tokens_jwk(rsa, "\"kid\":1,"), "kid");
    skips(tokens_jwk(rsa, "\"kid\":null,"), "kid");
}

static void test_weak(void **state)
{
    (void)state;
    EVP_PKEY *small = tokens_rsa(1024);
    skips(tokens_jwk(small, ""), "2048");
    EVP_PKEY_free(small);
    char *n = tokens_param(rsa, OSSL_PKEY_PARAM_RSA_N, 0);
    static const char *const exponents[] = {"AQ", "Ag", "BA", "AAAAAAAAAAAB"};
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        skips(tokens_printf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", n, exponents[i]),
              "RSA key");
    }
    /* Some issuers write the sign byte of a big integer. */
    char *padded = tokens_param(rsa, OSSL_PKEY_PARAM_RSA_N, 257);
    takes(tokens_printf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", padded),
          JWT_RS256 | JWT_PS256);
    free(padded);
    free(n);
    uint8_t even[256];
    memset(even, 0xaa, sizeof(even));
    n = tokens_b64(even, sizeof(even));
    skips(tokens_printf("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", n), "impossible");
    free(n);
    skips(oct("", 31), "32 bytes");
    skips(oct("", 0), "malformed");
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "1",
        "null",
        "[]",
        "\"RSA\"",
        "{\"kty\":1}",
        "{\"kty\":\"rsa\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed448\"}",
        "{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"====\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":5,\"e\":3}",
        "{\"kty\":\"oct\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        skips(xstrdup(bad[i]), "key");
    }
    /* A point that is not on the curve, and one coordinate too long. */
    uint8_t x[33];
    memset(x, 1, sizeof(x));
    char *short_x = tokens_b64(x, 32);
    char *long_x = tokens_b64(x, 33);
    skips(tokens_printf("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", short_x,
                        short_x),
          "curve");
    skips(tokens_printf("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}", long_x,
                        short_x),
          "coordinate");
    free(short_x);
    free(long_x);
}

static void refuses_set(const char *text, const char *expected)
{
    const char *why = NULL;
    struct jwk_set *set = jwk_set_parse(str_from(text), &why);
    assert_null(set);
    assert_non_null(why);
    if (strstr(why, expected) == NULL) {
        fail_msg("%s: \"%s\"", text, why);
    }
}

static void test_sets(void **state)
{
    (void)state;
    const char *why = NULL;
    refuses_set("", "empty");
    refuses_set("<html>", "not a JSON value");
    refuses_set("[]", "keys");
    refuses_set("{}", "keys");
    refuses_set("{\"keys\":{}}", "keys");
    refuses_set("{\"keys\":[],\"keys\":[]}", "same name");
    refuses_set("{\"keys\":[]} x", "after");

    struct jwk_set *set = jwk_set_parse(STR("{\"keys\":[]}"), &why);
    assert_non_null(set);
    assert_int_equal(set->n, 0);
    jwk_set_unref(set);

    struct strbuf many = {0};
    strbuf_addf(&many, "{\"keys\":[{}");
    for (int i = 1; i <= JWK_SET_MAX_KEYS; i++) {
        strbuf_addf(&many, ",{}");
    }
    strbuf_addf(&many, "]}");
    assert_null(jwk_set_parse(strbuf_str(&many), &why));
    assert_non_null(strstr(why, "128"));
    strbuf_free(&many);
}

static void test_mixed_set(void **state)
{
    (void)state;
    const char *why = NULL;
    char *a = tokens_jwk(rsa, "\"kid\":\"a\",");
    char *b = tokens_jwk(ec, "");
    char *c = oct("\"kid\":\"\\u00e9\",", 40);
    char *text = tokens_printf("{\"x\":1,\"keys\":[%s,{\"kty\":\"new\"},%s,%s]}", a, b, c);
    struct jwk_set *set = jwk_set_parse(str_from(text), &why);
    assert_non_null(set);
    assert_int_equal(set->n, 3);
    assert_int_equal(set->skipped, 1);
    assert_string_equal(set->keys[0].kid, "a");
    assert_null(set->keys[1].kid);
    assert_string_equal(set->keys[2].kid, "\xc3\xa9");
    assert_int_equal(set->keys[2].secret_n, 40);
    struct jwk_set *again = jwk_set_ref(set);
    jwk_set_unref(set);
    assert_string_equal(again->keys[0].kid, "a");
    jwk_set_unref(again);

    struct jwk_set *single = jwk_set_parse(str_from(a), &why);
    assert_non_null(single);
    assert_int_equal(single->n, 1);
    jwk_set_unref(single);
    free(a);
    free(b);
    free(c);
    free(text);
}

static void takes_pem(struct str pem, unsigned algs)
{
    const char *why = NULL;
    struct jwk_set *set = jwk_set_from_pem(pem, &why);
    if (set == NULL) {
        fail_msg("refused: %s", why);
        return;
    }
    assert_int_equal(set->n, 1);
    assert_int_equal(set->keys[0].algs, algs);
    jwk_set_unref(set);
}

static void refuses_pem(struct str pem, const char *expected)
{
    const char *why = NULL;
    assert_null(jwk_set_from_pem(pem, &why));
    assert_non_null(why);
    if (strstr(why, expected) == NULL) {
        fail_msg("\"%s\" where \"%s\" was expected", why, expected);
    }
}

static char *mem_text(BIO *bio)
{
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    char *out = strndup(text, (size_t)n);
    BIO_free(bio);
    return out;
}

static char *certificate_of(EVP_PKEY *pkey)
{
    X509 *x = X509_new();
    X509_set_pubkey(x, pkey);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 60);
    assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x);
    X509_free(x);
    return mem_text(bio);
}

static char *pkcs1_of(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int n = i2d_PublicKey(pkey, &der);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, n);
    OPENSSL_free(der);
    return mem_text(bio);
}

static void test_pem(void **state)
{
    (void)state;
    char *texts[] = {tokens_pem(rsa), tokens_pem(ec), tokens_pem(ed), certificate_of(rsa),
                     pkcs1_of(rsa)};
    takes_pem(str_from(texts[0]), JWT_RS256 | JWT_PS256);
    takes_pem(str_from(texts[1]), JWT_ES256);
    takes_pem(str_from(texts[2]), JWT_EDDSA);
    takes_pem(str_from(texts[3]), JWT_RS256 | JWT_PS256);
    takes_pem(str_from(texts[4]), JWT_RS256 | JWT_PS256);
    refuses_pem(str_make(texts[0], strlen(texts[0]) / 2), "no public key");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        free(texts[i]);
    }
    refuses_pem(STR(""), "empty");
    refuses_pem(STR("ssh-rsa AAAA"), "no public key");

    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, rsa, NULL, NULL, 0, NULL, NULL);
    char *private_text = mem_text(bio);
    refuses_pem(str_from(private_text), "private key");
    free(private_text);

    EVP_PKEY *other = tokens_ec("P-384");
    char *text = tokens_pem(other);
    refuses_pem(str_from(text), "P-256");
    free(text);
    EVP_PKEY_free(other);
    other = tokens_rsa(1024);
    text = tokens_pem(other);
    refuses_pem(str_from(text), "2048");
    free(text);
    EVP_PKEY_free(other);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    text = tokens_pem(other);
    refuses_pem(str_from(text), "another type");
    free(text);
    EVP_PKEY_free(other);
}

static void test_secret(void **state)
{
    (void)state;
    const char *why = NULL;
    struct jwk_set *set = jwk_set_from_secret(STR(TOKENS_SECRET), &why);
    assert_non_null(set);
    assert_int_equal(set->keys[0].algs, HMAC_ALGS);
    assert_memory_equal(set->keys[0].secret, TOKENS_SECRET, set->keys[0].secret_n);
    jwk_set_unref(set);
    assert_null(jwk_set_from_secret(STR("0123456789012345678901234567890"), &why));
    assert_non_null(strstr(why, "32"));
    jwk_set_unref(NULL);
}

static void test_alg_lookup(void **state)
{
    (void)state;
    assert_int_equal(jwk_alg_lookup(STR("HS256")), JWT_HS256);
    assert_int_equal(jwk_alg_lookup(STR("EdDSA")), JWT_EDDSA);
    static const char *const none[] = {"none", "None",   "NONE",  "hs256", "HS256 ", "EDDSA",
                                       "HS25", "HS2567", "RS384", "ES512", "ES256K", "RS256\n"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(jwk_alg_lookup(str_from(none[i])), 0);
    }
    assert_int_equal(jwk_alg_lookup(STR_NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),      cmocka_unit_test(test_restrictions),
        cmocka_unit_test(test_weak),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_sets),       cmocka_unit_test(test_mixed_set),
        cmocka_unit_test(test_pem),        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_alg_lookup),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
