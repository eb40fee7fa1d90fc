/*
 * Where Redis is: the URL of the `redis` directive and the options beside it, as plain data.
 *
 *   redis://[[user]:password@]host[:6379][/database]       rediss:// the same over TLS
 *   unix:/path/to/socket[?db=N]
 *   redis-sentinel://[…@]host[:26379],host…/master-name[/database]    rediss-sentinel:// TLS
 *   redis-cluster://[…@]host[:6379],host…                             rediss-cluster:// TLS
 *
 * User and password are percent-decoded. Nothing is resolved or connected here. The
 * configuration calls it; cache/redis works from the result.
 */
#ifndef CONFIG_REDIS_URL_H
#define CONFIG_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/str.h"

#define REDIS_MAX_SERVERS 32 /* hosts of one URL */

enum redis_mode {
    REDIS_STANDALONE,
    REDIS_SENTINEL, /* servers are sentinels, which know where the master is */
    REDIS_CLUSTER,  /* servers are some nodes, which know all the others */
};

/* One host of the URL. */
struct redis_server {
    struct str host;  /* name or IP literal without brackets; empty for unix: */
    uint16_t port;    /* explicit, or the scheme's default */
    struct addr addr; /* len > 0: literal (IP or unix:), nothing to resolve */
};

struct redis_target {
    enum redis_mode mode;
    struct redis_server *servers; /* at least one */
    size_t n_servers;
    struct str master;            /* REDIS_SENTINEL: name of the group */
    struct str user;              /* empty: the default user */
    struct str password;          /* empty: no AUTH */
    struct str sentinel_user;     /* REDIS_SENTINEL: for the sentinels themselves */
    struct str sentinel_password; /* empty: no AUTH */
    unsigned database;            /* 0 with REDIS_CLUSTER */
    bool tls;                     /* also to sentinels */
    bool tls_verify;              /* chain and name; default true */
    struct str tls_ca;            /* PEM file; empty: the system's authorities */
    struct str tls_cert;          /* PEM file: client certificate; empty: none */
    struct str tls_key;           /* its key */
    struct str tls_name;          /* name to verify and for SNI; empty: the server's host */
};

/* The options written beside (or instead of) a URL; empty ones do not count. What a URL says as
 * well is refused, so that no part is silently ignored. */
struct redis_url_options {
    struct str host, port, user, password, database;
    struct str sentinel_user, sentinel_password;
    struct str tls_ca, tls_cert, tls_key, tls_name;
    bool tls;        /* TLS, also without rediss:// */
    bool tls_verify; /* set true unless tls_verify=off */
};

/*
 * Fills *out; strings live in `a`. url may be empty when options->host is given; options may be
 * NULL. False with a reason in *why (a constant text that never holds a secret).
 */
bool redis_target_parse(struct str url, const struct redis_url_options *options,
                        struct arena *a, struct redis_target *out, const char **why)
    __attribute__((warn_unused_result));

/* The target for logs and /config: scheme and hosts, without user and password. In `a`. */
struct str redis_target_text(const struct redis_target *t, struct arena *a);

/* Is it the same place, reached in the same way? */
bool redis_target_eq(const struct redis_target *a, const struct redis_target *b);

#endif
