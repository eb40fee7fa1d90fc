/*
 * What proxy.conf says, after parsing, inheritance (route beats type beats defaults) and
 * checks: plain data that no layer changes. config.c builds it; the server holds a reference, a
 * request holds one through its route table; the last settings_unref() frees the arena and all
 * in it. Everything here is immutable after config_load() and may be read by any thread.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "config/redis_url.h"

#define SETTINGS_MAX_IDENTITIES 32 /* identities fit a bit mask */
#define SETTINGS_MAX_PARAMS     16 /* {param} segments of one route */
#define SETTINGS_UNLIMITED      INT64_MAX

/* Strings in an array, in the arena. */
struct str_list {
    struct str *list;
    size_t n;
};

/* listen ADDRESS [tls] [proxy_protocol] */
struct listen_settings {
    struct addr addr;              /* where to bind */
    struct str text;               /* as written, for messages */
    bool tls;                      /* TLS with the certificates of the site asked for by SNI */
    bool proxy_protocol;           /* v1 or v2 required from peers in proxy_trusted */
    struct cidr_set proxy_trusted; /* proxy_protocol_from CIDR…; others are refused */
};

/* tls CERT KEY */
struct tls_settings {
    struct str cert_file; /* PEM chain */
    struct str key_file;  /* PEM private key */
};

enum balance {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_CONN,
};

/* One URL of `upstream NAME URL…`. */
struct server_settings {
    struct str url;       /* as written */
    bool tls;             /* https:// */
    struct str host;      /* name or IP literal without brackets; empty for unix: */
    uint16_t port;        /* explicit or the scheme's default */
    struct str authority; /* host[:port] as sent in Host when the client's is not used */
    struct addr addr;     /* len > 0 when the address is literal (IP or unix:), no DNS needed */
};

/* upstream NAME URL… [balance=] [health=] … */
struct upstream_settings {
    struct str name;
    struct server_settings *servers;
    size_t n_servers;
    enum balance balance;
    struct str health_path;   /* health=/path; empty: passive checks only */
    msec_t health_interval;   /* health_interval=5s */
    unsigned max_fails;       /* max_fails=3: consecutive failures that mark a server down */
    msec_t fail_timeout;      /* fail_timeout=10s: how long it stays marked (then one trial) */
    unsigned keepalive;       /* keepalive=64: idle connections kept per worker and server */
    msec_t keepalive_timeout; /* keepalive_timeout=30s (below the backend's own) */
    bool tls_verify;          /* tls_verify=on|off, default on */
    struct str tls_ca;        /* tls_ca=FILE; empty: the system's */
    struct str tls_name; /* tls_name=NAME for SNI and verification; empty: the URL's host */
    unsigned index;      /* position in settings.upstreams */
};

/* Signature algorithms of `jwt … alg=`. */
enum jwt_alg {
    JWT_HS256 = 1 << 0,
    JWT_HS384 = 1 << 1,
    JWT_HS512 = 1 << 2,
    JWT_RS256 = 1 << 3,
    JWT_PS256 = 1 << 4,
    JWT_ES256 = 1 << 5,
    JWT_EDDSA = 1 << 6,
};

/* jwt NAME alg=… (secret=|secret_file=|key_file=|jwks=) [iss=] [aud=] [from=] [leeway=] */
struct jwt_settings {
    struct str name;
    unsigned algs;       /* mask of enum jwt_alg; never empty */
    struct str secret;   /* HS*: the secret's bytes (secret= or the content of secret_file=) */
    struct str key_file; /* PEM public key or certificate */
    struct str jwks;     /* file path, http:// or https:// URL of a JWK set */
    struct str iss;      /* required issuer; empty: not checked */
    struct str aud;      /* required audience; empty: tokens with an aud are refused only if
                            the directive says so; see proxy.conf(5) */
    struct str from_cookie; /* from=cookie:NAME; empty: Authorization: Bearer */
    msec_t leeway;          /* leeway=0s, at most 60s */
    unsigned index;         /* position in settings.jwts */
};

enum identity_source {
    IDENTITY_JWT,        /* a claim of a verified token */
    IDENTITY_HEADER,     /* a request field set by a trusted peer */
    IDENTITY_CREDENTIAL, /* keyed hash of the Authorization value or of a cookie */
};

/* identity NAME jwt=J claim=C | header=H trusted=CIDR… | credential [cookie=NAME] */
struct identity_settings {
    struct str name;
    enum identity_source source;
    const struct jwt_settings *jwt; /* IDENTITY_JWT */
    struct str_list claim;          /* path of member names: realm.org = {realm, org} */
    struct str header;              /* IDENTITY_HEADER: field name, lower case */
    struct cidr_set trusted;        /* IDENTITY_HEADER: peers that may set it */
    struct str cookie;              /* IDENTITY_CREDENTIAL: cookie name; empty: Authorization */
    unsigned index;                 /* position in settings.identities, its bit in masks */
};

enum key_part_kind {
    KEY_LITERAL,    /* text as it stands */
    KEY_IDENTITY,   /* index: identity */
    KEY_PARAM,      /* index: path parameter */
    KEY_QUERY,      /* canonical query */
    KEY_PATH,       /* canonical path */
    KEY_METHOD,     /* request method */
    KEY_BODY,       /* hash of the request body (method_body on) */
    KEY_QUERY_NAME, /* text: one query parameter */
    KEY_HEADER,     /* text: one request field, lower case */
    KEY_COOKIE,     /* text: one cookie (enters as a keyed hash) */
};

/* One piece of a key template or an invalidation glob. */
struct key_part {
    enum key_part_kind kind;
    struct str text; /* KEY_LITERAL, KEY_QUERY_NAME, KEY_HEADER, KEY_COOKIE */
    unsigned index;  /* KEY_IDENTITY, KEY_PARAM */
};

struct key_template {
    struct str text; /* as written, or the default that was made */
    struct key_part *parts;
    size_t n;
};

enum target_kind {
    TARGET_GLOB,  /* glob over names; literal parts keep their * ? [..] \ */
    TARGET_TYPE,  /* type:T */
    TARGET_TAG,   /* tag:T, may hold placeholders */
    TARGET_ROUTE, /* route:NAME */
    TARGET_ALL,   /* all */
};

/* One argument of `invalidate`. */
struct invalidate_target {
    enum target_kind kind;
    struct key_template value; /* without the type:/tag:/route: prefix */
};

enum scope_kind {
    SCOPE_NONE,          /* the route is not cached */
    SCOPE_PUBLIC,        /* everybody */
    SCOPE_AUTHENTICATED, /* anybody with a valid jwt or trusted-header identity */
    SCOPE_IDENTITIES,    /* one entry for each value of the identities in scope_mask */
};

enum ttl_mode {
    TTL_NONE,     /* not cached */
    TTL_FALLBACK, /* ttl D: where the origin gives none */
    TTL_FORCE,    /* ttl D force */
    TTL_ORIGIN,   /* ttl origin */
};

/* One item of `status 200 404=30s`. */
struct status_rule {
    uint16_t status;
    msec_t ttl; /* -1: the route's */
};

enum condition_kind {
    CONDITION_HEADER, /* bypass: a request field; store: a field of the answer */
    CONDITION_COOKIE, /* of the request */
    CONDITION_QUERY,  /* a parameter of the request */
    CONDITION_STATUS, /* of the answer */
};

enum condition_match {
    CONDITION_PRESENT, /* NAME: it is there */
    CONDITION_EQUALS,  /* NAME=VALUE */
    CONDITION_GLOB,    /* NAME ~ GLOB */
};

/* One test of `bypass if …` or `store if …`. */
struct condition {
    enum condition_kind kind;
    enum condition_match match; /* kinds with a name */
    bool negated;
    struct str name;    /* field (lower case), cookie or parameter (decoded) */
    struct str value;   /* CONDITION_EQUALS, CONDITION_GLOB */
    uint16_t *statuses; /* CONDITION_STATUS */
    size_t n_statuses;
};

struct condition_list {
    struct condition *list;
    size_t n;
};

enum header_op_kind {
    HEADER_SET,
    HEADER_ADD,
    HEADER_REMOVE,
};

/* header set|add|remove NAME [VALUE]: applied to answers sent to clients. */
struct header_op {
    enum header_op_kind kind;
    struct str name;
    struct str value;
};

enum segment_kind {
    SEGMENT_LITERAL,
    SEGMENT_PARAM,
    SEGMENT_REST, /* trailing * : any number of segments */
};

struct path_segment {
    enum segment_kind kind;
    struct str text; /* canonical literal, or the parameter's name */
};

/* timeout connect= first_byte= idle= total=; -1 = off */
struct timeout_settings {
    msec_t connect;    /* TCP and TLS handshake to the upstream */
    msec_t first_byte; /* request sent to first byte of the answer */
    msec_t idle;       /* between two reads or writes of a body */
    msec_t total;      /* whole exchange */
};

/* An origin with *. for the first labels of its name: what stands before and after those. */
struct cors_pattern {
    struct str before; /* "https://" */
    struct str after;  /* ".example.com[:port]" */
};

/* cors ORIGIN… [methods=] [headers=] [expose=] [credentials=] [max_age=] */
struct cors_settings {
    bool any;                /* "*": every origin, and nobody's credentials */
    struct str_list origins; /* as browsers send them: scheme://host[:port], or null */
    struct cors_pattern *patterns;
    size_t n_patterns;
    struct str methods; /* "GET, PUT" or "*"; empty: whichever is asked for */
    struct str headers; /* "X-A, X-B" or "*"; empty: whichever are asked for */
    bool credentials;   /* cookies and HTTP authentication */
    msec_t max_age;     /* how long browsers remember a preflight */
    struct str lines;   /* field lines, each with CRLF, of answers to an allowed origin beside
                           Access-Control-Allow-Origin; with `any` that one too */
};

/* One `route`, flattened: its own settings over its type's over the defaults. */
struct route_settings {
    struct str name;  /* name=N; empty when not given */
    struct str label; /* for logs and metrics: name, or "METHODS path" as written */
    struct str file;  /* where it was defined … */
    unsigned line;    /* … for messages and explain */
    struct str_list methods;
    unsigned number; /* of all routes and fallbacks of the configuration, from 1 on */
    struct str path; /* canonical pattern as written */
    struct path_segment *segments;
    size_t n_segments;
    struct str params[SETTINGS_MAX_PARAMS]; /* parameter names in order of the path */
    size_t n_params;
    struct str type; /* type NAME; empty: none */
    const struct upstream_settings
        *upstream; /* NULL only if the site has no default upstream */

    bool cached; /* GET route (with method_body POST, QUERY too) with a ttl: may be looked up
                    and stored */
    enum scope_kind scope;
    uint32_t scope_mask;     /* identities that partition the entries (bits by index) */
    uint32_t scope_id;       /* what entries remember of these two; see config/scope_id.c */
    struct key_template key; /* explicit or default */
    bool query_all;          /* no `query` directive: every parameter is part of {query} */
    bool query_used;         /* the key holds {query} (or all that `query` lists by name) */
    struct str_list query;   /* allow-list */
    bool query_drop;         /* unlisted=drop: strip the rest instead of PASS */

    enum ttl_mode ttl_mode;
    msec_t ttl;                   /* TTL_FALLBACK, TTL_FORCE */
    unsigned jitter_percent;      /* jitter 10% */
    bool heuristic;               /* heuristic on */
    msec_t stale;                 /* stale D; 0 */
    msec_t stale_if_error;        /* stale_if_error D; 0 */
    bool stale_unverified;        /* … also what only the origin could confirm */
    struct status_rule *statuses; /* status … ; n_statuses 0: the default of the ttl mode */
    size_t n_statuses;
    bool store_private;             /* store private */
    bool store_set_cookie;          /* store set-cookie */
    bool store_surplus;             /* store surplus */
    struct condition_list bypass;   /* bypass if …: one that holds suffices */
    struct condition_list store_if; /* store if …: all must hold */
    int64_t store_least;  /* store if size: bytes that a body must have at least … */
    int64_t store_below;  /* … and less than so many; 0: no such bound */
    bool etag;            /* etag on: make one where the origin sends none */
    bool honor_client_cc; /* client_cache_control honor */
    bool method_body;     /* method_body on */
    int64_t max_key_body; /* max_key_body SIZE: request bodies that enter a key */
    int64_t compress;     /* compress SIZE: bodies of at least this many bytes; -1 off */
    int64_t max_object;   /* max_object SIZE */
    struct str_list
        forward_headers;       /* forward_headers +X …: extends the allow-list, lower case */
    struct key_template *tags; /* tag …: one template each */
    size_t n_tags;

    struct invalidate_target *invalidate; /* of a write route */
    size_t n_invalidate;
    bool invalidate_soft;   /* soft=on */
    msec_t settle;          /* settle D; 0 */
    msec_t intent_deadline; /* after which others invalidate for an announced write; 0: writes
                               are not announced */
    msec_t intent_renew;    /* a write that takes longer is announced again so often */

    bool admin;             /* admin: served by the admin plane, which is its upstream */
    bool upgrade_websocket; /* upgrade websocket */
    int64_t max_body;       /* max_body SIZE, bytes */
    struct timeout_settings timeout;
    unsigned retry; /* retry N: further attempts where safe */
    struct header_op *headers;
    size_t n_headers;
    bool access_log; /* log off inside a route turns its lines off */
    int64_t cost;    /* cost AMOUNT: of one backend call, in millionths; 0: nothing is said */
    const struct cors_settings *cors; /* NULL: CORS is the backend's */

    msec_t refresh;                  /* refresh D: between two scheduled fetches; 0: none */
    struct str_list refresh_targets; /* … of these, in origin form */
    const struct credential_settings *credential; /* … as this one; NULL: as nobody */
};

/* credential NAME value=|file= [header=FIELD] */
struct credential_settings {
    struct str name;
    struct str header; /* request field that carries it */
    struct str value;  /* the field's whole value: a secret */
};

/* The names of one site and what is served under them. sites[0] is the file's top level. */
struct site_settings {
    struct str_list hosts;      /* lower case, without port; empty: any Host (sites[0] only) */
    struct tls_settings *certs; /* certificates offered for its names */
    size_t n_certs;
    struct route_settings *routes;
    size_t n_routes;
    struct route_settings fallback; /* a path without a route: proxied, never cached */
    bool redirect_https;            /* redirect https: 308 from plain listeners */
    unsigned index;                 /* position in settings.sites */
};

enum log_format {
    LOG_FORMAT_JSON,
    LOG_FORMAT_TEXT, /* log_template holds {placeholders} */
};

/* limits …: all sizes in bytes, counts as they are. */
struct limit_settings {
    size_t header_bytes;       /* request or answer head, default 32 KiB */
    size_t header_line;        /* one field, default 8 KiB */
    size_t header_count;       /* default 100 */
    size_t target_length;      /* request target, default 8 KiB */
    size_t query_params;       /* default 256 */
    size_t connections;        /* of the process, default 10000 */
    size_t connections_per_ip; /* 0: no limit */
    msec_t head_timeout;       /* absolute, from the first byte of a head; default 10s */
    msec_t body_timeout;       /* between two pieces of a request body; default 30s */
    msec_t idle_timeout;       /* keep-alive connection without a request; default 60s */
    msec_t write_timeout;      /* a client that takes no byte; default 30s */
    size_t min_rate;           /* bytes per second of a slow body, 0: any; default 1 KiB */
    msec_t drain_timeout;      /* SIGTERM to exit; default 30s */
    msec_t tunnel_timeout;     /* an upgraded connection without traffic; default 1h */
};

/* What a node does when it cannot prove that it knows every invalidation (redis … uncertain=).
 */
enum uncertain {
    UNCERTAIN_REVALIDATE, /* ask the origin first; one success counts for max_lag */
    UNCERTAIN_BYPASS,     /* as if there were no cache */
    UNCERTAIN_SERVE,      /* serve for uncertain_serve longer, marked */
};

/* Is a write announced in the journal before it is forwarded (redis … intent=)? */
enum intent_mode {
    INTENT_OFF,
    INTENT_ON,     /* where that cannot be done it is forwarded all the same */
    INTENT_STRICT, /* … it is refused with 503 */
};

/* redis URL prefix=… */
struct redis_settings {
    bool on;                    /* false: memory only */
    struct redis_target target; /* where it is */
    struct str prefix;          /* first part of every key */
    msec_t budget;              /* time that one request may spend on it */
    uint64_t max_object;        /* max_object_redis=: larger entries stay in memory only */
    msec_t max_lag;             /* without proof of being current for longer: uncertain */
    enum uncertain uncertain;
    msec_t uncertain_serve;    /* UNCERTAIN_SERVE */
    uint64_t max_records;      /* journal records kept */
    unsigned breaker_failures; /* consecutive failures that open a breaker */
    msec_t breaker_max;        /* its longest back-off */
    bool lease;                /* one fetch for all nodes */
    bool causal;               /* X-Cache-Pos in answers to writes, and in requests */
    msec_t lease_time;         /* after which a lease that is not renewed is over */
    enum intent_mode intent;   /* writes are announced */
    msec_t intent_deadline;    /* of an announced write; 0: as each route's timeouts say */
};

/* What an alert looks at. */
enum alert_kind {
    ALERT_HIT_RATE,     /* limit in percent */
    ALERT_ERRORS,       /* limit: a number in the window */
    ALERT_JOURNAL_LAG,  /* limit in milliseconds */
    ALERT_REDIS_DOWN,   /* no limit */
    ALERT_BREAKER_OPEN, /* no limit */
};

enum alert_compare {
    ALERT_BELOW,
    ALERT_AT_MOST,
    ALERT_ABOVE,
    ALERT_AT_LEAST,
};

/* alert CONDITION [for D] url=… [secret=…] [repeat=…] [requests=…] */
struct alert_settings {
    struct str text; /* the condition in one form, "hit_rate<50% for 5m": names the alert */
    enum alert_kind kind;
    enum alert_compare compare; /* kinds with a limit */
    int64_t limit;
    msec_t window;     /* `for`: what is counted or averaged, or how long it has to last */
    unsigned requests; /* ALERT_HIT_RATE: fewer in the window say nothing */
    struct str url;    /* http or https; may hold a secret */
    struct str secret; /* of the signature; empty: not signed */
    msec_t repeat;     /* while it lasts, tell again; -1: once */
};

/* admin ADDRESS [token=SECRET] */
struct admin_settings {
    bool on;          /* there is such a directive */
    struct addr addr; /* where to bind */
    struct str text;  /* as written, for messages */
    struct str token; /* what clients must send; empty: nothing (loopback or Unix only) */
};

struct settings {
    struct arena arena; /* owns all that is referenced below */
    atomic_uint refs;
    struct str file; /* path given with -c */
    struct str text; /* the statements that it came from, without secrets; NUL-terminated */

    struct listen_settings *listens;
    size_t n_listens;
    struct site_settings *sites;
    size_t n_sites;
    unsigned n_numbers; /* numbers of routes in use; 0, which is no route's, included */
    struct upstream_settings *upstreams;
    size_t n_upstreams;
    struct jwt_settings *jwts;
    size_t n_jwts;
    struct identity_settings *identities;
    size_t n_identities;

    struct credential_settings *credentials;
    size_t n_credentials;

    struct alert_settings *alerts;
    size_t n_alerts;

    struct redis_settings redis;
    struct admin_settings admin;
    struct str state_dir; /* folder for what must survive a restart; empty: none */

    unsigned workers;                /* threads; default: the number of CPUs */
    uint64_t memory;                 /* L1 bytes */
    struct str version;              /* deployed version; a new one makes old entries stale */
    struct str hash_key;             /* secret for keyed hashes; empty: random at start */
    struct str debug_token;          /* for X-Larder-Debug; empty: off */
    struct cidr_set trusted_proxies; /* whose X-Forwarded-* are believed */
    struct limit_settings limits;
    bool underscore_headers; /* underscores_in_headers on */
    struct str pid_file;     /* pid_file PATH; empty: none */

    bool log_access;     /* log off: none */
    struct str log_file; /* empty or "-": stdout */
    enum log_format log_format;
    struct str log_template;  /* LOG_FORMAT_TEXT */
    enum log_level log_level; /* error_log level */
    bool log_json;            /* error_log … json */
};

struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s);

#endif
