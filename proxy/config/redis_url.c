/*
 * The URL, cut from left to right: scheme, userinfo, hosts, path, query. Reasons are constant
 * texts, so that no password can end up in a message.
 */
#include "config/redis_url.h"

#include <string.h>

#define REDIS_PORT    6379
#define SENTINEL_PORT 26379
#define MAX_DATABASE  1000000 /* `databases` of redis.conf; far above anything in use */

struct scheme {
    struct str prefix;
    enum redis_mode mode;
    bool tls;
    bool unix_socket;
};

static const struct scheme schemes[] = {
    {{"redis://", 8}, REDIS_STANDALONE, false, false},
    {{"rediss://", 9}, REDIS_STANDALONE, true, false},
    {{"unix:", 5}, REDIS_STANDALONE, false, true},
    {{"redis-sentinel://", 17}, REDIS_SENTINEL, false, false},
    {{"rediss-sentinel://", 18}, REDIS_SENTINEL, true, false},
    {{"redis-cluster://", 16}, REDIS_CLUSTER, false, false},
    {{"rediss-cluster://", 17}, REDIS_CLUSTER, true, false},
};

static bool refuse(const char **why, const char *reason)
{
    *why = reason;
    return false;
}

/* ---- hosts ---------------------------------------------------------------------------------
 */

static bool host_valid(struct str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = ascii_lower(host.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
              c == '_')) {
            return false;
        }
    }
    return host.n > 0 && host.n <= 253 && host.p[0] != '.' && host.p[0] != '-';
}

static bool port_parse(struct str text, uint16_t *port, const char **why)
{
    uint64_t value;
    if (!str_to_u64(text, 65535, &value) || value == 0) {
        return refuse(why, "a port is a number from 1 to 65535");
    }
    *port = (uint16_t)value;
    return true;
}

static bool server_set(struct str host, struct str port, struct redis_target *t,
                       struct arena *a, const char **why)
{
    struct redis_server *s = &t->servers[t->n_servers];
    *s = (struct redis_server){.port = t->mode == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT};
    if (port.p != NULL && !port_parse(port, &s->port, why)) {
        return false;
    }
    if (addr_from_ip(host, &s->addr)) {
        addr_set_port(&s->addr, s->port);
    } else if (!host_valid(host)) {
        return refuse(why, host.n == 0 ? "the host is missing" : "the host is not valid");
    }
    s->host = arena_dup(a, host);
    t->n_servers++;
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static bool server_parse(struct str text, struct redis_target *t, struct arena *a,
                         const char **why)
{
    struct str host = text, port = STR_NULL;
    if (t->n_servers == REDIS_MAX_SERVERS) {
        return refuse(why, "too many hosts");
    }
    if (text.n > 0 && text.p[0] == '[') {
        size_t end = str_index(text, ']');
        struct str rest = str_skip(text, end + 1);
        host = str_make(text.p + 1, end - 1);
        if (end == text.n || (rest.n > 0 && rest.p[0] != ':') ||
            str_index(host, ':') == host.n) {
            return refuse(why, "an IPv6 address is written [address]:port");
        }
        port = rest.n > 0 ? str_skip(rest, 1) : STR_NULL;
    } else {
        size_t colon = str_index(text, ':');
        if (colon < text.n) {
            host = str_make(text.p, colon);
            port = str_skip(text, colon + 1);
        }
    }
    return server_set(host, port, t, a, why);
}

static bool servers_parse(struct str hosts, struct redis_target *t, struct arena *a,
                          const char **why)
{
    t->servers = arena_zalloc(a, REDIS_MAX_SERVERS * sizeof(*t->servers));
    struct str rest = hosts, host;
    if (hosts.n == 0) {
        return refuse(why, "the host is missing");
    }
    while (str_next(&rest, ',', &host)) {
        if (!server_parse(host, t, a, why)) {
            return false;
        }
    }
    if (t->n_servers > 1 && t->mode == REDIS_STANDALONE) {
        return refuse(why, "several hosts need redis-sentinel:// or redis-cluster://");
    }
    return true;
}

static bool socket_set(struct str path, struct redis_target *t, struct arena *a,
                       const char **why)
{
    if (path.n == 0 || path.p[0] != '/') {
        return refuse(why, "a Unix socket is written unix:/path/to/socket");
    }
    t->servers = arena_zalloc(a, sizeof(*t->servers));
    struct redis_server *s = &t->servers[0];
    struct sockaddr_un *un = &s->addr.u.un;
    if (path.n >= sizeof(un->sun_path) || memchr(path.p, '\0', path.n) != NULL) {
        return refuse(why, "the path of the Unix socket is too long");
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    s->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    t->n_servers = 1;
    return true;
}

/* ---- the rest of the URL -------------------------------------------------------------------
 */

static bool percent_decode(struct str in, struct arena *a, struct str *out, const char **why)
{
    char *p = arena_alloc(a, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int high = in.n - i > 2 ? hex_value(in.p[i + 1]) : -1;
            int low = in.n - i > 2 ? hex_value(in.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return refuse(why, "a % of the user or password must begin %XX");
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        p[n++] = c;
    }
    p[n] = '\0';
    *out = str_make(p, n);
    return true;
}

static bool userinfo_parse(struct str info, struct redis_target *t, struct arena *a,
                           const char **why)
{
    size_t colon = str_index(info, ':');
    if (colon == info.n) {
        return refuse(why, "a password follows a colon: redis://:PASSWORD@host");
    }
    if (!percent_decode(str_make(info.p, colon), a, &t->user, why) ||
        !percent_decode(str_skip(info, colon + 1), a, &t->password, why)) {
        return false;
    }
    if (t->password.n == 0) {
        return refuse(why, "the password is empty");
    }
    return true;
}

static bool database_parse(struct str text, struct redis_target *t, const char **why)
{
    uint64_t value;
    if (!str_to_u64(text, MAX_DATABASE, &value)) {
        return refuse(why, "the database is a number");
    }
    if (value != 0 && t->mode == REDIS_CLUSTER) {
        return refuse(why, "a cluster has database 0 only");
    }
    t->database = (unsigned)value;
    return true;
}

/* "db=N" and nothing else. */
static bool query_parse(struct str query, struct redis_target *t, const char **why)
{
    if (!str_starts(query, STR("db="))) {
        return refuse(why, "after ? only db=NUMBER is known");
    }
    return database_parse(str_skip(query, 3), t, why);
}

/* Without the leading slash: "", "N"; with Sentinel "name" or "name/N". */
static bool path_parse(struct str path, struct redis_target *t, struct arena *a,
                       const char **why)
{
    if (t->mode == REDIS_SENTINEL) {
        size_t slash = str_index(path, '/');
        if (!percent_decode(str_make(path.p, slash), a, &t->master, why)) {
            return false;
        }
        path = str_skip(path, slash + 1);
        if (t->master.n == 0) {
            return refuse(why,
                          "the name of the master is missing: redis-sentinel://hosts/NAME");
        }
    }
    return path.n == 0 || database_parse(path, t, why);
}

static size_t last_index(struct str s, char c)
{
    size_t i = s.n;
    while (i > 0 && s.p[i - 1] != c) {
        i--;
    }
    return i > 0 ? i - 1 : s.n;
}

static bool url_parse(struct str url, struct redis_target *t, struct arena *a, const char **why)
{
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && scheme == NULL; i++) {
        if (str_starts(url, schemes[i].prefix)) {
            scheme = &schemes[i];
        }
    }
    if (scheme == NULL) {
        return refuse(why, "the URL begins redis://, rediss://, unix:, redis-sentinel:// or "
                           "redis-cluster://");
    }
    t->mode = scheme->mode;
    t->tls = scheme->tls;
    struct str rest = str_skip(url, scheme->prefix.n);
    size_t mark = str_index(rest, '?');
    struct str query = str_skip(rest, mark + 1);
    bool has_query = mark < rest.n;
    rest.n = mark;
    if (scheme->unix_socket) {
        rest = str_starts(rest, STR("///")) ? str_skip(rest, 2) : rest;
        return socket_set(rest, t, a, why) && (!has_query || query_parse(query, t, why));
    }
    size_t slash = str_index(rest, '/');
    struct str authority = str_make(rest.p, slash);
    if (last_index(rest, '@') < rest.n && last_index(authority, '@') == authority.n) {
        return refuse(why, "a / in the user or password is written %2F");
    }
    size_t at = last_index(authority, '@');
    if (at < authority.n) {
        if (!userinfo_parse(str_make(authority.p, at), t, a, why)) {
            return false;
        }
        authority = str_skip(authority, at + 1);
    }
    return servers_parse(authority, t, a, why) &&
           path_parse(str_skip(rest, slash + 1), t, a, why) &&
           (!has_query || query_parse(query, t, why));
}

/* ---- options -------------------------------------------------------------------------------
 */

static bool host_option(const struct redis_url_options *o, struct redis_target *t,
                        struct arena *a, const char **why)
{
    if (str_starts(o->host, STR("unix:"))) {
        return socket_set(str_skip(o->host, 5), t, a, why);
    }
    if (o->host.n > 0 && o->host.p[0] == '/') {
        return socket_set(o->host, t, a, why);
    }
    t->servers = arena_zalloc(a, sizeof(*t->servers));
    return server_set(o->host, o->port.n > 0 ? o->port : STR_NULL, t, a, why);
}

/* Takes an option that the URL has not given already. */
static bool take(struct str option, struct arena *a, struct str *out, const char **why,
                 const char *twice)
{
    if (option.n == 0) {
        return true;
    }
    if (out->n > 0) {
        return refuse(why, twice);
    }
    *out = arena_dup(a, option);
    return true;
}

static bool options_apply(const struct redis_url_options *o, struct redis_target *t,
                          struct arena *a, const char **why)
{
    t->tls = t->tls || o->tls;
    t->tls_verify = o->tls_verify;
    if (!take(o->user, a, &t->user, why, "the URL holds a user already") ||
        !take(o->password, a, &t->password, why, "the URL holds a password already") ||
        !take(o->sentinel_user, a, &t->sentinel_user, why, "") ||
        !take(o->sentinel_password, a, &t->sentinel_password, why, "") ||
        !take(o->tls_ca, a, &t->tls_ca, why, "") ||
        !take(o->tls_cert, a, &t->tls_cert, why, "") ||
        !take(o->tls_key, a, &t->tls_key, why, "") ||
        !take(o->tls_name, a, &t->tls_name, why, "")) {
        return false;
    }
    if (o->database.n > 0) {
        if (t->database != 0) {
            return refuse(why, "the URL holds a database already");
        }
        return database_parse(o->database, t, why);
    }
    return true;
}

static bool target_check(const struct redis_target *t, const char **why)
{
    if (t->user.n > 0 && t->password.n == 0) {
        return refuse(why, "a user needs a password");
    }
    if (t->sentinel_user.n > 0 && t->sentinel_password.n == 0) {
        return refuse(why, "a sentinel_user needs a sentinel_password");
    }
    if (t->sentinel_password.n > 0 && t->mode != REDIS_SENTINEL) {
        return refuse(why, "sentinel_password needs a redis-sentinel:// URL");
    }
    if ((t->tls_cert.n > 0) != (t->tls_key.n > 0)) {
        return refuse(why, "tls_cert and tls_key belong together");
    }
    if (t->tls && t->servers[0].host.n == 0) {
        return refuse(why, "there is no TLS over a Unix socket");
    }
    if (!t->tls &&
        (t->tls_ca.n > 0 || t->tls_cert.n > 0 || t->tls_name.n > 0 || !t->tls_verify)) {
        return refuse(why, "options of TLS need rediss://");
    }
    return true;
}

bool redis_target_parse(struct str url, const struct redis_url_options *options,
                        struct arena *a, struct redis_target *out, const char **why)
{
    static const struct redis_url_options none = {.tls_verify = true};
    const struct redis_url_options *o = options != NULL ? options : &none;
    *out = (struct redis_target){.mode = REDIS_STANDALONE};
    *why = NULL;
    if (url.n > 0 && (o->host.n > 0 || o->port.n > 0)) {
        return refuse(why, "host= and port= are for use without a URL");
    }
    if (!(url.n > 0 ? url_parse(url, out, a, why) : host_option(o, out, a, why))) {
        return false;
    }
    return options_apply(o, out, a, why) && target_check(out, why);
}

static bool servers_eq(const struct redis_target *a, const struct redis_target *b)
{
    if (a->n_servers != b->n_servers) {
        return false;
    }
    for (size_t i = 0; i < a->n_servers; i++) {
        const struct redis_server *one = &a->servers[i], *other = &b->servers[i];
        if (!str_eq(one->host, other->host) || one->port != other->port ||
            !addr_eq(&one->addr, &other->addr)) {
            return false;
        }
    }
    return true;
}

bool redis_target_eq(const struct redis_target *a, const struct redis_target *b)
{
    return a->mode == b->mode && servers_eq(a, b) && str_eq(a->master, b->master) &&
           str_eq(a->user, b->user) && str_eq(a->password, b->password) &&
           str_eq(a->sentinel_user, b->sentinel_user) &&
           str_eq(a->sentinel_password, b->sentinel_password) && a->database == b->database &&
           a->tls == b->tls && a->tls_verify == b->tls_verify && str_eq(a->tls_ca, b->tls_ca) &&
           str_eq(a->tls_cert, b->tls_cert) && str_eq(a->tls_key, b->tls_key) &&
           str_eq(a->tls_name, b->tls_name);
}

/* ---- text ----------------------------------------------------------------------------------
 */

static void server_text(const struct redis_server *s, struct strbuf *b)
{
    bool v6 = str_index(s->host, ':') < s->host.n;
    strbuf_addf(b, v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(s->host), s->port);
}

struct str redis_target_text(const struct redis_target *t, struct arena *a)
{
    static const char *const names[] = {
        [REDIS_STANDALONE] = "", [REDIS_SENTINEL] = "-sentinel", [REDIS_CLUSTER] = "-cluster"};
    struct strbuf b = {0};
    if (t->servers[0].host.n == 0) {
        strbuf_addf(&b, "unix:%s", t->servers[0].addr.u.un.sun_path);
    } else {
        strbuf_addf(&b, "redis%s%s://", t->tls ? "s" : "", names[t->mode]);
        for (size_t i = 0; i < t->n_servers; i++) {
            strbuf_add_str(&b, i > 0 ? STR(",") : STR(""));
            server_text(&t->servers[i], &b);
        }
    }
    if (t->mode == REDIS_SENTINEL) {
        strbuf_addf(&b, "/%.*s", STR_ARG(t->master));
    }
    if (t->database != 0) {
        strbuf_addf(&b, t->servers[0].host.n == 0 ? "?db=%u" : "/%u", t->database);
    }
    struct str text = arena_dup(a, strbuf_str(&b));
    strbuf_free(&b);
    return text;
}
