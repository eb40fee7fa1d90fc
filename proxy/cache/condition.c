/*
 * Conditions are judged in the order in which they were written, and only until the outcome is
 * known. Names of fields ignore case, and so does the value of Content-Type (RFC 9110 8.3.1);
 * everything else is compared byte by byte.
 */
#include "cache/condition.h"

#include <stdint.h>

#include "cache/glob.h"

/* What conditions look at. */
struct subject {
    const struct msg *request;
    const struct target *target;
    const struct msg *fields; /* whose fields `header` means */
    int status;               /* of the answer; 0: there is none yet */
    struct arena *a;
};

static struct str lower(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        out[i] = ascii_lower(s.p[i]);
    }
    return str_make(out, s.n);
}

static bool value_matches(const struct condition *c, struct str wanted, struct str value)
{
    switch (c->match) {
    case CONDITION_PRESENT: return true;
    case CONDITION_EQUALS: return str_eq(wanted, value);
    case CONDITION_GLOB: return glob_match(wanted, value);
    }
    return false;
}

/* One of the field's lines, whole or without the parameters at its end. */
static bool header_holds(const struct condition *c, const struct subject *s)
{
    struct str wanted = c->value;
    bool any_case = field_lookup(c->name) == FIELD_CONTENT_TYPE;
    if (any_case && c->match != CONDITION_PRESENT) {
        wanted = lower(s->a, wanted);
    }
    for (size_t i = 0; i < s->fields->n_fields; i++) {
        const struct field *f = &s->fields->fields[i];
        if (!str_ieq(f->name, c->name)) {
            continue;
        }
        struct str value = any_case ? lower(s->a, f->value) : f->value;
        struct str bare = str_trim(str_make(value.p, str_index(value, ';')));
        if (value_matches(c, wanted, value) || value_matches(c, wanted, bare)) {
            return true;
        }
    }
    return false;
}

/* A cookie sent twice with different values is there, but has no value. */
static bool cookie_holds(const struct condition *c, const struct subject *s)
{
    bool ambiguous = false;
    struct str value = msg_cookie(s->request, c->name, &ambiguous);
    if (value.p == NULL) {
        return ambiguous && c->match == CONDITION_PRESENT;
    }
    return value_matches(c, c->value, value);
}

static bool query_holds(const struct condition *c, const struct subject *s)
{
    struct query_param *list;
    int n = query_split(s->target->query, SIZE_MAX, s->a, &list);
    for (int i = 0; i < n; i++) {
        if (str_eq(list[i].name, c->name) && value_matches(c, c->value, list[i].value)) {
            return true;
        }
    }
    return false;
}

static bool status_holds(const struct condition *c, const struct subject *s)
{
    for (size_t i = 0; i < c->n_statuses; i++) {
        if (c->statuses[i] == s->status) {
            return true;
        }
    }
    return false;
}

static bool holds(const struct condition *c, const struct subject *s)
{
    bool yes = false;
    switch (c->kind) {
    case CONDITION_HEADER: yes = header_holds(c, s); break;
    case CONDITION_COOKIE: yes = cookie_holds(c, s); break;
    case CONDITION_QUERY: yes = query_holds(c, s); break;
    case CONDITION_STATUS: yes = status_holds(c, s); break;
    }
    return yes != c->negated;
}

bool condition_bypasses(const struct route_settings *route, const struct msg *request,
                        const struct target *target, struct arena *a)
{
    const struct subject s = {request, target, request, 0, a};
    for (size_t i = 0; i < route->bypass.n; i++) {
        if (holds(&route->bypass.list[i], &s)) {
            return true;
        }
    }
    return false;
}

bool condition_stores(const struct route_settings *route, const struct msg *request,
                      const struct target *target, const struct msg *response, struct arena *a)
{
    const struct subject s = {request, target, response, response->status, a};
    for (size_t i = 0; i < route->store_if.n; i++) {
        if (!holds(&route->store_if.list[i], &s)) {
            return false;
        }
    }
    return true;
}
