/*
 * config/path, set_route, resolve, check: the line of a route, what it takes from its type and
 * the defaults, values of its directives, and names that must exist or be unique.
 */
#include "config_case.h"

static void test_paths(void **state)
{
    struct settings *s = case_good("route GET / { }\n"
                                   "route GET,PUT /a/{id}/b-c/{x_y} { }\n"
                                   "route * /files/* { }\n"
                                   "route POST /api/ { }\n"
                                   "route GET /caf\xC3\xA9/%7euser/%c3%a9/a%3ab:c@d { }\n"
                                   "route M-SEARCH /api name=find { }\n");
    const struct route_settings *r = case_route(s, "GET,PUT /a/{id}/b-c/{x_y}");

    (void)state;
    assert_int_equal(case_route(s, "GET /")->n_segments, 0);
    assert_str(case_route(s, "GET /")->path, "/");
    assert_int_equal(r->methods.n, 2);
    assert_str(r->methods.list[1], "PUT");
    assert_int_equal(r->n_segments, 4);
    assert_int_equal(r->segments[1].kind, SEGMENT_PARAM);
    assert_str(r->segments[1].text, "id");
    assert_int_equal(r->segments[2].kind, SEGMENT_LITERAL);
    assert_int_equal(r->n_params, 2);
    assert_str(r->params[1], "x_y");
    assert_str(r->path, "/a/{id}/b-c/{x_y}");
    r = case_route(s, "* /files/*");
    assert_int_equal(r->n_segments, 2);
    assert_int_equal(r->segments[1].kind, SEGMENT_REST);
    assert_str(r->methods.list[0], "*");
    r = case_route(s, "POST /api/");
    assert_int_equal(r->n_segments, 2);
    assert_int_equal(r->segments[1].kind, SEGMENT_LITERAL);
    assert_int_equal(r->segments[1].text.n, 0);
    assert_str(r->path, "/api/");
    assert_str(s->sites[0].routes[4].path, "/caf%C3%A9/~user/%C3%A9/a%3Ab:c@d");
    r = case_route(s, "find");
    assert_str(r->name, "find");
    assert_str(r->methods.list[0], "M-SEARCH");
    settings_unref(s);
}

static void test_path_errors(void **state)
{
    static const struct config_case cases[] = {
        {"route GET x { }\n", "the path of a route starts with /", NULL, 0},
        {"route GET /x?page=1 { }\n", "t.conf:1:12: error: a route is a path without a query",
         NULL, 0},
        {"route GET /x//y { }\n", "t.conf:1:14: error: an empty segment", NULL, 0},
        {"route GET // { }\n", "an empty segment", NULL, 0},
        {"route GET /x/./y { }\n", "dot segments are resolved before routing", NULL, 0},
        {"route GET /x/.. { }\n", "dot segments are resolved before routing", NULL, 0},
        {"route GET /x/%2e%2E { }\n", "dot segments are resolved before routing", NULL, 0},
        {"route GET /x%2fy { }\n", "requests with an encoded slash are refused", NULL, 0},
        {"route GET /x%00 { }\n", "requests with this byte in the path are refused", NULL, 0},
        {"route GET /x\\y { }\n", "requests with this byte in the path are refused", NULL, 0},
        {"route GET /x%3by { }\n", "a path with `;` cannot be routed", NULL, 0},
        {"route GET /x%zz { }\n", "% is followed by two hex digits", NULL, 0},
        {"route GET /x% { }\n", "% is followed by two hex digits", NULL, 0},
        {"route GET /{id}.json { }\n", "`{name}` stands for a whole segment", NULL, 0},
        {"route GET /a*b { }\n", "`*` stands for the rest of the path", NULL, 0},
        {"route GET /*/a { }\n", "`*` stands for the rest of the path", NULL, 0},
        {"route GET /{1} { }\n", "a path parameter is written {name}", NULL, 0},
        {"route GET /{} { }\n", "a path parameter is written {name}", NULL, 0},
        {"route GET /{a}/{a} { }\n", "this path parameter is given twice", NULL, 0},
        {"route GET /{query} { }\n", "t.conf:1:12: error: `query` is a reserved word", NULL, 0},
        {"route GET /{path} { }\n", "`path` is a reserved word", NULL, 0},
        {"route GET /{method} { }\n", "`method` is a reserved word", NULL, 0},
        {"route GET /{body} { }\n", "`body` is a reserved word", NULL, 0},
        {"identity org credential\nroute GET /{org} { }\n",
         "t.conf:2:12: error: the path parameter `org` is called like an identity", "rename",
         0},
        {"route GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q} { }\n",
         "too many path parameters", NULL, 0},
        {"route get /x { }\n", "methods are words in capitals", "distinguish case", 0},
        {"route GET, /x { }\n", "methods are words in capitals", NULL, 0},
        {"route G(T /x { }\n", "methods are words in capitals", NULL, 0},
        {"route GET,GET /x { }\n", "GET is given twice", NULL, 0},
        {"route CONNECT /x { }\n", "CONNECT cannot be routed", NULL, 0},
        {"route TRACE /x { }\n", "TRACE cannot be routed", NULL, 0},
        {"route /x GET { }\n", "methods are words in capitals", "usage: route METHODS PATH", 2},
        {"route /x { }\n", "`route` lacks an argument", "usage: route METHODS PATH", 0},
        {"route GET /x name=a/b { }\n", "the name of a route has 1 to 64", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_equal_routes(void **state)
{
    static const struct config_case cases[] = {
        {"route GET /x { }\nroute GET /x { }\n",
         "t.conf:2:11: error: two routes for one method and path", "the other is at t.conf:1",
         0},
        {"route GET,PUT /a/{id} { }\nroute PUT,POST /a/{name} { }\n",
         "two routes for one method and path", NULL, 0},
        {"route GET /a/* { }\nroute GET /a/* { }\n", "two routes for one method and path", NULL,
         0},
        {"route GET /%7Ea { }\nroute GET /~a { }\n", "two routes for one method and path", NULL,
         0},
        {"route * /a { }\nroute * /a { }\n", "two routes for one method and path", NULL, 0},
        {"route GET /a name=x { }\nroute GET /b name=x { }\n", "two routes have this name",
         "the other is at t.conf:1", 0},
        {"route GET /a { }\nhost h {\n route GET /x { }\n route GET /x { }\n}\n",
         "t.conf:4:12: error: two routes", "the other is at t.conf:3", 0},
    };

    (void)state;
    case_refused(CASES(cases));
    /* Different shapes, methods or sites are different routes. */
    settings_unref(case_good("route GET /a/{id} { }\nroute GET /a/b { }\nroute GET /a/* { }\n"
                             "route PUT /a/b { }\nroute * /a/b { }\nroute GET /a/b/ { }\n"
                             "host h { route GET /a/b { } }\n"));
}

/* ---- inheritance ------------------------------------------------------------------------ */

static void test_nearest_level_wins(void **state)
{
    struct settings *s = case_good(
        "defaults { stale 1s; jitter 1%; retry 1; query d; header set X-A d; tag d }\n"
        "type t { ttl 1m; stale 2s; jitter 2%; query t; header set X-A t; tag t; "
        "header add X-B t; scope public }\n"
        "route GET /a { type t; stale 3s; query r1 r2; query r3 }\n"
        "route GET /b { type t }\n"
        "route GET /c { ttl 1m; scope public }\n");
    const struct route_settings *r = case_route(s, "GET /a");

    (void)state;
    assert_int_equal(r->stale, 3000);
    assert_int_equal(r->jitter_percent, 2);
    assert_int_equal(r->retry, 1);
    assert_str(r->type, "t");
    assert_int_equal(r->query.n, 3); /* lists of one block add up, a nearer block replaces */
    assert_str(r->query.list[0], "r1");
    assert_str(r->query.list[2], "r3");
    assert_int_equal(r->n_headers, 2);
    assert_str(r->headers[1].name, "X-B");
    assert_int_equal(r->n_tags, 1);
    assert_str(r->tags[0].text, "t");
    r = case_route(s, "GET /b");
    assert_int_equal(r->stale, 2000);
    assert_int_equal(r->query.n, 1);
    assert_str(r->query.list[0], "t");
    r = case_route(s, "GET /c");
    assert_int_equal(r->stale, 1000);
    assert_int_equal(r->type.n, 0);
    assert_str(r->query.list[0], "d");
    assert_str(r->tags[0].text, "d");
    settings_unref(s);
}

/* The options of `timeout` are inherited one by one. */
static void test_timeout_merges(void **state)
{
    struct settings *s =
        case_good("defaults { timeout connect=1s total=9s }\n"
                  "type t { timeout idle=3s }\n"
                  "route GET /a { type t; timeout first_byte=off total=8s }\n");
    const struct timeout_settings *t = &case_route(s, "GET /a")->timeout;

    (void)state;
    assert_int_equal(t->connect, 1000);
    assert_int_equal(t->first_byte, -1);
    assert_int_equal(t->idle, 3000);
    assert_int_equal(t->total, 8000);
    assert_int_equal(s->sites[0].fallback.timeout.total, 9000);
    assert_int_equal(s->sites[0].fallback.timeout.idle, 30000);
    settings_unref(s);
}

static void test_ttl_forms(void **state)
{
    struct settings *s = case_good("defaults { ttl 7s }\n"
                                   "route GET /a { scope public }\n"
                                   "route GET /b { scope public; ttl 1m force }\n"
                                   "route GET /c { scope public; ttl origin; heuristic on }\n"
                                   "route GET /d { ttl off }\n"
                                   "route GET /e { scope public; ttl 0 }\n"
                                   "route POST /a { }\n");

    (void)state;
    assert_int_equal(case_route(s, "GET /a")->ttl_mode, TTL_FALLBACK);
    assert_int_equal(case_route(s, "GET /a")->ttl, 7000);
    assert_true(case_route(s, "GET /a")->cached);
    assert_int_equal(case_route(s, "GET /b")->ttl_mode, TTL_FORCE);
    assert_int_equal(case_route(s, "GET /b")->ttl, 60000);
    assert_int_equal(case_route(s, "GET /c")->ttl_mode, TTL_ORIGIN);
    assert_true(case_route(s, "GET /c")->heuristic);
    assert_false(case_route(s, "GET /d")->cached);
    assert_true(case_route(s, "GET /e")->cached);
    assert_int_equal(case_route(s, "GET /e")->ttl, 0);
    assert_false(case_route(s, "POST /a")->cached);
    assert_false(s->sites[0].fallback.cached);
    assert_int_equal(s->sites[0].fallback.ttl_mode, TTL_NONE);
    settings_unref(s);
}

static void test_route_values(void **state)
{
    struct settings *s =
        case_good("route GET /a {\n"
                  " scope public; ttl 1m; status 200 301 404=30s; status 410=5m; store "
                  "set-cookie surplus\n"
                  " compress 1kb; max_object 3mb; etag on; client_cache_control honor\n"
                  " forward_headers +X-Feature +x-b; forward_headers +X-C; jitter 10%\n"
                  " header set X-A \"a b\"; header remove Server; header add X-C c\n"
                  " max_body off; retry 0; log off; stale 1d; stale_if_error 2d unverified\n"
                  "}\n"
                  "route GET /ws { upgrade websocket }\n"
                  "route POST /w { invalidate all; settle 2s; max_body 2gb }\n");
    const struct route_settings *r = case_route(s, "GET /a");

    (void)state;
    assert_int_equal(r->n_statuses, 4);
    assert_int_equal(r->statuses[0].status, 200);
    assert_int_equal(r->statuses[0].ttl, -1);
    assert_int_equal(r->statuses[2].status, 404);
    assert_int_equal(r->statuses[2].ttl, 30000);
    assert_int_equal(r->statuses[3].status, 410);
    assert_true(r->store_set_cookie);
    assert_true(r->store_surplus);
    assert_false(r->store_private);
    assert_int_equal(r->compress, 1024);
    assert_int_equal(r->max_object, 3 << 20);
    assert_true(r->etag);
    assert_true(r->honor_client_cc);
    assert_int_equal(r->forward_headers.n, 3);
    assert_str(r->forward_headers.list[0], "x-feature");
    assert_int_equal(r->jitter_percent, 10);
    assert_int_equal(r->n_headers, 3);
    assert_int_equal(r->headers[0].kind, HEADER_SET);
    assert_str(r->headers[0].value, "a b");
    assert_int_equal(r->headers[1].kind, HEADER_REMOVE);
    assert_str(r->headers[1].name, "Server");
    assert_int_equal(r->headers[2].kind, HEADER_ADD);
    assert_int_equal(r->stale_if_error, 172800000);
    assert_true(r->stale_unverified);
    assert_int_equal(r->max_body, SETTINGS_UNLIMITED);
    assert_int_equal(r->retry, 0);
    assert_false(r->access_log);
    assert_int_equal(r->stale, 86400000);
    assert_true(case_route(s, "GET /ws")->upgrade_websocket);
    assert_int_equal(case_route(s, "POST /w")->settle, 2000);
    assert_int_equal(case_route(s, "POST /w")->max_body, INT64_C(2) << 30);
    settings_unref(s);
}

static void test_value_errors(void **state)
{
    static const struct config_case cases[] = {
        {"defaults { ttl }\n", "`ttl` lacks an argument", NULL, 0},
        {"defaults { ttl 5 }\n", "a duration needs a unit", "usage: ttl", 0},
        {"defaults { ttl 5m fource }\n", "`force` is expected, not `fource`",
         "did you mean `force`?", 0},
        {"defaults { ttl origin force }\n", "`ttl origin` takes no further word", NULL, 0},
        {"defaults { ttl off force }\n", "`ttl off` takes no further word", NULL, 0},
        {"defaults { ttl 99w9 }\n", "the units of a duration", NULL, 0},
        {"defaults { ttl 999w }\n", "out of range: from 0s to 366d", NULL, 0},
        {"defaults { jitter 10 }\n", "a percentage is expected, like 10%", NULL, 0},
        {"defaults { jitter 51% }\n", "out of range: from 0 to 50", NULL, 0},
        {"defaults { retry 11 }\n", "out of range: from 0 to 10", NULL, 0},
        {"defaults { heuristic yes }\n", "`on` or `off` is expected", NULL, 0},
        {"defaults { status }\n", "`status` needs at least one code", NULL, 0},
        {"defaults { status 99 }\n", "a status from 200 to 599", NULL, 0},
        {"defaults { status 0404 }\n", "a status from 200 to 599", NULL, 0},
        {"defaults { status 206 }\n", "206 is never stored", NULL, 0},
        {"defaults { status 304 }\n", "304 is never stored", NULL, 0},
        {"defaults { status 200 200 }\n", "status 200 is listed twice", NULL, 0},
        {"defaults { status 200 404=soon }\n", "a duration starts with a number", NULL, 0},
        {"defaults { status 404=1m x=1m }\n", "a status from 200 to 599", NULL, 0},
        {"defaults { store cookies }\n", "`private`, `set-cookie` or `surplus` is expected",
         NULL, 0},
        {"defaults { compress 1s }\n", "the units of a size", NULL, 0},
        {"defaults { max_object off }\n", "a size starts with a number", NULL, 0},
        {"defaults { max_object 0 }\n", "out of range: from 1b to 1tb", NULL, 0},
        {"defaults { client_cache_control honour }\n", "is expected, not `honour`",
         "did you mean `honor`?", 0},
        {"defaults { forward_headers X-A }\n", "a field is added with a +", NULL, 0},
        {"defaults { forward_headers +Cookie }\n", "credentials are sent only where", NULL, 0},
        {"defaults { forward_headers +authorization }\n", "credentials are sent only where",
         NULL, 0},
        {"defaults { query }\n", "`query` needs the names of parameters", NULL, 0},
        {"defaults { query a unlisted=keep }\n", "`drop` is expected", NULL, 0},
        {"defaults { query a b a }\n", "`a` is listed twice", NULL, 0},
        {"defaults { query a&b }\n", "the name of a query parameter is expected", NULL, 0},
        {"defaults { header put X-A b }\n", "is expected, not `put`", NULL, 0},
        {"defaults { header set X-A }\n", "takes a name and a value", NULL, 0},
        {"defaults { header remove X-A b }\n", "takes a name and no value", NULL, 0},
        {"defaults { header set \"X A\" b }\n", "a header name is expected", NULL, 0},
        {"defaults { header set X-A \"a\\nb\" }\n", "cannot hold a control byte", NULL, 0},
        {"defaults { header set Content-Length 0 }\n", "content-length is set by the proxy",
         NULL, 0},
        {"defaults { header remove Connection }\n", "connection is set by the proxy", NULL, 0},
        {"defaults { header set Transfer-Encoding x }\n", "transfer-encoding is set by", NULL,
         0},
        {"defaults { timeout }\n", "`timeout` needs at least one NAME=DURATION", NULL, 0},
        {"defaults { timeout first=1s }\n", "`timeout` has no option `first`", NULL, 0},
        {"defaults { timeout connect=off }\n", "a duration starts with a number", NULL, 0},
        {"defaults { max_body 1x }\n", "the units of a size", NULL, 0},
        {"route GET /x { upgrade h2c }\n", "`websocket` is expected, not `h2c`", NULL, 0},
        {"route POST /x { upgrade websocket }\n", "`upgrade websocket` needs GET", NULL, 0},
        {"route GET /x { type dashbord }\ntype dashboard { }\n",
         "no type `dashbord` is defined", "did you mean `dashboard`?", 0},
        /* An unknown type leaves much unknown; nothing is made of that. */
        {"route GET /x { type no; ttl 1m; key a }\n", "no type `no` is defined", NULL, 0},
        {"route POST /x { invalidate type:no }\n", "no type `no` is defined", NULL, 0},
        {"route POST /x { invalidate type:dashbord }\ntype dashboard { ttl 1m }\n",
         "no type `dashbord` is defined", "did you mean `dashboard`?", 0},
        {"route POST /x { invalidate route:itme }\nroute GET /i name=item { }\n",
         "no route is called `itme`", "did you mean `item`?", 0},
        {"route POST /x { invalidate a soft=yes }\n", "`on` or `off` is expected", NULL, 0},
        {"route POST /x { invalidate \"\" }\n", "a name is expected, not an empty text", NULL,
         0},
        {"route POST /x { invalidate tag: }\n", "a name is expected, not an empty text", NULL,
         0},
        {"route POST /x { invalidate a[b }\n", "t.conf:1:29: error: this `[` has no `]`", NULL,
         0},
        {"route POST /x { invalidate a\\ ; }\n", "escapes nothing", NULL, 0},
        {"route POST /x { invalidate a:{id} }\n", "unknown placeholder `{id}`", NULL, 0},
        {"route POST /x { invalidate a:{body} }\n", "{body} is a hash", NULL, 0},
        {"route POST /x { invalidate tag:a* }\n", "stand in globs, not in names", NULL, 0},
    };

    (void)state;
    case_refused(CASES(cases));
}

static void test_invalidate_forms(void **state)
{
    struct settings *s = case_good(
        "identity org credential\n"
        "type t { ttl 1m; scope public }\n"
        "route GET /i/{id} name=item { ttl 1m; key item:{org}:{id}; tag i:{id} all }\n"
        "route GET /l { type t; key list:{query} }\n"
        "route PUT /i/{id} {\n"
        "  invalidate item:*:{id} type:t tag:i:{id} route:item all soft=on\n"
        "  invalidate list:?[a-z]\\*{query.q}:* \"item:{header.X-Org}:*\"\n"
        "}\n");
    const struct route_settings *r = case_route(s, "PUT /i/{id}");
    const struct invalidate_target *t = r->invalidate;

    (void)state;
    assert_int_equal(r->n_invalidate, 7);
    assert_true(r->invalidate_soft);
    assert_int_equal(t[0].kind, TARGET_GLOB);
    assert_int_equal(t[0].value.n, 2);
    assert_str(t[0].value.parts[0].text, "item:*:");
    assert_int_equal(t[0].value.parts[1].kind, KEY_PARAM);
    assert_int_equal(t[0].value.parts[1].index, 0);
    assert_int_equal(t[1].kind, TARGET_TYPE);
    assert_str(t[1].value.text, "t");
    assert_int_equal(t[2].kind, TARGET_TAG);
    assert_str(t[2].value.text, "i:{id}");
    assert_int_equal(t[2].value.n, 2);
    assert_int_equal(t[3].kind, TARGET_ROUTE);
    assert_str(t[3].value.text, "item");
    assert_int_equal(t[4].kind, TARGET_ALL);
    assert_str(t[5].value.parts[0].text, "list:?[a-z]\\*");
    assert_int_equal(t[5].value.parts[1].kind, KEY_QUERY_NAME);
    assert_str(t[5].value.parts[1].text, "q");
    assert_int_equal(t[6].value.parts[1].kind, KEY_HEADER);
    assert_str(t[6].value.parts[1].text, "x-org");
    r = case_route(s, "item");
    assert_int_equal(r->n_tags, 2);
    assert_int_equal(r->tags[0].n, 2);
    assert_str(r->tags[1].text, "all");
    settings_unref(s);
}

static void test_print_routes(void **state)
{
    struct settings *s = case_good("hosts a.example\n"
                                   "identity org credential\n"
                                   "type t { ttl 90s force; scope public }\n"
                                   "route GET,HEAD /t { type t }\n"
                                   "route GET /o/{id} { ttl 5m; key o:{org}:{id} }\n"
                                   "route POST /o { invalidate o:* type:t soft=on }\n"
                                   "host b.example { }\n");
    static const char expected[] =
        "host a.example\n"
        "METHODS   PATH         CACHE      SCOPE   KEY               UPSTREAM  INVALIDATES\n"
        "GET,HEAD  /t           90s force  public  t:{path}:{query}  app       -\n"
        "GET       /o/{id}      5m         org     o:{org}:{id}      app       -\n"
        "POST      /o           -          -       -                 app       o:* type:t "
        "(soft)\n"
        "*         (any other)  -          -       -                 app       -\n"
        "\n"
        "host b.example\n"
        "METHODS  PATH         CACHE  SCOPE  KEY  UPSTREAM  INVALIDATES\n"
        "*        (any other)  -      -      -    app       -\n";
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    (void)state;
    assert_non_null(out);
    config_print_routes(s, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    settings_unref(s);
}

static void test_cost(void **state)
{
    static const struct {
        const char *text;
        int64_t micros;
    } good[] = {{"0.05", 50000}, {"1", 1000000}, {"0.000001", 1}, {"0", 0}, {"12.5", 12500000}};
    static const struct config_case bad[] = {
        {"route GET /x { scope public; ttl 1m; cost 0.0000001 }\n", "a cost is a number", NULL,
         0},
        {"route GET /x { scope public; ttl 1m; cost -1 }\n", "a cost is a number", NULL, 0},
        {"route GET /x { scope public; ttl 1m; cost 1. }\n", "a cost is a number", NULL, 0},
        {"route GET /x { scope public; ttl 1m; cost 1,5 }\n", "a cost is a number", NULL, 0},
        {"route GET /x { scope public; ttl 1m; cost 1000001 }\n", "a cost is a number", NULL,
         0},
        {"route GET /x { scope public; ttl 1m; cost 1000000.1 }\n", "a cost is a number", NULL,
         0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text),
                 "type t { cost 9 }\nroute GET /x { type t; scope public; ttl 1m; cost %s }\n"
                 "route GET /y { type t; scope public; ttl 1m }\n",
                 good[i].text);
        struct settings *s = case_good(text);
        assert_int_equal(case_route(s, "GET /x")->cost, good[i].micros);
        assert_int_equal(case_route(s, "GET /y")->cost, 9000000);
        assert_int_equal(s->sites[0].fallback.cost, 0);
        settings_unref(s);
    }
    case_refused(CASES(bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_path_errors),
        cmocka_unit_test(test_equal_routes),
        cmocka_unit_test(test_nearest_level_wins),
        cmocka_unit_test(test_timeout_merges),
        cmocka_unit_test(test_ttl_forms),
        cmocka_unit_test(test_route_values),
        cmocka_unit_test(test_value_errors),
        cmocka_unit_test(test_invalidate_forms),
        cmocka_unit_test(test_print_routes),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
