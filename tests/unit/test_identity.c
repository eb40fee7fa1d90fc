/*
 * cache/identity: which credential an identity comes from, what makes it unknown and for which
 * reason, what is remembered and what is not, and which fields untrusted peers lose.
 */
#include "unit.h"

#include "tokens.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cache/identity.h"
#include "cache/jwt.h"
#include "cache/jwt_memo.h"
#include "http/field.h"

#define NOW INT64_C(1800000000000)
#define EXP "\"exp\":1800000300"

/* The identities of the fixture, by index. */
enum {
    ORG,     /* main: org */
    USER,    /* main: sub */
    REALM,   /* main: realm.name */
    SESSION, /* cookie token: sub */
    TEAM,    /* header X-Team-Id from 10.0.0.0/8 */
    CRED,    /* the whole Authorization value */
    SID,     /* cookie sid */
    N_IDENTITIES,
};
#define BIT(i) (UINT32_C(1) << (i))

static const uint8_t hash_key[32] = {1, 2, 3};

static struct str realm_path[] = {{"realm", 5}, {"name", 4}};
static struct str org_path[] = {{"org", 3}};
static struct str sub_path[] = {{"sub", 3}};
static struct cidr ten;

static struct jwt_settings jwts[] = {
    {.name = {"main", 4}, .algs = JWT_HS256, .index = 0},
    {.name = {"web", 3}, .algs = JWT_HS256, .from_cookie = {"token", 5}, .index = 1},
};
static struct identity_settings identities[N_IDENTITIES] = {
    [ORG] = {.name = {"org", 3}, .jwt = &jwts[0], .claim = {org_path, 1}, .index = ORG},
    [USER] = {.name = {"user", 4}, .jwt = &jwts[0], .claim = {sub_path, 1}, .index = USER},
    [REALM] = {.name = {"realm", 5}, .jwt = &jwts[0], .claim = {realm_path, 2}, .index = REALM},
    [SESSION] = {.name = {"session", 7},
                 .jwt = &jwts[1],
                 .claim = {sub_path, 1},
                 .index = SESSION},
    [TEAM] = {.name = {"team", 4},
              .source = IDENTITY_HEADER,
              .header = {"x-team-id", 9},
              .trusted = {&ten, 1},
              .index = TEAM},
    [CRED] = {.name = {"cred", 4}, .source = IDENTITY_CREDENTIAL, .index = CRED},
    [SID] = {.name = {"sid", 3},
             .source = IDENTITY_CREDENTIAL,
             .cookie = {"sid", 3},
             .index = SID},
};
static struct settings settings = {
    .jwts = jwts, .n_jwts = 2, .identities = identities, .n_identities = N_IDENTITIES};
static struct identity_keys *keys;
static struct addr trusted_peer;
static struct addr other_peer;

static struct identity_keys *load(const struct settings *s)
{
    const char *error = "";
    struct identity_keys *k = identity_keys_new(s, &error);
    if (k == NULL) {
        fail_msg("%s", error);
    }
    return k;
}

static int start(void **state)
{
    (void)state;
    const char *why;
    setenv("no_proxy", "*", 1);
    log_setup(LOG_ERROR, false);
    field_table_init();
    assert_true(cidr_parse(STR("10.0.0.0/8"), &ten));
    assert_true(addr_parse(STR("10.1.2.3:4000"), &trusted_peer, &why));
    assert_true(addr_parse(STR("192.0.2.1:4000"), &other_peer, &why));
    jwts[0].secret = STR(TOKENS_SECRET);
    jwts[1].secret = STR(TOKENS_SECRET);
    keys = load(&settings);
    return 0;
}

static int end(void **state)
{
    (void)state;
    identity_keys_free(keys);
    return 0;
}

/* One request: "Name: value" lines, ended by NULL. */
struct request {
    struct arena arena;
    struct msg msg;
    struct identity_result result;
};

static void request_init(struct request *r, const char *const *lines)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena, NULL, 0);
    for (; *lines != NULL; lines++) {
        struct str line = arena_dup(&r->arena, str_from(*lines));
        size_t colon = str_index(line, ':');
        msg_add(&r->msg, &r->arena, str_make(line.p, colon),
                str_trim(str_skip(line, colon + 1)));
    }
}

static void resolve_with(struct request *r, struct identity_keys *k, const struct settings *s,
                         uint32_t mask, bool authenticated, const struct addr *peer, msec_t now)
{
    identity_resolve(k, s, mask, authenticated, &r->msg, peer, hash_key, now, &r->arena, NULL,
                     &r->result);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_LINES   ((const char *const[]){NULL})

/* Resolves `mask` for a request of these lines from an untrusted peer. */
static void resolve(struct request *r, uint32_t mask, const char *const *lines)
{
    request_init(r, lines);
    resolve_with(r, keys, &settings, mask, false, &other_peer, NOW);
}

static void request_fini(struct request *r)
{
    arena_reset(&r->arena);
}

static void is_known(const struct request *r, unsigned index, const char *value)
{
    assert_true(r->result.values[index].known);
    assert_true(str_eq(r->result.values[index].value, str_from(value)));
}

static void is_unknown(const struct request *r, unsigned index, enum reason reason)
{
    assert_false(r->result.values[index].known);
    assert_int_equal(r->result.missing, index);
    assert_int_equal(r->result.reason, reason);
}

/* The one identity `index` of a request with this line is unknown, for this reason. */
static void unknown_with(unsigned index, enum reason reason, const char *line)
{
    struct request r;
    resolve(&r, BIT(index), LINES(line));
    is_unknown(&r, index, reason);
    assert_int_equal(r.result.used_fields, 0);
    assert_true(!r.result.authenticated || reason == REASON_NO_IDENTITY);
    request_fini(&r);
}

static char *bearer(const char *payload)
{
    char *token = tokens_hs256(payload);
    char *line = tokens_printf("Authorization: Bearer %s", token);
    free(token);
    return line;
}

/* ---- tokens ----------------------------------------------------------------------------- */

static void test_claims(void **state)
{
    (void)state;
    struct request r;
    char *line = bearer("{" EXP ",\"org\":\"o:1\",\"sub\":42,\"realm\":{\"name\":\"r\"}}");
    resolve(&r, BIT(ORG) | BIT(USER) | BIT(REALM), LINES("Accept: */*", line));
    is_known(&r, ORG, "o:1");
    is_known(&r, USER, "42");
    is_known(&r, REALM, "r");
    assert_false(r.result.values[SESSION].known);
    assert_int_equal(r.result.reason, REASON_NONE);
    assert_true(r.result.authenticated);
    assert_int_equal(r.result.used_fields, IDENTITY_USED_AUTHORIZATION);
    request_fini(&r);

    /* Only what was asked for is resolved; nothing asked is nothing missing. */
    resolve(&r, BIT(USER), LINES(line));
    is_known(&r, USER, "42");
    assert_false(r.result.values[ORG].known);
    request_fini(&r);
    resolve(&r, 0, LINES(line));
    assert_int_equal(r.result.reason, REASON_NONE);
    assert_false(r.result.values[USER].known);
    request_fini(&r);
    free(line);
}

static void test_missing_claim(void **state)
{
    (void)state;
    struct request r;
    char *line = bearer("{" EXP ",\"sub\":\"u\",\"realm\":\"x\"}");
    for (int again = 0; again < 2; again++) { /* judged, then remembered */
        resolve(&r, BIT(ORG) | BIT(USER), LINES(line));
        is_known(&r, USER, "u");
        is_unknown(&r, ORG, REASON_NO_IDENTITY);
        request_fini(&r);
    }
    free(line);
    line = bearer("{" EXP ",\"org\":\"\"}");
    unknown_with(ORG, REASON_NO_IDENTITY, line);
    free(line);
    line = bearer("{" EXP ",\"org\":9007199254740993}");
    unknown_with(ORG, REASON_NO_IDENTITY, line);
    free(line);
}

static void test_authorization_forms(void **state)
{
    (void)state;
    char *token = tokens_hs256("{" EXP ",\"org\":\"o\"}");
    static const char *const good[] = {"bearer %s", "BEARER %s", "Bearer    %s"};
    for (size_t i = 0; i < 3; i++) {
        struct request r;
        size_t mark = str_index(str_from(good[i]), '%');
        char *line = tokens_printf("AUTHORIZATION: %.*s%s", (int)mark, good[i], token);
        resolve(&r, BIT(ORG), LINES(line));
        is_known(&r, ORG, "o");
        request_fini(&r);
        free(line);
    }
    const struct {
        char *line;
        enum reason reason;
    } bad[] = {
        {tokens_printf("Authorization: %s", token), REASON_NO_IDENTITY},
        {tokens_printf("Authorization: Basic %s", token), REASON_NO_IDENTITY},
        {tokens_printf("Authorization: Bearer%s", token), REASON_NO_IDENTITY},
        {tokens_printf("Authorization: Bearer\t%s", token), REASON_NO_IDENTITY},
        {tokens_printf("Authorization: Bearer"), REASON_BAD_IDENTITY},
        {tokens_printf("Authorization:"), REASON_NO_IDENTITY},
        {tokens_printf("Authorization: Bearer %s x", token), REASON_BAD_IDENTITY},
        {tokens_printf("Authorization: Bearer %s,", token), REASON_BAD_IDENTITY},
        {tokens_printf("Authorization: Bearer \"%s\"", token), REASON_BAD_IDENTITY},
        {tokens_printf("Authorization: Bearer \t%s", token), REASON_BAD_IDENTITY},
        {tokens_printf("Authorization: Bearer x.y.z"), REASON_BAD_IDENTITY},
        {tokens_printf("X-Authorization: Bearer %s", token), REASON_NO_IDENTITY},
        {tokens_printf("Cookie: token=%s", token), REASON_NO_IDENTITY},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unknown_with(ORG, bad[i].reason, bad[i].line);
        free(bad[i].line);
    }
    struct request r;
    resolve(&r, BIT(ORG), NO_LINES);
    is_unknown(&r, ORG, REASON_NO_IDENTITY);
    request_fini(&r);
    char *line = tokens_printf("Authorization: Bearer %s", token);
    resolve(&r, BIT(ORG), LINES(line, line));
    is_unknown(&r, ORG, REASON_BAD_IDENTITY);
    request_fini(&r);
    resolve(&r, BIT(ORG), LINES(line, "authorization: Basic eA=="));
    is_unknown(&r, ORG, REASON_BAD_IDENTITY);
    request_fini(&r);
    free(line);
    free(token);
}

static void test_refused_tokens(void **state)
{
    (void)state;
    char *long_text = xcalloc(JWT_MAX_TOKEN + 1, 1);
    memset(long_text, 'a', JWT_MAX_TOKEN);
    char *body = tokens_body("{\"alg\":\"HS256\"}", "{" EXP ",\"org\":\"o\"}");
    char *foreign =
        tokens_seal(body, "HS256", NULL, STR("another-secret-of-at-least-32-bytes"));
    char *bad[] = {
        bearer("{\"exp\":1799999999,\"org\":\"o\"}"),
        bearer("{\"org\":\"o\"}"),
        bearer("{" EXP ",\"nbf\":1800000100,\"org\":\"o\"}"),
        tokens_printf("Authorization: Bearer %s", foreign),
        tokens_printf("Authorization: Bearer %sb", long_text),
        tokens_printf("Authorization: Bearer eyJhbGciOiJub25lIn0.e30."),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unknown_with(ORG, REASON_BAD_IDENTITY, bad[i]);
        unknown_with(ORG, REASON_BAD_IDENTITY, bad[i]); /* as remembered */
        free(bad[i]);
    }
    free(foreign);
    free(long_text);
}

static void test_cookie_token(void **state)
{
    (void)state;
    struct request r;
    char *token = tokens_hs256("{" EXP ",\"sub\":\"s\"}");
    char *other = tokens_hs256("{" EXP ",\"sub\":\"t\"}");
    char *line = tokens_printf("Cookie: a=1; token=%s; b=2", token);
    resolve(&r, BIT(SESSION), LINES(line));
    is_known(&r, SESSION, "s");
    assert_int_equal(r.result.used_fields, IDENTITY_USED_COOKIE);
    request_fini(&r);
    char *second = tokens_printf("Cookie: token=%s", other);
    resolve(&r, BIT(SESSION), LINES(line, second));
    is_unknown(&r, SESSION, REASON_BAD_IDENTITY);
    request_fini(&r);
    free(line);
    free(second);
    unknown_with(SESSION, REASON_NO_IDENTITY, "Cookie: a=1");
    unknown_with(SESSION, REASON_NO_IDENTITY, "Cookie: token=");
    unknown_with(SESSION, REASON_BAD_IDENTITY, "Cookie: token=x");
    line = tokens_printf("Authorization: Bearer %s", token);
    unknown_with(SESSION, REASON_NO_IDENTITY, line);
    free(line);
    free(token);
    free(other);
}

/* ---- memory ----------------------------------------------------------------------------- */

/* A remembered token is still compared with the clock. */
static void test_time_goes_on(void **state)
{
    (void)state;
    char *line = bearer("{" EXP ",\"nbf\":1800000100,\"org\":\"o\"}");
    static const struct {
        msec_t now;
        bool valid;
    } moments[] = {
        {NOW, false},           {NOW + 99999, false},  {NOW + 100000, true},
        {NOW + 299999, true},   {NOW + 300000, false}, {NOW + 200000, true},
        {NOW + 9999999, false},
    };
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        struct request r;
        request_init(&r, LINES(line));
        resolve_with(&r, keys, &settings, BIT(ORG), false, &other_peer, moments[i].now);
        assert_int_equal(r.result.values[ORG].known, moments[i].valid);
        assert_int_equal(r.result.reason, moments[i].valid ? REASON_NONE : REASON_BAD_IDENTITY);
        request_fini(&r);
    }
    free(line);
}

/* A reload with another secret: what was good is not, what was not is. */
static void test_reload_forgets(void **state)
{
    (void)state;
    struct jwt_settings changed_jwts[2] = {jwts[0], jwts[1]};
    struct identity_settings changed_ids[N_IDENTITIES];
    memcpy(changed_ids, identities, sizeof(changed_ids));
    changed_ids[ORG].jwt = changed_ids[USER].jwt = changed_ids[REALM].jwt = &changed_jwts[0];
    changed_ids[SESSION].jwt = &changed_jwts[1];
    struct settings changed = settings;
    changed.jwts = changed_jwts;
    changed.identities = changed_ids;
    static const char next[] = "the-next-secret-of-more-than-32-bytes";
    changed_jwts[0].secret = str_from(next);

    char *old_line = bearer("{" EXP ",\"org\":\"o\"}");
    char *body = tokens_body("{\"alg\":\"HS256\"}", "{" EXP ",\"org\":\"o\"}");
    char *token = tokens_seal(body, "HS256", NULL, str_from(next));
    char *new_line = tokens_printf("Authorization: Bearer %s", token);
    struct request r;
    resolve(&r, BIT(ORG), LINES(old_line));
    is_known(&r, ORG, "o");
    request_fini(&r);
    unknown_with(ORG, REASON_BAD_IDENTITY, new_line);

    struct identity_keys *reloaded = load(&changed);
    request_init(&r, LINES(old_line));
    resolve_with(&r, reloaded, &changed, BIT(ORG), false, &other_peer, NOW);
    is_unknown(&r, ORG, REASON_BAD_IDENTITY);
    request_fini(&r);
    request_init(&r, LINES(new_line));
    resolve_with(&r, reloaded, &changed, BIT(ORG), false, &other_peer, NOW);
    is_known(&r, ORG, "o");
    request_fini(&r);
    identity_keys_free(reloaded);
    free(old_line);
    free(new_line);
    free(token);
}

/* A request's values are its own: other tokens may take the table's place meanwhile. */
static void test_values_outlive_the_table(void **state)
{
    (void)state;
    struct request first;
    char *line = bearer("{" EXP ",\"org\":\"first\"}");
    resolve(&first, BIT(ORG), LINES(line));
    request_fini(&first);
    resolve(&first, BIT(ORG), LINES(line)); /* from the table */
    for (int i = 0; i < 5000; i++) {
        char *payload = tokens_printf("{" EXP ",\"org\":\"org-%d\"}", i);
        char *other = bearer(payload);
        char *expected = tokens_printf("org-%d", i);
        struct request r;
        resolve(&r, BIT(ORG), LINES(other));
        is_known(&r, ORG, expected);
        request_fini(&r);
        free(expected);
        free(other);
        free(payload);
    }
    is_known(&first, ORG, "first");
    request_fini(&first);
    free(line);
}

static void *resolve_often(void *arg)
{
    const char *line = arg;
    for (int i = 0; i < 300; i++) {
        struct request r;
        resolve(&r, BIT(ORG) | BIT(USER), LINES(line));
        bool good = r.result.values[ORG].known && r.result.reason == REASON_NONE &&
                    str_eq(r.result.values[ORG].value, STR("o"));
        request_fini(&r);
        if (!good) {
            return arg;
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    char *line = bearer("{" EXP ",\"org\":\"o\",\"sub\":\"u\"}");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, resolve_often, line), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *wrong = line;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    free(line);
}

/* ---- header and credential identities --------------------------------------------------- */

static void header_is(const struct addr *peer, const char *const *lines, const char *value,
                      enum reason reason)
{
    struct request r;
    request_init(&r, lines);
    resolve_with(&r, keys, &settings, BIT(TEAM), false, peer, NOW);
    if (value != NULL) {
        is_known(&r, TEAM, value);
        assert_true(r.result.authenticated);
    } else {
        is_unknown(&r, TEAM, reason);
        assert_false(r.result.authenticated);
    }
    assert_int_equal(r.result.used_fields, 0);
    request_fini(&r);
}

static void test_header(void **state)
{
    (void)state;
    struct addr unset = {.len = 0};
    header_is(&trusted_peer, LINES("x-TEAM-id: t 1"), "t 1", REASON_NONE);
    header_is(&trusted_peer, LINES("X-Team-Id:"), NULL, REASON_NO_IDENTITY);
    header_is(&trusted_peer, LINES("X-Team: t"), NULL, REASON_NO_IDENTITY);
    header_is(&trusted_peer, LINES("X-Team-Id: a", "X-Team-Id: a"), NULL, REASON_BAD_IDENTITY);
    header_is(&trusted_peer, LINES("X-Team-Id:", "X-Team-Id: a"), NULL, REASON_BAD_IDENTITY);
    header_is(&other_peer, LINES("X-Team-Id: t"), NULL, REASON_NO_IDENTITY);
    header_is(&unset, LINES("X-Team-Id: t"), NULL, REASON_NO_IDENTITY);
    char *line = tokens_printf("X-Team-Id: %0300d", 1);
    header_is(&trusted_peer, LINES(line), NULL, REASON_BAD_IDENTITY);
    free(line);
}

/* The names that are left, joined with spaces. */
static void strips(const struct addr *peer, const char *const *lines, const char *left)
{
    struct request r;
    struct strbuf names = {0};
    request_init(&r, lines);
    identity_strip(&settings, &r.msg, peer);
    for (size_t i = 0; i < r.msg.n_fields; i++) {
        strbuf_addf(&names, "%s%.*s", i > 0 ? " " : "", STR_ARG(r.msg.fields[i].name));
    }
    assert_true(str_eq(strbuf_str(&names), str_from(left)));
    strbuf_free(&names);
    request_fini(&r);
}

static void test_strip(void **state)
{
    (void)state;
    const char *const *lines = LINES("A: 1", "X-Team-Id: t", "X_Team_Id: t", "x-team_ID: t",
                                     "X-Team-Ids: t", "X-TEAM-ID: u", "Z: 1");
    strips(&other_peer, lines, "A X-Team-Ids Z");
    strips(&trusted_peer, lines, "A X-Team-Id X-Team-Ids X-TEAM-ID Z");
    strips(&other_peer, NO_LINES, "");
}

static struct str credential_of(struct request *r, unsigned index, const char *const *lines)
{
    resolve(r, BIT(index), lines);
    assert_true(r->result.values[index].known);
    assert_int_equal(r->result.values[index].value.n, 32);
    assert_false(r->result.authenticated);
    return r->result.values[index].value;
}

static void test_credentials(void **state)
{
    (void)state;
    struct request a;
    struct request b;
    struct request c;
    struct str first = credential_of(&a, CRED, LINES("Authorization: Basic dTpw"));
    struct str same = credential_of(&b, CRED, LINES("authorization:   Basic dTpw"));
    struct str other = credential_of(&c, CRED, LINES("Authorization: Basic dTpx"));
    assert_true(str_eq(first, same));
    assert_false(str_eq(first, other));
    assert_int_equal(a.result.used_fields, IDENTITY_USED_AUTHORIZATION);
    request_fini(&b);
    request_fini(&c);
    struct str cookie = credential_of(&b, SID, LINES("Cookie: x=1; sid=Basic dTpw"));
    assert_false(str_eq(first, cookie)); /* the same secret under another name */
    assert_int_equal(b.result.used_fields, IDENTITY_USED_COOKIE);
    request_fini(&b);
    request_fini(&a);

    unknown_with(CRED, REASON_NO_IDENTITY, "Authorization:");
    unknown_with(CRED, REASON_NO_IDENTITY, "Cookie: sid=1");
    unknown_with(SID, REASON_NO_IDENTITY, "Cookie: sid=");
    unknown_with(SID, REASON_NO_IDENTITY, "Authorization: Basic dTpw");
    unknown_with(SID, REASON_BAD_IDENTITY, "Cookie: sid=1; sid=2");
    resolve(&a, BIT(CRED), LINES("Authorization: a", "Authorization: b"));
    is_unknown(&a, CRED, REASON_BAD_IDENTITY);
    request_fini(&a);
}

static void test_several_sources(void **state)
{
    (void)state;
    struct request r;
    char *token = tokens_hs256("{" EXP ",\"org\":\"o\",\"sub\":\"s\"}");
    char *authorization = tokens_printf("Authorization: Bearer %s", token);
    char *cookie = tokens_printf("Cookie: token=%s", token);
    request_init(&r, LINES(authorization, cookie, "X-Team-Id: t"));
    resolve_with(&r, keys, &settings, BIT(ORG) | BIT(SESSION) | BIT(TEAM) | BIT(CRED), false,
                 &trusted_peer, NOW);
    is_known(&r, ORG, "o");
    is_known(&r, SESSION, "s");
    is_known(&r, TEAM, "t");
    assert_true(r.result.values[CRED].known);
    assert_int_equal(r.result.used_fields, IDENTITY_USED_AUTHORIZATION | IDENTITY_USED_COOKIE);
    request_fini(&r);

    /* The first that is missing is named, whatever the order of resolving. */
    resolve(&r, BIT(SESSION) | BIT(TEAM) | BIT(CRED) | BIT(USER), LINES(authorization));
    is_unknown(&r, SESSION, REASON_NO_IDENTITY);
    is_known(&r, USER, "s");
    request_fini(&r);
    free(token);
    free(authorization);
    free(cookie);
}

/* ---- authenticated ---------------------------------------------------------------------- */

static void authenticated_is(const char *const *lines, const struct addr *peer, uint32_t mask,
                             enum reason reason, uint32_t used)
{
    struct request r;
    request_init(&r, lines);
    resolve_with(&r, keys, &settings, mask, true, peer, NOW);
    assert_int_equal(r.result.reason, reason);
    assert_int_equal(r.result.authenticated, reason == REASON_NONE);
    assert_int_equal(r.result.used_fields, used);
    assert_int_equal(r.result.missing, N_IDENTITIES);
    request_fini(&r);
}

static void test_authenticated(void **state)
{
    (void)state;
    char *line = bearer("{" EXP "}");
    char *expired = bearer("{\"exp\":1}");
    char *cookie = tokens_printf("Cookie: token=%s", strrchr(line, ' ') + 1);
    const struct addr *out = &other_peer;
    const uint32_t authorization = IDENTITY_USED_AUTHORIZATION;
    authenticated_is(LINES(line), out, 0, REASON_NONE, authorization);
    authenticated_is(LINES(cookie), out, 0, REASON_NONE, IDENTITY_USED_COOKIE);
    authenticated_is(LINES(expired, cookie), out, 0, REASON_NONE, IDENTITY_USED_COOKIE);
    authenticated_is(LINES("X-Team-Id: t"), &trusted_peer, 0, REASON_NONE, 0);
    authenticated_is(LINES("X-Team-Id: t"), &trusted_peer, BIT(TEAM), REASON_NONE, 0);
    authenticated_is(LINES("X-Team-Id: t"), out, 0, REASON_NO_IDENTITY, 0);
    authenticated_is(NO_LINES, out, 0, REASON_NO_IDENTITY, 0);
    authenticated_is(LINES("Authorization: Basic dTpw"), out, 0, REASON_NO_IDENTITY, 0);
    authenticated_is(LINES("Cookie: sid=1"), out, 0, REASON_NO_IDENTITY, 0);
    authenticated_is(LINES(expired), out, 0, REASON_BAD_IDENTITY, 0);
    /* A credential is a key, not a proof; the token beside it is one. */
    authenticated_is(LINES("Authorization: Basic dTpw"), out, BIT(CRED), REASON_NO_IDENTITY,
                     authorization);
    authenticated_is(LINES("Authorization: Basic dTpw", cookie), out, BIT(CRED), REASON_NONE,
                     authorization | IDENTITY_USED_COOKIE);
    free(line);
    free(expired);
    free(cookie);
}

/* ---- JWK sets --------------------------------------------------------------------------- */

/* Answers one request with a set of one key, then refuses connections. */
struct origin {
    int fd;
    unsigned port;
    char *answer;
};

static void *answer_once(void *arg)
{
    struct origin *o = arg;
    char head[2048];
    int fd = accept(o->fd, NULL, NULL);
    ssize_t got = recv(fd, head, sizeof(head), 0);
    ssize_t sent = got > 0 ? send(fd, o->answer, strlen(o->answer), MSG_NOSIGNAL) : -1;
    close(fd);
    return sent > 0 ? NULL : arg;
}

static void origin_init(struct origin *o, EVP_PKEY *ec)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    o->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(o->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(o->fd, 8), 0);
    assert_int_equal(getsockname(o->fd, (struct sockaddr *)&a, &n), 0);
    o->port = ntohs(a.sin_port);
    char *jwk = tokens_jwk(ec, "\"kid\":\"k1\",");
    o->answer = tokens_printf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n"
                              "\r\n{\"keys\":[%s]}",
                              strlen(jwk) + 11, jwk);
    free(jwk);
}

static char *es256_bearer(const char *header, EVP_PKEY *ec)
{
    char *token = tokens_make(header, "{" EXP ",\"org\":\"o\"}", "ES256", ec);
    char *line = tokens_printf("Authorization: Bearer %s", token);
    free(token);
    return line;
}

static void reason_is(struct identity_keys *k, const struct settings *s, const char *line,
                      enum reason reason)
{
    struct request r;
    request_init(&r, LINES(line));
    resolve_with(&r, k, s, BIT(0), false, &other_peer, NOW);
    assert_int_equal(r.result.reason, reason);
    assert_int_equal(r.result.values[0].known, reason == REASON_NONE);
    request_fini(&r);
}

static enum reason reason_of(struct identity_keys *k, const struct settings *s,
                             const char *line)
{
    struct request r;
    request_init(&r, LINES(line));
    resolve_with(&r, k, s, BIT(0), false, &other_peer, NOW);
    request_fini(&r);
    return r.result.reason;
}

static void test_key_set_url(void **state)
{
    (void)state;
    EVP_PKEY *ec = tokens_ec("P-256");
    struct origin o;
    pthread_t thread;
    origin_init(&o, ec);
    char *url = tokens_printf("http://127.0.0.1:%u/", o.port);
    struct jwt_settings jwt = {.name = STR("j"), .algs = JWT_ES256, .jwks = str_from(url)};
    struct identity_settings id = {.name = STR("org"), .jwt = &jwt, .claim = {org_path, 1}};
    struct settings s = {.jwts = &jwt, .n_jwts = 1, .identities = &id, .n_identities = 1};
    char *named = es256_bearer("{\"alg\":\"ES256\",\"kid\":\"k1\"}", ec);
    char *unknown = es256_bearer("{\"alg\":\"ES256\",\"kid\":\"k2\"}", ec);

    /* The server listens but does not answer yet. */
    struct identity_keys *k = load(&s);
    reason_is(k, &s, named, REASON_IDENTITY_KEYS);
    reason_is(k, &s, "Accept: */*", REASON_NO_IDENTITY);
    assert_int_equal(pthread_create(&thread, NULL, answer_once, &o), 0);
    for (int i = 0; reason_of(k, &s, named) != REASON_NONE; i++) {
        assert_true(i < 10000);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    void *failed = &o;
    pthread_join(thread, &failed);
    assert_null(failed);
    reason_is(k, &s, unknown, REASON_IDENTITY_KEYS);
    reason_is(k, &s, "Authorization: Bearer a.b.c", REASON_BAD_IDENTITY);

    /* A reload takes the keys along, though nobody answers any more. */
    struct identity_keys *next = load(&s);
    identity_keys_adopt(next, k);
    identity_keys_free(k);
    reason_is(next, &s, named, REASON_NONE);
    identity_keys_free(next);
    close(o.fd);
    free(o.answer);
    free(named);
    free(unknown);
    free(url);
    EVP_PKEY_free(ec);
}

/* With local keys nothing can come that would know the kid. */
static void test_unknown_kid_of_a_file(void **state)
{
    (void)state;
    EVP_PKEY *ec = tokens_ec("P-256");
    char *jwk = tokens_jwk(ec, "\"kid\":\"k1\",");
    char path[] = "/tmp/larder-test-identity-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, jwk, strlen(jwk)), (ssize_t)strlen(jwk));
    close(fd);
    struct jwt_settings jwt = {.name = STR("j"), .algs = JWT_ES256, .jwks = str_from(path)};
    struct identity_settings id = {.name = STR("org"), .jwt = &jwt, .claim = {org_path, 1}};
    struct settings s = {.jwts = &jwt, .n_jwts = 1, .identities = &id, .n_identities = 1};
    struct identity_keys *k = load(&s);
    unlink(path);
    char *named = es256_bearer("{\"alg\":\"ES256\",\"kid\":\"k1\"}", ec);
    char *unknown = es256_bearer("{\"alg\":\"ES256\",\"kid\":\"k2\"}", ec);
    reason_is(k, &s, named, REASON_NONE);
    reason_is(k, &s, unknown, REASON_BAD_IDENTITY);
    identity_keys_free(k);

    const char *error = NULL;
    assert_null(identity_keys_new(&s, &error));
    assert_non_null(strstr(error, path));
    identity_keys_free(NULL);
    free(named);
    free(unknown);
    free(jwk);
    EVP_PKEY_free(ec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_missing_claim),
        cmocka_unit_test(test_authorization_forms),
        cmocka_unit_test(test_refused_tokens),
        cmocka_unit_test(test_cookie_token),
        cmocka_unit_test(test_time_goes_on),
        cmocka_unit_test(test_reload_forgets),
        cmocka_unit_test(test_values_outlive_the_table),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_strip),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_several_sources),
        cmocka_unit_test(test_authenticated),
        cmocka_unit_test(test_key_set_url),
        cmocka_unit_test(test_unknown_kid_of_a_file),
    };
    return cmocka_run_group_tests(tests, start, end);
}
