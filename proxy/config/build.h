/*
 * What the parts of config/ share while a tree of statements becomes struct settings: the
 * build itself, typed values, setters, templates and the steps that config.c calls in order.
 * Private to config.c and config/.
 */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "config/diag.h"
#include "config/parse.h"
#include "config/table.h"
#include "settings.h"

/* The statements of one block by directive, each list linked by `same`. */
struct conf_index {
    const struct conf_stmt *first[DIRECTIVE_COUNT];
};

/* type NAME { … } */
struct conf_type {
    struct str name;
    struct conf_index index;
};

/* What is known about a route beside its settings; parallel to site_settings.routes. */
struct conf_route {
    struct conf_span at;     /* its path */
    struct conf_span key_at; /* its key, or its path when the key is the default */
    bool valid;              /* its line could be read; only such routes are kept */
    bool unsure;             /* its key or scope has errors: what they lack cannot be told */
    bool explicit_key;       /* `key` was given, by the route or its type */
    bool explicit_scope;     /* `scope` was given, by the route or its type */
    struct conf_span scope_at;
    const struct conf_stmt *query;   /* `query` that holds here, NULL */
    bool query_from_defaults;        /* … and it came from defaults */
    const struct conf_stmt *own_ttl; /* `ttl` in the route's own block, NULL */
    const struct conf_arg **targets; /* parallel to route_settings.invalidate */
    bool upstream_given;             /* `upstream` was said, rightly or not */
    const struct conf_index *index;  /* its own block */
};

/* One site under construction. */
struct conf_site {
    struct conf_index index;   /* its block */
    struct conf_span at;       /* its `host` or `hosts` */
    struct conf_index *outer;  /* defaults of the file, for a host block; NULL */
    struct conf_index *inner;  /* its own defaults; NULL */
    struct conf_route *routes; /* parallel to site_settings.routes */
};

struct conf_build {
    struct conf_diags *d;
    bool garbled; /* the grammar was broken: what seems missing may be in the wrong block */
    struct settings *s;
    struct arena *keep;    /* the settings' arena */
    struct arena *scratch; /* freed after loading */
    struct conf_site *sites;
    size_t at_site;          /* index of the site being built */
    struct conf_type *types; /* of all sites: one namespace */
    size_t n_types;
    struct route_settings base;       /* what the table says where nobody says anything */
    struct conf_route *route;         /* route being resolved; NULL outside */
    struct cidr_set proxy_from;       /* proxy_protocol_from */
    const struct conf_stmt *cors_at;  /* the `cors` read last, which many routes inherit … */
    const struct cors_settings *cors; /* … and what it came to */
};

/* ---- block.c ---------------------------------------------------------------------------- */

/* Checks words, contexts, arity, options and repetition of one block's statements and sorts
 * them into `index`; what fails is reported and left out. */
void conf_block_check(struct conf_build *b, struct conf_stmt *first, unsigned context,
                      struct conf_index *index);

/* Number of statements of one directive. */
size_t conf_count(const struct conf_index *index, enum conf_directive_id id);

/* Is there a statement that would define this name, had it no error of its own? Then what
 * refers to it is not reported as well. */
bool conf_is_broken(const struct conf_build *b, enum conf_directive_id id, struct str name);

/* ---- value.c ---------------------------------------------------------------------------- */

/* Applies one statement to its target: the field of its row, or its setter. */
void conf_apply(struct conf_build *b, const struct conf_stmt *s, void *target);

/* Sets the fields of all directives in `context` to their defaults. */
void conf_apply_initial(unsigned context, void *target);

/* Sets the fields of a directive's options to their defaults. */
void conf_options_initial(enum conf_directive_id id, void *target);

/* Stores the options that a statement gives. */
void conf_options_given(struct conf_build *b, const struct conf_stmt *s, void *target);

/* The option of this name, NULL when it was not given. */
const struct conf_arg *conf_opt(const struct conf_stmt *s, const char *name);

/* The value of a duration within the row's range; false with a message. */
bool conf_duration(struct conf_build *b, const struct conf_arg *arg, int64_t min, int64_t max,
                   msec_t *out);

/* Is it one of n words? Its index, or -1 with a message and the nearest word. */
int conf_choice(struct conf_build *b, const struct conf_arg *arg, const char *const *words,
                size_t n);

/* [A-Za-z0-9._-]{1,64}: names of upstreams, types, routes, jwts; false with a message. */
bool conf_check_name(struct conf_build *b, const struct conf_arg *arg, const char *what);

/* A status that can be stored; false with a message. */
bool conf_status(struct conf_build *b, const struct conf_arg *arg, struct str text,
                 uint16_t *out);

/* Is this an HTTP token (RFC 9110 section 5.6.2)? */
bool conf_is_token(struct str s);

/* A copy in lower case (ASCII). */
struct str conf_lower(struct arena *a, struct str s);

/* Makes room for `extra` more strings and returns the first new one. */
struct str *conf_list_extend(struct arena *a, struct str_list *list, size_t extra);

/* A part of an argument's text for quoting: "…" when it came out of the environment. */
struct str conf_quotable(const struct conf_arg *arg, struct str part);

/* The part [from, from+len) of an argument, as exactly as the file's text allows. */
struct conf_span conf_part(const struct conf_arg *arg, size_t from, size_t len);

/* Appends the CIDRs of each argument (commas separate several); false with a message. */
bool conf_cidrs(struct conf_build *b, const struct conf_arg *args, size_t n,
                struct cidr_set *set);

/* set_identity.c: the content of a secret file without one newline at its end; false with a
 * message. */
bool conf_secret_file(struct conf_build *b, const struct conf_arg *arg, struct str *out);

/* Does the set hold every IPv4 or every IPv6 address? */
bool conf_cidrs_open(const struct cidr_set *set);

/* ---- setters, named in tbl/directives.def ------------------------------------------------ */

typedef void conf_setter(struct conf_build *b, const struct conf_stmt *s, void *target);

conf_setter set_listen, set_debug_token, set_proxy_protocol_from, set_workers, set_limits,
    set_trusted_proxies, set_log, set_error_log, set_redis, set_hosts, set_tls, set_redirect,
    set_upstream, set_jwt, set_identity, set_hash_key, set_use_upstream, set_ttl, set_scope,
    set_key, set_query, set_status, set_store, set_store_if, set_bypass,
    set_client_cache_control, set_forward_headers, set_tag, set_invalidate, set_upgrade,
    set_timeout, set_header, set_cors, set_alert;
conf_setter set_admin;
conf_setter set_cost;
conf_setter set_credential, set_refresh, set_stale_if_error, set_route_admin;

/* Names of a site, from `hosts` and `host`. */
void conf_add_hosts(struct conf_build *b, const struct conf_arg *args, size_t n,
                    struct site_settings *site);

/* ---- effective.c ------------------------------------------------------------------------- */

/* The checked statements as text, secrets as ***. */
struct str conf_effective(struct arena *keep, const struct conf_stmt *top);

/* ---- path.c ----------------------------------------------------------------------------- */

/* METHODS and PATH of a route into r; false with messages. */
bool conf_route_line(struct conf_build *b, const struct conf_stmt *s, struct route_settings *r);

/* ---- template.c ------------------------------------------------------------------------- */

#define CONF_MAX_TEMPLATE 1024 /* bytes of a key, a tag or a glob as written */

enum conf_template_use {
    TEMPLATE_KEY,
    TEMPLATE_TAG,
    TEMPLATE_GLOB,
};

/* Parses text (the argument from `from` on) for a route; false with messages. */
bool conf_template(struct conf_build *b, const struct conf_arg *arg, size_t from,
                   const struct route_settings *r, enum conf_template_use use,
                   struct key_template *out);

/* The identities in a template, as a mask. */
uint32_t conf_template_identities(const struct key_template *t);

/* Does the template hold a part of this kind? */
bool conf_template_has(const struct key_template *t, enum key_part_kind kind);

/* Reserved names of placeholders: query path method body. */
bool conf_is_reserved(struct str name);

/* [A-Za-z_][A-Za-z0-9_-]*, at most 64 bytes: names of identities and path parameters. */
bool conf_is_placeholder_name(struct str name);

/* ---- resolve.c, scope.c, check.c, overlap.c: steps of config.c ----------------------------
 */

/* Builds every site's routes from route, type and defaults. */
void conf_resolve_sites(struct conf_build *b);

/* Decides whether a route is cached, its scope, its key and its query rule. */
void conf_scope_route(struct conf_build *b, struct route_settings *r, struct conf_route *x);

/* scope_id.c: names the route's scope for its entries; the same on every node and after every
 * reload that leaves the scope's identities as they are. */
uint32_t conf_scope_id(const struct settings *s, const struct route_settings *r);

/* What can only be said when all is known: names that must exist, equal routes, hosts. */
void conf_check_all(struct conf_build *b);

/* set_cors.c: what `cors` and `header` of one route have against each other. */
void conf_check_cors(struct conf_build *b, const struct route_settings *r,
                     const struct conf_route *x);

/* set_refresh.c: can what `refresh` asks for be fetched? Fills in the path where none is named.
 */
void conf_check_refresh(struct conf_build *b, struct route_settings *r,
                        const struct conf_route *x);

/* set_route_admin.c: gives an `admin` route its upstream. After all routes are resolved. */
void conf_check_route_admin(struct conf_build *b, struct route_settings *r,
                            const struct conf_route *x);

/* check_intent.c: how long an announced write of each route may take. */
void conf_check_intents(struct conf_build *b);

/* Warnings about keys that collide and globs that miss or reach too far. */
void conf_check_names(struct conf_build *b);

#endif
