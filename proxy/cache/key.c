/*
 * Names from templates. One function writes one part; what it could not resolve is a mark in a
 * key (~a), a refusal where an identity is unknown, and "*" in a glob. Everything is written in
 * one pass into one text of the request's arena.
 *
 * A name is injective in its values as long as the template keeps something outside
 * [A-Za-z0-9._%~-] between two placeholders, which config checks.
 */
#include "cache/key.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "cache/key_text.h"
#include "http/media_type.h"

#define NAME_ROOM  192 /* holds most names without growing */
#define HASH_BYTES 16  /* of a SHA-256, in hashes that stand in names */

enum resolved {
    RESOLVED, /* the value was written */
    ABSENT,   /* the request does not have it */
    UNKNOWN,  /* an identity that nobody proved */
};

static struct str hex_text(const uint8_t *bytes, size_t n, struct arena *a)
{
    static const char digits[] = "0123456789abcdef";
    char *out = arena_alloc(a, n * 2);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    return str_make(out, n * 2);
}

struct str key_hash(const uint8_t hash_key[32], struct str label, struct str secret,
                    struct arena *a)
{
    struct key_text input;
    key_text_init(&input, a, label.n + 1 + secret.n);
    key_text_add(&input, label);
    key_text_add(&input, str_make("", 1)); /* NUL ends the label */
    key_text_add(&input, secret);
    uint8_t mac[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    HMAC(EVP_sha256(), hash_key, 32, (const unsigned char *)input.p, input.n, mac, &n);
    return hex_text(mac, HASH_BYTES, a);
}

struct str key_body(const struct msg *request, struct str body, struct arena *a)
{
    static const enum field_id fields[] = {FIELD_CONTENT_ENCODING, FIELD_CONTENT_LANGUAGE};
    struct strbuf text = {0};
    strbuf_reserve(&text, body.n + 128);
    media_type_canonical(msg_get(request, FIELD_CONTENT_TYPE), &text);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        strbuf_add_char(&text, '\0'); /* no field value holds one */
        strbuf_add_str(&text, msg_joined(request, fields[i], a));
    }
    strbuf_add_char(&text, '\0');
    strbuf_add_str(&text, body);
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text.p, text.n, digest);
    strbuf_free(&text);
    return hex_text(digest, HASH_BYTES, a);
}

struct str key_variant(struct str name, struct str variant, struct arena *a)
{
    /* A cryptographic hash: the values come from clients, who must not find two that collide.
     */
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)(variant.n > 0 ? variant.p : ""), variant.n, digest);
    struct key_text t;
    key_text_init(&t, a, name.n + 1 + 2 * HASH_BYTES);
    key_text_add(&t, name);
    key_text_add(&t, STR("#"));
    key_text_add(&t, hex_text(digest, HASH_BYTES, a));
    return key_text_str(&t);
}

/* Fields whose value opens a door: only their keyed hash may be read in Redis or a log. */
static bool is_credential(struct str field)
{
    static const char *const names[] = {
        "authorization", "cookie",       "proxy-authorization",
        "x-api-key",     "x-auth-token", "x-access-token",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_ieq(field, str_from(names[i]))) {
            return true;
        }
    }
    return false;
}

static enum resolved add_secret(const struct key_context *kc, struct str kind, struct str name,
                                struct str secret, struct key_text *t)
{
    struct key_text label;
    key_text_init(&label, t->arena, kind.n + name.n);
    key_text_add(&label, kind);
    key_text_add(&label, name);
    key_text_add(t, key_hash(kc->hash_key, key_text_str(&label), secret, t->arena));
    return RESOLVED;
}

static enum resolved add_header(const struct key_context *kc, struct str name,
                                struct key_text *t)
{
    struct str value = msg_joined_name(kc->request, name, t->arena);
    if (value.p == NULL) {
        return ABSENT;
    }
    if (is_credential(name)) {
        return add_secret(kc, STR("header:"), name, value, t);
    }
    key_text_add_value(t, value);
    return RESOLVED;
}

static enum resolved add_cookie(const struct key_context *kc, struct str name,
                                struct key_text *t)
{
    bool ambiguous = false;
    struct str value = msg_cookie(kc->request, name, &ambiguous);
    if (ambiguous) {
        /* Sent twice with different values: which one counts is the backend's choice, so all
         * cookies together decide. */
        struct str all = msg_joined(kc->request, FIELD_COOKIE, t->arena);
        return add_secret(kc, STR("cookies:"), name, all, t);
    }
    if (value.p == NULL) {
        return ABSENT;
    }
    return add_secret(kc, STR("cookie:"), name, value, t);
}

static enum resolved add_query_value(const struct key_context *kc, struct str name,
                                     struct key_text *t)
{
    struct str value;
    if (!key_query_value(kc->target->query, name, t->arena, &value)) {
        return ABSENT;
    }
    key_text_add(t, value);
    return RESOLVED;
}

static enum resolved add_identity(const struct key_context *kc, unsigned index,
                                  struct key_text *t)
{
    /* An empty identity is an unknown one: it must never be shared (design D6). */
    const struct identity_value *v = kc->identities != NULL ? &kc->identities[index] : NULL;
    if (v == NULL || !v->known || v->value.n == 0) {
        return UNKNOWN;
    }
    key_text_add_value(t, v->value);
    return RESOLVED;
}

static enum resolved add_param(const struct str *params, unsigned index, struct key_text *t)
{
    if (index >= SETTINGS_MAX_PARAMS || params[index].p == NULL) {
        return ABSENT;
    }
    key_text_add_recoded_value(t, params[index]);
    return RESOLVED;
}

/* Text or an empty mark, for values that are encoded already. */
static enum resolved add_encoded(struct str text, struct key_text *t)
{
    key_text_add(t, text.n > 0 ? text : KEY_EMPTY);
    return RESOLVED;
}

/* q == NULL: a glob, where what belongs to the write itself stays open. */
static enum resolved add_part(const struct key_context *kc, const struct key_query *q,
                              const struct key_part *part, struct key_text *t)
{
    switch (part->kind) {
    case KEY_LITERAL: key_text_add(t, part->text); return RESOLVED;
    case KEY_IDENTITY: return add_identity(kc, part->index, t);
    case KEY_PARAM: return add_param(kc->params, part->index, t);
    case KEY_QUERY: return q != NULL ? add_encoded(q->canonical, t) : ABSENT;
    case KEY_PATH: key_text_add_path(t, kc->target->path); return RESOLVED;
    case KEY_METHOD:
        if (q == NULL) {
            return ABSENT;
        }
        /* HEAD is answered from GET's entry (RFC 9110 9.3.2). */
        key_text_add_value(t, kc->request->method == METHOD_HEAD ? STR("GET")
                                                                 : kc->request->method_name);
        return RESOLVED;
    case KEY_BODY: return q != NULL ? add_encoded(kc->body_hash, t) : ABSENT;
    case KEY_QUERY_NAME: return add_query_value(kc, part->text, t);
    case KEY_HEADER: return add_header(kc, part->text, t);
    case KEY_COOKIE: return add_cookie(kc, part->text, t);
    }
    return UNKNOWN; /* a kind that this version does not know must not be cached */
}

bool key_render_template(const struct key_context *kc, const struct key_query *q,
                         const struct key_template *template, struct arena *a, struct str *text)
{
    struct key_text t;
    key_text_init(&t, a, NAME_ROOM);
    for (size_t i = 0; i < template->n; i++) {
        enum resolved r = add_part(kc, q, &template->parts[i], &t);
        if (r == UNKNOWN) {
            return false;
        }
        if (r == ABSENT) {
            key_text_add(&t, KEY_ABSENT);
        }
    }
    *text = key_text_str(&t);
    return true;
}

bool key_render(const struct key_context *kc, const struct key_query *q, struct arena *a,
                struct str *name)
{
    return key_render_template(kc, q, &kc->route->key, a, name);
}

/* ---- globs ------------------------------------------------------------------------------- */

static void add_star(struct key_text *t)
{
    if (t->n == 0 || t->p[t->n - 1] != '*' || (t->n > 1 && t->p[t->n - 2] == '\\')) {
        key_text_add(t, STR("*"));
    }
}

/* A literal that shall mean itself. */
static void add_glob_literal(struct key_text *t, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (memchr("*?[]\\^", s.p[i], 6) != NULL) {
            key_text_add(t, STR("\\"));
        }
        key_text_add(t, str_make(s.p + i, 1));
    }
}

struct str key_render_glob(const struct key_context *kc, const struct key_template *template,
                           struct arena *a, bool *widened)
{
    struct key_text t;
    key_text_init(&t, a, NAME_ROOM);
    for (size_t i = 0; i < template->n; i++) {
        if (add_part(kc, NULL, &template->parts[i], &t) != RESOLVED) {
            add_star(&t);
            *widened = true;
        }
    }
    return key_text_str(&t);
}

static void add_glob_param(struct key_text *t, const struct str *params, unsigned index)
{
    if (add_param(params, index, t) != RESOLVED) {
        add_star(t);
    }
}

static void add_glob_rest(struct key_text *t, struct str rest)
{
    if (rest.p != NULL) {
        key_text_add_path(t, rest);
    } else {
        add_star(t);
    }
}

/* The paths that the route matches with these parameters. */
static void add_glob_path(struct key_text *t, const struct route_settings *route,
                          const struct str *params, struct str rest)
{
    unsigned param = 0;
    if (route->n_segments == 0) {
        key_text_add(t, STR("/"));
    }
    for (size_t i = 0; i < route->n_segments; i++) {
        const struct path_segment *segment = &route->segments[i];
        key_text_add(t, STR("/"));
        switch (segment->kind) {
        case SEGMENT_LITERAL: key_text_add_recoded(t, segment->text, false); break;
        case SEGMENT_PARAM: add_glob_param(t, params, param++); break;
        case SEGMENT_REST: add_glob_rest(t, rest); break;
        }
    }
}

struct str key_route_glob(const struct route_settings *route, const struct str *params,
                          struct str rest, struct arena *a)
{
    struct key_text t;
    key_text_init(&t, a, NAME_ROOM);
    for (size_t i = 0; i < route->key.n; i++) {
        const struct key_part *part = &route->key.parts[i];
        switch (part->kind) {
        case KEY_LITERAL: add_glob_literal(&t, part->text); break;
        case KEY_PARAM: add_glob_param(&t, params, part->index); break;
        case KEY_PATH: add_glob_path(&t, route, params, rest); break;
        default: add_star(&t); break;
        }
    }
    return key_text_str(&t);
}

bool key_holds_rest(const struct route_settings *route)
{
    size_t n = route->n_segments;
    bool holds = false;
    for (size_t i = 0; i < route->key.n; i++) {
        holds = holds || route->key.parts[i].kind == KEY_PATH;
    }
    return holds && n > 0 && route->segments[n - 1].kind == SEGMENT_REST;
}
