/*
 * The rows of admin/endpoints.def as data, and finding one. Read by the dispatcher and by
 * whatever lists endpoints.
 */
#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include <stddef.h>

#include "admin/admin.h"
#include "base/str.h"

enum endpoint_flag {
    ENDPOINT_NO_TOKEN = 1 << 0, /* open on the admin address; behind a route it is not */
    ENDPOINT_MUTATES = 1 << 1,  /* written to the audit log, CSRF checked */
    ENDPOINT_PAGE = 1 << 2,     /* holds no data: open behind a route as well */
};

struct endpoint {
    unsigned methods; /* mask of enum admin_method */
    const char *path; /* exact, or with `*` at the end */
    const char *query;
    size_t body_max;
    unsigned flags;
    void (*handler)(struct admin_call *call);
    const char *help; /* one line for the manual */
};

extern const struct endpoint endpoints[];
extern const size_t n_endpoints;

/* Every handler of the table. */
#define ENDPOINT(methods, path, query, body_max, flags, handler, help) \
    void handler(struct admin_call *call);
#include "admin/endpoints.def"
#undef ENDPOINT

/*
 * The row for a path (as sent, still percent-encoded) and a method; 0 for a method that no row
 * has. NULL: *allowed is the mask of methods that the path takes, 0 when there is no such path.
 * *rest is what the row's `*` stands for.
 */
const struct endpoint *endpoint_find(struct str path, unsigned method, unsigned *allowed,
                                     struct str *rest);

/* Does the row take this parameter? */
bool endpoint_takes(const struct endpoint *e, struct str name);

/* "GET, HEAD, DELETE" for Allow; out holds at least 40 bytes. */
void endpoint_allow(unsigned methods, char *out, size_t cap);

#endif
