/*
 * The table of endpoints. A dozen rows and a few dozen requests a second: a linear search.
 */
#include "admin/table.h"

#include <stdio.h>

#define NO_TOKEN ENDPOINT_NO_TOKEN
#define MUTATES  ENDPOINT_MUTATES
#define PAGE     ENDPOINT_PAGE
#define ENDPOINT(methods, path, query, body_max, flags, handler, help) \
    {methods, path, query, body_max, flags, handler, help},
const struct endpoint endpoints[] = {
#include "admin/endpoints.def"
};
#undef ENDPOINT
const size_t n_endpoints = sizeof(endpoints) / sizeof(endpoints[0]);

static bool path_matches(const char *pattern, struct str path, struct str *rest)
{
    struct str p = str_from(pattern);
    *rest = STR_NULL;
    if (p.n > 0 && p.p[p.n - 1] == '*') {
        p.n--;
        *rest = str_skip(path, p.n);
        return str_starts(path, p) && rest->n > 0;
    }
    return str_eq(path, p);
}

const struct endpoint *endpoint_find(struct str path, unsigned method, unsigned *allowed,
                                     struct str *rest)
{
    *allowed = 0;
    for (size_t i = 0; i < n_endpoints; i++) {
        if (!path_matches(endpoints[i].path, path, rest)) {
            continue;
        }
        if ((endpoints[i].methods & method) != 0) {
            return &endpoints[i];
        }
        *allowed |= endpoints[i].methods;
    }
    return NULL;
}

bool endpoint_takes(const struct endpoint *e, struct str name)
{
    struct str rest = str_from(e->query);
    struct str word;
    while (rest.n > 0 && str_next(&rest, ' ', &word)) {
        if (str_eq(word, name)) {
            return name.n > 0;
        }
    }
    return false;
}

void endpoint_allow(unsigned methods, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s%s%s%s", (methods & ADMIN_GET) != 0 ? "GET, HEAD" : "",
             (methods & ADMIN_GET) != 0 && (methods & ADMIN_POST) != 0 ? ", " : "",
             (methods & ADMIN_POST) != 0 ? "POST" : "",
             (methods & ADMIN_DELETE) != 0 && methods != ADMIN_DELETE ? ", " : "",
             (methods & ADMIN_DELETE) != 0 ? "DELETE" : "");
}
