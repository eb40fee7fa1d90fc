/*
 * cache/policy: what may be looked up, stored, reused and invalidated (RFC 9111 sections 3 and
 * 4), as tables of heads and verdicts. Cases that the public suite http-cache-tests has bear
 * its ids; the others are this project's rules beside the RFC.
 */
#include "unit.h"

#include <stdio.h>

#include "base/arena.h"
#include "cache/policy.h"
#include "http/date.h"

#define NOW     1700000000000 /* when every answer is received */
#define SECONDS 1000
#define HOUR    (3600 * (msec_t)SECONDS)
#define DAY     (24 * HOUR)

static char room[65536];
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, room, sizeof(room));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

/* "@-3600" in a field of a test is the date an hour before NOW. */
static struct str date_text(struct str s)
{
    if (s.n < 2 || s.p[0] != '@') {
        return s;
    }
    long long seconds = 0;
    char text[32];
    snprintf(text, sizeof(text), "%.*s", STR_ARG(str_skip(s, 1)));
    assert_int_equal(sscanf(text, "%lld", &seconds), 1);
    char *out = arena_alloc(&arena, HTTP_DATE_LEN);
    http_date_format(NOW + seconds * SECONDS, out);
    return str_make(out, HTTP_DATE_LEN);
}

/* Adds the fields of "Name: value\nName: value". */
static void add_fields(struct msg *m, const char *text)
{
    struct str rest = str_from(text);
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        size_t colon = str_index(line, ':');
        if (line.n > 0) {
            msg_add(m, &arena, str_make(line.p, colon),
                    date_text(str_trim(str_skip(line, colon + 1))));
        }
    }
}

static struct msg make_request(enum method method, const char *fields)
{
    static const char *const names[] = {"QUERY", "GET",    "HEAD",    "POST",  "PUT",
                                        "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"};
    struct msg m = {.method = method, .method_name = str_from(names[method]), .minor = 1};
    add_fields(&m, fields);
    return m;
}

static struct msg make_response(int status, const char *fields)
{
    struct msg m = {.status = status, .minor = 1, .framing = FRAMING_LENGTH};
    m.content_length = 10;
    add_fields(&m, fields);
    return m;
}

/* A route like the public suite's: the origin decides. */
static struct route_settings origin_route(void)
{
    return (struct route_settings){
        .cached = true,
        .scope = SCOPE_PUBLIC,
        .ttl_mode = TTL_ORIGIN,
        .heuristic = true,
        .store_set_cookie = true,
        .honor_client_cc = true,
        .max_object = 1 << 20,
    };
}

/* `ttl 60s` */
static struct route_settings ttl_route(enum ttl_mode mode)
{
    return (struct route_settings){
        .cached = true,
        .scope = SCOPE_PUBLIC,
        .ttl_mode = mode,
        .ttl = 60 * SECONDS,
        .max_object = 1 << 20,
    };
}

static struct store_verdict judge(const struct route_settings *route, const char *request,
                                  int status, const char *response, unsigned keyed)
{
    struct msg rq = make_request(METHOD_GET, request);
    struct msg rs = make_response(status, response);
    struct store_verdict v;
    policy_store(route, &rq, &rs, NOW, NOW, keyed, &arena, &v);
    assert_int_equal(v.store, v.reason == REASON_NONE);
    return v;
}

/* ---- storing and freshness, ttl origin -----------------------------------------------------
 */

/* What a later request finds after three seconds, the suite's pause. */
enum found {
    CACHED,    /* fresh */
    VALIDATED, /* stored, but to be validated */
    NOT,       /* not stored */
};

struct origin_case {
    const char *id;
    int status;
    const char *response;
    enum found found;
};

static enum found find(const struct store_verdict *v)
{
    if (!v->store) {
        return NOT;
    }
    bool fresh = v->age + 3 * SECONDS < v->lifetime && (v->flags & ENTRY_NO_CACHE) == 0;
    return fresh ? CACHED : VALIDATED;
}

static void assert_origin_cases(const struct origin_case *cases, size_t n)
{
    struct route_settings route = origin_route();
    for (size_t i = 0; i < n; i++) {
        const struct origin_case *c = &cases[i];
        struct store_verdict v = judge(&route, "", c->status, c->response, 0);
        if (find(&v) != c->found) {
            fail_msg("%s: found %d, expected %d (reason %.*s)", c->id, (int)find(&v),
                     (int)c->found, STR_ARG(reason_word(v.reason)));
        }
        arena_reset(&arena);
    }
}

#define ORIGIN_CASES(list) assert_origin_cases(list, sizeof(list) / sizeof(list[0]))

static void freshness_by_cache_control(void **state)
{
    (void)state;
    static const struct origin_case cases[] = {
        {"freshness-none", 200, "", NOT},
        {"freshness-max-age", 200, "Cache-Control: max-age=3600", CACHED},
        {"freshness-max-age-0", 200, "Cache-Control: max-age=0", NOT},
        {"freshness-max-age-max-minus-1", 200, "Cache-Control: max-age=2147483647", CACHED},
        {"freshness-max-age-max", 200, "Cache-Control: max-age=2147483648", CACHED},
        {"freshness-max-age-max-plus", 200, "Cache-Control: max-age=99999999999", CACHED},
        {"freshness-max-age-age", 200, "Date: @0\nCache-Control: max-age=3600\nAge: 7200", NOT},
        {"freshness-max-age-date", 200, "Date: @-7200\nCache-Control: max-age=3600", NOT},
        {"freshness-max-age-expires", 200,
         "Cache-Control: max-age=3600\nExpires: @-7200\nDate: @0", CACHED},
        {"freshness-max-age-expires-invalid", 200,
         "Cache-Control: max-age=3600\nExpires: 0\nDate: @0", CACHED},
        {"freshness-max-age-0-expires", 200,
         "Expires: @3600\nCache-Control: max-age=0\nDate: @0", NOT},
        {"freshness-max-age-extension", 200, "Cache-Control: foobar, max-age=3600", CACHED},
        {"freshness-max-age-case-insenstive", 200, "Cache-Control: MaX-aGe=3600", CACHED},
        {"freshness-max-age-negative", 200, "Cache-Control: max-age=-3600", NOT},
        {"freshness-s-maxage-shared", 200, "Cache-Control: s-maxage=3600", CACHED},
        {"freshness-max-age-s-maxage-shared-longer", 200,
         "Cache-Control: max-age=3600, s-maxage=1", VALIDATED},
        {"freshness-max-age-s-maxage-shared-shorter", 200,
         "Cache-Control: max-age=1, s-maxage=3600", CACHED},
        {"freshness-max-age-s-maxage-shared-shorter-expires", 200,
         "Cache-Control: max-age=1, s-maxage=3600\nExpires: @10\nDate: @0", CACHED},
        {"freshness-max-age-single-quoted", 200, "Cache-Control: max-age='3600'", NOT},
        {"freshness-max-age-quoted", 200, "Cache-Control: max-age=\"3600\"", CACHED},
        {"freshness-max-age-ignore-quoted", 200,
         "Cache-Control: extension=\"max-age=3600\", max-age=1", VALIDATED},
        {"freshness-max-age-leading-zero", 200, "Cache-Control: max-age=003600", CACHED},
    };
    ORIGIN_CASES(cases);
}

static void freshness_by_expires_and_age(void **state)
{
    (void)state;
    static const struct origin_case cases[] = {
        {"freshness-expires-future", 200, "Expires: @2592000\nDate: @0", CACHED},
        {"freshness-expires-past", 200, "Expires: @-2592000\nDate: @0", NOT},
        {"freshness-expires-present", 200, "Expires: @0\nDate: @0", NOT},
        {"freshness-expires-old-date", 200, "Expires: @300\nDate: @400", NOT},
        {"freshness-expires-invalid", 200, "Expires: 0\nDate: @0", NOT},
        {"freshness-expires-invalid-date", 200, "Date: foo\nExpires: @10", CACHED},
        {"freshness-expires-age-slow-date", 200, "Date: @-10\nExpires: @10\nAge: 25", NOT},
        {"freshness-expires-age-fast-date", 200, "Date: @10\nExpires: @20\nAge: 15", NOT},
        {"age-parse-suffix", 200, "Date: @0\nCache-Control: max-age=3600\nAge: 7200,0", NOT},
        {"age-parse-prefix", 200, "Date: @0\nCache-Control: max-age=3600\nAge: 0,7200", CACHED},
        {"age-parse-suffix-twoline", 200,
         "Date: @0\nCache-Control: max-age=3600\nAge: 7200\nAge: 0", NOT},
        /* a bad Age is ignored (RFC 9111 5.1), where the suite's older version had it stale */
        {"age-parse-nonnumeric", 200, "Cache-Control: max-age=3600\nAge: abc", CACHED},
        {"age-parse-negative", 200, "Cache-Control: max-age=3600\nAge: -7200", CACHED},
        {"age-parse-float", 200, "Cache-Control: max-age=3600\nAge: 7200.0", CACHED},
        {"age-parse-parameter", 200, "Cache-Control: max-age=3600\nAge: 7200;a=b", CACHED},
        {"age of 2^31", 200, "Cache-Control: max-age=3600\nAge: 2147483648", NOT},
        {"age over 2^31", 200, "Cache-Control: max-age=3600\nAge: 4294967296", NOT},
        {"age over 2^64", 200, "Cache-Control: max-age=3600\nAge: 99999999999999999999999",
         NOT},
        {"two Expires", 200, "Expires: @100\nExpires: @-100\nDate: @0", CACHED},
        {"stale but with a validator", 200, "Expires: @-10\nDate: @0\nETag: \"a\"", VALIDATED},
        {"no freshness but a validator", 200, "ETag: \"a\"", VALIDATED},
    };
    ORIGIN_CASES(cases);
}

static void heuristic_freshness(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool cached;
    } statuses[] = {{200, true},  {201, false}, {202, false}, {203, true},  {204, true},
                    {300, true},  {301, true},  {302, false}, {303, false}, {307, false},
                    {308, true},  {400, false}, {403, false}, {404, true},  {405, true},
                    {410, true},  {414, true},  {500, false}, {501, true},  {502, false},
                    {503, false}, {504, false}, {599, false}};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct origin_case c = {"heuristic status", statuses[i].status,
                                "Last-Modified: @-86400\nDate: @0",
                                statuses[i].cached ? CACHED : NOT};
        assert_origin_cases(&c, 1);
    }
    static const struct origin_case cases[] = {
        {"heuristic-599-cached", 599, "Last-Modified: @-86400\nDate: @0\nCache-Control: public",
         CACHED},
        {"heuristic, modified in the future", 200, "Last-Modified: @100\nDate: @0", VALIDATED},
        {"heuristic, modified never", 200, "Last-Modified: x\nDate: @0", VALIDATED},
        {"heuristic gives way", 200,
         "Last-Modified: @-86400\nDate: @0\nCache-Control: max-age=0", VALIDATED},
    };
    ORIGIN_CASES(cases);
    struct route_settings route = origin_route();
    struct store_verdict v = judge(&route, "", 200, "Last-Modified: @-86400\nDate: @0", 0);
    assert_int_equal(v.lifetime, 8640 * SECONDS); /* a tenth */
    v = judge(&route, "", 200, "Last-Modified: @-86400000\nDate: @0", 0);
    assert_int_equal(v.lifetime, DAY); /* at most */
    route.heuristic = false;
    v = judge(&route, "", 200, "Last-Modified: @-86400\nDate: @0", 0);
    assert_int_equal(find(&v), VALIDATED);
    assert_int_equal(v.lifetime, 0);
}

static void every_status_with_explicit_freshness(void **state)
{
    (void)state;
    static const int statuses[] = {200, 203, 204, 299, 301, 302, 303, 307, 308, 400,
                                   404, 410, 499, 500, 502, 503, 504, 599, 999};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct origin_case fresh = {"status-fresh", statuses[i],
                                    "Expires: @100000\nLast-Modified: @0\nDate: @0", CACHED};
        struct origin_case stale = {"status-stale", statuses[i],
                                    "Expires: @-5000\nLast-Modified: @-100000\nDate: @0",
                                    VALIDATED};
        assert_origin_cases(&fresh, 1);
        assert_origin_cases(&stale, 1);
    }
    static const struct origin_case cases[] = {
        {"status-206", 206, "Cache-Control: max-age=3600", NOT},
        {"status-304", 304, "Cache-Control: max-age=3600", NOT},
        {"status-103", 103, "Cache-Control: max-age=3600", NOT},
        {"status-102", 102, "Cache-Control: max-age=3600", NOT},
        {"status-599-must-understand", 599, "Cache-Control: max-age=3600, must-understand",
         NOT},
        {"must-understand, understood", 404, "Cache-Control: max-age=3600, must-understand",
         CACHED},
        {"must-understand with no-store, understood", 200,
         "Cache-Control: max-age=3600, must-understand, no-store", CACHED},
        {"must-understand with no-store, not understood", 299,
         "Cache-Control: max-age=3600, must-understand, no-store", NOT},
    };
    ORIGIN_CASES(cases);
}

static void response_directives(void **state)
{
    (void)state;
    static const struct origin_case cases[] = {
        {"cc-resp-private-shared", 200, "Cache-Control: private, max-age=3600", NOT},
        {"cc-resp-no-store", 200, "Cache-Control: no-store", NOT},
        {"cc-resp-no-store-case-insensitive", 200, "Cache-Control: No-StOrE", NOT},
        {"cc-resp-no-store-fresh", 200,
         "Cache-Control: max-age=10000, no-store\nExpires: @10000\nDate: @0", NOT},
        {"cc-resp-no-cache", 200,
         "Cache-Control: max-age=10000, no-cache\nExpires: @10000\nDate: @0", NOT},
        {"cc-resp-no-cache-revalidate", 200, "Cache-Control: no-cache\nETag: \"abcd\"",
         VALIDATED},
        {"cc-resp-no-cache-revalidate-fresh", 200,
         "Cache-Control: max-age=10000, No-CaChE\nETag: \"abcd\"", VALIDATED},
        {"cc-resp-must-revalidate-fresh", 200,
         "Cache-Control: max-age=10000, must-revalidate\nETag: \"abcd\"", CACHED},
        {"private with an empty list", 200, "Cache-Control: private=\"\", max-age=3600", NOT},
        {"no-cache with an empty list", 200, "Cache-Control: no-cache=\"\", max-age=3600", NOT},
        {"pragma-response-no-cache", 200, "Cache-Control: max-age=3600\nPragma: no-cache",
         CACHED},
        {"vary-star", 200, "Cache-Control: max-age=3600\nVary: *", NOT},
        {"vary-syntax-empty-star", 200, "Cache-Control: max-age=3600\nVary: , *", NOT},
        {"vary-syntax-foo-star", 200, "Cache-Control: max-age=3600\nVary: Foo\nVary: *", NOT},
        {"vary-match", 200, "Cache-Control: max-age=3600\nVary: Foo", CACHED},
        {"other-set-cookie", 200, "Cache-Control: max-age=3600\nSet-Cookie: a=b", CACHED},
        {"event stream", 200,
         "Cache-Control: max-age=3600\nContent-Type: Text/Event-Stream ; charset=utf-8", NOT},
    };
    ORIGIN_CASES(cases);
}

static void targeted_fields_replace_cache_control(void **state)
{
    (void)state;
    static const struct origin_case cases[] = {
        {"cdn max-age over no-store", 200,
         "CDN-Cache-Control: max-age=3600\nCache-Control: no-store", CACHED},
        {"cdn max-age over expires", 200,
         "CDN-Cache-Control: max-age=3600\nExpires: @-5000\nDate: @0", CACHED},
        {"cdn max-age shorter than max-age", 200,
         "CDN-Cache-Control: max-age=1\nCache-Control: max-age=3600", VALIDATED},
        {"cdn no-store", 200, "CDN-Cache-Control: no-store\nCache-Control: max-age=3600", NOT},
        {"cdn private", 200, "CDN-Cache-Control: private\nCache-Control: max-age=3600", NOT},
        {"cdn no-cache", 200,
         "CDN-Cache-Control: no-cache\nCache-Control: max-age=3600\nETag: \"a\"", VALIDATED},
        {"cdn without freshness hides Expires", 200,
         "CDN-Cache-Control: foo\nExpires: @5000\nDate: @0", NOT},
        {"cdn invalid", 200, "CDN-Cache-Control: max-age=3600,,\nCache-Control: max-age=0",
         NOT},
        {"cdn empty", 200, "CDN-Cache-Control:\nCache-Control: max-age=3600", CACHED},
        {"own field first", 200,
         "Larder-Cache-Control: max-age=3600\nCDN-Cache-Control: no-store", CACHED},
    };
    ORIGIN_CASES(cases);
    struct route_settings route = origin_route();
    struct store_verdict v =
        judge(&route, "", 200, "CDN-Cache-Control: max-age=9\nCache-Control: no-transform", 0);
    assert_true(v.no_transform);
    v = judge(&route, "", 200, "Cache-Control: max-age=9", 0);
    assert_false(v.no_transform);
}

/* ---- reasons -------------------------------------------------------------------------------
 */

static void assert_reason(const struct route_settings *route, const char *request, int status,
                          const char *response, unsigned keyed, enum reason expected)
{
    struct store_verdict v = judge(route, request, status, response, keyed);
    assert_string_equal(reason_word(v.reason).p, reason_word(expected).p);
}

static void authorization_is_shared_only_when_allowed(void **state)
{
    (void)state;
    struct route_settings route = origin_route();
    const char *auth = "Authorization: FOO";
    const char *plain = "Expires: @2592000\nDate: @0";
    assert_reason(&route, auth, 200, plain, 0, REASON_AUTHORIZATION);
    assert_reason(&route, "", 200, plain, 0, REASON_NONE);
    assert_reason(&route, auth, 200, "Cache-Control: max-age=3600", 0, REASON_AUTHORIZATION);
    assert_reason(&route, auth, 200, "Cache-Control: max-age=3600, public", 0, REASON_NONE);
    assert_reason(&route, auth, 200, "Cache-Control: max-age=3600, must-revalidate", 0,
                  REASON_NONE);
    assert_reason(&route, auth, 200, "Cache-Control: s-maxage=3600", 0, REASON_NONE);
    assert_reason(&route, auth, 200, "Cache-Control: s-maxage=x", 0, REASON_AUTHORIZATION);
    assert_reason(&route, auth, 200, "Cache-Control: max-age=9, proxy-revalidate", 0,
                  REASON_AUTHORIZATION);
    assert_reason(&route, auth, 200, plain, KEYED_IDENTITY, REASON_NONE);
    assert_reason(&route, auth, 200, plain, KEYED_AUTHORIZATION, REASON_NONE);
    assert_reason(&route, auth, 200, plain, KEYED_COOKIE, REASON_AUTHORIZATION);
    route.scope = SCOPE_AUTHENTICATED;
    assert_reason(&route, auth, 200, plain, 0, REASON_NONE);
    route = ttl_route(TTL_FALLBACK); /* Authorization does not reach the origin there */
    assert_reason(&route, auth, 200, "", 0, REASON_NONE);
}

static void cookies_and_vary(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    assert_reason(&route, "", 200, "Set-Cookie: a=b", KEYED_IDENTITY, REASON_SET_COOKIE);
    assert_reason(&route, "", 200, "Set-Cookie: a=b\nCache-Control: no-cache=\"set-cookie\"", 0,
                  REASON_SET_COOKIE);
    route.store_set_cookie = true;
    assert_reason(&route, "", 200, "Set-Cookie: a=b", 0, REASON_NONE);

    assert_reason(&route, "", 200, "Vary: Cookie", 0, REASON_VARY);
    assert_reason(&route, "", 200, "Vary: Cookie", KEYED_IDENTITY, REASON_VARY);
    assert_reason(&route, "", 200, "Vary: Cookie", KEYED_AUTHORIZATION, REASON_VARY);
    assert_reason(&route, "", 200, "Vary: accept, COOKIE", KEYED_COOKIE, REASON_NONE);
    assert_reason(&route, "", 200, "Vary: Authorization", KEYED_COOKIE, REASON_VARY);
    assert_reason(&route, "", 200, "Vary: Authorization", KEYED_AUTHORIZATION, REASON_NONE);
    assert_reason(&route, "", 200, "Vary: a, b\nVary: *", KEYED_COOKIE, REASON_VARY);
    /* what the key answers for makes no variants */
    struct store_verdict v = judge(&route, "", 200, "Vary: Cookie, Accept, Authorization, X-B",
                                   KEYED_COOKIE | KEYED_AUTHORIZATION);
    assert_int_equal(v.vary.n, 2);
    assert_true(str_eq(v.vary.names[0], STR("accept")));
    assert_true(str_eq(v.vary.names[1], STR("x-b")));
}

static void private_answers(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FORCE);
    assert_reason(&route, "", 200, "Cache-Control: private", KEYED_IDENTITY, REASON_PRIVATE);
    assert_reason(&route, "", 200, "Cache-Control: private=\"a\", private", 0, REASON_PRIVATE);
    route.store_private = true;
    assert_reason(&route, "", 200, "Cache-Control: private", 0, REASON_PRIVATE);
    assert_reason(&route, "", 200, "Cache-Control: private", KEYED_IDENTITY, REASON_NONE);
    assert_reason(&route, "", 200, "Cache-Control: private, no-store", KEYED_IDENTITY,
                  REASON_NO_STORE);
}

static void listed_fields_are_left_out(void **state)
{
    (void)state;
    struct route_settings route = origin_route();
    struct store_verdict v =
        judge(&route, "", 200, "Cache-Control: no-cache=\"a, b\", max-age=3600", 0);
    assert_int_equal(find(&v), CACHED);
    assert_true(str_eq(v.omit_fields, STR("a, b")));
    v = judge(&route, "", 200,
              "Cache-Control: private=\"x\", max-age=3600\nCache-Control: no-cache=\"a\"", 0);
    assert_int_equal(find(&v), CACHED);
    assert_true(str_eq(v.omit_fields, STR("x, a")));
    v = judge(&route, "", 200, "Cache-Control: max-age=3600", 0);
    assert_null(v.omit_fields.p);
    /* who may store what is private keeps the fields, too */
    route.store_private = true;
    v = judge(&route, "", 200, "Cache-Control: private=\"x\", max-age=3600", KEYED_IDENTITY);
    assert_true(v.store);
    assert_null(v.omit_fields.p);
}

static void bodies_and_methods(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    struct msg rs = make_response(200, "");
    struct store_verdict v;
    struct msg rq = make_request(METHOD_GET, "");
    rs.framing = FRAMING_CLOSE;
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_int_equal(v.reason, REASON_NO_LENGTH);
    rs.framing = FRAMING_CHUNKED;
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_true(v.store);
    rs.framing = FRAMING_LENGTH;
    rs.content_length = (1 << 20) + 1;
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_int_equal(v.reason, REASON_TOO_LARGE);
    rs.content_length = 1 << 20;
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_true(v.store);
    static const enum method others[] = {METHOD_HEAD,   METHOD_PUT,   METHOD_PATCH,
                                         METHOD_DELETE, METHOD_OTHER, METHOD_OPTIONS};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        rq = make_request(others[i], "");
        policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
        assert_int_equal(v.reason, REASON_METHOD);
    }
    /* method-POST: only what names its own location and its freshness */
    rq = make_request(METHOD_POST, "");
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_int_equal(v.reason, REASON_METHOD);
    rs = make_response(200, "Content-Location: /x");
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_int_equal(v.reason, REASON_METHOD);
    rs = make_response(200, "Content-Location: /x\nExpires: @100\nDate: @0");
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_true(v.store);
    route.method_body = true;
    rs = make_response(200, "");
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_true(v.store);
    route.cached = false;
    policy_store(&route, &rq, &rs, NOW, NOW, 0, &arena, &v);
    assert_int_equal(v.reason, REASON_NOT_CACHED);
}

/* ---- ttl D and ttl D force -----------------------------------------------------------------
 */

static void a_ttl_fills_what_the_origin_leaves_open(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    static const struct {
        const char *response;
        msec_t left; /* freshness left at the receipt; -1: not stored */
    } cases[] = {
        {"", 60 * SECONDS},
        {"Date: @-100", 60 * SECONDS}, /* the ttl counts from the receipt */
        {"Age: 1000", 60 * SECONDS},
        {"Cache-Control: public", 60 * SECONDS},
        {"Last-Modified: @-86400", 60 * SECONDS}, /* no heuristics */
        {"Cache-Control: max-age=10", 10 * SECONDS},
        {"Cache-Control: max-age=10\nAge: 4", 6 * SECONDS},
        {"Cache-Control: s-maxage=100, max-age=10", 100 * SECONDS},
        {"Expires: @20\nDate: @0", 20 * SECONDS},
        {"Expires: 0", -1},
        {"Cache-Control: max-age=0", -1},
        {"Cache-Control: no-cache", -1},
        {"Cache-Control: no-store", -1},
        {"Cache-Control: private", -1},
        {"Cache-Control: must-revalidate", 60 * SECONDS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_verdict v = judge(&route, "", 200, cases[i].response, 0);
        assert_int_equal(v.store ? v.lifetime - v.age : -1, cases[i].left);
    }
    /* an origin whose clock stands in 1970 */
    struct store_verdict v = judge(&route, "", 200, "Date: Thu, 01 Jan 1970 00:00:00 GMT", 0);
    assert_int_equal(v.lifetime - v.age, 60 * SECONDS);
    assert_int_equal(v.age, 365 * DAY);
}

static void a_forced_ttl_overrides_freshness_only(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FORCE);
    static const char *const stored[] = {
        "",
        "Cache-Control: max-age=0",
        "Cache-Control: max-age=100000",
        "Cache-Control: no-cache, must-revalidate, max-age=0\nExpires: 0",
        "Age: 5000",
    };
    for (size_t i = 0; i < sizeof(stored) / sizeof(stored[0]); i++) {
        struct store_verdict v = judge(&route, "", 200, stored[i], 0);
        assert_true(v.store);
        assert_int_equal(v.lifetime - v.age, 60 * SECONDS);
        assert_int_equal(v.flags & (ENTRY_NO_CACHE | ENTRY_MUST_REVALIDATE), 0);
    }
    assert_reason(&route, "", 200, "Cache-Control: no-store", 0, REASON_NO_STORE);
    assert_reason(&route, "", 200, "Cache-Control: private", 0, REASON_PRIVATE);
    assert_reason(&route, "", 404, "Cache-Control: max-age=60", 0, REASON_STATUS);
}

static void listed_statuses(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    assert_reason(&route, "", 404, "Cache-Control: max-age=60", 0, REASON_STATUS);
    assert_reason(&route, "", 500, "Cache-Control: max-age=60", 0, REASON_STATUS);
    assert_reason(&route, "", 206, "Cache-Control: max-age=60", 0, REASON_PARTIAL);
    struct status_rule rules[] = {{200, -1}, {404, 30 * SECONDS}, {206, 9 * SECONDS}};
    route.statuses = rules;
    route.n_statuses = 3;
    struct store_verdict v = judge(&route, "", 404, "", 0);
    assert_int_equal(v.lifetime, 30 * SECONDS);
    v = judge(&route, "", 404, "Cache-Control: max-age=7", 0);
    assert_int_equal(v.lifetime, 7 * SECONDS);
    v = judge(&route, "", 200, "", 0);
    assert_int_equal(v.lifetime, 60 * SECONDS);
    assert_reason(&route, "", 301, "", 0, REASON_STATUS);
    assert_reason(&route, "", 206, "", 0, REASON_PARTIAL); /* not even when listed */
    route = origin_route();
    route.statuses = rules;
    route.n_statuses = 3;
    assert_reason(&route, "", 301, "Cache-Control: max-age=60", 0, REASON_STATUS);
    v = judge(&route, "", 404, "", 0);
    assert_int_equal(v.lifetime, 30 * SECONDS);
}

static void windows_and_flags(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    route.stale = 20 * SECONDS;
    route.stale_if_error = 300 * SECONDS;
    struct store_verdict v = judge(&route, "", 200, "Date: @0", 0);
    assert_int_equal(v.stale, 20 * SECONDS);
    assert_int_equal(v.stale_if_error, 300 * SECONDS);
    assert_int_equal(v.flags, ENTRY_HAS_DATE);
    v = judge(&route, "", 200,
              "Cache-Control: stale-while-revalidate=100, stale-if-error=100, immutable", 0);
    assert_int_equal(v.stale, 100 * SECONDS);
    assert_int_equal(v.stale_if_error, 300 * SECONDS);
    assert_int_equal(v.flags, ENTRY_IMMUTABLE);
    static const char *const strict[] = {"must-revalidate", "proxy-revalidate", "s-maxage=50"};
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof(text), "Cache-Control: %s, stale-if-error=9", strict[i]);
        v = judge(&route, "", 200, text, 0);
        assert_int_equal(v.flags, ENTRY_MUST_REVALIDATE);
        assert_int_equal(v.stale, 0);
        assert_int_equal(v.stale_if_error, 0);
    }
    v = judge(&route, "", 200, "Cache-Control: no-cache\nETag: \"a\"", 0);
    assert_int_equal(v.flags, ENTRY_NO_CACHE);
    assert_int_equal(v.stale_if_error, 0);
    /* stale on arrival is worth storing where stale answers may be used */
    v = judge(&route, "", 200, "Cache-Control: max-age=0", 0);
    assert_true(v.store);
    assert_int_equal(v.lifetime, 0);
    assert_int_equal(v.stale, 20 * SECONDS);
}

/* 4.2.3 with its own names */
static void initial_age(void **state)
{
    (void)state;
    struct route_settings route = origin_route();
    static const struct {
        const char *fields;
        msec_t delay;
        msec_t age;
    } cases[] = {
        {"Date: @0", 0, 0},
        {"Date: @0", 1500, 1500},            /* response_delay */
        {"Date: @-5", 1500, 5000},           /* apparent_age */
        {"Date: @5", 0, 0},                  /* a clock that is ahead */
        {"Date: @0\nAge: 7", 1500, 8500},    /* age_value + response_delay */
        {"Date: @-20\nAge: 7", 1500, 20000}, /* the greater */
        {"Age: 7", 0, 7000},                 /* no Date: that of the receipt */
        {"Age: 2147483648", 0, 2147483648000},
        {"Age: 99999999999", 0, 2147483648000}, /* saturates */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg rq = make_request(METHOD_GET, "");
        struct msg rs = make_response(200, cases[i].fields);
        add_fields(&rs, "Cache-Control: max-age=3600\nETag: \"a\"");
        struct store_verdict v;
        policy_store(&route, &rq, &rs, NOW - cases[i].delay, NOW, 0, &arena, &v);
        assert_int_equal(v.age, cases[i].age);
    }
}

static void keyed_follows_from_the_route(void **state)
{
    (void)state;
    struct jwt_settings bearer = {.from_cookie = STR("")};
    struct jwt_settings cookie = {.from_cookie = STR("session")};
    struct identity_settings ids[] = {
        {.source = IDENTITY_JWT, .jwt = &bearer},
        {.source = IDENTITY_JWT, .jwt = &cookie},
        {.source = IDENTITY_HEADER},
        {.source = IDENTITY_CREDENTIAL},
        {.source = IDENTITY_CREDENTIAL, .cookie = STR("sid")},
    };
    static const unsigned expected[] = {
        KEYED_IDENTITY | KEYED_AUTHORIZATION, KEYED_IDENTITY | KEYED_COOKIE, KEYED_IDENTITY,
        KEYED_IDENTITY | KEYED_AUTHORIZATION, KEYED_IDENTITY | KEYED_COOKIE};
    struct settings s = {.identities = ids, .n_identities = 5};
    struct route_settings route = ttl_route(TTL_FALLBACK);
    assert_int_equal(policy_keyed(&s, &route), 0);
    for (unsigned i = 0; i < 5; i++) {
        route.scope_mask = 1u << i;
        assert_int_equal(policy_keyed(&s, &route), expected[i]);
    }
    route.scope_mask = 0;
    struct key_part parts[] = {{KEY_HEADER, STR("authorization"), 0},
                               {KEY_COOKIE, STR("x"), 0}};
    route.key = (struct key_template){.parts = parts, .n = 1};
    assert_int_equal(policy_keyed(&s, &route), KEYED_AUTHORIZATION);
    route.key.n = 2;
    assert_int_equal(policy_keyed(&s, &route), KEYED_AUTHORIZATION | KEYED_COOKIE);
}

/* ---- looking up ----------------------------------------------------------------------------
 */

static struct lookup_verdict look(const struct route_settings *route, enum method method,
                                  const char *fields)
{
    struct msg rq = make_request(method, fields);
    struct lookup_verdict lv;
    policy_lookup(route, &rq, &arena, &lv);
    return lv;
}

static void requests_that_may_be_answered(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    struct lookup_verdict lv = look(&route, METHOD_GET, "");
    assert_true(lv.lookup && lv.store && !lv.revalidate && !lv.only_if_cached);
    assert_int_equal(lv.reason, REASON_NONE);
    lv = look(&route, METHOD_HEAD, "Range: bytes=0-1");
    assert_true(lv.lookup);
    static const enum method refused[] = {METHOD_POST,    METHOD_PUT,   METHOD_DELETE,
                                          METHOD_OPTIONS, METHOD_OTHER, METHOD_TRACE};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        lv = look(&route, refused[i], "");
        assert_false(lv.lookup || lv.store);
        assert_int_equal(lv.reason, REASON_METHOD);
    }
    route.method_body = true;
    assert_true(look(&route, METHOD_POST, "").lookup);
    assert_true(look(&route, METHOD_OTHER, "").lookup); /* QUERY */
    assert_false(look(&route, METHOD_PUT, "").lookup);
    struct msg query = make_request(METHOD_POST, "");
    query.framing = FRAMING_CHUNKED;
    policy_lookup(&route, &query, &arena, &lv);
    assert_true(lv.lookup && lv.store); /* its body is in the key */
    struct msg fat = make_request(METHOD_GET, "");
    fat.framing = FRAMING_LENGTH;
    policy_lookup(&route, &fat, &arena, &lv);
    assert_true(lv.lookup); /* Content-Length: 0 */
    fat.content_length = 1;
    policy_lookup(&route, &fat, &arena, &lv);
    assert_int_equal(lv.reason, REASON_BODY);
    fat.framing = FRAMING_CHUNKED;
    policy_lookup(&route, &fat, &arena, &lv);
    assert_int_equal(lv.reason, REASON_BODY);
    route.cached = false;
    assert_int_equal(look(&route, METHOD_GET, "").reason, REASON_NOT_CACHED);
}

static void ranges_of_bytes_are_looked_up(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    static const char *const bytes[] = {"Range: bytes=0-1", "Range: BYTES=-5",
                                        "Range: bytes=x"};
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        struct lookup_verdict lv = look(&route, METHOD_GET, bytes[i]);
        assert_true(lv.lookup && lv.store);
    }
    static const char *const others[] = {"Range: items=0-9", "Range: 0-9",
                                         "Range: ", "Range: bytes 0-9"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct lookup_verdict lv = look(&route, METHOD_GET, others[i]);
        assert_false(lv.lookup || lv.store);
        assert_int_equal(lv.reason, REASON_RANGE);
        assert_true(look(&route, METHOD_HEAD, others[i]).lookup);
    }
}

static void request_directives_count_only_where_honoured(void **state)
{
    (void)state;
    struct route_settings route = ttl_route(TTL_FALLBACK);
    const char *all = "Cache-Control: no-cache, no-store, only-if-cached, max-age=0";
    struct lookup_verdict lv = look(&route, METHOD_GET, all);
    assert_true(lv.lookup && lv.store && !lv.revalidate && !lv.only_if_cached);
    assert_false(lv.cc.any);
    lv = look(&route, METHOD_GET, "Pragma: no-cache");
    assert_false(lv.revalidate);
    route.honor_client_cc = true;
    lv = look(&route, METHOD_GET, all);
    assert_true(lv.lookup && !lv.store && lv.revalidate && lv.only_if_cached);
    assert_int_equal(lv.reason, REASON_CLIENT_NO_STORE);
    lv = look(&route, METHOD_GET, "Cache-Control: no-cache");
    assert_true(lv.store && lv.revalidate);
    assert_int_equal(lv.reason, REASON_CLIENT_NO_CACHE);
    lv = look(&route, METHOD_GET, "Pragma: no-cache");
    assert_true(lv.revalidate);
    lv = look(&route, METHOD_GET, "Pragma: no-cache\nCache-Control: max-age=60");
    assert_false(lv.revalidate);
    lv = look(&route, METHOD_GET, "Cache-Control: max-age=0");
    assert_true(lv.revalidate);
    lv = look(&route, METHOD_GET, "Cache-Control: max-age=x");
    assert_false(lv.revalidate);
}

/* ---- reusing -------------------------------------------------------------------------------
 */

static struct entry *make_entry(unsigned flags, msec_t lifetime, msec_t stale,
                                msec_t stale_if_error)
{
    struct entry_spec spec = {
        .name = STR("n"),
        .host = STR(""),
        .status = 200,
        .flags = flags,
        .stored_at = NOW,
        .age_at_store = 0,
        .lifetime = lifetime,
        .stale = stale,
        .stale_if_error = stale_if_error,
        .head = STR("HTTP/1.1 200 OK\r\n"),
        .body = STR(""),
    };
    struct entry *e = entry_new(&spec);
    assert_non_null(e);
    return e;
}

struct reuse_case {
    unsigned flags;
    msec_t after; /* when asked, ms after the receipt; lifetime 60 s, stale 20 s, error 40 s */
    bool soft;
    const char *request; /* honoured */
    enum reuse expected;
};

static void entries_are_reused_by_the_rules(void **state)
{
    (void)state;
    static const struct reuse_case cases[] = {
        {0, 0, false, "", REUSE_FRESH},
        {0, 59990, false, "", REUSE_FRESH},
        {0, 60000, false, "", REUSE_STALE},
        {0, 79990, false, "", REUSE_STALE},
        {0, 80000, false, "", REUSE_VALIDATE},
        {0, 99990, false, "", REUSE_VALIDATE},
        {0, 100000, false, "", REUSE_NONE},
        {ENTRY_NO_CACHE, 0, false, "", REUSE_VALIDATE_STRICT},
        {ENTRY_NO_CACHE, 0, false, "Cache-Control: max-stale", REUSE_VALIDATE_STRICT},
        {ENTRY_MUST_REVALIDATE, 0, false, "", REUSE_FRESH},
        {ENTRY_MUST_REVALIDATE, 60000, false, "", REUSE_VALIDATE_STRICT},
        {ENTRY_MUST_REVALIDATE, 60000, false, "Cache-Control: max-stale",
         REUSE_VALIDATE_STRICT},
        {ENTRY_MUST_REVALIDATE, 0, true, "", REUSE_VALIDATE_STRICT},
        {ENTRY_VARY_MARKER, 0, false, "", REUSE_NONE},
        {ENTRY_HIT_FOR_MISS, 0, false, "", REUSE_NONE},
        /* softly invalidated: as stale as if it expired now */
        {0, 0, true, "", REUSE_STALE},
        {0, 79990, true, "", REUSE_STALE},
        {0, 90000, true, "", REUSE_VALIDATE},
        {0, 100000, true, "", REUSE_NONE},
        /* the client's wishes */
        {0, 0, false, "Cache-Control: no-cache", REUSE_VALIDATE},
        {0, 0, false, "Pragma: no-cache", REUSE_VALIDATE},
        {0, 0, false, "Cache-Control: max-age=0", REUSE_VALIDATE},
        {0, 60000, false, "Cache-Control: no-cache", REUSE_VALIDATE},
        {0, 100000, false, "Cache-Control: no-cache", REUSE_NONE},
        {0, 10000, false, "Cache-Control: max-age=10", REUSE_FRESH},
        {0, 10010, false, "Cache-Control: max-age=10", REUSE_VALIDATE},
        {0, 65000, false, "Cache-Control: max-age=64", REUSE_VALIDATE},
        {0, 30000, false, "Cache-Control: min-fresh=30", REUSE_FRESH},
        {0, 30010, false, "Cache-Control: min-fresh=30", REUSE_VALIDATE},
        {0, 60000, false, "Cache-Control: min-fresh=1", REUSE_VALIDATE},
        {0, 150000, false, "Cache-Control: max-stale=90", REUSE_STALE},
        {0, 150010, false, "Cache-Control: max-stale=90", REUSE_NONE},
        {0, 90000, false, "Cache-Control: max-stale=x", REUSE_VALIDATE},
        {0, 999999999, false, "Cache-Control: max-stale", REUSE_STALE},
        {0, 0, false, "Cache-Control: max-age=x, min-fresh=y", REUSE_FRESH},
        {ENTRY_IMMUTABLE, 0, false, "Cache-Control: max-age=0", REUSE_FRESH},
        {ENTRY_IMMUTABLE, 0, false, "Cache-Control: no-cache", REUSE_VALIDATE},
        {ENTRY_IMMUTABLE, 0, false, "Cache-Control: no-cache, max-age=0", REUSE_VALIDATE},
        {ENTRY_IMMUTABLE, 60000, false, "Cache-Control: max-age=0", REUSE_VALIDATE},
    };
    struct route_settings route = origin_route();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct reuse_case *c = &cases[i];
        struct entry *e = make_entry(c->flags, 60 * SECONDS, 20 * SECONDS, 40 * SECONDS);
        struct lookup_verdict lv = look(&route, METHOD_GET, c->request);
        enum reuse r = policy_reuse(e, &lv, c->soft, NOW + c->after);
        if (r != c->expected) {
            fail_msg("case %zu (%s after %lld): %d, expected %d", i, c->request,
                     (long long)c->after, (int)r, (int)c->expected);
        }
        entry_unref(e);
        arena_reset(&arena);
    }
}

static void writes_that_invalidate(void **state)
{
    (void)state;
    static const int yes[] = {200, 201, 204, 299, 301, 303, 304, 399};
    static const int no[] = {100, 101, 199, 400, 404, 409, 500, 599, 0, -1, 999};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        assert_true(policy_invalidates(yes[i]));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        assert_false(policy_invalidates(no[i]));
    }
}

static void reasons_have_words(void **state)
{
    (void)state;
    assert_string_equal(reason_word(REASON_SET_COOKIE).p, "set-cookie");
    assert_string_equal(reason_word(REASON_NONE).p, "-");
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        assert_true(reason_word((enum reason)i).n > 0);
        assert_true(reason_help((enum reason)i).n > 0);
        for (unsigned k = 0; k < i; k++) {
            assert_false(str_eq(reason_word((enum reason)i), reason_word((enum reason)k)));
        }
    }
    assert_string_equal(reason_word((enum reason)REASON_COUNT).p, "-");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    field_table_init();
    const struct CMUnitTest tests[] = {
        TEST(freshness_by_cache_control),
        TEST(freshness_by_expires_and_age),
        TEST(heuristic_freshness),
        TEST(every_status_with_explicit_freshness),
        TEST(response_directives),
        TEST(targeted_fields_replace_cache_control),
        TEST(authorization_is_shared_only_when_allowed),
        TEST(cookies_and_vary),
        TEST(private_answers),
        TEST(listed_fields_are_left_out),
        TEST(bodies_and_methods),
        TEST(a_ttl_fills_what_the_origin_leaves_open),
        TEST(a_forced_ttl_overrides_freshness_only),
        TEST(listed_statuses),
        TEST(windows_and_flags),
        TEST(initial_age),
        TEST(keyed_follows_from_the_route),
        TEST(requests_that_may_be_answered),
        TEST(ranges_of_bytes_are_looked_up),
        TEST(request_directives_count_only_where_honoured),
        TEST(entries_are_reused_by_the_rules),
        TEST(writes_that_invalidate),
        TEST(reasons_have_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
