/*
 * cache/jwt: valid tokens of every algorithm are accepted, and none of the forged, malformed or
 * expired ones (hardening T4 and S30, RFC 8725). Malformed tokens are signed with the right
 * key wherever that is possible, so that only the fault itself can be what refuses them.
 */
#include "unit.h"

#include "tokens.h"

#include "cache/jwt.h"

#define NOW INT64_C(1800000000000) /* ms; 1800000000 s */

static EVP_PKEY *rsa;
static EVP_PKEY *ec;
static EVP_PKEY *ed;
static struct jwk_set *all; /* every kind of key, with kids */
static struct jwk_set *secret_set;
static struct jwt_settings any = {.algs = 0x7f};

static struct jwk_set *set_parse(const char *text)
{
    const char *why = NULL;
    struct jwk_set *set = jwk_set_parse(str_from(text), &why);
    assert_non_null(set);
    return set;
}

static int make_keys(void **state)
{
    (void)state;
    const char *why = NULL;
    rsa = tokens_rsa(2048);
    ec = tokens_ec("P-256");
    ed = tokens_ed25519();
    char *r = tokens_jwk(rsa, "\"kid\":\"rsa\",");
    char *e = tokens_jwk(ec, "\"kid\":\"ec\",");
    char *d = tokens_jwk(ed, "\"kid\":\"ed\",");
    char *k = tokens_b64(TOKENS_SECRET, strlen(TOKENS_SECRET));
    char *text = tokens_printf(
        "{\"keys\":[%s,%s,%s,{\"kty\":\"oct\",\"kid\":\"oct\",\"k\":\"%s\"}]}", r, e, d, k);
    all = set_parse(text);
    assert_int_equal(all->n, 4);
    secret_set = jwk_set_from_secret(STR(TOKENS_SECRET), &why);
    assert_non_null(secret_set);
    free(r);
    free(e);
    free(d);
    free(k);
    free(text);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    jwk_set_unref(all);
    jwk_set_unref(secret_set);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
    return 0;
}

/* The whole way of a token: NULL when it is accepted at NOW, else why not. */
static const char *judge(struct str token, const struct jwk_set *set,
                         const struct jwt_settings *settings)
{
    struct arena a;
    struct jwt t;
    struct jwt_claims claims;
    const char *why = "no reason given";
    arena_init(&a, NULL, 0);
    if (jwt_parse(token, &a, &t, &why)) {
        enum jwt_verdict verdict = jwt_verify(&t, set, settings->algs);
        if (verdict != JWT_VERIFIED) {
            why = verdict == JWT_FORGED ? "forged" : "no key";
        } else if (jwt_read_claims(&t, settings, &claims, &why)) {
            why = NOW < claims.not_before ? "early" : NOW >= claims.expires ? "expired" : NULL;
            jwt_claims_fini(&claims);
        }
    }
    arena_reset(&a);
    return why;
}

static void accepts(char *token, const struct jwk_set *set, const struct jwt_settings *settings)
{
    const char *why = judge(str_from(token), set, settings);
    if (why != NULL) {
        fail_msg("refused (%s): %s", why, token);
    }
    free(token);
}

static void refuses(char *token, const struct jwk_set *set, const struct jwt_settings *settings,
                    const char *expected)
{
    const char *why = judge(str_from(token), set, settings);
    if (why == NULL) {
        fail_msg("accepted: %s", token);
    } else if (strstr(why, expected) == NULL) {
        fail_msg("\"%s\" where \"%s\" was expected: %s", why, expected, token);
    }
    free(token);
}

#define EXP "\"exp\":1800000300"

static char *by_alg(const char *alg, const char *more, EVP_PKEY *pkey)
{
    char *header = tokens_printf("{\"alg\":\"%s\"%s}", alg, more);
    char *token = tokens_make(header, "{\"sub\":\"u\"," EXP "}", alg, pkey);
    free(header);
    return token;
}

static void test_algorithms(void **state)
{
    (void)state;
    static const char *const hmacs[] = {"HS256", "HS384", "HS512"};
    for (size_t i = 0; i < 3; i++) {
        accepts(by_alg(hmacs[i], ",\"kid\":\"oct\"", NULL), all, &any);
        accepts(by_alg(hmacs[i], "", NULL), all, &any);
        accepts(by_alg(hmacs[i], ",\"kid\":\"whatever\"", NULL), secret_set, &any);
    }
    accepts(by_alg("RS256", ",\"kid\":\"rsa\"", rsa), all, &any);
    accepts(by_alg("PS256", ",\"kid\":\"rsa\"", rsa), all, &any);
    accepts(by_alg("ES256", ",\"kid\":\"ec\"", ec), all, &any);
    accepts(by_alg("EdDSA", ",\"kid\":\"ed\"", ed), all, &any);
    accepts(by_alg("RS256", "", rsa), all, &any);
    accepts(by_alg("EdDSA", "", ed), all, &any);
    accepts(by_alg("ES256", ",\"typ\":\"at+jwt\",\"cty\":5,\"x\":[{}]", ec), all, &any);
    accepts(by_alg("ES256", ",\"b64\":true", ec), all, &any);
}

/* The directive's list, the key's type, and the header must agree. */
static void test_algorithm_binding(void **state)
{
    (void)state;
    struct jwt_settings only_rs = {.algs = JWT_RS256};
    struct jwt_settings only_hs = {.algs = JWT_HS256};
    accepts(by_alg("RS256", "", rsa), all, &only_rs);
    refuses(by_alg("PS256", "", rsa), all, &only_rs, "forged");
    refuses(by_alg("HS256", "", NULL), all, &only_rs, "forged");
    refuses(by_alg("HS384", "", NULL), all, &only_hs, "forged");
    refuses(by_alg("RS256", "", rsa), all, &only_hs, "forged");
    refuses(by_alg("HS256", ",\"kid\":\"rsa\"", NULL), all, &any, "forged");
    refuses(by_alg("RS256", ",\"kid\":\"oct\"", rsa), all, &any, "forged");
    refuses(by_alg("RS256", ",\"kid\":\"ec\"", rsa), all, &any, "forged");
    refuses(by_alg("RS256", "", rsa), secret_set, &any, "no key");

    /* The header says one algorithm and the signature is another's. */
    char *body = tokens_body("{\"alg\":\"PS256\"}", "{" EXP "}");
    refuses(tokens_seal(body, "RS256", rsa, STR_NULL), all, &any, "forged");
    body = tokens_body("{\"alg\":\"RS256\"}", "{" EXP "}");
    refuses(tokens_seal(body, "PS256", rsa, STR_NULL), all, &any, "forged");
    body = tokens_body("{\"alg\":\"HS512\"}", "{" EXP "}");
    refuses(tokens_seal(body, "HS256", NULL, STR(TOKENS_SECRET)), all, &any, "forged");
}

/* A signature of the right length by another key, and the right one with one bit changed. */
static void forge(const char *alg, EVP_PKEY *pkey, EVP_PKEY *other, struct str other_secret)
{
    char *header = tokens_printf("{\"alg\":\"%s\"}", alg);
    char *body = tokens_body(header, "{" EXP "}");
    accepts(tokens_seal(xstrdup(body), alg, pkey, STR(TOKENS_SECRET)), all, &any);
    refuses(tokens_seal(xstrdup(body), alg, other, other_secret), all, &any, "forged");
    uint8_t sig[1024];
    size_t n = alg[0] == 'H' ? tokens_hmac(STR(TOKENS_SECRET), alg, str_from(body), sig)
                             : tokens_pkey_sign(pkey, alg, str_from(body), sig);
    for (size_t i = 0; i < n; i += 7) {
        sig[i] ^= (uint8_t)(1u << i % 8);
        char *text = tokens_b64(sig, n);
        refuses(tokens_printf("%s.%s", body, text), all, &any, "forged");
        free(text);
        sig[i] ^= (uint8_t)(1u << i % 8);
    }
    free(body);
    free(header);
}

static void test_forged(void **state)
{
    (void)state;
    EVP_PKEY *other_rsa = tokens_rsa(2048);
    EVP_PKEY *other_ec = tokens_ec("P-256");
    EVP_PKEY *other_ed = tokens_ed25519();
    struct str secret = STR("another-secret-of-at-least-32-bytes!");
    forge("HS256", NULL, NULL, secret);
    forge("HS384", NULL, NULL, secret);
    forge("HS512", NULL, NULL, secret);
    forge("RS256", rsa, other_rsa, STR_NULL);
    forge("PS256", rsa, other_rsa, STR_NULL);
    forge("ES256", ec, other_ec, STR_NULL);
    forge("EdDSA", ed, other_ed, STR_NULL);
    EVP_PKEY_free(other_rsa);
    EVP_PKEY_free(other_ec);
    EVP_PKEY_free(other_ed);
}

/* CVE-2015-9235 and its like: the public key, in every text form of it, as HMAC secret. */
static void test_public_key_as_secret(void **state)
{
    (void)state;
    const char *why = NULL;
    char *pem = tokens_pem(rsa);
    char *jwk = tokens_jwk(rsa, "");
    struct jwk_set *set = jwk_set_from_pem(str_from(pem), &why);
    assert_non_null(set);
    unsigned char *der = NULL;
    int der_n = i2d_PUBKEY(rsa, &der);
    assert_true(der_n > 0);
    const struct str forms[] = {
        str_from(pem),
        str_make(pem, strlen(pem) - 1),
        str_from(jwk),
        str_make((const char *)der, (size_t)der_n),
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char *body = tokens_body("{\"alg\":\"HS256\"}", "{" EXP "}");
        refuses(tokens_seal(body, "HS256", NULL, forms[i]), set, &any, "no key");
        body = tokens_body("{\"alg\":\"HS256\",\"kid\":\"rsa\"}", "{" EXP "}");
        refuses(tokens_seal(body, "HS256", NULL, forms[i]), all, &any, "forged");
    }
    OPENSSL_free(der);
    free(pem);
    free(jwk);
    jwk_set_unref(set);
}

/* Signed HS256 with the right secret; only the header is at fault. */
static void test_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *why;
    } bad[] = {
        {"{}", "alg"},
        {"{\"typ\":\"JWT\"}", "alg"},
        {"{\"alg\":\"none\"}", "alg"},
        {"{\"alg\":\"None\"}", "alg"},
        {"{\"alg\":\"NONE\"}", "alg"},
        {"{\"alg\":\"nOnE\"}", "alg"},
        {"{\"alg\":\"\"}", "alg"},
        {"{\"alg\":null}", "alg"},
        {"{\"alg\":[\"HS256\"]}", "alg"},
        {"{\"alg\":1}", "alg"},
        {"{\"alg\":\"hs256\"}", "alg"},
        {"{\"alg\":\"HS256 \"}", "alg"},
        {"{\"ALG\":\"HS256\"}", "alg"},
        {"{\"alg\":\"HS1\"}", "alg"},
        {"{\"alg\":\"ES256K\"}", "alg"},
        {"{\"alg\":\"dir\",\"enc\":\"A128GCM\"}", "alg"},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "same name"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "same name"},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", "same name"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}", "same name"},
        {"{\"alg\":\"HS256\",\"kid\":7}", "kid"},
        {"{\"alg\":\"HS256\",\"kid\":null}", "kid"},
        {"{\"alg\":\"HS256\",\"kid\":[\"a\"]}", "kid"},
        {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}", "U+0000"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "crit"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "crit"},
        {"{\"alg\":\"HS256\",\"crit\":null}", "crit"},
        {"{\"alg\":\"HS256\",\"b64\":false}", "b64"},
        {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", "crit"},
        {"{\"alg\":\"HS256\",\"b64\":0}", "b64"},
        {"{\"alg\":\"HS256\",\"b64\":null}", "b64"},
        {"{\"alg\":\"HS256\"", "closing"},
        {"{\"alg\":\"HS256\"}x", "after"},
        {"{'alg':'HS256'}", "string"},
        {"[\"HS256\"]", "object"},
        {"\"HS256\"", "object"},
        {"null", "object"},
        {" ", "early"},
        {"{\"alg\":\"HS256\",\"x\":[[[[[[[[1]]]]]]]]}", "deep"},
        {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "UTF-8"},
        {"\xef\xbb\xbf{\"alg\":\"HS256\"}", "not a JSON value"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuses(tokens_make(bad[i].header, "{" EXP "}", "HS256", NULL), secret_set, &any,
                bad[i].why);
    }
}

/* Keys that the token brings or points to are not used. */
static void test_headers_that_name_keys(void **state)
{
    (void)state;
    EVP_PKEY *own = tokens_ec("P-256");
    char *jwk = tokens_jwk(own, "\"kid\":\"own\",");
    char *more = tokens_printf(",\"jwk\":%s", jwk);
    refuses(by_alg("ES256", more, own), all, &any, "forged");
    free(more);
    more = tokens_printf(",\"kid\":\"own\",\"jwk\":%s", jwk);
    refuses(by_alg("ES256", more, own), all, &any, "no key");
    refuses(by_alg("ES256", ",\"jku\":\"http://127.0.0.1:1/\"", own), all, &any, "forged");
    refuses(by_alg("ES256", ",\"x5u\":\"file:///dev/zero\"", own), all, &any, "forged");
    refuses(by_alg("ES256", ",\"x5c\":[\"AAAA\"]", own), all, &any, "forged");
    /* They are ignored where the token is good. */
    accepts(by_alg("ES256", ",\"jku\":\"http://127.0.0.1:1/\",\"x5c\":5", ec), all, &any);
    free(more);
    free(jwk);
    EVP_PKEY_free(own);
}

static void test_kids(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "RSA",
        "rsa ",
        "",
        "../../../../dev/null",
        "/proc/self/environ",
        "x' UNION SELECT 'key'; --",
        "http://127.0.0.1/key",
        "rsa\\u0020",
        "*",
        "%72sa",
        "|id",
    };
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        char *more = tokens_printf(",\"kid\":\"%s\"", foreign[i]);
        refuses(by_alg("RS256", more, rsa), all, &any, "no key");
        free(more);
    }
    accepts(by_alg("RS256", ",\"kid\":\"\\u0072sa\"", rsa), all, &any);

    /* Keys without kid serve tokens whose kid no key has; a named key alone serves its own. */
    EVP_PKEY *other = tokens_ec("P-256");
    char *plain = tokens_jwk(ec, "");
    char *named = tokens_jwk(other, "\"kid\":\"n\",");
    char *text = tokens_printf("{\"keys\":[%s,%s]}", plain, named);
    struct jwk_set *set = set_parse(text);
    accepts(by_alg("ES256", ",\"kid\":\"unknown\"", ec), set, &any);
    accepts(by_alg("ES256", ",\"kid\":\"n\"", other), set, &any);
    refuses(by_alg("ES256", ",\"kid\":\"n\"", ec), set, &any, "forged");
    refuses(by_alg("ES256", ",\"kid\":\"unknown\"", other), set, &any, "forged");
    accepts(by_alg("ES256", "", ec), set, &any);
    accepts(by_alg("ES256", "", other), set, &any);
    jwk_set_unref(set);
    free(plain);
    free(named);
    free(text);
    EVP_PKEY_free(other);
}

/* A token without kid is tried with at most JWT_MAX_TRIES keys of the right type. */
static void test_tries_are_bounded(void **state)
{
    (void)state;
    char *right = tokens_jwk(ed, "");
    struct strbuf text = {0};
    strbuf_addf(&text, "{\"keys\":[");
    for (int i = 0; i < JWT_MAX_TRIES; i++) {
        EVP_PKEY *wrong = tokens_ed25519();
        char *jwk = tokens_jwk(wrong, "");
        strbuf_addf(&text, "%s,", jwk);
        free(jwk);
        EVP_PKEY_free(wrong);
    }
    strbuf_addf(&text, "%s]}%c", right, '\0');
    struct jwk_set *set = set_parse(text.p);
    refuses(by_alg("EdDSA", "", ed), set, &any, "forged");
    /* One fewer before it, and it is reached. */
    set->keys[0].algs = JWT_ES256;
    accepts(by_alg("EdDSA", "", ed), set, &any);
    jwk_set_unref(set);
    strbuf_free(&text);
    free(right);
}

static void test_bad_forms(void **state)
{
    (void)state;
    char *good = tokens_hs256("{" EXP ",\"pad\":\"x\"}");
    char *dot = strchr(good, '.');
    char *last = strrchr(good, '.');
    accepts(xstrdup(good), secret_set, &any);

    refuses(xstrdup(""), secret_set, &any, "three");
    refuses(xstrdup("."), secret_set, &any, "three");
    refuses(xstrdup(".."), secret_set, &any, "three");
    refuses(xstrdup("..."), secret_set, &any, "three");
    refuses(xstrdup("a.b"), secret_set, &any, "three");
    refuses(xstrdup("a.b.c.d.e"), secret_set, &any, "three");
    refuses(tokens_printf("%.*s", (int)(last - good), good), secret_set, &any, "three");
    refuses(tokens_printf("%.*s.", (int)(last - good), good), secret_set, &any, "three");
    refuses(tokens_printf("%s.", good), secret_set, &any, "three");
    refuses(tokens_printf("%s.AAAA", good), secret_set, &any, "three");
    refuses(tokens_printf(".%s", good), secret_set, &any, "three");
    refuses(tokens_printf("%.*s.%s", (int)(dot - good), good, last), secret_set, &any, "three");
    refuses(tokens_printf("%s", dot), secret_set, &any, "three");
    refuses(tokens_printf("%s=", good), secret_set, &any, "forged");
    refuses(tokens_printf("%s ", good), secret_set, &any, "forged");
    refuses(tokens_printf("%s\n", good), secret_set, &any, "forged");
    refuses(tokens_printf(" %s", good), secret_set, &any, "base64url");
    refuses(tokens_printf("%.*s=%s", (int)(dot - good), good, dot), secret_set, &any,
            "base64url");
    refuses(tokens_printf("%.*s\n%s", (int)(dot - good), good, dot), secret_set, &any,
            "base64url");
    for (size_t cut = 1; cut < strlen(last) - 1; cut++) {
        refuses(tokens_printf("%.*s", (int)(strlen(good) - cut), good), secret_set, &any,
                "forged");
    }
    free(good);
}

/* Each character of a token, changed, makes it another token. */
static void test_every_byte_counts(void **state)
{
    (void)state;
    char *good = by_alg("ES256", "", ec);
    for (size_t i = 0; i < strlen(good); i++) {
        char *changed = xstrdup(good);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        refuses(changed, all, &any, "");
    }
    /* The last character of the 64 byte signature has four unused bits. */
    size_t n = strlen(good);
    unsigned accepted = 0;
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < 64; i++) {
        good[n - 1] = digits[i];
        accepted += judge(str_from(good), all, &any) == NULL;
    }
    assert_int_equal(accepted, 1);
    free(good);
}

static void test_bad_ecdsa(void **state)
{
    (void)state;
    char *body = tokens_body("{\"alg\":\"ES256\"}", "{" EXP "}");
    uint8_t sig[1024];
    size_t n = tokens_pkey_sign(ec, "ES256", str_from(body), sig);
    assert_int_equal(n, 64);
    sig[64] = 0;
    char *right = tokens_b64(sig, 64);
    accepts(tokens_printf("%s.%s", body, right), all, &any);

    /* DER, as OpenSSL makes it, is not a JWS signature. */
    uint8_t der[128];
    uint8_t *p = der;
    ECDSA_SIG *ecdsa = ECDSA_SIG_new();
    ECDSA_SIG_set0(ecdsa, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL));
    int der_n = i2d_ECDSA_SIG(ecdsa, &p);
    ECDSA_SIG_free(ecdsa);
    uint8_t zero[96] = {0}; /* CVE-2022-21449: r = s = 0 */
    uint8_t longer[96] = {0};
    memcpy(longer + 1, sig, 32);
    memcpy(longer + 34, sig + 32, 32);
    char *bad[] = {
        tokens_b64(der, (size_t)der_n),
        tokens_b64(zero, 64),
        tokens_b64(sig, 63),
        tokens_b64(sig, 32),
        tokens_b64(zero, 1),
        tokens_b64(longer, 66),
        tokens_b64(zero, 96),
        tokens_b64(sig, 65), /* the right one and a byte more */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuses(tokens_printf("%s.%s", body, bad[i]), all, &any, "forged");
        free(bad[i]);
    }
    free(right);
    free(body);
}

/* RSA signatures of the wrong length, and one longer than any key may make. */
static void test_bad_rsa(void **state)
{
    (void)state;
    char *body = tokens_body("{\"alg\":\"RS256\"}", "{" EXP "}");
    uint8_t sig[2000] = {0};
    size_t n = tokens_pkey_sign(rsa, "RS256", str_from(body), sig + 1);
    assert_int_equal(n, 256);
    char *bad[] = {
        tokens_b64(sig, 257),       tokens_b64(sig + 1, 255),     tokens_b64(sig + 1, 257),
        tokens_b64(sig + 600, 256), tokens_b64(sig, sizeof(sig)),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        refuses(tokens_printf("%s.%s", body, bad[i]), all, &any, "forged");
        free(bad[i]);
    }
    free(body);
}

static void test_bad_payloads(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        const char *why;
    } bad[] = {
        {"{}", "exp"},
        {"{\"sub\":\"u\"}", "exp"},
        {"{\"exp\":\"1800000300\"}", "exp"},
        {"{\"exp\":null}", "exp"},
        {"{\"exp\":true}", "exp"},
        {"{\"exp\":[1800000300]}", "exp"},
        {"{\"exp\":{}}", "exp"},
        {"{\"exp\":1e300}", "exp"},
        {"{\"exp\":1e999}", "exp"},
        {"{\"exp\":1800000300000}", "exp"}, /* milliseconds */
        {"{\"exp\":99999999999999999999}", "exp"},
        {"{\"exp\":-1}", "exp"},
        {"{\"Exp\":1800000300}", "exp"},
        {"{\"exp\":0}", "expired"},
        {"{\"exp\":1799999999}", "expired"},
        {"{\"exp\":1800000000}", "expired"},
        {"{\"exp\":1799999999.999}", "expired"},
        {"{\"exp\":1,\"exp\":1800000300}", "same name"},
        {"{\"exp\":1800000300,\"\\u0065xp\":1800000300}", "same name"},
        {"{\"exp\":1800000300,\"nbf\":1800000001}", "early"},
        {"{\"exp\":1800000300,\"nbf\":1800000000.001}", "early"},
        {"{\"exp\":1800000300,\"iat\":1800000001}", "early"},
        {"{\"exp\":1800000300,\"nbf\":1,\"iat\":1800000200}", "early"},
        {"{\"exp\":1800000300,\"nbf\":\"0\"}", "nbf"},
        {"{\"exp\":1800000300,\"nbf\":null}", "nbf"},
        {"{\"exp\":1800000300,\"nbf\":-5}", "nbf"},
        {"{\"exp\":1800000300,\"nbf\":1e20}", "nbf"},
        {"{\"exp\":1800000300,\"iat\":\"now\"}", "iat"},
        {"{\"exp\":1800000300,\"sub\":\"a\",\"sub\":\"b\"}", "same name"},
        {"{\"exp\":1800000300,\"sub\":\"a\\u0000b\"}", "U+0000"},
        {"{\"exp\":1800000300,\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[1]}}}}}}}",
         NULL},
        {"{\"exp\":1800000300,\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":[[]]}}}}}}}",
         "deep"},
        {"{\"exp\":1800000300}{}", "after"},
        {"{\"exp\":1800000300,}", "string"},
        {"[{\"exp\":1800000300}]", "object"},
        {"1800000300", "object"},
        {"null", "object"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *token = tokens_hs256(bad[i].payload);
        if (bad[i].why == NULL) {
            accepts(token, secret_set, &any);
        } else {
            refuses(token, secret_set, &any, bad[i].why);
        }
    }
    /* A signed token as payload (cty JWT), and a payload that is not base64url. */
    char *inner = tokens_hs256("{" EXP "}");
    refuses(tokens_hs256(inner), secret_set, &any, "not a JSON value");
    free(inner);
    char *header = tokens_b64("{\"alg\":\"HS256\"}", 15);
    char *body = tokens_printf("%s.e30=", header);
    refuses(tokens_seal(body, "HS256", NULL, STR(TOKENS_SECRET)), secret_set, &any,
            "base64url");
    free(header);
}

static void test_times(void **state)
{
    (void)state;
    struct jwt_settings late = {.algs = JWT_HS256, .leeway = 30000};
    accepts(tokens_hs256("{\"exp\":1800000000.5}"), secret_set, &any);
    accepts(tokens_hs256("{\"exp\":1.8000003e9,\"nbf\":1800000000,\"iat\":1799999999.25}"),
            secret_set, &any);
    accepts(tokens_hs256("{\"exp\":253402300799,\"nbf\":0,\"iat\":0}"), secret_set, &any);
    accepts(tokens_hs256("{\"exp\":1799999971}"), secret_set, &late);
    refuses(tokens_hs256("{\"exp\":1799999970}"), secret_set, &late, "expired");
    accepts(tokens_hs256("{\"exp\":1800000300,\"nbf\":1800000030}"), secret_set, &late);
    refuses(tokens_hs256("{\"exp\":1800000300,\"nbf\":1800000031}"), secret_set, &late,
            "early");
}

static void test_issuer_and_audience(void **state)
{
    (void)state;
    struct jwt_settings s = {.algs = JWT_HS256, .iss = STR("https://id/"), .aud = STR("api")};
    static const struct {
        const char *claims;
        const char *why;
    } cases[] = {
        {"\"iss\":\"https://id/\",\"aud\":\"api\"", NULL},
        {"\"iss\":\"https://id/\",\"aud\":[\"web\",\"api\"]", NULL},
        {"\"iss\":\"https:\\/\\/id\\/\",\"aud\":[\"api\"]", NULL},
        {"\"aud\":\"api\"", "issuer"},
        {"\"iss\":\"https://id\",\"aud\":\"api\"", "issuer"},
        {"\"iss\":\"https://ID/\",\"aud\":\"api\"", "issuer"},
        {"\"iss\":[\"https://id/\"],\"aud\":\"api\"", "issuer"},
        {"\"iss\":null,\"aud\":\"api\"", "issuer"},
        {"\"iss\":\"https://id/\"", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":\"api2\"", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":\"ap\"", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":\"web api\"", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":[]", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":[\"web\"]", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":[[\"api\"]]", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":[\"api\",5]", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":{\"api\":\"api\"}", "audience"},
        {"\"iss\":\"https://id/\",\"aud\":\"API\"", "audience"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *payload = tokens_printf("{" EXP ",%s}", cases[i].claims);
        char *token = tokens_hs256(payload);
        free(payload);
        if (cases[i].why == NULL) {
            accepts(token, secret_set, &s);
        } else {
            refuses(token, secret_set, &s, cases[i].why);
        }
    }
}

static void test_size(void **state)
{
    (void)state;
    char pad[7000];
    memset(pad, 'x', sizeof(pad));
    char *payload = tokens_printf("{" EXP ",\"p\":\"%.*s\"}", 6000, pad);
    char *token = tokens_hs256(payload);
    assert_in_range(strlen(token), 8000, JWT_MAX_TOKEN);
    accepts(token, secret_set, &any);
    free(payload);
    payload = tokens_printf("{" EXP ",\"p\":\"%.*s\"}", 6100, pad);
    token = tokens_hs256(payload);
    assert_true(strlen(token) > JWT_MAX_TOKEN);
    refuses(token, secret_set, &any, "8 KiB");
    free(payload);

    /* Nesting bombs, in the header (before any signature) and in the payload. */
    memset(pad, '[', sizeof(pad));
    char *header = tokens_printf("{\"alg\":\"HS256\",\"x\":%.*s", 5900, pad);
    refuses(tokens_make(header, "{}", "HS256", NULL), secret_set, &any, "deep");
    free(header);
    payload = tokens_printf("{\"x\":%.*s", 5900, pad);
    refuses(tokens_hs256(payload), secret_set, &any, "deep");
    free(payload);
}

static void claim_is(const char *payload, const char *dotted, const char *expected)
{
    struct arena a;
    struct jwt t;
    struct jwt_claims claims;
    struct str names[4];
    struct str_list path = {names, 0};
    struct str rest = str_from(dotted);
    struct str text = STR_NULL;
    while (str_next(&rest, '.', &names[path.n])) {
        path.n++;
    }
    arena_init(&a, NULL, 0);
    char *full = tokens_printf("{" EXP ",%s}", payload);
    char *token = tokens_hs256(full);
    assert_true(jwt_parse(str_from(token), &a, &t, NULL));
    assert_true(jwt_read_claims(&t, &any, &claims, NULL));
    bool known = jwt_claim(&claims, &path, &a, &text);
    if (known != (expected != NULL) || (known && !str_eq(text, str_from(expected)))) {
        fail_msg("%s at %s: \"%.*s\"", payload, dotted, STR_ARG(text));
    }
    jwt_claims_fini(&claims);
    arena_reset(&a);
    free(token);
    free(full);
}

static void test_claims(void **state)
{
    (void)state;
    claim_is("\"org\":\"o-1\"", "org", "o-1");
    claim_is("\"org\":\"\\u00e9 *?:~e\"", "org", "\xc3\xa9 *?:~e");
    claim_is("\"realm\":{\"org\":\"x\"}", "realm.org", "x");
    claim_is("\"a\":{\"b\":{\"c\":7}}", "a.b.c", "7");
    claim_is("\"id\":0", "id", "0");
    claim_is("\"id\":-0", "id", "0");
    claim_is("\"id\":-12", "id", "-12");
    claim_is("\"id\":1e3", "id", "1000");
    claim_is("\"id\":12.0", "id", "12");
    claim_is("\"id\":9007199254740991", "id", "9007199254740991");
    claim_is("\"id\":-9007199254740991", "id", "-9007199254740991");
    claim_is("\"id\":9007199254740992", "id", NULL);
    claim_is("\"id\":9007199254740993", "id", NULL);
    claim_is("\"id\":1e300", "id", NULL);
    claim_is("\"id\":1e999", "id", NULL);
    claim_is("\"id\":1.5", "id", NULL);
    claim_is("\"id\":1e-9", "id", NULL);
    claim_is("\"org\":\"\"", "org", NULL);
    claim_is("\"org\":null", "org", NULL);
    claim_is("\"org\":true", "org", NULL);
    claim_is("\"org\":[\"x\"]", "org", NULL);
    claim_is("\"org\":{\"id\":\"x\"}", "org", NULL);
    claim_is("\"Org\":\"x\"", "org", NULL);
    claim_is("\"org.id\":\"x\"", "org.id", NULL);
    claim_is("\"realm\":\"x\"", "realm.org", NULL);
    claim_is("\"realm\":[{\"org\":\"x\"}]", "realm.org", NULL);

    char text[JWT_MAX_CLAIM + 2];
    memset(text, 'x', sizeof(text));
    text[JWT_MAX_CLAIM] = '\0';
    char *payload = tokens_printf("\"org\":\"%s\"", text);
    claim_is(payload, "org", text);
    free(payload);
    text[JWT_MAX_CLAIM] = 'x';
    payload = tokens_printf("\"org\":\"%.*s\"", JWT_MAX_CLAIM + 1, text);
    claim_is(payload, "org", NULL);
    free(payload);
}

/* RFC 7515 appendix A.1 (HS256) and RFC 8037 appendix A.4 (EdDSA): foreign tokens. */
static void test_rfc_vectors(void **state)
{
    (void)state;
    static const char hs256[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAs"
        "DQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1"
        "gFWFOEjXk";
    static const char eddsa[] =
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
        "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    struct jwk_set *set = set_parse(
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0g"
        "ZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"1"
        "1qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
    struct arena a;
    struct jwt t;
    arena_init(&a, NULL, 0);
    assert_true(jwt_parse(str_from(hs256), &a, &t, NULL));
    assert_int_equal(jwt_verify(&t, set, any.algs), JWT_VERIFIED);
    assert_string_equal(judge(str_from(hs256), set, &any), "expired");
    assert_true(jwt_parse(str_from(eddsa), &a, &t, NULL));
    assert_int_equal(jwt_verify(&t, set, any.algs), JWT_VERIFIED);
    arena_reset(&a);
    jwk_set_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_algorithm_binding),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_public_key_as_secret),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_headers_that_name_keys),
        cmocka_unit_test(test_kids),
        cmocka_unit_test(test_tries_are_bounded),
        cmocka_unit_test(test_bad_forms),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_bad_ecdsa),
        cmocka_unit_test(test_bad_rsa),
        cmocka_unit_test(test_bad_payloads),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_issuer_and_audience),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_rfc_vectors),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
