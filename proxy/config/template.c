/*
 * Key templates, tags and invalidation globs: literal text and {placeholders}, one namespace
 * for identities, path parameters and reserved words.
 */
#include "config/build.h"

static const struct {
    const char *name;
    enum key_part_kind kind;
} reserved[] = {
    {"query", KEY_QUERY},
    {"path", KEY_PATH},
    {"method", KEY_METHOD},
    {"body", KEY_BODY},
};

#define N_RESERVED (sizeof(reserved) / sizeof(reserved[0]))

/* A template being parsed. */
struct template_parser {
    struct conf_build *b;
    const struct conf_arg *arg;
    size_t from; /* where the template starts in the argument */
    struct str text;
    const struct route_settings *r;
    enum conf_template_use use;
    struct key_template *out;
    bool good;
};

bool conf_is_reserved(struct str name)
{
    for (size_t i = 0; i < N_RESERVED; i++) {
        if (str_eq(name, str_from(reserved[i].name))) {
            return true;
        }
    }
    return false;
}

bool conf_is_placeholder_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = ascii_lower(name.p[i]);
        bool first = (c >= 'a' && c <= 'z') || c == '_';

        if (!first && (i == 0 || !((c >= '0' && c <= '9') || c == '-'))) {
            return false;
        }
    }
    return name.n > 0 && name.n <= 64;
}

static void fail(struct template_parser *p, size_t at, size_t len, const char *why)
{
    conf_error(p->b->d, conf_part(p->arg, p->from + at, len), "%s", why);
    p->good = false;
}

static void unknown_placeholder(struct template_parser *p, size_t at, struct str name)
{
    struct suggest nearest;

    p->good = false;
    if (conf_is_broken(p->b, DIR_identity, name)) {
        return;
    }
    conf_error(p->b->d, conf_part(p->arg, p->from + at, name.n + 2),
               "unknown placeholder `{%.*s}`", STR_ARG(conf_quotable(p->arg, name)));
    suggest_init(&nearest, name);
    for (size_t i = 0; i < p->r->n_params; i++) {
        suggest_offer(&nearest, p->r->params[i]);
    }
    for (size_t i = 0; i < p->b->s->n_identities; i++) {
        suggest_offer(&nearest, p->b->s->identities[i].name);
    }
    for (size_t i = 0; i < N_RESERVED; i++) {
        suggest_offer(&nearest, str_from(reserved[i].name));
    }
    struct str best;
    if (suggest_result(&nearest, &best)) {
        conf_hint(p->b->d, "did you mean `{%.*s}`?", STR_ARG(best));
    } else {
        conf_hint(p->b->d,
                  "identities, path parameters, query, path, method, body, query.NAME, "
                  "header.NAME and cookie.NAME are known here");
    }
}

/* {query.NAME} {header.NAME} {cookie.NAME} */
static bool dotted_part(struct template_parser *p, size_t at, struct str name,
                        struct key_part *part)
{
    if (str_starts(name, STR("query."))) {
        part->kind = KEY_QUERY_NAME;
        part->text = str_skip(name, 6);
        if (part->text.n == 0) {
            fail(p, at, name.n + 2, "the name of a query parameter is missing");
        }
        return true;
    }
    if (!str_starts(name, STR("header.")) && !str_starts(name, STR("cookie."))) {
        return false;
    }
    part->kind = name.p[0] == 'h' ? KEY_HEADER : KEY_COOKIE;
    part->text = str_skip(name, 7);
    if (!conf_is_token(part->text)) {
        fail(p, at, name.n + 2, "not the name of a header or cookie");
    }
    if (part->kind == KEY_HEADER) {
        part->text = conf_lower(p->b->keep, part->text);
    }
    return true;
}

static bool named_part(const struct template_parser *p, struct str name, struct key_part *part)
{
    for (unsigned i = 0; i < p->r->n_params; i++) {
        if (str_eq(p->r->params[i], name)) {
            *part = (struct key_part){.kind = KEY_PARAM, .index = i};
            return true;
        }
    }
    for (unsigned i = 0; i < p->b->s->n_identities; i++) {
        if (str_eq(p->b->s->identities[i].name, name)) {
            *part = (struct key_part){.kind = KEY_IDENTITY, .index = i};
            return true;
        }
    }
    for (size_t i = 0; i < N_RESERVED; i++) {
        if (str_eq(str_from(reserved[i].name), name)) {
            *part = (struct key_part){.kind = reserved[i].kind};
            return true;
        }
    }
    return false;
}

static void add_placeholder(struct template_parser *p, size_t at, struct str name)
{
    struct key_part *part = &p->out->parts[p->out->n];

    if (!dotted_part(p, at, name, part) && !named_part(p, name, part)) {
        unknown_placeholder(p, at, name);
        return;
    }
    if (part->kind == KEY_BODY && p->use == TEMPLATE_GLOB) {
        fail(p, at, name.n + 2,
             "{body} is a hash of the request's body and names nothing that a "
             "write could invalidate");
    } else if (part->kind == KEY_BODY && !p->r->method_body) {
        fail(p, at, name.n + 2, "{body} needs `method_body on`");
    }
    p->out->n++;
}

/* Bytes that may stand in a name, in a tag or in a glob. */
static const char *refuse_literal(unsigned char c, enum conf_template_use use)
{
    if (c <= 0x20 || c == 0x7F) {
        return "a blank or control byte in a name";
    }
    if (use == TEMPLATE_GLOB) {
        return NULL;
    }
    if (strchr("*?[]\\", c) != NULL) {
        return "the wildcards * ? [ ] \\ stand in globs, not in names";
    }
    if (c == '#') {
        return "`#` is kept for variants and cannot stand in a name";
    }
    return c == '}' ? "a `}` without its `{`" : NULL;
}

/* Literal bytes up to the next placeholder; returns how many. */
static size_t take_literal(struct template_parser *p, size_t at)
{
    size_t i = at;

    while (i < p->text.n && p->text.p[i] != '{') {
        const char *why = refuse_literal((unsigned char)p->text.p[i], p->use);

        if (why != NULL) {
            fail(p, i, 1, why);
            return p->text.n - at;
        }
        /* An escaped byte of a glob is literal, brace or not. */
        i += p->use == TEMPLATE_GLOB && p->text.p[i] == '\\' && i + 1 < p->text.n ? 2 : 1;
    }
    if (i > at) {
        p->out->parts[p->out->n++] = (struct key_part){
            .kind = KEY_LITERAL,
            .text = str_make(p->text.p + at, i - at),
        };
    }
    return i - at;
}

/* A [ without ], or a \ at the end, would match something else than what was meant. */
static void check_glob(struct template_parser *p)
{
    for (size_t i = 0; i < p->text.n; i++) {
        char c = p->text.p[i];

        if (c == '\\') {
            if (i + 1 == p->text.n) {
                fail(p, i, 1, "a `\\` at the end of a glob escapes nothing");
            }
            i++;
        } else if (c == '[') {
            size_t end = i + 1;

            while (end < p->text.n && p->text.p[end] != ']') {
                end += p->text.p[end] == '\\' ? 2 : 1;
            }
            if (end >= p->text.n) {
                fail(p, i, 1, "this `[` has no `]`");
                return;
            }
            i = end;
        }
    }
}

bool conf_template(struct conf_build *b, const struct conf_arg *arg, size_t from,
                   const struct route_settings *r, enum conf_template_use use,
                   struct key_template *out)
{
    struct str text = str_skip(arg->text, from);
    struct template_parser p = {b, arg, from, text, r, use, out, true};
    size_t braces = 0;

    *out = (struct key_template){.text = text};
    if (text.n == 0) {
        conf_error(b->d, arg->at, "a name is expected, not an empty text");
        return false;
    }
    if (text.n > CONF_MAX_TEMPLATE) {
        conf_error(b->d, arg->at, "this name is too long; at most %d bytes", CONF_MAX_TEMPLATE);
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        braces += text.p[i] == '{';
    }
    out->parts = arena_zalloc(b->keep, (2 * braces + 1) * sizeof(*out->parts));
    if (use == TEMPLATE_GLOB) {
        check_glob(&p);
    }
    for (size_t i = 0; i < text.n && p.good;) {
        if (text.p[i] != '{') {
            i += take_literal(&p, i);
            continue;
        }
        size_t n = str_index(str_skip(text, i), '}');
        if (n == text.n - i) {
            fail(&p, i, n, "this placeholder has no `}`");
            break;
        }
        add_placeholder(&p, i, str_make(text.p + i + 1, n - 1));
        i += n + 1;
    }
    return p.good;
}

uint32_t conf_template_identities(const struct key_template *t)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < t->n; i++) {
        if (t->parts[i].kind == KEY_IDENTITY) {
            mask |= UINT32_C(1) << t->parts[i].index;
        }
    }
    return mask;
}

bool conf_template_has(const struct key_template *t, enum key_part_kind kind)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->parts[i].kind == kind) {
            return true;
        }
    }
    return false;
}
