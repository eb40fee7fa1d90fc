/*
 * config/scope and config/template: what is cached, who shares it, keys and their namespace,
 * and the query rule. What could hand one caller's answer to another is refused.
 */
#include "config_case.h"

#define IDENTITIES                       \
    "jwt m alg=RS256 jwks=https://h/k\n" \
    "identity org jwt=m claim=org\n"     \
    "identity user jwt=m claim=sub\n"    \
    "identity cred credential\n"

static void test_scope_from_key_and_directive(void **state)
{
    struct settings *s =
        case_good(IDENTITIES "type pub { ttl 1m; scope public }\n"
                             "route GET /a { ttl 1m; key a:{org}:{user} }\n"
                             "route GET /b { ttl 1m; scope org }\n"
                             "route GET /c { ttl 1m; scope authenticated; key c }\n"
                             "route GET /d { type pub; key d }\n"
                             "route GET /e { type pub; scope user; key e:{user} }\n"
                             "route GET /f { ttl 1m; scope user; key f:{user}:{org} }\n"
                             "route GET /g { ttl 1m; key g:{cred} }\n"
                             "route POST /a { }\n");

    (void)state;
    assert_int_equal(case_route(s, "GET /a")->scope, SCOPE_IDENTITIES);
    assert_int_equal(case_route(s, "GET /a")->scope_mask, 3);
    assert_int_equal(case_route(s, "GET /b")->scope, SCOPE_IDENTITIES);
    assert_int_equal(case_route(s, "GET /b")->scope_mask, 1);
    assert_int_equal(case_route(s, "GET /c")->scope, SCOPE_AUTHENTICATED);
    assert_int_equal(case_route(s, "GET /c")->scope_mask, 0);
    assert_int_equal(case_route(s, "GET /d")->scope, SCOPE_PUBLIC);
    assert_int_equal(case_route(s, "GET /e")->scope_mask, 2);
    /* The key may say more than the scope: then it is what partitions. */
    assert_int_equal(case_route(s, "GET /f")->scope_mask, 3);
    assert_int_equal(case_route(s, "GET /g")->scope_mask, 4);
    assert_int_equal(case_route(s, "POST /a")->scope, SCOPE_NONE);
    settings_unref(s);
}

static void test_default_keys(void **state)
{
    static const struct {
        const char *label;
        const char *key;
    } expected[] = {
        {"GET /api/agents/{id}/st@ts", "api.agents.id.st_ts:{path}:{query}"},
        {"GET /", "root:{path}:{query}"},
        {"GET /typed", "kind:{org}:{user}:{path}:{query}"},
        {"named", "named:{org}:{path}:{query}"},
        {"GET /files/*", "files:{path}:{query}"},
        {"GET /tag", "tag_:{path}:{query}"},
        {"route", "route_:{path}:{query}"},
        {"POST /search", "search:{path}:{query}:{method}:{body}"},
        {"GET /list/", "list:{path}:{query}"},
    };
    struct settings *s =
        case_good(IDENTITIES "type kind { ttl 1m; scope user org }\n"
                             "type pub { ttl 1m; scope public }\n"
                             "route GET /api/agents/{id}/st@ts { ttl 1m; scope public }\n"
                             "route GET / { ttl 1m; scope authenticated }\n"
                             "route GET /typed { type kind }\n"
                             "route GET /named name=named { ttl 1m; scope org }\n"
                             "route GET /files/* { ttl 1m; scope public }\n"
                             "route GET /tag { ttl 1m; scope public }\n"
                             "route GET /r name=route { ttl 1m; scope public }\n"
                             "route POST /search { ttl 1m; scope public; method_body on }\n"
                             "route GET /list/ { ttl 1m; scope public }\n");

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_str(case_route(s, expected[i].label)->key.text, expected[i].key);
    }
    const struct key_template *key = &case_route(s, "GET /typed")->key;
    assert_int_equal(key->n, 9);
    assert_str(key->parts[0].text, "kind");
    assert_int_equal(key->parts[2].kind, KEY_IDENTITY);
    assert_int_equal(key->parts[2].index, 0);
    assert_int_equal(key->parts[6].kind, KEY_PATH);
    assert_int_equal(key->parts[8].kind, KEY_QUERY);
    settings_unref(s);
}

static void test_key_placeholders(void **state)
{
    struct settings *s = case_good(
        IDENTITIES "route GET,HEAD /a/{id} { ttl 1m;\n"
                   "  key a:{org}:{id}:{query}/{path}:{method}:{query.sort}:{header.X-Lang}"
                   ":{cookie.Sid} }\n");
    const struct key_template *key = &case_route(s, "GET,HEAD /a/{id}")->key;
    static const enum key_part_kind kinds[] = {
        KEY_LITERAL, KEY_IDENTITY, KEY_LITERAL, KEY_PARAM,  KEY_LITERAL, KEY_QUERY,
        KEY_LITERAL, KEY_PATH,     KEY_LITERAL, KEY_METHOD, KEY_LITERAL, KEY_QUERY_NAME,
        KEY_LITERAL, KEY_HEADER,   KEY_LITERAL, KEY_COOKIE,
    };

    (void)state;
    assert_int_equal(key->n, 16);
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(key->parts[i].kind, kinds[i]);
    }
    assert_str(key->parts[0].text, "a:");
    assert_str(key->parts[11].text, "sort");
    assert_str(key->parts[13].text, "x-lang");
    assert_str(key->parts[15].text, "Sid");
    settings_unref(s);
}

static void test_scope_errors(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /x { ttl 1m }\n",
         "t.conf:1:11: error: this route is cached, but nothing says who shares its answers",
         "`scope public` (everybody) or `scope authenticated`", 0},
        {IDENTITIES "route GET /x { ttl 1m; key x:{query} }\n",
         "t.conf:5:28: error: this route is cached, but nothing says who shares its answers",
         "an identity in the key ({org}) or `scope org`", 0},
        {"defaults { ttl 1m }\nroute GET /x { }\n", "t.conf:2:11: error: this route is cached",
         "a hit skips the backend's authorization", 0},
        {IDENTITIES "route GET /x { ttl 1m; scope public; key x:{org} }\n",
         "the scope is public, but the key names the identity {org}", "drop one of them", 0},
        {IDENTITIES "route GET /x { ttl 1m; scope authenticated; key x:{user} }\n",
         "the scope is authenticated, but the key names the identity {user}", NULL, 0},
        {IDENTITIES "type t { ttl 1m; scope public }\nroute GET /x { type t; key x:{org} }\n",
         "the scope is public, but the key names", "`scope org` in the route beats its type's",
         0},
        {IDENTITIES "route GET /x { ttl 1m; scope org; key x }\n",
         "the scope names `org`, but the key does not hold {org}", NULL, 0},
        {IDENTITIES "route GET /x { ttl 1m; scope org user; key x:{org} }\n",
         "the scope names `user`, but the key does not hold {user}", NULL, 0},
        {"route GET /x { ttl 1m; scope authenticated }\n",
         "`scope authenticated` needs a `jwt`, or an `identity` from a trusted header", NULL,
         0},
        {"identity c credential\nroute GET /x { ttl 1m; scope authenticated }\n",
         "`scope authenticated` needs a `jwt`", NULL, 0},
        {IDENTITIES "route GET /x { ttl 1m; scope orgs }\n", "no identity `orgs` is defined",
         "did you mean `org`?", 0},
        {"route GET /x { ttl 1m; scope publik }\n", "no identity `publik` is defined",
         "did you mean `public`?", 0},
        {"route GET /x { ttl 1m; scope public authenticated }\n",
         "`scope public` takes no further word", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_key_errors(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /x/{id} { ttl 1m; scope public; key x }\n",
         "t.conf:1:47: error: the key lacks the path parameter {id}",
         "different paths would share an answer", 0},
        {"route GET /{a}/{b} { ttl 1m; scope public; key x:{a} }\n",
         "the key lacks the path parameter {b}", NULL, 0},
        {"route GET /x/* { ttl 1m; scope public; key x }\n",
         "the path ends in *, so the key must hold {path}", NULL, 0},
        {"route GET /x/{id}/* { ttl 1m; scope public; key x:{id} }\n",
         "the path ends in *, so the key must hold {path}", NULL, 0},
        {"route GET /{a}/{b} { ttl 1m; scope public; key x:{a}{b} }\n",
         "two placeholders of the key are not kept apart", "would share an answer", 0},
        {"route GET /{a}/{b} { ttl 1m; scope public; key x:{a}-%7E{b} }\n",
         "two placeholders of the key are not kept apart", NULL, 0},
        {"route GET /{a} { ttl 1m; scope public; key x:{query}&{a} }\n",
         "two placeholders of the key are not kept apart", NULL, 0},
        {"route GET /{a} { ttl 1m; scope public; key x:{path}/{query} }\n",
         "two placeholders of the key are not kept apart", NULL, 0},
        {"route POST /x { ttl 1m; scope public; method_body on; key x }\n",
         "with `method_body on` the key must hold {body}", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key x:{body} }\n",
         "{body} needs `method_body on`", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key type:x }\n",
         "a key cannot begin with type: tag: or route:", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key tag:x }\n", "a key cannot begin with", NULL,
         0},
        {"route GET /x { ttl 1m; scope public; key route:x }\n", "a key cannot begin with",
         NULL, 0},
        {IDENTITIES "route GET /x/{id} { ttl 1m; key x:{og}:{id} }\n",
         "t.conf:5:35: error: unknown placeholder `{og}`\n",
         "                                      ^~~~\n    did you mean `{org}`?", 0},
        {"route GET /x/{agent} { ttl 1m; scope public; key x:{agnet} }\n",
         "unknown placeholder `{agnet}`", "did you mean `{agent}`?", 0},
        {"route GET /x { ttl 1m; scope public; key x:{nothing.like.it} }\n",
         "unknown placeholder", "header.NAME", 0},
        {"route GET /x { ttl 1m; scope public; key x:{query.} }\n",
         "the name of a query parameter is missing", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key \"x:{header.a b}\" }\n",
         "not the name of a header or cookie", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key \"x:{cookie.}\" }\n",
         "not the name of a header or cookie", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key \"a b\" }\n",
         "a blank or control byte in a name", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key \"a\\nb\" }\n",
         "a blank or control byte in a name", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key \"\" }\n", "a name is expected", NULL, 0},
        {"route GET /x { ttl 1m; scope public; key a* }\n", "stand in globs, not in names",
         NULL, 0},
        {"route GET /x { ttl 1m; scope public; key a[b] }\n", "stand in globs, not in names",
         NULL, 0},
        {"route GET /x { ttl 1m; scope public; key a#b }\n", "`#` is kept for variants", NULL,
         0},
        {"route GET /x { ttl 1m; scope public; key \"a}b\" }\n", "a `}` without its `{`", NULL,
         0},
        {"route GET /x { ttl 1m; scope public; key \"a{b\" }\n", "this placeholder has no `}`",
         NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_key_length(void **state)
{
    struct strbuf text = {0};
    struct config_report report;

    (void)state;
    strbuf_add_str(&text, STR("route GET /x { ttl 1m; scope public; key "));
    for (int i = 0; i < 1025; i++) {
        strbuf_add_char(&text, 'k');
    }
    strbuf_addf(&text, " }\n%c", '\0');
    assert_null(case_load(text.p, &report));
    assert_non_null(strstr(report.text.p, "this name is too long; at most 1024 bytes"));
    strbuf_free(&text);
    strbuf_free(&report.text);
}

/* ---- query ------------------------------------------------------------------------------ */

static void test_query_rule(void **state)
{
    struct settings *s = case_good(
        "route GET /a { ttl 1m; scope public; key a:{query} }\n"
        "route GET /b { ttl 1m; scope public; key b }\n"
        "route GET /c { ttl 1m; scope public; key c:{query.q}:{query.page}:{query.q} }\n"
        "route GET /d { ttl 1m; scope public; key d:{query}; query q page; query sort }\n"
        "route GET /e { ttl 1m; scope public; key e:{query.q}; query q unlisted=drop }\n"
        "route GET /f { ttl 1m; scope public; key f; query unlisted=drop }\n"
        "route GET /g { query q unlisted=drop }\n"
        "route GET /h { ttl 1m; scope public }\n");
    const struct route_settings *r = case_route(s, "GET /a");

    (void)state;
    assert_true(r->query_all && r->query_used && !r->query_drop);
    r = case_route(s, "GET /b"); /* any parameter makes the request pass */
    assert_true(!r->query_all && !r->query_used && r->query.n == 0 && !r->query_drop);
    r = case_route(s, "GET /c"); /* only what the key names */
    assert_true(!r->query_all && r->query_used && !r->query_drop);
    assert_int_equal(r->query.n, 2);
    assert_str(r->query.list[1], "page");
    r = case_route(s, "GET /d");
    assert_true(!r->query_all && r->query_used);
    assert_int_equal(r->query.n, 3);
    r = case_route(s, "GET /e");
    assert_true(!r->query_all && r->query_used && r->query_drop);
    assert_int_equal(r->query.n, 1);
    r = case_route(s, "GET /f");
    assert_true(!r->query_all && !r->query_used && r->query_drop);
    r = case_route(s, "GET /g"); /* not cached: passes unchanged */
    assert_true(r->query_all && !r->query_used && !r->query_drop);
    r = case_route(s, "GET /h");
    assert_true(r->query_all && r->query_used);
    settings_unref(s);
}

/* A list in `defaults` is for the keys that hold {query}. */
static void test_query_of_defaults(void **state)
{
    struct settings *s = case_good("defaults { query page limit }\n"
                                   "route GET /a { ttl 1m; scope public; key a:{query} }\n"
                                   "route GET /b { ttl 1m; scope public; key b }\n"
                                   "route GET /c { ttl 1m; scope public; key c:{query.q} }\n");

    (void)state;
    assert_int_equal(case_route(s, "GET /a")->query.n, 2);
    assert_false(case_route(s, "GET /a")->query_all);
    assert_int_equal(case_route(s, "GET /b")->query.n, 0);
    assert_false(case_route(s, "GET /b")->query_used);
    assert_int_equal(case_route(s, "GET /c")->query.n, 1);
    assert_str(case_route(s, "GET /c")->query.list[0], "q");
    settings_unref(s);
}

static void test_query_errors(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /a { ttl 1m; scope public; key a; query q }\n",
         "t.conf:1:51: error: `query` lists `q`, which the key does not hold", "or {query.q}",
         0},
        {"route GET /a { ttl 1m; scope public; key a:{query.q}; query q page }\n",
         "`query` lists `page`, which the key does not hold", NULL, 0},
        {"type t { query q }\nroute GET /a { type t; ttl 1m; scope public; key a }\n",
         "t.conf:1:16: error: `query` lists `q`", NULL, 0},
        {"route GET /a { ttl 1m; scope public; key a:{query}:{query.x}; query q }\n",
         "the key names {query.x}, which `query` does not list", "would never be cached", 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

/* ---- what is cached --------------------------------------------------------------------- */

static void test_methods_decide(void **state)
{
    struct settings *s = case_good(
        "defaults { ttl 1m }\ntype t { scope public }\n"
        "route GET /a { type t }\nroute GET,HEAD /b { type t }\nroute HEAD /c { type t }\n"
        "route POST /d { type t }\nroute GET,POST /e { type t }\nroute * /f { type t }\n"
        "route POST /g { type t; method_body on }\n"
        "route QUERY /h { type t; method_body on }\n"
        "route PUT /i { type t; method_body on }\n"
        "route GET /j { type t; upgrade websocket }\n"
        "route GET /k { type t; invalidate all }\n"
        "route GET,POST /l { type t; method_body on; key l:{method}:{body}; invalidate all }\n"
        "route GET /m { type t; method_body on; invalidate all }\n");
    static const struct {
        const char *label;
        bool cached;
    } expected[] = {
        {"GET /a", true},       {"GET,HEAD /b", true}, {"HEAD /c", true}, {"POST /d", false},
        {"GET,POST /e", false}, {"* /f", false},       {"POST /g", true}, {"QUERY /h", true},
        {"PUT /i", false},      {"GET /j", false},     {"GET /k", false}, {"GET,POST /l", true},
        {"GET /m", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const struct route_settings *r = case_route(s, expected[i].label);
        assert_int_equal(r->cached, expected[i].cached);
        assert_int_equal(r->scope, expected[i].cached ? SCOPE_PUBLIC : SCOPE_NONE);
        assert_int_equal(r->key.n > 0, expected[i].cached);
    }
    settings_unref(s);
}

static void test_ttl_without_effect(void **state)
{
    static const struct config_case cases[] = {
        {"route POST /x { ttl 1m; scope public }\n",
         "t.conf:1:17: error: `ttl` caches GET and HEAD, and this route also takes POST",
         "`method_body on`", 0},
        {"route GET,DELETE /x { ttl 1m; scope public }\n", "this route also takes DELETE", NULL,
         0},
        {"route GET /x { ttl 1m; upgrade websocket }\n",
         "a route with `upgrade` is never cached", NULL, 0},
        {"route GET /x { ttl 1m; invalidate all }\n",
         "a route with `invalidate` is never cached", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scope_from_key_and_directive),
        cmocka_unit_test(test_default_keys),
        cmocka_unit_test(test_key_placeholders),
        cmocka_unit_test(test_scope_errors),
        cmocka_unit_test(test_key_errors),
        cmocka_unit_test(test_key_length),
        cmocka_unit_test(test_query_rule),
        cmocka_unit_test(test_query_of_defaults),
        cmocka_unit_test(test_query_errors),
        cmocka_unit_test(test_methods_decide),
        cmocka_unit_test(test_ttl_without_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
