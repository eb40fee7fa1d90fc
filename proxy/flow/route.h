/*
 * Compiled routing: host name -> site, and (site, method, canonical path) -> route. One table
 * is built for each configuration, read by all workers without a lock and without allocating,
 * and freed with the last request of that configuration.
 *
 * Rule of choice: segment by segment from the left, literal > {param} > trailing `*`; among the
 * routes of one path the one that has the method. A more specific path that lacks the method
 * gives way to a less specific one that has it. HEAD is served by the GET route unless a route
 * of the same path names HEAD; the method list "*" serves what no other route of the path
 * names.
 *
 * Paths are matched as http/target leaves them: letter case exact, a trailing slash significant
 * (`/a` does not match `/a/`); a {param} is one non-empty segment; `/files/` + `*` matches
 * `/files/` and everything below it, not `/files`.
 */
#ifndef FLOW_ROUTE_H
#define FLOW_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "settings.h"

struct route_table;

/* Request field that an `admin` route adds for the admin plane: the fixed part of its path. */
#define ROUTE_ADMIN_FIELD "X-Larder-Admin-Route"

/* What route_find() found. */
struct route_match {
    const struct route_settings *route;     /* NULL: none; the caller uses site->fallback */
    struct str params[SETTINGS_MAX_PARAMS]; /* the path's segments as received (still %XX), in
                                               the route's order; slices of the path given */
    size_t n_params;                        /* entries of params in use; 0 without a route */
    bool path_known_other_method; /* no route, but one matches the path with another method */
};

/* Compiles the routes of all sites. Takes its own reference on settings. One reference to the
 * caller. Of two equal routes (which config refuses) the first counts. */
struct route_table *route_table_new(struct settings *settings)
    __attribute__((warn_unused_result));

struct route_table *route_table_ref(struct route_table *t);

/* The last one releases the settings, and with them every route_settings. */
void route_table_unref(struct route_table *t);

/* The configuration that the table was built from; lives as long as the table. */
const struct settings *route_table_settings(const struct route_table *t);

/*
 * The site of a validated host name (struct host's name: lower case, without port). A name that
 * no site lists goes to the top-level site if that one lists no names and serves anything, else
 * the answer is NULL: 421 (RFC 9110 15.5.20).
 */
const struct site_settings *route_site(const struct route_table *t, struct str host);

/* Fills *out for a request. site is one of this table's; path is canonical. */
void route_find(const struct route_table *t, const struct site_settings *site,
                struct str method, struct str path, struct route_match *out);

/* One cached route that matches a path; params in the route's order, as they stand in the path
 * (not folded even where folding made the match); rest is what a trailing `*` matched, without
 * trailing slashes (p == NULL: the pattern has none). */
typedef void (*route_each_fn)(const struct route_settings *route, const struct str *params,
                              size_t n_params, struct str rest, void *ctx);

/*
 * Calls fn for every cached GET route of the site whose pattern matches the path with letter
 * case and trailing slashes ignored (invalidation by a write, RFC 9111 4.4), not only for the
 * most specific. May allocate.
 */
void route_each_cached_for_path(const struct route_table *t, const struct site_settings *site,
                                struct str path, route_each_fn fn, void *ctx);

#endif
