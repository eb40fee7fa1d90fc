/*
 * METHODS and PATH of a route. A literal segment is stored in the canonical form that requests
 * are brought to (unreserved bytes decoded, %XX in upper case), so that routing compares bytes.
 * A slash at the end of a path is a last literal segment without bytes: /api/ is not /api.
 */
#include "config/build.h"

static bool is_method_byte(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool check_method(struct conf_build *b, const struct conf_arg *arg, struct str method)
{
    bool good = method.n > 0 && method.n <= 32;
    bool lower = false;

    for (size_t i = 0; i < method.n && good; i++) {
        lower = lower || (method.p[i] >= 'a' && method.p[i] <= 'z');
        good = is_method_byte(method.p[i]) || lower;
    }
    if (!good || lower) {
        conf_error(b->d, arg->at, "methods are words in capitals, separated by commas");
        if (good) {
            conf_hint(b->d, "did you mean `GET`, `POST`, …? Methods distinguish case");
        } else if (str_starts(arg->text, STR("/"))) {
            conf_hint(b->d, "usage: route METHODS PATH { … }");
        }
        return false;
    }
    if (str_eq(method, STR("CONNECT")) || str_eq(method, STR("TRACE"))) {
        conf_error(b->d, arg->at, "%.*s cannot be routed", STR_ARG(method));
        return false;
    }
    return true;
}

static bool parse_methods(struct conf_build *b, const struct conf_arg *arg,
                          struct route_settings *r)
{
    struct str rest = arg->text;
    struct str method;
    size_t n = 1;

    if (str_eq(rest, STR("*"))) {
        *conf_list_extend(b->keep, &r->methods, 1) = rest;
        return true;
    }
    for (size_t i = 0; i < rest.n; i++) {
        n += rest.p[i] == ',';
    }
    if (n > 32) {
        conf_error(b->d, arg->at, "too many methods; * stands for all");
        return false;
    }
    struct str *to = conf_list_extend(b->keep, &r->methods, n);
    for (size_t i = 0; str_next(&rest, ',', &method); i++) {
        if (!check_method(b, arg, method)) {
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (str_eq(to[k], method)) {
                conf_error(b->d, arg->at, "%.*s is given twice", STR_ARG(method));
                return false;
            }
        }
        to[i] = method;
    }
    return true;
}

/* ---- path ------------------------------------------------------------------------------- */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '.' || c == '_' || c == '~';
}

/* Bytes that stand in a path as they are (RFC 3986 section 3.3). */
static bool is_path_byte(unsigned char c)
{
    return is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,=:@", c) != NULL);
}

/* The byte that %XX at p stands for, or -1. */
static int percent_value(struct str s, size_t i)
{
    int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
    int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Why this byte, written or encoded, cannot be in the path of a route; NULL if it can. */
static const char *refuse_byte(int c, bool encoded)
{
    if (c < 0) {
        return "% is followed by two hex digits";
    }
    if (c == '/' && encoded) {
        return "requests with an encoded slash are refused, so no route can match one";
    }
    if (c < 0x20 || c == 0x7F || c == '\\') {
        return "requests with this byte in the path are refused, so no route can match one";
    }
    if (c == ';') {
        return "a path with `;` cannot be routed";
    }
    if (!encoded && (c == '{' || c == '}')) {
        return "`{name}` stands for a whole segment";
    }
    if (!encoded && (c == '?' || c == '#')) {
        return "a route is a path without a query";
    }
    return NULL;
}

static const char *canonical_literal(struct conf_build *b, struct str segment, struct str *out)
{
    struct strbuf text = {0};
    const char *why = NULL;

    for (size_t i = 0; i < segment.n && why == NULL; i++) {
        bool encoded = segment.p[i] == '%';
        int c = encoded ? percent_value(segment, i) : (unsigned char)segment.p[i];

        why = refuse_byte(c, encoded);
        if (why == NULL && !encoded && c == '*') {
            why = "`*` stands for the rest of the path: alone, in the last segment";
        }
        if (why != NULL) {
            break;
        }
        i += encoded ? 2 : 0;
        if (is_unreserved((unsigned char)c) || (!encoded && is_path_byte((unsigned char)c))) {
            strbuf_add_char(&text, (char)c);
        } else {
            strbuf_addf(&text, "%%%02X", (unsigned)c);
        }
    }
    *out = arena_dup(b->keep, strbuf_str(&text));
    strbuf_free(&text);
    return why;
}

static const char *add_param(struct conf_build *b, const struct conf_arg *arg, size_t from,
                             struct str name, struct route_settings *r)
{
    if (!conf_is_placeholder_name(name)) {
        return "a path parameter is written {name}, with letters, digits, _ and -";
    }
    if (conf_is_reserved(name)) {
        conf_error(b->d, conf_part(arg, from, name.n + 2),
                   "`%.*s` is a reserved word and cannot name a path parameter", STR_ARG(name));
        return "";
    }
    for (size_t i = 0; i < b->s->n_identities; i++) {
        if (str_eq(b->s->identities[i].name, name)) {
            conf_error(b->d, conf_part(arg, from, name.n + 2),
                       "the path parameter `%.*s` is called like an identity", STR_ARG(name));
            conf_hint(b->d, "a placeholder has one meaning: rename one of them");
            return "";
        }
    }
    for (size_t i = 0; i < r->n_params; i++) {
        if (str_eq(r->params[i], name)) {
            return "this path parameter is given twice";
        }
    }
    if (r->n_params == SETTINGS_MAX_PARAMS) {
        return "too many path parameters";
    }
    r->params[r->n_params++] = name;
    return NULL;
}

/* One segment; NULL, or the reason ("" when a message was given already). */
static const char *parse_segment(struct conf_build *b, const struct conf_arg *arg, size_t from,
                                 struct str text, bool last, struct route_settings *r)
{
    struct path_segment *out = &r->segments[r->n_segments];

    if (text.n == 0 && !last) {
        return "an empty segment: two slashes side by side";
    }
    if (str_eq(text, STR(".")) || str_eq(text, STR(".."))) {
        return "dot segments are resolved before routing, so no request matches this";
    }
    if (str_eq(text, STR("*"))) {
        out->kind = SEGMENT_REST;
        return last ? NULL : "`*` stands for the rest of the path: alone, in the last segment";
    }
    if (text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}') {
        out->kind = SEGMENT_PARAM;
        out->text = str_make(text.p + 1, text.n - 2);
        return add_param(b, arg, from, out->text, r);
    }
    out->kind = SEGMENT_LITERAL;
    const char *why = canonical_literal(b, text, &out->text);
    if (why == NULL && (str_eq(out->text, STR(".")) || str_eq(out->text, STR("..")))) {
        why = "dot segments are resolved before routing, so no request matches this";
    }
    return why;
}

/* The pattern as requests are compared with it, for messages and the route table. */
static struct str canonical_path(struct conf_build *b, const struct route_settings *r)
{
    struct strbuf text = {0};

    for (size_t i = 0; i < r->n_segments; i++) {
        const struct path_segment *s = &r->segments[i];
        bool param = s->kind == SEGMENT_PARAM;

        strbuf_addf(&text, "/%s%.*s%s", param ? "{" : "", STR_ARG(s->text),
                    param                     ? "}"
                    : s->kind == SEGMENT_REST ? "*"
                                              : "");
    }
    if (text.n == 0) {
        strbuf_add_char(&text, '/');
    }
    struct str out = arena_dup(b->keep, strbuf_str(&text));
    strbuf_free(&text);
    return out;
}

static bool parse_path(struct conf_build *b, const struct conf_arg *arg,
                       struct route_settings *r)
{
    struct str text = arg->text;
    size_t slashes = 0;

    if (!str_starts(text, STR("/")) || text.n > 4096) {
        conf_error(b->d, arg->at,
                   text.n > 4096 ? "this path is too long"
                                 : "the path of a route starts with /");
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        slashes += text.p[i] == '/';
    }
    r->segments = arena_zalloc(b->keep, slashes * sizeof(*r->segments));
    for (size_t from = 1; text.n > 1 && from <= text.n;) {
        size_t n = str_index(str_skip(text, from), '/');
        bool last = from + n == text.n;
        const char *why = parse_segment(b, arg, from, str_make(text.p + from, n), last, r);

        if (why != NULL) {
            if (why[0] != '\0') {
                conf_error(b->d, conf_part(arg, from, n), "%s", why);
            }
            return false;
        }
        r->n_segments++;
        from += n + 1;
    }
    r->path = canonical_path(b, r);
    return true;
}

bool conf_route_line(struct conf_build *b, const struct conf_stmt *s, struct route_settings *r)
{
    bool methods = parse_methods(b, &s->args[0], r);
    bool path = parse_path(b, &s->args[1], r);

    r->file = arena_dup(b->keep, b->d->sources[s->at.source].name);
    r->line = s->at.line;
    r->label =
        arena_printf(b->keep, "%.*s %.*s", STR_ARG(s->args[0].text), STR_ARG(s->args[1].text));
    return methods && path;
}
