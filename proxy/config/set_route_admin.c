/*
 * `route … { admin }`: the admin plane under a path of the data port. Such a route is passed on
 * like any other, to an upstream of its own: the plane's address.
 */
#include <netinet/in.h>

#include "base/arena.h"
#include "config/build.h"

void set_route_admin(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;

    (void)b;
    (void)s;
    r->admin = true;
}

/* Where to reach what listens there: a wildcard is reached through the loopback address. */
static struct addr reachable(const struct addr *listening)
{
    struct addr a = *listening;
    struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)&a.u.ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a.u.ss;

    if (a.u.sa.sa_family == AF_INET && in4->sin_addr.s_addr == htonl(INADDR_ANY)) {
        in4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (a.u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
        in6->sin6_addr = in6addr_loopback;
    }
    return a;
}

/* The upstream that all such routes share; made for the first one, behind those of the file. */
static const struct upstream_settings *admin_upstream(struct conf_build *b)
{
    struct settings *s = b->s;
    struct upstream_settings *u = &s->upstreams[s->n_upstreams];
    struct server_settings *server;

    if (s->n_upstreams > 0 && str_eq(s->upstreams[s->n_upstreams - 1].name, STR("(admin)"))) {
        return &s->upstreams[s->n_upstreams - 1];
    }
    server = arena_zalloc(b->keep, sizeof(*server));
    server->url = s->admin.text;
    server->authority = STR("localhost");
    server->addr = reachable(&s->admin.addr);
    *u = (struct upstream_settings){.index = (unsigned)s->n_upstreams};
    conf_options_initial(DIR_upstream, u);
    u->name = STR("(admin)");
    u->servers = server;
    u->n_servers = 1;
    s->n_upstreams++;
    return u;
}

void conf_check_route_admin(struct conf_build *b, struct route_settings *r,
                            const struct conf_route *x)
{
    const struct conf_stmt *at = x->index->first[DIR_route_admin];
    const enum conf_directive_id others[] = {DIR_ttl, DIR_use_upstream, DIR_key, DIR_invalidate,
                                             DIR_refresh};

    if (!r->admin) {
        return;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const struct conf_stmt *other = x->index->first[others[i]];

        if (other != NULL) {
            conf_error(b->d, other->at, "an `admin` route takes no `%s`", other->is->name);
            return;
        }
    }
    if (r->n_params > 0) { /* only what is fixed can be taken off for the plane */
        conf_error(b->d, at->at, "an `admin` route takes no path parameters");
        return;
    }
    if (!b->s->admin.on || b->s->admin.token.n == 0) {
        conf_error(b->d, at->at,
                   "clients of the data port need a token to use the admin plane");
        conf_hint(b->d, "add a line like: admin 127.0.0.1:9090 token=${LARDER_TOKEN}");
        return;
    }
    r->upstream = admin_upstream(b);
}
