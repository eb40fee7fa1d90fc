/*
 * upstream NAME URL…: servers with their literal addresses, and the options of the pool.
 */
#include "base/mem.h"
#include "config/build.h"

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* A name or an IPv4 address; what looks like an address must be one ("127.1" is none). */
static bool valid_host(struct str host)
{
    bool numeric = true;
    struct addr ip;

    for (size_t i = 0; i < host.n; i++) {
        if (!is_host_byte(host.p[i])) {
            return false;
        }
        numeric = numeric && (host.p[i] == '.' || (host.p[i] >= '0' && host.p[i] <= '9'));
    }
    return host.n > 0 && host.n <= 253 && host.p[0] != '.' && host.p[0] != '-' &&
           (!numeric || addr_from_ip(host, &ip));
}

/* host[:port] or [v6][:port] into server->host and *port_text (p NULL: none given). */
static const char *split_authority(struct str text, struct server_settings *server,
                                   struct str *port_text)
{
    struct addr ip;

    *port_text = STR_NULL;
    if (str_starts(text, STR("["))) {
        size_t end = str_index(text, ']');

        if (end == text.n) {
            return "the `[` of an IPv6 address has no `]`";
        }
        server->host = str_make(text.p + 1, end - 1);
        text = str_skip(text, end + 1);
        if (!addr_from_ip(server->host, &ip) ||
            str_index(server->host, ':') == server->host.n) {
            return "not an IPv6 address";
        }
        if (text.n > 0 && text.p[0] != ':') {
            return "a port is expected after the `]`";
        }
    } else {
        size_t end = str_index(text, ':');

        server->host = str_make(text.p, end);
        text = str_skip(text, end);
        if (!valid_host(server->host)) {
            return "not a host name or address";
        }
    }
    if (text.n > 0) {
        *port_text = str_skip(text, 1);
    }
    return NULL;
}

static const char *parse_network_url(struct conf_build *b, struct str rest,
                                     struct server_settings *server)
{
    uint64_t port = server->tls ? 443 : 80;
    uint64_t usual = port;
    struct str port_text;

    if (rest.n > 0 && str_index(rest, '/') == rest.n - 1) {
        rest.n--; /* http://host/ says nothing more than http://host */
    }
    if (str_index(rest, '@') < rest.n) {
        return "a user name or password has no place in this URL";
    }
    if (str_index(rest, '/') < rest.n || str_index(rest, '?') < rest.n ||
        str_index(rest, '#') < rest.n) {
        return "the URL of a server has no path or query: requests keep their own";
    }
    const char *why = split_authority(conf_lower(b->keep, rest), server, &port_text);
    if (why != NULL) {
        return why;
    }
    if (port_text.p != NULL && (!str_to_u64(port_text, UINT16_MAX, &port) || port == 0)) {
        return "a port is a number from 1 to 65535";
    }
    server->port = (uint16_t)port;
    bool brackets = str_index(server->host, ':') < server->host.n;
    server->authority = arena_printf(b->keep, "%s%.*s%s", brackets ? "[" : "",
                                     STR_ARG(server->host), brackets ? "]" : "");
    if (port != usual) {
        server->authority = arena_printf(b->keep, "%.*s:%u", STR_ARG(server->authority),
                                         (unsigned)server->port);
    }
    if (addr_from_ip(server->host, &server->addr)) {
        addr_set_port(&server->addr, server->port);
    }
    return NULL;
}

static const char *parse_url(struct conf_build *b, struct str text,
                             struct server_settings *server)
{
    const char *why = NULL;

    if (str_starts(text, STR("unix:"))) {
        server->authority = STR("localhost");
        return addr_parse(text, &server->addr, &why) ? NULL : why;
    }
    server->tls = str_starts(text, STR("https://"));
    if (!server->tls && !str_starts(text, STR("http://"))) {
        return "a URL starts with http://, https:// or unix:/";
    }
    return parse_network_url(b, str_skip(text, server->tls ? 8 : 7), server);
}

/* 127.0.0.1:8000 or app:8000 without a scheme is what people write first. */
static void hint_scheme(struct conf_build *b, const struct conf_arg *arg)
{
    if (memmem(arg->raw.p, arg->raw.n, "://", 3) == NULL &&
        str_index(arg->raw, '@') == arg->raw.n) {
        conf_hint(b->d, "did you mean `http://%.*s`?", STR_ARG(conf_clip(arg->raw)));
    }
}

static void parse_servers(struct conf_build *b, const struct conf_stmt *s,
                          struct upstream_settings *u)
{
    u->servers = arena_zalloc(b->keep, s->n_args * sizeof(*u->servers));
    for (size_t i = 1; i < s->n_args; i++) {
        struct server_settings *server = &u->servers[u->n_servers];

        *server = (struct server_settings){.url = s->args[i].text};
        const char *why = parse_url(b, server->url, server);
        if (why != NULL) {
            conf_error(b->d, s->args[i].at, "%s", why);
            if (server->host.n == 0) {
                hint_scheme(b, &s->args[i]);
            }
        } else {
            u->n_servers++;
        }
    }
}

static void check_options(struct conf_build *b, const struct conf_stmt *s,
                          const struct upstream_settings *u)
{
    const struct conf_arg *health = conf_opt(s, "health");
    const struct conf_arg *ca = conf_opt(s, "tls_ca");
    const struct conf_arg *name = conf_opt(s, "tls_name");
    const struct conf_arg *verify = conf_opt(s, "tls_verify");
    bool tls = false;

    for (size_t i = 0; i < u->n_servers; i++) {
        tls = tls || u->servers[i].tls;
    }
    for (size_t i = 0; health != NULL && i < health->value.n; i++) {
        unsigned char c = (unsigned char)health->value.p[i];

        if (health->value.p[0] != '/' || c <= 0x20 || c >= 0x7F || c == '#') {
            conf_error(b->d, health->at, "a path is expected, like health=/healthz");
            break;
        }
    }
    const char *why = ca != NULL && ca->value.n > 0 ? conf_file_check(ca->value.p) : NULL;
    if (why != NULL) {
        conf_error(b->d, ca->at, "cannot read this file: %s", why);
    }
    if (name != NULL && !valid_host(conf_lower(b->scratch, name->value))) {
        conf_error(b->d, name->at, "a host name is expected");
    }
    if (!u->tls_verify) {
        conf_warn(b->d, verify->at,
                  "the certificate is not verified: anybody on the way can "
                  "read and change what is sent");
    }
    if (!tls && u->n_servers > 0 && (ca != NULL || name != NULL || verify != NULL)) {
        conf_warn(b->d, s->at, "the tls_ options have no effect: no server is https://");
    }
}

void set_upstream(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const balances[] = {"round_robin", "least_conn"};
    struct settings *out = b->s;
    struct upstream_settings *u = &out->upstreams[out->n_upstreams];
    const struct conf_arg *balance = conf_opt(s, "balance");

    (void)target;
    if (!conf_check_name(b, &s->args[0], "an upstream")) {
        return;
    }
    *u = (struct upstream_settings){.name = s->args[0].text,
                                    .index = (unsigned)out->n_upstreams};
    for (size_t i = 0; i < out->n_upstreams; i++) {
        if (str_eq(out->upstreams[i].name, u->name)) {
            conf_error(b->d, s->args[0].at, "the upstream `%.*s` is defined twice",
                       STR_ARG(conf_clip(s->args[0].raw)));
            conf_hint(b->d, "several servers stand in one line: upstream NAME URL URL");
            return;
        }
    }
    conf_options_initial(DIR_upstream, u);
    conf_options_given(b, s, u);
    int choice = balance != NULL ? conf_choice(b, balance, balances, 2) : 0;
    u->balance = choice == 1 ? BALANCE_LEAST_CONN : BALANCE_ROUND_ROBIN;
    parse_servers(b, s, u);
    check_options(b, s, u);
    out->n_upstreams++; /* also without a good server, so that routes can name it */
}
