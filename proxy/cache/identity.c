/*
 * Resolving identities: finds the credential, has the token judged (jwt, jwks) unless this
 * thread remembers it (jwt_memo), and says for each identity its value or why it has none.
 */
#include "cache/identity.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/jwks.h"
#include "cache/jwt.h"
#include "cache/jwt_memo.h"
#include "http/field.h"

struct identity_keys {
    struct jwks *jwks;
    uint32_t *jwt_masks; /* by jwt index: the identities that are claims of its tokens */
};

/* One call of identity_resolve(). */
struct resolver {
    struct identity_keys *keys;
    const struct settings *settings;
    const struct msg *request;
    const struct addr *peer;
    const uint8_t *hash_key; /* 32 bytes */
    msec_t now;              /* wall time */
    struct arena *arena;
    struct identity_result *out;
    struct identity_notes *notes;                 /* may be NULL */
    enum reason reasons[SETTINGS_MAX_IDENTITIES]; /* of the unknown ones */
    enum reason refused; /* the weightiest reason why nobody is authenticated */
};

struct identity_keys *identity_keys_new(const struct settings *settings, const char **error)
{
    struct jwks *jwks = jwks_new(settings, &jwks_timing_default, error);
    if (jwks == NULL) {
        return NULL;
    }
    struct identity_keys *k = xcalloc(1, sizeof(*k));
    k->jwks = jwks;
    k->jwt_masks = xcalloc(settings->n_jwts, sizeof(*k->jwt_masks));
    for (size_t i = 0; i < settings->n_identities; i++) {
        const struct identity_settings *id = &settings->identities[i];
        if (id->source == IDENTITY_JWT) {
            k->jwt_masks[id->jwt->index] |= UINT32_C(1) << i;
        }
    }
    return k;
}

void identity_keys_free(struct identity_keys *k)
{
    if (k == NULL) {
        return;
    }
    jwks_free(k->jwks);
    free(k->jwt_masks);
    free(k);
}

void identity_keys_adopt(struct identity_keys *k, struct identity_keys *old)
{
    jwks_adopt(k->jwks, old->jwks);
}

/* ---- where credentials are ------------------------------------------------------------- */

/* The only Authorization field. Two lines are refused: the backend might read the other one. */
static enum reason authorization_find(const struct msg *request, struct str *value)
{
    size_t lines = 0;
    *value = STR_NULL;
    for (size_t i = 0; i < request->n_fields; i++) {
        if (request->fields[i].id == FIELD_AUTHORIZATION) {
            *value = request->fields[i].value;
            lines++;
        }
    }
    if (lines > 1) {
        return REASON_BAD_IDENTITY;
    }
    return value->n > 0 ? REASON_NONE : REASON_NO_IDENTITY;
}

static enum reason cookie_find(const struct msg *request, struct str name, struct str *value)
{
    bool ambiguous = false;
    *value = msg_cookie(request, name, &ambiguous);
    if (ambiguous) {
        return REASON_BAD_IDENTITY;
    }
    return value->n > 0 ? REASON_NONE : REASON_NO_IDENTITY;
}

/* RFC 6750 section 2.1: "Bearer" 1*SP b64token. Another scheme is no bearer token at all. */
static enum reason token_find(const struct msg *request, const struct jwt_settings *jwt,
                              struct str *token)
{
    if (jwt->from_cookie.n > 0) {
        return cookie_find(request, jwt->from_cookie, token);
    }
    struct str value;
    enum reason reason = authorization_find(request, &value);
    if (reason != REASON_NONE) {
        return reason;
    }
    size_t space = str_index(value, ' ');
    if (!str_ieq(str_make(value.p, space), STR("Bearer"))) {
        return REASON_NO_IDENTITY;
    }
    while (space < value.n && value.p[space] == ' ') {
        space++;
    }
    *token = str_skip(value, space);
    return token->n > 0 ? REASON_NONE : REASON_BAD_IDENTITY;
}

/* ---- tokens ----------------------------------------------------------------------------- */

static enum reason refused(const struct jwt_settings *jwt, struct jwt_memo *memo,
                           const char *why)
{
    log_debug("jwt %.*s: token refused: %s", STR_ARG(jwt->name), why);
    memo->why = why;
    return REASON_BAD_IDENTITY;
}

/* The claims that are identities, into memo; its values lie in the arena. */
static void claims_collect(const struct resolver *r, uint32_t wanted,
                           const struct jwt_claims *claims, struct jwt_memo *memo)
{
    size_t n = 0;
    memo->values = arena_alloc(r->arena, SETTINGS_MAX_IDENTITIES * sizeof(*memo->values));
    for (size_t i = 0; i < r->settings->n_identities; i++) {
        uint32_t bit = UINT32_C(1) << i;
        if ((wanted & bit) != 0 &&
            jwt_claim(claims, &r->settings->identities[i].claim, r->arena, &memo->values[n])) {
            memo->known |= bit;
            n++;
        }
    }
}

/* Judges a token that this thread does not remember. REASON_NONE: *memo says what is known of
 * it (verified or refused for good), and is remembered. */
static enum reason token_judge(const struct resolver *r, const struct jwt_settings *jwt,
                               struct str token, struct jwt_memo *memo)
{
    struct identity_keys *k = r->keys;
    struct jwt t;
    const char *why = "its signature is not by a key of this jwt";
    uint64_t generation;
    *memo = (struct jwt_memo){0};
    if (!jwt_parse(token, r->arena, &t, &why)) {
        return refused(jwt, memo, why);
    }
    memo->alg = (uint8_t)t.alg;
    struct jwk_set *set = jwks_get(k->jwks, jwt->index, &generation);
    if (set == NULL) {
        return REASON_IDENTITY_KEYS;
    }
    enum jwt_verdict verdict = jwt_verify(&t, set, jwt->algs);
    jwk_set_unref(set);
    if (verdict == JWT_NO_KEY) {
        refused(jwt, memo, "no key has its kid");
        return jwks_want(k->jwks, jwt->index) ? REASON_IDENTITY_KEYS : REASON_BAD_IDENTITY;
    }
    struct jwt_claims claims;
    if (verdict == JWT_VERIFIED && jwt_read_claims(&t, jwt, &claims, &why)) {
        memo->verified = true;
        memo->not_before = claims.not_before;
        memo->expires = claims.expires;
        claims_collect(r, k->jwt_masks[jwt->index], &claims, memo);
        jwt_claims_fini(&claims);
    } else {
        refused(jwt, memo, why);
    }
    struct jwt_memo_key key;
    jwt_memo_key(token, generation, &key);
    jwt_memo_store(&key, memo);
    return REASON_NONE;
}

/* What is known of the request's token for this jwt; REASON_NONE when it is valid now. */
static enum reason token_resolve(const struct resolver *r, const struct jwt_settings *jwt,
                                 struct jwt_memo *memo)
{
    struct str token;
    enum reason reason = token_find(r->request, jwt, &token);
    if (reason != REASON_NONE) {
        return reason;
    }
    uint64_t generation = jwks_generation(r->keys->jwks, jwt->index);
    if (generation == 0) {
        return REASON_IDENTITY_KEYS;
    }
    if (token.n > JWT_MAX_TOKEN) {
        memo->why = "longer than 8 KiB";
        return REASON_BAD_IDENTITY;
    }
    struct jwt_memo_key key;
    jwt_memo_key(token, generation, &key);
    const struct jwt_memo *known = jwt_memo_find(&key);
    if (known != NULL) {
        *memo = *known;
    } else {
        reason = token_judge(r, jwt, token, memo);
        if (reason != REASON_NONE) {
            return reason;
        }
    }
    if (!memo->verified) {
        return REASON_BAD_IDENTITY;
    }
    if (r->now < memo->not_before || r->now >= memo->expires) {
        memo->why = r->now >= memo->expires ? "it has expired" : "it is not valid yet";
        return REASON_BAD_IDENTITY;
    }
    return REASON_NONE;
}

/* Notes that a jwt or header identity is valid, or why not: what may still come right weighs
 * most, then what was refused, then what is absent. */
static void note_authentication(struct resolver *r, enum reason reason)
{
    if (reason == REASON_NONE) {
        r->out->authenticated = true;
    } else if (reason == REASON_IDENTITY_KEYS || r->refused == REASON_NONE ||
               r->refused == REASON_NO_IDENTITY) {
        r->refused = reason;
    }
}

/* For whoever asked for it. */
static void note(struct identity_note *out, enum reason reason, const struct jwt_memo *memo)
{
    *out = (struct identity_note){reason, memo->why, memo->alg};
}

static uint32_t used_field(struct str cookie)
{
    return cookie.n > 0 ? IDENTITY_USED_COOKIE : IDENTITY_USED_AUTHORIZATION;
}

/* Resolves the identities of `mask` that are claims of this jwt; with an empty mask, only
 * whether its token is valid. */
static void resolve_jwt(struct resolver *r, const struct jwt_settings *jwt, uint32_t mask)
{
    struct jwt_memo memo = {0};
    enum reason reason = token_resolve(r, jwt, &memo);
    note_authentication(r, reason);
    if (reason == REASON_NONE && (mask == 0 || (memo.known & mask) != 0)) {
        r->out->used_fields |= used_field(jwt->from_cookie);
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        uint32_t bit = UINT32_C(1) << i;
        if (reason == REASON_NONE && (memo.known & bit) != 0) {
            /* The remembered value belongs to the table: the request gets its own copy. */
            size_t at = (size_t)__builtin_popcount(memo.known & (bit - 1));
            r->out->values[i].value = arena_dup(r->arena, memo.values[at]);
            r->out->values[i].known = true;
        } else {
            r->reasons[i] = reason == REASON_NONE ? REASON_NO_IDENTITY : reason;
            memo.why = reason == REASON_NONE ? "the token has no such claim" : memo.why;
        }
        if (r->notes != NULL) {
            note(&r->notes->each[i], r->reasons[i], &memo);
        }
    }
    if (r->notes != NULL) {
        note(&r->notes->anybody, reason, &memo);
    }
}

/* ---- header and credential identities --------------------------------------------------- */

/* Exactly one line, from a trusted peer. */
static enum reason header_find(const struct resolver *r, const struct identity_settings *id,
                               struct str *value)
{
    size_t lines = 0;
    *value = STR_NULL;
    if (!cidr_match(&id->trusted, r->peer)) {
        return REASON_NO_IDENTITY;
    }
    for (size_t i = 0; i < r->request->n_fields; i++) {
        if (str_ieq(r->request->fields[i].name, id->header)) {
            *value = r->request->fields[i].value;
            lines++;
        }
    }
    if (lines > 1 || value->n > JWT_MAX_CLAIM) {
        return REASON_BAD_IDENTITY;
    }
    return value->n > 0 ? REASON_NONE : REASON_NO_IDENTITY;
}

static enum reason resolve_header(struct resolver *r, const struct identity_settings *id)
{
    struct str value;
    enum reason reason = header_find(r, id, &value);
    note_authentication(r, reason);
    if (reason == REASON_NONE) {
        r->out->values[id->index].value = value;
    }
    return reason;
}

/* Equal credentials have equal rights, whatever they are; so they need no verification. */
static enum reason resolve_credential(struct resolver *r, const struct identity_settings *id)
{
    struct str value;
    enum reason reason = id->cookie.n > 0 ? cookie_find(r->request, id->cookie, &value)
                                          : authorization_find(r->request, &value);
    if (reason == REASON_NONE) {
        r->out->values[id->index].value = key_hash(r->hash_key, id->name, value, r->arena);
        r->out->used_fields |= used_field(id->cookie);
    }
    return reason;
}

static void resolve_other(struct resolver *r, const struct identity_settings *id)
{
    enum reason reason =
        id->source == IDENTITY_HEADER ? resolve_header(r, id) : resolve_credential(r, id);
    r->out->values[id->index].known = reason == REASON_NONE;
    r->reasons[id->index] = reason;
    if (r->notes != NULL) {
        bool stranger = id->source == IDENTITY_HEADER && !cidr_match(&id->trusted, r->peer);
        r->notes->each[id->index] = (struct identity_note){
            reason, stranger ? "this peer is not trusted to set the field" : NULL, 0};
    }
}

/* ---- one request ------------------------------------------------------------------------ */

/* Looks at what the mask did not name until somebody valid is found. */
static void resolve_anybody(struct resolver *r, uint32_t mask)
{
    const struct settings *s = r->settings;
    for (size_t j = 0; j < s->n_jwts && !r->out->authenticated; j++) {
        if ((r->keys->jwt_masks[j] & mask) == 0) {
            resolve_jwt(r, &s->jwts[j], 0);
        }
    }
    for (size_t i = 0; i < s->n_identities && !r->out->authenticated; i++) {
        struct str value;
        if (s->identities[i].source == IDENTITY_HEADER) {
            note_authentication(r, header_find(r, &s->identities[i], &value));
        }
    }
}

void identity_resolve(struct identity_keys *k, const struct settings *settings, uint32_t mask,
                      bool authenticated, const struct msg *request, const struct addr *peer,
                      const uint8_t hash_key[32], msec_t now, struct arena *a,
                      struct identity_notes *notes, struct identity_result *out)
{
    *out = (struct identity_result){.reason = REASON_NONE};
    struct resolver r = {
        .keys = k,
        .settings = settings,
        .request = request,
        .peer = peer,
        .hash_key = hash_key,
        .now = now,
        .arena = a,
        .out = out,
        .notes = notes,
    };
    if (notes != NULL) {
        notes->mask = mask;
    }
    for (size_t j = 0; j < settings->n_jwts && mask != 0; j++) {
        if ((k->jwt_masks[j] & mask) != 0) {
            resolve_jwt(&r, &settings->jwts[j], k->jwt_masks[j] & mask);
        }
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const struct identity_settings *id = &settings->identities[__builtin_ctz(left)];
        if (id->source != IDENTITY_JWT) {
            resolve_other(&r, id);
        }
    }
    if (authenticated && !out->authenticated) {
        resolve_anybody(&r, mask);
    }
    out->missing = (unsigned)settings->n_identities;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        if (!out->values[i].known) {
            out->missing = i;
            out->reason = r.reasons[i];
            return;
        }
    }
    if (authenticated && !out->authenticated) {
        out->reason = r.refused != REASON_NONE ? r.refused : REASON_NO_IDENTITY;
    }
}

/* ---- untrusted fields ------------------------------------------------------------------- */

/* Equal but for letter case and '_' in place of '-': X_Org_Id and X-Org-Id are one variable to
 * WSGI and CGI. */
static bool same_variable(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        char x = a.p[i] == '_' ? '-' : ascii_lower(a.p[i]);
        char y = b.p[i] == '_' ? '-' : ascii_lower(b.p[i]);
        if (x != y) {
            return false;
        }
    }
    return true;
}

void identity_strip(const struct settings *settings, struct msg *request,
                    const struct addr *peer)
{
    for (size_t i = 0; i < settings->n_identities; i++) {
        const struct identity_settings *id = &settings->identities[i];
        if (id->source != IDENTITY_HEADER) {
            continue;
        }
        bool trusted = cidr_match(&id->trusted, peer);
        size_t kept = 0;
        for (size_t f = 0; f < request->n_fields; f++) {
            struct str name = request->fields[f].name;
            if (!same_variable(name, id->header) || (trusted && str_ieq(name, id->header))) {
                request->fields[kept++] = request->fields[f];
            }
        }
        request->n_fields = kept;
    }
}
