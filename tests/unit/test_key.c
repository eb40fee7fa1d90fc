/*
 * cache/key: the text of names (design section 4), the query as keyed and forwarded (hardening
 * K7), invalidation globs, keyed hashes. Injectivity is shown by an inverse: a decoder written
 * here gives every tuple back from its name, over a million random ones.
 */
#include "unit.h"

#include <stdlib.h>

#include "base/arena.h"
#include "cache/key.h"

#define MAX_PARTS 12

static const uint8_t secret[32] = "0123456789abcdef0123456789abcde";

/* One request on one route, all parts changeable. */
struct fixture {
    char room[16384];
    struct arena arena;
    struct settings settings;
    struct route_settings route;
    struct msg request;
    struct target target;
    struct identity_value identities[4];
    struct key_part parts[MAX_PARTS];
    struct key_context kc;
};

/* Names of the placeholders in a test's template: {0}..{3} identities, {p0}..{p3} parameters.
 */
static struct key_part part_of(struct str s)
{
    if (s.p[0] >= '0' && s.p[0] <= '3') {
        return (struct key_part){KEY_IDENTITY, STR_NULL, (unsigned)(s.p[0] - '0')};
    }
    if (s.n == 2 && s.p[0] == 'p') {
        return (struct key_part){KEY_PARAM, STR_NULL, (unsigned)(s.p[1] - '0')};
    }
    static const struct {
        const char *text;
        enum key_part_kind kind;
    } words[] = {
        {"query.", KEY_QUERY_NAME}, {"header.", KEY_HEADER}, {"cookie.", KEY_COOKIE},
        {"query", KEY_QUERY},       {"path", KEY_PATH},      {"method", KEY_METHOD},
        {"body", KEY_BODY},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct str word = str_from(words[i].text);
        if (str_starts(s, word)) {
            return (struct key_part){words[i].kind, str_skip(s, word.n), 0};
        }
    }
    fail_msg("unknown placeholder in a test");
    return (struct key_part){KEY_LITERAL, STR_NULL, 0};
}

static struct key_template template_of(const char *text, struct key_part *parts)
{
    struct key_template t = {.text = str_from(text), .parts = parts};
    struct str rest = t.text;
    while (rest.n > 0) {
        assert_true(t.n < MAX_PARTS);
        if (rest.p[0] == '{') {
            size_t end = str_index(rest, '}');
            parts[t.n++] = part_of(str_make(rest.p + 1, end - 1));
            rest = str_skip(rest, end + 1);
        } else {
            size_t end = str_index(rest, '{');
            parts[t.n++] = (struct key_part){KEY_LITERAL, str_make(rest.p, end), 0};
            rest = str_skip(rest, end);
        }
    }
    return t;
}

static void fixture_init(struct fixture *f, const char *key)
{
    memset(f, 0, sizeof(*f));
    arena_init(&f->arena, f->room, sizeof(f->room));
    f->settings.limits.query_params = 256;
    f->route.key = template_of(key, f->parts);
    f->route.query_all = true;
    f->request.method = METHOD_GET;
    f->request.method_name = STR("GET");
    f->target.path = STR("/");
    f->kc = (struct key_context){
        .settings = &f->settings,
        .route = &f->route,
        .request = &f->request,
        .target = &f->target,
        .identities = f->identities,
        .body_hash = STR(""),
        .hash_key = secret,
    };
}

static void set_identity(struct fixture *f, unsigned i, const char *value)
{
    f->identities[i] = (struct identity_value){true, str_from(value)};
}

static void set_query(struct fixture *f, const char *query)
{
    f->target.query = str_from(query);
}

static void assert_str(struct str s, const char *expected)
{
    char text[2048];
    assert_true(s.n < sizeof(text));
    memcpy(text, s.n > 0 ? s.p : "", s.n);
    text[s.n] = '\0';
    assert_string_equal(text, expected);
}

static struct str render(struct fixture *f)
{
    struct key_query q;
    struct str name;
    key_query_build(&f->kc, &f->arena, &q);
    assert_false(q.pass);
    assert_true(key_render(&f->kc, &q, &f->arena, &name));
    return name;
}

static void names_read_as_the_design_says(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "agents:list:{0}:{query}");
    set_identity(&f, 0, "org-42");
    set_query(&f, "page=1&limit=20");
    assert_str(render(&f), "agents:list:org-42:limit=20&page=1");
    set_query(&f, "");
    assert_str(render(&f), "agents:list:org-42:~e");
    f.target.query = STR_NULL;
    assert_str(render(&f), "agents:list:org-42:~e");

    fixture_init(&f, "agents:details:{0}:{p0}");
    set_identity(&f, 0, "a:b*?[]\\{}~e");
    f.kc.params[0] = STR("x%20y@z~%E2%82%AC");
    assert_str(render(&f),
               "agents:details:a%3Ab%2A%3F%5B%5D%5C%7B%7D%7Ee:x%20y%40z%7E%E2%82%AC");

    fixture_init(&f, "r:{path}:{method}:{body}");
    f.target.path = STR("/api//a%20b/c:d/");
    assert_str(render(&f), "r:/api//a%20b/c%3Ad/:GET:~e");
    f.request.method = METHOD_HEAD;
    f.request.method_name = STR("HEAD");
    f.kc.body_hash = STR("00ff");
    f.target.path = STR("/");
    assert_str(render(&f), "r:/:GET:00ff");
    arena_reset(&f.arena);
}

/* {body} holds the bytes and what says how they are read, and nothing can pass for another. */
static void bodies_are_hashed_with_their_type(void **state)
{
    static const struct {
        const char *type, *coding, *language, *body;
    } bodies[] = {
        {NULL, NULL, NULL, ""},
        {NULL, NULL, NULL, "a"},
        {"a", NULL, NULL, ""},
        {NULL, "a", NULL, ""},
        {NULL, NULL, "a", ""},
        {"a", "a", NULL, ""},
        {"text/plain", NULL, NULL, "a"},
        {"text/plain;a=b", NULL, NULL, "a"},
        {"text/plain;a=B", NULL, NULL, "a"},
        {"text/plain", NULL, NULL, "a "},
    };
    static const char *const same[] = {"application/json", "Application/Json",
                                       "application/json; charset=UTF-8"};
    (void)state;
    struct fixture f;
    struct str hashes[10], first = STR_NULL;
    fixture_init(&f, "r");
    for (size_t i = 0; i < 10; i++) {
        f.request.n_fields = 0;
        if (bodies[i].type != NULL) {
            msg_add(&f.request, &f.arena, STR("Content-Type"), str_from(bodies[i].type));
        }
        if (bodies[i].coding != NULL) {
            msg_add(&f.request, &f.arena, STR("Content-Encoding"), str_from(bodies[i].coding));
        }
        if (bodies[i].language != NULL) {
            msg_add(&f.request, &f.arena, STR("Content-Language"),
                    str_from(bodies[i].language));
        }
        hashes[i] = key_body(&f.request, str_from(bodies[i].body), &f.arena);
        assert_int_equal(hashes[i].n, 32);
        for (size_t k = 0; k < i; k++) {
            assert_false(str_eq(hashes[i], hashes[k]));
        }
    }
    for (size_t i = 0; i < 3; i++) {
        f.request.n_fields = 0;
        msg_add(&f.request, &f.arena, STR("Content-Type"), str_from(same[i]));
        struct str hash = key_body(&f.request, STR("{}"), &f.arena);
        first = i == 0 ? hash : first;
        assert_true(str_eq(hash, first));
    }
    /* It stands for every node and version: sha256("application/json" NUL NUL NUL "{}"). */
    assert_str(first, "d4fdb6530fa22a5f5bd1d78670ccb808");
    arena_reset(&f.arena);
}

static void an_unknown_identity_makes_no_name(void **state)
{
    (void)state;
    struct fixture f;
    struct key_query q;
    struct str name;
    fixture_init(&f, "a:{0}:{1}");
    set_identity(&f, 0, "x");
    key_query_build(&f.kc, &f.arena, &q);
    assert_false(key_render(&f.kc, &q, &f.arena, &name));
    set_identity(&f, 1, "");
    assert_false(key_render(&f.kc, &q, &f.arena, &name)); /* empty is unknown, never shared */
    f.identities[1] = (struct identity_value){false, STR("y")};
    assert_false(key_render(&f.kc, &q, &f.arena, &name));
    set_identity(&f, 1, "y");
    assert_true(key_render(&f.kc, &q, &f.arena, &name));
    assert_str(name, "a:x:y");
    f.kc.identities = NULL;
    assert_false(key_render(&f.kc, &q, &f.arena, &name));
    arena_reset(&f.arena);
}

static void parts_of_the_request_in_a_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "q:{query.a}:{query.b}:{header.x-tenant}");
    set_query(&f, "b=2&a=1&b&b=&%62=%26");
    msg_add(&f.request, &f.arena, STR("X-Tenant"), STR("one"));
    msg_add(&f.request, &f.arena, STR("x-tenant"), STR("two"));
    assert_str(render(&f), "q:1:2&~b&~e&%26:one%2C%20two");
    fixture_init(&f, "q:{query.a}:{header.x-tenant}:{cookie.sid}");
    assert_str(render(&f), "q:~a:~a:~a");
    set_query(&f, "a=~a");
    msg_add(&f.request, &f.arena, STR("X-Tenant"), STR(""));
    assert_str(render(&f), "q:%7Ea:~e:~a");
    arena_reset(&f.arena);
}

/* The part of a name after its last ":". */
static struct str last_part(struct str name)
{
    while (str_index(name, ':') < name.n) {
        name = str_skip(name, str_index(name, ':') + 1);
    }
    return name;
}

static void assert_hash(struct str s)
{
    assert_int_equal(s.n, 32);
    for (size_t i = 0; i < s.n; i++) {
        assert_true(hex_value(s.p[i]) >= 0);
    }
}

static void secrets_enter_as_keyed_hashes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "c:{cookie.sid}");
    msg_add(&f.request, &f.arena, STR("Cookie"), STR("a=b; sid=s3cret"));
    struct str first = last_part(render(&f));
    assert_hash(first);
    /* by another program: HMAC-SHA-256 over label, NUL, value (Python's hmac) */
    assert_str(first, "944607223ca9a2a55e65878bb3d981de");
    assert_true(str_eq(first, key_hash(secret, STR("cookie:sid"), STR("s3cret"), &f.arena)));
    static const uint8_t other[32] = "another key";
    assert_false(str_eq(first, key_hash(other, STR("cookie:sid"), STR("s3cret"), &f.arena)));
    assert_false(str_eq(first, key_hash(secret, STR("cookie:sie"), STR("s3cret"), &f.arena)));
    /* sent twice with two values: neither of them alone, and their order counts */
    msg_add(&f.request, &f.arena, STR("Cookie"), STR("sid=other"));
    struct str twice = last_part(render(&f));
    assert_hash(twice);
    assert_false(str_eq(first, twice));
    f.request.fields[0].value = STR("sid=other");
    f.request.fields[1].value = STR("a=b; sid=s3cret");
    assert_false(str_eq(twice, last_part(render(&f))));

    static const char *const fields[] = {"authorization", "cookie", "proxy-authorization",
                                         "x-api-key"};
    static const char *const keys[] = {"h:{header.authorization}", "h:{header.cookie}",
                                       "h:{header.proxy-authorization}",
                                       "h:{header.x-api-key}"};
    for (size_t i = 0; i < 4; i++) {
        fixture_init(&f, keys[i]);
        assert_str(last_part(render(&f)), "~a");
        msg_add(&f.request, &f.arena, str_from(fields[i]), STR("hunter2"));
        assert_hash(last_part(render(&f)));
    }
    arena_reset(&f.arena);
}

static void variants_differ_by_their_values(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "x");
    struct str a = key_variant(STR("n"), STR("accept=json"), &f.arena);
    struct str b = key_variant(STR("n"), STR("accept=html"), &f.arena);
    assert_int_equal(a.n, 34);
    assert_memory_equal(a.p, "n#", 2);
    assert_false(str_eq(a, b));
    /* SHA-256 of nothing */
    assert_str(key_variant(STR("n"), STR_NULL, &f.arena), "n#e3b0c44298fc1c149afbf4c8996fb924");
    arena_reset(&f.arena);
}

/* ---- the query -----------------------------------------------------------------------------
 */

struct query_case {
    const char *query;
    const char *canonical; /* NULL: the request passes */
};

static void assert_query(struct fixture *f, const struct query_case *c)
{
    struct key_query q;
    set_query(f, c->query);
    key_query_build(&f->kc, &f->arena, &q);
    assert_false(q.too_many);
    assert_int_equal(q.pass, c->canonical == NULL);
    if (c->canonical == NULL) {
        assert_str(q.forward, c->query); /* unchanged */
        return;
    }
    assert_str(q.canonical, c->canonical);
    assert_str(q.forward, c->canonical); /* what is keyed is what is sent */
    assert_int_equal(q.forward.p == NULL, c->canonical[0] == '\0');
}

static void the_whole_query_is_sorted_and_encoded(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "k:{query}");
    static const struct query_case cases[] = {
        {"b=2&a=1", "a=1&b=2"},
        {"a=2&b=0&a=1", "a=2&a=1&b=0"}, /* one name's values keep their order */
        {"&&a=1&&", "a=1"},
        {"a&b=", "a&b="}, /* "a" is not "a=" */
        {"=v&=", "=v&="},
        {"a=b=c", "a=b%3Dc"},
        {"a=%41%7e%2f", "a=A%7E%2F"},
        {"a=x+y", "a=x+y"}, /* a space to most backends, and not %2B */
        {"a=x%2By", "a=x%2By"},
        {"a=x%20y", "a=x%20y"},
        {"%61=1&A=2", "A=2&a=1"},
        {"filter[a]=1,2", "filter%5Ba%5D=1%2C2"},
        /* cloaking (K7): nothing is a separator but "&" */
        {"a=1;a=2", "a=1%3Ba%3D2"},
        {"a=1%26a=2", "a=1%26a%3D2"},
        {"a=1?b", "a=1%3Fb"},
        {"?a=1", "%3Fa=1"},
        {"a=1&a=2", "a=1&a=2"},
        {"utm_source=x;a=2&a=1", "a=1"},
        {"utm_content=1&fbclid=2&gclid=3&%66bclid=4", ""},
        {"a=1&utm_source=x", "a=1"},
        {"utm=1", "utm=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_query(&f, &cases[i]);
    }
    arena_reset(&f.arena);
}

static void only_listed_parameters_are_cached(void **state)
{
    (void)state;
    struct fixture f;
    struct str listed[] = {STR("page"), STR("filter[a]")};
    static const struct query_case strict[] = {
        {"page=1", "page=1"},
        {"p%61ge=1", "page=1"},
        {"page=1&filter[a]=2", "filter%5Ba%5D=2&page=1"},
        {"page=1&filter%5Ba%5D=2&utm_medium=x", "filter%5Ba%5D=2&page=1"},
        {"Page=1", NULL},
        {"page=1&other=2", NULL},
        {"page=1&other", NULL},
        {"page=1;other=2", "page=1%3Bother%3D2"},
        {"page%00=1", NULL},
        {"pag=1", NULL},
        {"page+=1", NULL},
    };
    fixture_init(&f, "k:{query}");
    f.route.query_all = false;
    f.route.query = (struct str_list){listed, 2};
    for (size_t i = 0; i < sizeof(strict) / sizeof(strict[0]); i++) {
        assert_query(&f, &strict[i]);
    }
    f.route.query_drop = true;
    static const struct query_case dropping[] = {
        {"page=1&other=2", "page=1"},
        {"other=2", ""},
        {"x=1&page=2&y&page=1", "page=2&page=1"},
    };
    for (size_t i = 0; i < sizeof(dropping) / sizeof(dropping[0]); i++) {
        assert_query(&f, &dropping[i]);
    }
    arena_reset(&f.arena);
}

static void parameters_outside_the_key_pass(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "k:{p0}"); /* no {query}, no list */
    assert_query(&f, &(struct query_case){"a=1", NULL});
    assert_query(&f, &(struct query_case){"", ""});
    assert_query(&f, &(struct query_case){"utm_source=1", ""});
    fixture_init(&f, "k:{query.a}");
    assert_query(&f, &(struct query_case){"a=1", "a=1"});
    assert_query(&f, &(struct query_case){"a=1&b=1", NULL});
    arena_reset(&f.arena);
}

static void too_many_parameters_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct key_query q;
    fixture_init(&f, "k:{query}");
    f.settings.limits.query_params = 40;
    set_query(&f, "d&c&b&a&d=2&c=2&b=2&a=2&d=3&c=3&b=3&a=3&d=4&c=4&b=4&a=4&d=5&c=5&b=5&a=5&"
                  "d=6&c=6&b=6&a=6&d=7&c=7&b=7&a=7&d=8&c=8&b=8&a=8&d=9&c=9&b=9&a=9&&&z&y&x&w");
    key_query_build(&f.kc, &f.arena, &q);
    assert_false(q.too_many);
    /* the long list goes through another sort: as stable as the short one's */
    assert_str(q.canonical, "a&a=2&a=3&a=4&a=5&a=6&a=7&a=8&a=9&b&b=2&b=3&b=4&b=5&b=6&b=7&b=8&"
                            "b=9&c&c=2&c=3&c=4&c=5&c=6&c=7&c=8&c=9&d&d=2&d=3&d=4&d=5&d=6&d=7&"
                            "d=8&d=9&w&x&y&z");
    f.settings.limits.query_params = 39;
    key_query_build(&f.kc, &f.arena, &q);
    assert_true(q.too_many);
    arena_reset(&f.arena);
}

/* ---- globs ---------------------------------------------------------------------------------
 */

static void globs_resolve_or_widen(void **state)
{
    (void)state;
    struct fixture f;
    struct key_part parts[MAX_PARTS];
    fixture_init(&f, "unused");
    bool widened = false;
    set_identity(&f, 0, "o*g");
    f.kc.params[0] = STR("a%3Ab");
    set_query(&f, "x=1");
    struct key_template t = template_of("agents:list:{0}:*", parts);
    assert_str(key_render_glob(&f.kc, &t, &f.arena, &widened), "agents:list:o%2Ag:*");
    t = template_of("agents:[ab]:*:{p0}:{query.x}", parts);
    assert_str(key_render_glob(&f.kc, &t, &f.arena, &widened), "agents:[ab]:*:a%3Ab:1");
    assert_false(widened);
    t = template_of("agents:{1}:{p1}:{query}:{body}", parts);
    assert_str(key_render_glob(&f.kc, &t, &f.arena, &widened), "agents:*:*:*:*");
    assert_true(widened);
    widened = false;
    t = template_of("a:*{1}{p1}", parts); /* one star is as wide as three */
    assert_str(key_render_glob(&f.kc, &t, &f.arena, &widened), "a:*");
    assert_true(widened);
    t = template_of("a:\\*{1}", parts); /* an escaped one is none */
    assert_str(key_render_glob(&f.kc, &t, &f.arena, &widened), "a:\\**");
    arena_reset(&f.arena);
}

static void a_write_on_a_path_covers_its_cached_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "a*[:{0}:{p0}:{query}:{header.accept}{cookie.x}:{p1}");
    struct str params[SETTINGS_MAX_PARAMS] = {STR("x%20*"), STR_NULL};
    assert_str(key_route_glob(&f.route, params, STR_NULL, &f.arena), "a\\*\\[:*:x%20%2A:*:*:*");
    assert_false(key_holds_rest(&f.route));
    struct path_segment segments[] = {
        {SEGMENT_LITERAL, STR("a~b")}, {SEGMENT_PARAM, STR("id")}, {SEGMENT_LITERAL, STR("c")},
        {SEGMENT_PARAM, STR("k")},     {SEGMENT_REST, STR_NULL},
    };
    fixture_init(&f, "r:{path}:{query}");
    f.route.segments = segments;
    f.route.n_segments = 5;
    assert_true(key_holds_rest(&f.route));
    assert_str(key_route_glob(&f.route, params, STR_NULL, &f.arena),
               "r:/a%7Eb/x%20%2A/c/*/*:*");
    assert_str(key_route_glob(&f.route, params, STR(""), &f.arena), "r:/a%7Eb/x%20%2A/c/*/:*");
    assert_str(key_route_glob(&f.route, params, STR("d*/e%7e/"), &f.arena),
               "r:/a%7Eb/x%20%2A/c/*/d%2A/e%7E/:*");
    f.route.n_segments = 4;
    assert_false(key_holds_rest(&f.route));
    f.route.n_segments = 0;
    assert_str(key_route_glob(&f.route, params, STR_NULL, &f.arena), "r:/:*");
    arena_reset(&f.arena);
}

static void templates_of_tags_are_exact(void **state)
{
    (void)state;
    struct fixture f;
    struct key_part parts[MAX_PARTS];
    struct key_query q = {.canonical = STR("")};
    struct str text;
    fixture_init(&f, "unused");
    f.kc.params[0] = STR("7");
    struct key_template t = template_of("item:{p0}:{query.x}", parts);
    assert_true(key_render_template(&f.kc, &q, &t, &f.arena, &text));
    assert_str(text, "item:7:~a");
    t = template_of("org:{0}", parts);
    assert_false(key_render_template(&f.kc, &q, &t, &f.arena, &text));
    arena_reset(&f.arena);
}

/* ---- injectivity ---------------------------------------------------------------------------
 */

static uint64_t random_state = 88172645463325252u;

static unsigned next_random(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

/* A short value out of what separators, marks and encodings are made of. */
static struct str random_value(char out[8], bool may_be_empty)
{
    static const char alphabet[] = "a~e%2:3A&=+/*?[]{}\\.,;#- \x80\xff\"b";
    size_t n = next_random(5);
    if (n == 0 && !may_be_empty) {
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned pick = next_random(sizeof(alphabet)); /* its NUL, too */
        out[i] = alphabet[pick];
    }
    return str_make(out, n);
}

/* The inverse of a value: what stands in a name -> bytes. */
static struct str decode(struct str s, char out[64])
{
    size_t n = 0;
    if (str_eq(s, STR("~e"))) {
        return str_make(out, 0);
    }
    for (size_t i = 0; i < s.n; i++) {
        assert_true(s.p[i] != '~');
        if (s.p[i] == '%') {
            out[n++] = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return str_make(out, n);
}

static struct str take(struct str *name, char separator)
{
    size_t end = str_index(*name, separator);
    struct str part = str_make(name->p, end);
    *name = str_skip(*name, end + 1);
    return part;
}

/* Raw bytes as a client may write them in a target: some encoded without need. */
static struct str target_text(struct str raw, char out[32])
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        static const char hex[] = "0123456789ABCDEF";
        unsigned char c = (unsigned char)raw.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '*';
        if (letter && next_random(3) > 0) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return str_make(out, n);
}

static void assert_same(struct str a, struct str b)
{
    assert_int_equal(a.n, b.n);
    assert_true(str_eq(a, b));
}

static void every_tuple_comes_back_from_its_name(void **state)
{
    (void)state;
    static struct fixture f;
    fixture_init(&f, "t:{0}:{p0}:{header.x}:{1}/{query.q}");
    msg_add(&f.request, &f.arena, STR("x"), STR(""));
    struct field *header = f.request.fields;
    struct key_query q = {.canonical = STR("")};
    for (int i = 0; i < 1000000; i++) {
        char raw[5][8];
        char encoded[2][32];
        char decoded[64];
        char query[40] = "q=";
        struct str name;
        char scratch[1024];
        arena_init(&f.arena, scratch, sizeof(scratch));
        f.identities[0] = (struct identity_value){true, random_value(raw[0], false)};
        f.identities[1] = (struct identity_value){true, random_value(raw[1], false)};
        struct str param = random_value(raw[2], true);
        f.kc.params[0] = target_text(param, encoded[0]);
        header->value = random_value(raw[3], true);
        struct str value = random_value(raw[4], true);
        struct str text = target_text(value, encoded[1]);
        memcpy(query + 2, text.p, text.n);
        f.target.query = str_make(query, text.n + 2);
        assert_true(key_render(&f.kc, &q, &f.arena, &name));

        assert_same(take(&name, ':'), STR("t"));
        assert_same(decode(take(&name, ':'), decoded), f.identities[0].value);
        assert_same(decode(take(&name, ':'), decoded), param);
        assert_same(decode(take(&name, ':'), decoded), header->value);
        assert_same(decode(take(&name, '/'), decoded), f.identities[1].value);
        assert_same(decode(name, decoded), value);
        arena_reset(&f.arena);
    }
}

static void every_short_value_has_its_own_text(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "{0}");
    struct key_query q = {.canonical = STR("")};
    for (int i = 0; i < 65536; i++) {
        char raw[2] = {(char)(i >> 8), (char)i};
        char decoded[64];
        char scratch[512];
        struct str name;
        arena_init(&f.arena, scratch, sizeof(scratch));
        for (size_t n = 1; n <= 2; n++) {
            f.identities[0] = (struct identity_value){true, str_make(raw, n)};
            assert_true(key_render(&f.kc, &q, &f.arena, &name));
            for (size_t k = 0; k < name.n; k++) {
                assert_null(memchr(":*?[]\\{}~&=/#+ ", name.p[k], 15));
                assert_true(name.p[k] > ' ' && name.p[k] < 0x7f);
            }
            assert_same(decode(name, decoded), f.identities[0].value);
        }
        arena_reset(&f.arena);
    }
}

/* One parameter of a random query. */
struct pair {
    char name[8];
    char value[8];
    size_t name_n;
    size_t value_n;
    bool has_value;
};

/* The first unused pair with this name must be the one met: order within a name holds. */
static void assert_next_of_name(struct pair *list, size_t n, bool *used, struct str element)
{
    char name[64];
    char value[64];
    size_t equals = str_index(element, '=');
    struct str dn = decode(str_make(element.p, equals), name);
    struct str dv = decode(str_skip(element, equals + 1), value);
    for (size_t i = 0; i < n; i++) {
        if (!used[i] && str_eq(dn, str_make(list[i].name, list[i].name_n))) {
            used[i] = true;
            assert_int_equal(list[i].has_value, equals < element.n);
            assert_same(dv, str_make(list[i].value, list[i].value_n));
            return;
        }
    }
    fail_msg("a parameter that was not sent");
}

static void every_query_comes_back_from_its_canonical_form(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "{query}");
    for (int round = 0; round < 100000; round++) {
        struct pair list[6];
        bool used[6] = {false};
        char query[512];
        size_t length = 0;
        size_t n = 1 + next_random(6);
        char scratch[4096];
        arena_init(&f.arena, scratch, sizeof(scratch));
        for (size_t i = 0; i < n; i++) {
            char text[32];
            struct pair *p = &list[i];
            p->name_n = random_value(p->name, false).n;
            p->name_n = p->name_n > 2 ? 2 : p->name_n;
            p->has_value = next_random(4) > 0;
            p->value_n = p->has_value ? random_value(p->value, true).n : 0;
            struct str s = target_text(str_make(p->name, p->name_n), text);
            memcpy(query + length, s.p, s.n);
            length += s.n;
            if (p->has_value) {
                query[length++] = '=';
                s = target_text(str_make(p->value, p->value_n), text);
                memcpy(query + length, s.p, s.n);
                length += s.n;
            }
            query[length++] = '&';
        }
        f.target.query = str_make(query, length);
        struct key_query q;
        struct key_query again;
        key_query_build(&f.kc, &f.arena, &q);
        struct str rest = q.canonical;
        size_t seen = 0;
        while (rest.n > 0) {
            assert_next_of_name(list, n, used, take(&rest, '&'));
            seen++;
        }
        assert_int_equal(seen, n);
        f.target.query = q.forward; /* canonical is a fixed point */
        key_query_build(&f.kc, &f.arena, &again);
        assert_same(again.canonical, q.canonical);
        arena_reset(&f.arena);
    }
}

int main(void)
{
    field_table_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_read_as_the_design_says),
        cmocka_unit_test(bodies_are_hashed_with_their_type),
        cmocka_unit_test(an_unknown_identity_makes_no_name),
        cmocka_unit_test(parts_of_the_request_in_a_key),
        cmocka_unit_test(secrets_enter_as_keyed_hashes),
        cmocka_unit_test(variants_differ_by_their_values),
        cmocka_unit_test(the_whole_query_is_sorted_and_encoded),
        cmocka_unit_test(only_listed_parameters_are_cached),
        cmocka_unit_test(parameters_outside_the_key_pass),
        cmocka_unit_test(too_many_parameters_are_refused),
        cmocka_unit_test(globs_resolve_or_widen),
        cmocka_unit_test(a_write_on_a_path_covers_its_cached_names),
        cmocka_unit_test(templates_of_tags_are_exact),
        cmocka_unit_test(every_tuple_comes_back_from_its_name),
        cmocka_unit_test(every_short_value_has_its_own_text),
        cmocka_unit_test(every_query_comes_back_from_its_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
