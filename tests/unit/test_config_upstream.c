/*
 * config/set_upstream and config/set_identity: servers, tokens, identities, secrets.
 */
#include "config_case.h"

static void test_urls(void **state)
{
    struct settings *s = case_good("upstream u http://127.0.0.1:8000 http://10.0.0.1/ "
                                   "https://[::1]:8443 https://API.example.com "
                                   "http://my_service:3000 unix:/run/app.sock\n");
    const struct server_settings *v = s->upstreams[0].servers;
    char text[ADDR_TEXT_MAX];

    (void)state;
    assert_int_equal(s->upstreams[0].n_servers, 6);
    assert_int_equal(v[0].port, 8000);
    assert_false(v[0].tls);
    assert_str(v[0].host, "127.0.0.1");
    assert_str(v[0].authority, "127.0.0.1:8000");
    addr_text(&v[0].addr, text);
    assert_string_equal(text, "127.0.0.1:8000");
    assert_int_equal(v[1].port, 80);
    assert_str(v[1].authority, "10.0.0.1");
    assert_true(v[2].tls);
    assert_str(v[2].host, "::1");
    assert_str(v[2].authority, "[::1]:8443");
    addr_text(&v[2].addr, text);
    assert_string_equal(text, "[::1]:8443");
    assert_str(v[3].host, "api.example.com");
    assert_int_equal(v[3].port, 443);
    assert_str(v[3].authority, "api.example.com");
    assert_int_equal(v[3].addr.len, 0); /* a name: to be resolved */
    assert_str(v[4].host, "my_service");
    assert_str(v[4].url, "http://my_service:3000");
    assert_int_equal(v[5].host.n, 0);
    assert_str(v[5].authority, "localhost");
    addr_text(&v[5].addr, text);
    assert_string_equal(text, "unix:/run/app.sock");
    settings_unref(s);
}

static void test_upstream_options(void **state)
{
    struct settings *s = case_good(
        "upstream a https://h health=/ok?x=1 balance=least_conn health_interval=1s "
        "max_fails=5 fail_timeout=2s keepalive=8 keepalive_timeout=4s tls_name=x.example\n"
        "route GET /x { upstream a }\n"
        "defaults { upstream app }\n");
    const struct upstream_settings *a = &s->upstreams[0];
    const struct upstream_settings *b = &s->upstreams[1];

    (void)state;
    assert_int_equal(a->balance, BALANCE_LEAST_CONN);
    assert_str(a->health_path, "/ok?x=1");
    assert_int_equal(a->health_interval, 1000);
    assert_int_equal(a->max_fails, 5);
    assert_int_equal(a->fail_timeout, 2000);
    assert_int_equal(a->keepalive, 8);
    assert_int_equal(a->keepalive_timeout, 4000);
    assert_str(a->tls_name, "x.example");
    assert_true(a->tls_verify);
    assert_str(b->name, "app");
    assert_int_equal(b->index, 1);
    assert_int_equal(b->balance, BALANCE_ROUND_ROBIN);
    assert_int_equal(b->health_path.n, 0);
    assert_int_equal(b->health_interval, 5000);
    assert_int_equal(b->max_fails, 3);
    assert_int_equal(b->fail_timeout, 10000);
    assert_int_equal(b->keepalive, 64);
    assert_int_equal(b->keepalive_timeout, 30000);
    assert_ptr_equal(case_route(s, "GET /x")->upstream, a);
    assert_ptr_equal(s->sites[0].fallback.upstream, b);
    settings_unref(s);
}

static void test_upstream_errors(void **state)
{
    static const struct config_case cases[] = {
        {"upstream x 127.0.0.1:8000\n", "a URL starts with http://",
         "did you mean `http://127.0.0.1:8000`?", 0},
        {"upstream x ftp://h\n", "a URL starts with http://", NULL, 0},
        {"upstream x http://h/api\n", "has no path or query", NULL, 0},
        {"upstream x http://h?x\n", "has no path or query", NULL, 0},
        {"upstream x http://u:p@h\n", "a user name or password has no place", NULL, 0},
        {"upstream x http://\n", "not a host name or address", NULL, 0},
        {"upstream x http://a,b\n", "not a host name or address", NULL, 0},
        {"upstream x http://300.1.1.1\n", "not a host name or address", NULL, 0},
        {"upstream x http://127.1\n", "not a host name or address", NULL, 0},
        {"upstream x http://[::1\n", "has no `]`", NULL, 0},
        {"upstream x http://[1.2.3.4]\n", "not an IPv6 address", NULL, 0},
        {"upstream x http://[::1]8\n", "a port is expected after the `]`", NULL, 0},
        {"upstream x http://h:0\n", "a port is a number from 1 to 65535", NULL, 0},
        {"upstream x http://h:65536\n", "a port is a number from 1 to 65535", NULL, 0},
        {"upstream x http://h:\n", "a port is a number from 1 to 65535", NULL, 0},
        {"upstream x http://h:80x\n", "a port is a number from 1 to 65535", NULL, 0},
        {"upstream x unix:\n", "t.conf:1:12: error:", NULL, 0},
        {"upstream x\n", "`upstream` lacks an argument", NULL, 0},
        {"upstream a/b http://h\n", "the name of an upstream has 1 to 64", NULL, 0},
        {"upstream x http://h\nupstream x http://g\n", "the upstream `x` is defined twice",
         "upstream NAME URL URL", 1},
        {"upstream x http://h balance=random\n", "is expected, not `balance=random`", NULL, 0},
        {"upstream x http://h healt=/x\n", "`upstream` has no option `healt`",
         "did you mean `health`?", 0},
        {"upstream x http://h health=x\n", "a path is expected, like health=/healthz", NULL, 0},
        {"upstream x https://h tls_ca=/no/such/file\n", "cannot read this file: no such file",
         NULL, 0},
        {"upstream x https://h tls_ca=/\n", "cannot read this file: it is a folder", NULL, 0},
        {"upstream x https://h tls_name=a/b\n", "a host name is expected", NULL, 0},
        {"route GET /x { upstream ap }\n", "no upstream `ap` is defined", "did you mean `app`?",
         0},
        {"upstream x http://h\nroute GET /x { }\n",
         "t.conf:2:11: error: several upstreams are defined and none is chosen",
         "or `defaults`", 0},
        /* What a broken upstream should have been is not missed as well. */
        {"upstream x http://h/api\nroute GET /x { upstream x }\n", "has no path or query", NULL,
         0},
        {"upstream x ${CASE_NONE}\nroute GET /x { upstream x }\n", "CASE_NONE is not set", NULL,
         0},
    };

    (void)state;
    unsetenv("CASE_NONE");
    case_refused(CASES(cases));
}

/* Without `upstream` anywhere and with several defined, other paths have nowhere to go. */
static void test_no_default_upstream(void **state)
{
    struct settings *s = case_good("upstream b http://h\nroute GET /x { upstream b }\n");

    (void)state;
    assert_null(s->sites[0].fallback.upstream);
    settings_unref(s);
}

/* ---- jwt -------------------------------------------------------------------------------- */

#define SECRET32 "0123456789abcdef0123456789abcdef"

static void test_jwt_forms(void **state)
{
    struct settings *s = case_good(
        "jwt a alg=HS256,HS512 secret=" SECRET32 " iss=me aud=api leeway=5s from=cookie:sid\n"
        "jwt b alg=RS256,PS256 key_file=/proc/self/status\n"
        "jwt c alg=ES256,EdDSA,RS256 jwks=https://login.example.com/jwks.json from=bearer\n"
        "jwt d alg=EdDSA jwks=/proc/self/status\n");

    (void)state;
    assert_int_equal(s->n_jwts, 4);
    assert_int_equal(s->jwts[0].algs, JWT_HS256 | JWT_HS512);
    assert_str(s->jwts[0].secret, SECRET32);
    assert_str(s->jwts[0].iss, "me");
    assert_str(s->jwts[0].aud, "api");
    assert_int_equal(s->jwts[0].leeway, 5000);
    assert_str(s->jwts[0].from_cookie, "sid");
    assert_int_equal(s->jwts[1].algs, JWT_RS256 | JWT_PS256);
    assert_str(s->jwts[1].key_file, "/proc/self/status");
    assert_int_equal(s->jwts[1].secret.n, 0);
    assert_int_equal(s->jwts[1].from_cookie.n, 0);
    assert_int_equal(s->jwts[1].leeway, 0);
    assert_str(s->jwts[2].jwks, "https://login.example.com/jwks.json");
    assert_int_equal(s->jwts[3].index, 3);
    settings_unref(s);
}

static void test_jwt_errors(void **state)
{
    static const struct config_case cases[] = {
        {"jwt m secret=" SECRET32 "\n", "`jwt` needs alg=", NULL, 0},
        {"jwt m alg=RS256\n", "`jwt` needs secret=, secret_file=, key_file= or jwks=", NULL, 0},
        {"jwt m alg=none secret=" SECRET32 "\n", "`none` is no signature", NULL, 0},
        {"jwt m alg=HS265 secret=" SECRET32 "\n", "unknown algorithm", "did you mean `HS256`?",
         0},
        {"jwt m alg=HS256, secret=" SECRET32 "\n", "unknown algorithm", NULL, 0},
        {"jwt m alg=HS256 secret=short\n", "the secret has 5 bytes; HS* needs at least 32",
         NULL, 0},
        {"jwt m alg=HS256 secret=\n", "the value is empty", NULL, 0},
        {"jwt m alg=HS256 key_file=/proc/self/status\n", "HS* is signed with a secret", NULL,
         0},
        {"jwt m alg=HS256 jwks=https://h/k\n", "HS* is signed with a secret", NULL, 0},
        {"jwt m alg=RS256 secret=" SECRET32 "\n", "verified with a public key", NULL, 0},
        {"jwt m alg=HS256,RS256 secret=" SECRET32 "\n", "do not go together", NULL, 0},
        {"jwt m alg=RS256,ES256 key_file=/proc/self/status\n", "one key cannot serve", NULL, 0},
        {"jwt m alg=RS256 key_file=/no/such\n", "cannot read this file: no such file", NULL, 0},
        {"jwt m alg=RS256 jwks=/no/such\n", "cannot read this file: no such file", NULL, 0},
        {"jwt m alg=HS256 secret_file=/no/such\n", "cannot read this file: no such file", NULL,
         0},
        {"jwt m alg=HS256 secret_file=/dev/null\n", "it is not a regular file", NULL, 0},
        {"jwt m alg=HS256 secret=" SECRET32 " jwks=https://h\n", "one key is enough", NULL, 0},
        {"jwt m alg=RS256 jwks=https://h from=query\n", "from=bearer or from=cookie:NAME", NULL,
         0},
        {"jwt m alg=RS256 jwks=https://h from=cookie:\n", "from=bearer or from=cookie:NAME",
         NULL, 0},
        {"jwt m alg=RS256 jwks=https://h leeway=2m\n", "out of range: from 0s to 1m", NULL, 0},
        {"jwt m alg=RS256 jwks=https://h issuer=x\n", "`jwt` has no option `issuer`", NULL, 0},
        {"jwt m alg=RS256 jwks=https://h\njwt m alg=RS256 jwks=https://h\n",
         "the jwt `m` is defined twice", NULL, 0},
        {"jwt a:b alg=RS256 jwks=https://h\n", "the name of a jwt has 1 to 64", NULL, 0},
        /* Nothing follows from the broken line. */
        {"jwt m alg=RS256 jwks=${CASE_NONE}\nidentity org jwt=m claim=o\n"
         "route GET /x { ttl 1m; scope authenticated }\nroute GET /y { ttl 1m; scope org }\n",
         "CASE_NONE is not set", NULL, 0},
    };

    (void)state;
    unsetenv("CASE_NONE");
    case_refused(CASES(cases));
}

/* ---- identity --------------------------------------------------------------------------- */

static void test_identity_forms(void **state)
{
    struct settings *s =
        case_good("identity org jwt=m claim=realm.organization.id\n"
                  "identity uri jwt=m claim=https://example.com/org.id\n"
                  "identity tenant header=X-Tenant-Id trusted=10.0.0.0/8,::1 trusted=unix\n"
                  "identity token credential\n"
                  "identity session credential cookie=sid\n"
                  "jwt m alg=RS256 jwks=https://h/k\n"
                  "hash_key value=0123456789abcdef\n");
    const struct identity_settings *id = s->identities;

    (void)state;
    assert_int_equal(s->n_identities, 5);
    assert_int_equal(id[0].source, IDENTITY_JWT);
    assert_ptr_equal(id[0].jwt, &s->jwts[0]);
    assert_int_equal(id[0].claim.n, 3);
    assert_str(id[0].claim.list[1], "organization");
    assert_int_equal(id[1].claim.n, 1);
    assert_str(id[1].claim.list[0], "https://example.com/org.id");
    assert_int_equal(id[2].source, IDENTITY_HEADER);
    assert_str(id[2].header, "x-tenant-id");
    assert_int_equal(id[2].trusted.n, 3);
    assert_int_equal(id[3].source, IDENTITY_CREDENTIAL);
    assert_int_equal(id[3].cookie.n, 0);
    assert_str(id[4].cookie, "sid");
    assert_int_equal(id[4].index, 4);
    assert_str(s->hash_key, "0123456789abcdef");
    settings_unref(s);
}

static void test_identity_errors(void **state)
{
    static const struct config_case cases[] = {
        {"identity org header=X-Org\n", "an identity from a header needs trusted=CIDR",
         "read the entries of another", 0},
        {"identity org header=Authorization trusted=::1\n", "a credential is not an identity",
         "credential", 0},
        {"identity org header=\"X Org\" trusted=::1\n", "a header name is expected", NULL, 0},
        {"identity org header=X-Org trusted=me\n", "an address or range is expected", NULL, 0},
        {"identity org header=X-Org trusted=::1 cookie=a\n",
         "`cookie=` does not go with an identity from a header", NULL, 0},
        {"identity org jwt=m\n", "needs jwt=NAME and claim=PATH", NULL, 0},
        {"identity org claim=o\n", "needs jwt=NAME and claim=PATH", NULL, 0},
        {"identity org jwt=mian claim=o\njwt main alg=RS256 jwks=https://h\n",
         "no jwt of this name is defined", "did you mean `main`?", 0},
        {"identity org jwt=m claim=a..b\njwt m alg=RS256 jwks=https://h\n",
         "a claim is a name or a path", NULL, 0},
        {"identity org\n", "does not say where the identity comes from", "usage: identity", 0},
        {"identity org credentials\n", "`credential` is expected", "did you mean `credential`?",
         0},
        {"identity org credential jwt=m\n",
         "`jwt=` does not go with an identity from a credential", NULL, 0},
        {"identity org credential cookie=\"a b\"\n", "a cookie name is expected", NULL, 0},
        {"identity 1org credential\n", "the name of an identity has letters", NULL, 0},
        {"identity query credential\n", "`query` is a reserved word", NULL, 0},
        {"identity path credential\n", "`path` is a reserved word", NULL, 0},
        {"identity method credential\n", "`method` is a reserved word", NULL, 0},
        {"identity body credential\n", "`body` is a reserved word", NULL, 0},
        {"identity public credential\n", "`public` is a reserved word", NULL, 0},
        {"identity a credential\nidentity a credential\n", "the identity `a` is defined twice",
         NULL, 0},
        {"hash_key\n", "`hash_key` needs value= or file=", NULL, 0},
        {"hash_key value=0123456789abcdef file=/x\n", "and not both", NULL, 0},
        {"hash_key value=short\n", "the key has 5 bytes; at least 16", NULL, 0},
        {"hash_key file=/no/such\n", "cannot read this file: no such file", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_identity_limit(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    for (int i = 0; i < SETTINGS_MAX_IDENTITIES; i++) {
        strbuf_addf(&text, "identity id%d credential\n", i);
    }
    strbuf_add_char(&text, '\0');
    struct settings *s = case_good(text.p);
    assert_int_equal(s->n_identities, SETTINGS_MAX_IDENTITIES);
    settings_unref(s);
    text.n--;
    strbuf_addf(&text, "identity more credential\n%c", '\0');
    assert_null(case_load(text.p, &report));
    assert_non_null(strstr(report.text.p, "t.conf:33:1: error: more than 32 identities"));
    strbuf_free(&text);
    strbuf_free(&report.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_upstream_options),
        cmocka_unit_test(test_upstream_errors),
        cmocka_unit_test(test_no_default_upstream),
        cmocka_unit_test(test_jwt_forms),
        cmocka_unit_test(test_jwt_errors),
        cmocka_unit_test(test_identity_forms),
        cmocka_unit_test(test_identity_errors),
        cmocka_unit_test(test_identity_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
