/*
 * Setters of who a request is from: jwt, identity, hash_key. Secrets are read here, once, and
 * never quoted.
 */
#include "config/build.h"

#define MIN_JWT_SECRET 32 /* bytes; HS256's own size (RFC 7518 section 3.2) */
#define MIN_HASH_KEY   16

static const struct {
    const char *name;
    enum jwt_alg alg;
} algorithms[] = {
    {"HS256", JWT_HS256}, {"HS384", JWT_HS384}, {"HS512", JWT_HS512}, {"RS256", JWT_RS256},
    {"PS256", JWT_PS256}, {"ES256", JWT_ES256}, {"EdDSA", JWT_EDDSA},
};

#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))
#define ALGS_HMAC    ((unsigned)(JWT_HS256 | JWT_HS384 | JWT_HS512))
#define ALGS_RSA     ((unsigned)(JWT_RS256 | JWT_PS256))

bool conf_secret_file(struct conf_build *b, const struct conf_arg *arg, struct str *out)
{
    const char *why = conf_file_read(arg->value.p, CONF_MAX_SECRET, false, b->keep, out, NULL);

    if (why != NULL) {
        conf_error(b->d, arg->at, "cannot read this file: %s", why);
        return false;
    }
    if (out->n > 0 && out->p[out->n - 1] == '\n') {
        out->n--;
    }
    if (out->n > 0 && out->p[out->n - 1] == '\r') {
        out->n--;
    }
    if (out->n == 0) {
        conf_error(b->d, arg->at, "this file is empty");
    }
    return out->n > 0;
}

static void check_readable(struct conf_build *b, const struct conf_arg *arg)
{
    const char *why = arg->value.n > 0 ? conf_file_check(arg->value.p) : NULL;

    if (why != NULL) {
        conf_error(b->d, arg->at, "cannot read this file: %s", why);
    }
}

/* ---- jwt -------------------------------------------------------------------------------- */

static void unknown_algorithm(struct conf_build *b, const struct conf_arg *arg, struct str name)
{
    struct suggest nearest;

    if (str_ieq(name, STR("none"))) {
        conf_error(b->d, arg->at, "`none` is no signature: such tokens are never accepted");
        return;
    }
    conf_error(b->d, arg->at, "unknown algorithm in `%.*s`", STR_ARG(conf_clip(arg->raw)));
    suggest_init(&nearest, name);
    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        suggest_offer(&nearest, str_from(algorithms[i].name));
    }
    conf_hint_nearest(b->d, &nearest);
}

static unsigned parse_algs(struct conf_build *b, const struct conf_arg *arg)
{
    struct str rest = arg->value;
    struct str name;
    unsigned mask = 0;

    while (str_next(&rest, ',', &name)) {
        size_t i = 0;

        while (i < N_ALGORITHMS && !str_eq(name, str_from(algorithms[i].name))) {
            i++;
        }
        if (i == N_ALGORITHMS) {
            unknown_algorithm(b, arg, name);
            return 0;
        }
        mask |= (unsigned)algorithms[i].alg;
    }
    return mask;
}

/* The one option that brings the key; NULL with a message when there is none or several. */
static const struct conf_arg *key_source(struct conf_build *b, const struct conf_stmt *s)
{
    static const char *const names[] = {"secret", "secret_file", "key_file", "jwks"};
    const struct conf_arg *found = NULL;

    for (size_t i = 0; i < 4; i++) {
        const struct conf_arg *arg = conf_opt(s, names[i]);

        if (arg != NULL && found != NULL) {
            conf_error(b->d, arg->at,
                       "one key is enough: secret, secret_file, key_file or jwks");
            return NULL;
        }
        found = arg != NULL ? arg : found;
    }
    if (found == NULL) {
        conf_error(b->d, s->at, "`jwt` needs secret=, secret_file=, key_file= or jwks=");
    }
    return found;
}

/* Algorithms are bound to the kind of key, so that no token can choose (RFC 8725 3.1). */
static bool check_key_kind(struct conf_build *b, const struct conf_arg *key, unsigned algs)
{
    bool secret = str_starts(key->name, STR("secret"));
    unsigned hmac = algs & ALGS_HMAC;

    if (hmac != 0 && hmac != algs) {
        conf_error(b->d, key->at,
                   "HS* and public-key algorithms do not go together: with both, "
                   "a public key could pass for a secret");
        return false;
    }
    if (hmac != 0 && !secret) {
        conf_error(b->d, key->at, "HS* is signed with a secret: use secret= or secret_file=");
        return false;
    }
    if (hmac == 0 && secret) {
        conf_error(b->d, key->at,
                   "this algorithm is verified with a public key: use key_file= or "
                   "jwks=");
        return false;
    }
    bool one_family = (algs & ~ALGS_RSA) == 0 || (algs & (algs - 1)) == 0;
    if (str_eq(key->name, STR("key_file")) && !one_family) {
        conf_error(b->d, key->at, "one key cannot serve algorithms of different families");
        return false;
    }
    return true;
}

static void load_key(struct conf_build *b, const struct conf_arg *key, struct jwt_settings *j)
{
    if (key->value.n == 0) {
        return; /* reported with the options */
    }
    if (str_eq(key->name, STR("key_file"))) {
        check_readable(b, key);
    } else if (str_eq(key->name, STR("jwks"))) {
        bool url =
            str_starts(key->value, STR("https://")) || str_starts(key->value, STR("http://"));
        if (!url) {
            check_readable(b, key);
        }
    } else {
        j->secret = key->value;
        bool read = str_eq(key->name, STR("secret")) || conf_secret_file(b, key, &j->secret);
        if (read && j->secret.n < MIN_JWT_SECRET) {
            conf_error(b->d, key->at, "the secret has %zu bytes; HS* needs at least %d",
                       j->secret.n, MIN_JWT_SECRET);
        }
    }
}

static void parse_from(struct conf_build *b, const struct conf_arg *arg, struct jwt_settings *j)
{
    if (arg == NULL || str_eq(arg->value, STR("bearer"))) {
        return;
    }
    struct str name = str_skip(arg->value, 7);
    if (!str_starts(arg->value, STR("cookie:")) || !conf_is_token(name)) {
        conf_error(b->d, arg->at, "from=bearer or from=cookie:NAME is expected");
        return;
    }
    j->from_cookie = name;
}

void set_jwt(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    struct jwt_settings *j = &out->jwts[out->n_jwts];
    const struct conf_arg *alg = conf_opt(s, "alg");

    if (!conf_check_name(b, &s->args[0], "a jwt")) {
        return;
    }
    *j = (struct jwt_settings){.name = s->args[0].text, .index = (unsigned)out->n_jwts};
    for (size_t i = 0; i < out->n_jwts; i++) {
        if (str_eq(out->jwts[i].name, j->name)) {
            conf_error(b->d, s->args[0].at, "the jwt `%.*s` is defined twice",
                       STR_ARG(conf_clip(s->args[0].raw)));
            return;
        }
    }
    conf_options_initial(DIR_jwt, j);
    conf_options_given(b, s, j);
    const struct conf_arg *key = key_source(b, s);
    if (alg == NULL) {
        conf_error(b->d, s->at, "`jwt` needs alg=: the algorithms that are allowed");
    } else {
        j->algs = parse_algs(b, alg);
    }
    if (key != NULL && j->algs != 0 && check_key_kind(b, key, j->algs)) {
        load_key(b, key, j);
    }
    parse_from(b, conf_opt(s, "from"), j);
    out->n_jwts++;
}

/* ---- identity --------------------------------------------------------------------------- */

static const struct jwt_settings *find_jwt(struct conf_build *b, const struct conf_arg *arg)
{
    struct suggest nearest;

    suggest_init(&nearest, arg->value);
    for (size_t i = 0; i < b->s->n_jwts; i++) {
        if (str_eq(b->s->jwts[i].name, arg->value)) {
            return &b->s->jwts[i];
        }
        suggest_offer(&nearest, b->s->jwts[i].name);
    }
    if (!conf_is_broken(b, DIR_jwt, arg->value)) {
        conf_error(b->d, arg->at, "no jwt of this name is defined");
        conf_hint_nearest(b->d, &nearest);
    }
    return NULL;
}

static void parse_claim(struct conf_build *b, const struct conf_arg *arg,
                        struct identity_settings *id)
{
    struct str rest = arg->value;
    struct str name;
    size_t n = 1;

    for (size_t i = 0; i < rest.n; i++) {
        n += rest.p[i] == '.';
    }
    /* A claim that is itself a URL ("https://example.com/org") is one name. */
    if (memmem(rest.p, rest.n, "://", 3) != NULL) {
        *conf_list_extend(b->keep, &id->claim, 1) = rest;
        return;
    }
    struct str *to = conf_list_extend(b->keep, &id->claim, n);
    while (str_next(&rest, '.', &name)) {
        if (name.n == 0) {
            conf_error(b->d, arg->at, "a claim is a name or a path of names, like realm.org");
            return;
        }
        *to++ = name;
    }
}

static void parse_jwt_identity(struct conf_build *b, const struct conf_stmt *s,
                               struct identity_settings *id)
{
    const struct conf_arg *jwt = conf_opt(s, "jwt");
    const struct conf_arg *claim = conf_opt(s, "claim");

    id->source = IDENTITY_JWT;
    if (jwt == NULL || claim == NULL) {
        conf_error(b->d, s->at, "an identity from a token needs jwt=NAME and claim=PATH");
        return;
    }
    id->jwt = find_jwt(b, jwt);
    if (claim->value.n > 0) {
        parse_claim(b, claim, id);
    }
}

static void parse_header_identity(struct conf_build *b, const struct conf_stmt *s,
                                  struct identity_settings *id)
{
    const struct conf_arg *header = conf_opt(s, "header");
    bool trusted = false;

    id->source = IDENTITY_HEADER;
    id->header = conf_lower(b->keep, header->value);
    if (!conf_is_token(id->header)) {
        conf_error(b->d, header->at, "a header name is expected");
    } else if (str_eq(id->header, STR("authorization")) || str_eq(id->header, STR("cookie"))) {
        conf_error(b->d, header->at, "a credential is not an identity that a peer may set");
        conf_hint(b->d, "write `identity NAME credential`, or use a jwt");
    }
    for (size_t i = 0; i < s->n_opts; i++) {
        if (str_eq(s->opts[i].name, STR("trusted"))) {
            trusted = true;
            conf_cidrs(b, &s->opts[i], 1, &id->trusted);
        }
    }
    if (!trusted) {
        conf_error(b->d, s->at, "an identity from a header needs trusted=CIDR");
        conf_hint(b->d, "without it any client could write the header and read the entries of "
                        "another");
    } else if (conf_cidrs_open(&id->trusted)) {
        conf_warn(b->d, conf_opt(s, "trusted")->at,
                  "everybody is trusted: any client can claim any identity");
    }
}

/* Options that belong to another form of `identity` than the one written. */
static void refuse_options(struct conf_build *b, const struct conf_stmt *s, const char *form,
                           const char *first, const char *second)
{
    for (size_t i = 0; i < s->n_opts; i++) {
        if (!str_eq(s->opts[i].name, str_from(first)) &&
            !str_eq(s->opts[i].name, str_from(second))) {
            conf_error(b->d, s->opts[i].at, "`%.*s=` does not go with an identity from a %s",
                       STR_ARG(s->opts[i].name), form);
        }
    }
}

static void parse_identity(struct conf_build *b, const struct conf_stmt *s,
                           struct identity_settings *id)
{
    static const char *const words[] = {"credential"};

    if (s->n_args == 2) {
        const struct conf_arg *cookie = conf_opt(s, "cookie");

        id->source = IDENTITY_CREDENTIAL;
        (void)conf_choice(b, &s->args[1], words, 1);
        refuse_options(b, s, "credential", "cookie", "cookie");
        id->cookie = cookie != NULL ? cookie->value : STR_NULL;
        if (cookie != NULL && !conf_is_token(id->cookie)) {
            conf_error(b->d, cookie->at, "a cookie name is expected");
        }
    } else if (conf_opt(s, "header") != NULL) {
        refuse_options(b, s, "header", "header", "trusted");
        parse_header_identity(b, s, id);
    } else if (conf_opt(s, "jwt") != NULL || conf_opt(s, "claim") != NULL) {
        refuse_options(b, s, "token", "jwt", "claim");
        parse_jwt_identity(b, s, id);
    } else {
        conf_error(b->d, s->at, "`identity` does not say where the identity comes from");
        conf_hint(b->d, "usage: identity %s", s->is->form);
    }
}

/* Names of identities are placeholders, so they follow the rules of path parameters. */
static bool check_identity_name(struct conf_build *b, const struct conf_arg *arg)
{
    if (!conf_is_placeholder_name(arg->text)) {
        conf_error(b->d, arg->at, "the name of an identity has letters, digits, _ and -");
        return false;
    }
    if (conf_is_reserved(arg->text) || str_eq(arg->text, STR("public")) ||
        str_eq(arg->text, STR("authenticated"))) {
        conf_error(b->d, arg->at, "`%.*s` is a reserved word and cannot name an identity",
                   STR_ARG(conf_clip(arg->raw)));
        return false;
    }
    return true;
}

void set_identity(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    struct identity_settings *id = &out->identities[out->n_identities];

    if (!check_identity_name(b, &s->args[0])) {
        return;
    }
    for (size_t i = 0; i < out->n_identities; i++) {
        if (str_eq(out->identities[i].name, s->args[0].text)) {
            conf_error(b->d, s->args[0].at, "the identity `%.*s` is defined twice",
                       STR_ARG(conf_clip(s->args[0].raw)));
            return;
        }
    }
    if (out->n_identities == SETTINGS_MAX_IDENTITIES) {
        conf_error(b->d, s->at, "more than %d identities", SETTINGS_MAX_IDENTITIES);
        return;
    }
    *id = (struct identity_settings){
        .name = s->args[0].text,
        .index = (unsigned)out->n_identities,
    };
    conf_options_given(b, s, NULL);
    parse_identity(b, s, id);
    out->n_identities++;
}

/* ---- hash_key --------------------------------------------------------------------------- */

void set_hash_key(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    const struct conf_arg *value = conf_opt(s, "value");
    const struct conf_arg *file = conf_opt(s, "file");

    conf_options_given(b, s, NULL);
    if ((value == NULL) == (file == NULL)) {
        conf_error(b->d, s->at, "`hash_key` needs value= or file=, and not both");
        return;
    }
    if (value != NULL) {
        out->hash_key = value->value;
    } else if (file->value.n == 0 || !conf_secret_file(b, file, &out->hash_key)) {
        return;
    }
    if (out->hash_key.n < MIN_HASH_KEY) {
        conf_error(b->d, (value != NULL ? value : file)->at,
                   "the key has %zu bytes; at least %d are needed", out->hash_key.n,
                   MIN_HASH_KEY);
    }
}
