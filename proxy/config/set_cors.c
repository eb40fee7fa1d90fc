/*
 * cors ORIGIN… (Fetch standard, "CORS protocol"): the origins are compared byte by byte with
 * what browsers send, so what no browser sends is an error here; and so is what would open the
 * users' sessions to everybody.
 */
#include <ctype.h>

#include "base/units.h"
#include "config/build.h"

/* ---- origins ----------------------------------------------------------------------------- */

/* What one argument is written as. */
struct origin {
    const struct conf_arg *arg;
    struct str text;   /* lower case */
    struct str scheme; /* with :// */
    struct str host;   /* without the *. of a pattern */
    struct str port;   /* with its colon; empty: none */
    bool pattern;
};

static bool refuse(struct conf_build *b, const struct origin *o, const char *why)
{
    conf_error(b->d, o->arg->at, "%s", why);
    conf_hint(b->d, "an origin is written as browsers send it: https://app.example.com");
    return false;
}

static bool is_scheme(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') ||
              (i > 0 && (isdigit((unsigned char)c) || c == '+' || c == '-' || c == '.')))) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_host(struct str s)
{
    bool literal = s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
    const char *also = literal ? "[]:." : ".-_";

    for (size_t i = 0; i < s.n; i++) {
        if (!isalnum((unsigned char)s.p[i]) && strchr(also, s.p[i]) == NULL) {
            return false;
        }
    }
    return s.n > 0 && s.p[0] != '.' && s.p[s.n - 1] != '.';
}

/* ":8443" at the end of an authority that is not part of an IPv6 literal. */
static struct str port_of(struct str authority)
{
    for (size_t i = authority.n; i > 0; i--) {
        if (authority.p[i - 1] == ':') {
            return str_skip(authority, i - 1);
        }
        if (!isdigit((unsigned char)authority.p[i - 1])) {
            break;
        }
    }
    return STR("");
}

static bool is_default_port(const struct origin *o)
{
    return (str_eq(o->scheme, STR("https://")) && str_eq(o->port, STR(":443"))) ||
           (str_eq(o->scheme, STR("http://")) && str_eq(o->port, STR(":80")));
}

static bool parse_origin(struct conf_build *b, const struct conf_arg *arg, struct origin *o)
{
    *o = (struct origin){.arg = arg, .text = conf_lower(b->keep, arg->text)};
    const char *mark = memmem(o->text.p, o->text.n, "://", 3);

    if (mark == NULL || !is_scheme(str_make(o->text.p, (size_t)(mark - o->text.p)))) {
        return refuse(b, o, "an origin begins with a scheme, like https://");
    }
    o->scheme = str_make(o->text.p, (size_t)(mark - o->text.p) + 3);
    struct str rest = str_skip(o->text, o->scheme.n);
    if (str_index(rest, '/') < rest.n) {
        return refuse(b, o, "an origin has no path and no slash at its end");
    }
    o->pattern = str_starts(rest, STR("*."));
    rest = str_skip(rest, o->pattern ? 2 : 0);
    o->port = port_of(rest);
    o->host = str_make(rest.p, rest.n - o->port.n);
    if (str_index(o->host, '*') < o->host.n) {
        return refuse(b, o, "`*` stands for the first labels of a name, as in *.example.com");
    }
    if (!is_host(o->host) || o->port.n == 1) {
        return refuse(b, o, "this is no host name");
    }
    if (o->pattern && str_index(o->host, '.') == o->host.n &&
        !str_eq(o->host, STR("localhost"))) {
        return refuse(b, o, "this pattern allows a whole top-level domain");
    }
    if (is_default_port(o)) {
        return refuse(b, o, "browsers leave the scheme's own port out");
    }
    return true;
}

static bool add_wildcard(struct conf_build *b, const struct conf_stmt *s, size_t i,
                         struct cors_settings *c)
{
    const char *what = c->any ? "*" : "null";

    if (c->credentials) {
        conf_error(b->d, s->args[i].at, "`%s` cannot be combined with credentials=on", what);
        conf_hint(b->d, "any page could then act as your users: name the origins");
        return false;
    }
    if (c->any && s->n_args > 1) {
        conf_error(b->d, s->args[i].at, "`*` allows every origin: nothing can stand beside it");
        return false;
    }
    return true;
}

static bool add_origin(struct conf_build *b, const struct conf_stmt *s, size_t i,
                       struct cors_settings *c)
{
    struct origin o;

    c->any = str_eq(s->args[i].text, STR("*"));
    if (c->any) {
        return add_wildcard(b, s, i, c);
    }
    if (str_eq(s->args[i].text, STR("null"))) {
        *conf_list_extend(b->keep, &c->origins, 1) = s->args[i].text;
        return add_wildcard(b, s, i, c);
    }
    if (str_eq(s->args[i].text, STR("off"))) {
        conf_error(b->d, s->args[i].at, "`cors off` takes nothing else");
        return false;
    }
    if (!parse_origin(b, &s->args[i], &o)) {
        return false;
    }
    if (!o.pattern) {
        *conf_list_extend(b->keep, &c->origins, 1) = o.text;
    } else {
        c->patterns[c->n_patterns++] =
            (struct cors_pattern){o.scheme, str_skip(o.text, o.scheme.n + 1)};
    }
    return true;
}

/* ---- lists ------------------------------------------------------------------------------- */

/* A list option as it is sent, "A, B"; false with a message. */
static bool read_list(struct conf_build *b, const struct conf_stmt *s, const char *name,
                      bool credentials, struct str *out)
{
    const struct conf_arg *arg = conf_opt(s, name);
    struct strbuf text = {0};
    /* An empty value was refused as one of the option's kind. */
    struct str rest = arg != NULL && arg->value.n > 0 ? arg->value : STR_NULL;
    struct str element;
    bool good = true;

    while (good && str_next(&rest, ',', &element)) {
        if (!conf_is_token(element)) {
            conf_error(b->d, arg->at, "`%s=` takes names separated by commas", name);
            good = false;
        } else if (credentials && str_eq(element, STR("*"))) {
            conf_error(b->d, arg->at, "with credentials=on browsers take `*` for a name");
            conf_hint(b->d, "list what is meant, or leave `%s=` out", name);
            good = false;
        }
        strbuf_addf(&text, "%s%.*s", text.n > 0 ? ", " : "", STR_ARG(element));
    }
    *out = arena_dup(b->keep, strbuf_str(&text));
    strbuf_free(&text);
    return good;
}

/* Lines that need not be made anew for each answer. */
static struct str make_lines(struct conf_build *b, const struct cors_settings *c,
                             struct str expose)
{
    const char *allow = c->any ? "Access-Control-Allow-Origin: *\r\n" : "";
    const char *credentials =
        c->credentials ? "Access-Control-Allow-Credentials: true\r\n" : "";

    if (expose.n == 0) {
        return arena_printf(b->keep, "%s%s", allow, credentials);
    }
    return arena_printf(b->keep, "%s%sAccess-Control-Expose-Headers: %.*s\r\n", allow,
                        credentials, STR_ARG(expose));
}

/* ---- the directive ----------------------------------------------------------------------- */

/* NULL with messages. */
static const struct cors_settings *read_cors(struct conf_build *b, const struct conf_stmt *s)
{
    struct cors_settings *c = arena_zalloc(b->keep, sizeof(*c));
    struct str expose;
    bool good = true;

    conf_options_initial(DIR_cors, c);
    conf_options_given(b, s, c);
    c->patterns = arena_zalloc(b->keep, s->n_args * sizeof(*c->patterns));
    for (size_t i = 0; i < s->n_args; i++) {
        good = add_origin(b, s, i, c) && good;
    }
    good = read_list(b, s, "methods", c->credentials, &c->methods) && good;
    good = read_list(b, s, "headers", c->credentials, &c->headers) && good;
    good = read_list(b, s, "expose", c->credentials, &expose) && good;
    c->lines = make_lines(b, c, expose);
    return good ? c : NULL;
}

void set_cors(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;

    r->cors = NULL;
    if (s->n_args == 1 && str_eq(s->args[0].text, STR("off"))) {
        if (s->n_opts > 0) {
            conf_error(b->d, s->opts[0].at, "`cors off` takes nothing else");
        }
        return;
    }
    if (b->cors_at != s) {
        b->cors_at = s;
        b->cors = read_cors(b, s);
    }
    r->cors = b->cors;
}

void conf_check_cors(struct conf_build *b, const struct route_settings *r,
                     const struct conf_route *x)
{
    static const struct str prefix = {"access-control-", 15};

    for (size_t i = 0; r->cors != NULL && i < r->n_headers; i++) {
        struct str name = r->headers[i].name;

        if (name.n >= prefix.n && str_ieq(str_make(name.p, prefix.n), prefix)) {
            conf_error(b->d, x->at, "`header` changes %.*s, which `cors` sets on this route",
                       STR_ARG(name));
            conf_hint(b->d, "say `cors off` here, or take the `header` away");
            return;
        }
    }
}
