/*
 * Canonical names (design section 4): renders a route's key template for one request, and the
 * globs of invalidations. Pure functions over settings and request parts; results in the arena.
 */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/msg.h"
#include "http/target.h"
#include "settings.h"

/* A resolved identity. */
struct identity_value {
    bool known;       /* verified and non-empty */
    struct str value; /* raw value (percent-encoded when it enters a name) */
};

/* What names are made of, for one request. */
struct key_context {
    const struct settings *settings;
    const struct route_settings *route;
    const struct msg *request;
    const struct target *target;
    struct str params[SETTINGS_MAX_PARAMS]; /* canonical path segments, still percent-encoded */
    const struct identity_value *identities; /* settings->n_identities of them */
    struct str body_hash;                    /* KEY_BODY; hex, empty when there is none */
    const uint8_t *hash_key;                 /* 32 bytes, for cookies and credential fields */
    struct key_notes *notes; /* what becomes of parameters is noted here; may be NULL */
};

#define KEY_NOTES_MAX 32 /* of each kind; more are counted only */

/* Parameters (decoded names) that do not enter a name. Slices of the request or its arena. */
struct key_notes {
    struct str dropped[KEY_NOTES_MAX]; /* stripped: tracking, or unlisted=drop */
    size_t n_dropped;
    struct str unlisted[KEY_NOTES_MAX]; /* make the request pass */
    size_t n_unlisted;
};

/* The query as this route keys and forwards it. */
struct key_query {
    bool pass;     /* a parameter outside the allow-list: forward unchanged, do not cache */
    bool too_many; /* more parameters than limits.query_params: 400 */
    struct str canonical; /* for {query}: sorted by name, names and values percent-encoded */
    struct str forward;   /* query to send upstream on a cached route (same parameters, in the
                             canonical order); p == NULL when empty */
};

/* Applies tracking drop, allow-list and order (hardening K7). */
void key_query_build(const struct key_context *kc, struct arena *a, struct key_query *out);

/* Renders the route's key. False when an identity of it is unknown (the caller bypasses). */
bool key_render(const struct key_context *kc, const struct key_query *q, struct arena *a,
                struct str *name) __attribute__((warn_unused_result));

/*
 * Renders another template of the route (a tag of a stored answer) with the rules of a key:
 * exact values, ~a for what is absent. False when an identity of it is unknown.
 */
bool key_render_template(const struct key_context *kc, const struct key_query *q,
                         const struct key_template *t, struct arena *a, struct str *text)
    __attribute__((warn_unused_result));

/*
 * Renders an invalidation glob (or tag, type, route text). What cannot be resolved (an unknown
 * identity, an absent parameter) becomes "*"; *widened tells so (it is set, never cleared).
 * {query}, {method} and {body} are the write's own, which no reader's name holds: always "*".
 * Resolved values are encoded, so they never act as globs. Tags, types and routes are compared
 * exactly: a widened one matches nothing, so the caller invalidates everything instead.
 */
struct str key_render_glob(const struct key_context *kc, const struct key_template *t,
                           struct arena *a, bool *widened);

/*
 * The glob of all names that a cached route can have for these path parameters: parameters
 * resolved, all else "*" (RFC 9111 4.4 for a write on its path). {path} is rebuilt from the
 * route's pattern and the parameters; its trailing `*` is `rest`, canonical, which p == NULL
 * leaves a "*". `params` in the route's order; an entry with p == NULL becomes "*". Literals
 * are escaped.
 */
struct str key_route_glob(const struct route_settings *route, const struct str *params,
                          struct str rest, struct arena *a);

/* Does the route's names' text depend on what its trailing `*` matched? */
bool key_holds_rest(const struct route_settings *route);

#define KEY_VARIANT_LEN 33 /* bytes that a variant's name has more than its base name */

/* Keyed hash (HMAC-SHA-256, first 16 bytes as hex) of a secret value. `label` says what it is
 * ("cookie:sid"), so that one secret in two places gives two hashes; it holds no NUL. */
struct str key_hash(const uint8_t hash_key[32], struct str label, struct str secret,
                    struct arena *a);

/* {body}: a hash (SHA-256, its first 16 bytes as hex) of the request's body and of what says
 * how it is to be read: Content-Type in one spelling, Content-Encoding, Content-Language. The
 * bytes themselves are taken as they are: JSON that means the same but is written otherwise is
 * another body. */
struct str key_body(const struct msg *request, struct str body, struct arena *a);

/* NAME#<32 hex> for a Vary variant; `variant` is http/vary's canonical text. */
struct str key_variant(struct str name, struct str variant, struct arena *a);

#endif
