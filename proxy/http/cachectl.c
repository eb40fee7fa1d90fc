/*
 * Cache-Control. Both syntaxes, the list of RFC 9111 and the dictionary of RFC 9213, are turned
 * into (name, argument) and meet in one table of directives.
 *
 * Policy: when a directive is malformed or repeated, the reading that caches less is taken.
 * Quoted strings hide what they hold; an unterminated one hides nothing, but makes everything
 * after it doubtful.
 */
#include "http/cachectl.h"

#include <stddef.h>

#include "http/structured.h"
#include "http/token.h"

enum argument_kind {
    ARGUMENT_NONE,   /* directive */
    ARGUMENT_TEXT,   /* directive=token or directive="string" of Cache-Control */
    ARGUMENT_NUMBER, /* Integer of a dictionary */
    ARGUMENT_STRING, /* String of a dictionary */
    ARGUMENT_BROKEN, /* anything else */
};

struct argument {
    enum argument_kind kind;
    struct str text; /* TEXT, STRING */
    int64_t number;  /* NUMBER */
};

enum directive_kind {
    DIRECTIVE_LEAST,    /* delta-seconds, the least one counts */
    DIRECTIVE_GREATEST, /* delta-seconds, the greatest one counts */
    DIRECTIVE_STALE,    /* max-stale */
    DIRECTIVE_RESTRICT, /* flag, honoured with any argument */
    DIRECTIVE_PERMIT,   /* flag, honoured without an argument only */
    DIRECTIVE_FIELDS,   /* flag, or a list of field names */
};

static const struct directive {
    struct str name;
    enum directive_kind kind;
    size_t at;   /* offset in struct cachectl: cc_delta or bool */
    size_t list; /* DIRECTIVE_FIELDS: offset of the list */
} DIRECTIVES[] = {
#define DIRECTIVE(name, kind, member)                                                    \
    {                                                                                    \
        {name, sizeof(name) - 1}, DIRECTIVE_##kind, offsetof(struct cachectl, member), 0 \
    }
#define FIELDS(name, member, list)                                                     \
    {                                                                                  \
        {name, sizeof(name) - 1}, DIRECTIVE_FIELDS, offsetof(struct cachectl, member), \
            offsetof(struct cachectl, list)                                            \
    }
    DIRECTIVE("max-age", LEAST, max_age),
    DIRECTIVE("s-maxage", LEAST, s_maxage),
    DIRECTIVE("min-fresh", GREATEST, min_fresh),
    DIRECTIVE("max-stale", STALE, max_stale),
    DIRECTIVE("stale-while-revalidate", LEAST, stale_while_revalidate),
    DIRECTIVE("stale-if-error", LEAST, stale_if_error),
    FIELDS("no-cache", no_cache, no_cache_fields),
    FIELDS("private", is_private, private_fields),
    DIRECTIVE("no-store", RESTRICT, no_store),
    DIRECTIVE("no-transform", RESTRICT, no_transform),
    DIRECTIVE("must-revalidate", RESTRICT, must_revalidate),
    DIRECTIVE("proxy-revalidate", RESTRICT, proxy_revalidate),
    DIRECTIVE("only-if-cached", PERMIT, only_if_cached),
    DIRECTIVE("must-understand", PERMIT, must_understand),
    DIRECTIVE("public", PERMIT, is_public),
    DIRECTIVE("immutable", PERMIT, immutable),
#undef DIRECTIVE
#undef FIELDS
};

/* 1*DIGIT of any length (1.2.2). */
static bool parse_delta(struct str s, int64_t *seconds)
{
    int64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        v = v * 10 + (s.p[i] - '0');
        v = v < CC_DELTA_MAX ? v : CC_DELTA_MAX;
    }
    *seconds = v;
    return s.n > 0;
}

static struct cc_delta delta_of(const struct argument *arg)
{
    struct cc_delta d = {.present = true};
    if (arg->kind == ARGUMENT_TEXT) {
        d.valid = parse_delta(arg->text, &d.seconds);
        d.seconds = d.valid ? d.seconds : 0;
    } else if (arg->kind == ARGUMENT_NUMBER && arg->number >= 0) {
        d.valid = true;
        d.seconds = arg->number < CC_DELTA_MAX ? arg->number : CC_DELTA_MAX;
    }
    return d;
}

static void keep_least(struct cc_delta *kept, struct cc_delta d)
{
    if (!kept->present || !d.valid || (kept->valid && d.seconds < kept->seconds)) {
        *kept = d;
    }
}

static void keep_greatest(struct cc_delta *kept, struct cc_delta d)
{
    if (!kept->present || (d.valid && (!kept->valid || d.seconds > kept->seconds))) {
        *kept = d;
    }
}

/* max-stale without an argument accepts any age (5.2.1.2). */
static void set_max_stale(struct cachectl *out, const struct argument *arg)
{
    bool any = arg->kind == ARGUMENT_NONE;
    out->any_stale = any && (!out->max_stale.present || out->any_stale);
    keep_least(&out->max_stale,
               any ? (struct cc_delta){true, true, CC_DELTA_MAX} : delta_of(arg));
}

/* Is it #field-name with at least one name? */
static bool is_field_list(struct str list)
{
    struct str name;
    bool any = false;
    while (str_next(&list, ',', &name)) {
        if (name.n > 0 && !token_valid(name)) {
            return false;
        }
        any = any || name.n > 0;
    }
    return any;
}

static struct str join(struct str a, struct str b, struct arena *arena)
{
    if (a.p == NULL) {
        return b;
    }
    char *out = arena_alloc(arena, a.n + 2 + b.n);
    memcpy(out, a.p, a.n);
    memcpy(out + a.n, ", ", 2);
    memcpy(out + a.n + 2, b.p, b.n);
    return str_make(out, a.n + 2 + b.n);
}

/* Names restrict less than none do, so a list counts only while the bare form is nowhere. */
static void set_fields(bool *flag, struct str *fields, const struct argument *arg,
                       struct arena *a)
{
    bool list = (arg->kind == ARGUMENT_TEXT || arg->kind == ARGUMENT_STRING) &&
                is_field_list(arg->text);
    *flag = *flag || !list;
    *fields = *flag ? STR_NULL : join(*fields, arg->text, a);
}

static void apply(struct cachectl *out, struct str name, const struct argument *arg,
                  struct arena *a)
{
    const struct directive *d = NULL;
    for (size_t i = 0; i < sizeof(DIRECTIVES) / sizeof(DIRECTIVES[0]) && d == NULL; i++) {
        d = str_ieq(DIRECTIVES[i].name, name) ? &DIRECTIVES[i] : NULL;
    }
    if (d == NULL) {
        return;
    }
    void *member = (char *)out + d->at;
    switch (d->kind) {
    case DIRECTIVE_LEAST: keep_least(member, delta_of(arg)); break;
    case DIRECTIVE_GREATEST: keep_greatest(member, delta_of(arg)); break;
    case DIRECTIVE_STALE: set_max_stale(out, arg); break;
    case DIRECTIVE_RESTRICT: *(bool *)member = true; break;
    case DIRECTIVE_PERMIT: *(bool *)member |= arg->kind == ARGUMENT_NONE; break;
    case DIRECTIVE_FIELDS:
        set_fields(member, (struct str *)(void *)((char *)out + d->list), arg, a);
        break;
    }
}

/* ---- Cache-Control -------------------------------------------------------------------------
 */

/* Length of the quoted-string at the start of s, or 0 when it has no end. */
static size_t quoted_span(struct str s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

/* Where the first element of s ends; *broken: a quoted-string did not. A quote opens a string
 * after "=" only, so that a stray one cannot hide a directive. */
static size_t element_end(struct str s, bool *broken)
{
    size_t i = 0;
    while (i < s.n && s.p[i] != ',') {
        if (s.p[i] == '"' && i > 0 && s.p[i - 1] == '=' && !*broken) {
            size_t n = quoted_span(str_skip(s, i));
            *broken = n == 0;
            i += n > 0 ? n : 1;
        } else {
            i++;
        }
    }
    return i;
}

/* The content of a quoted-string, given without its quotes. */
static struct str unescape(struct str s, struct arena *a)
{
    if (str_index(s, '\\') == s.n) {
        return s;
    }
    char *out = arena_alloc(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        i += s.p[i] == '\\';
        out[n++] = s.p[i];
    }
    return str_make(out, n);
}

/* What follows the name of a directive; RFC 9111 5.2 has no white space around "=". */
static struct argument parse_argument(struct str s, struct arena *a)
{
    struct argument arg = {.kind = ARGUMENT_BROKEN};
    struct str value = str_skip(s, 1);
    if (s.n == 0) {
        arg.kind = ARGUMENT_NONE;
    } else if (s.p[0] == '=' && token_valid(value)) {
        arg.kind = ARGUMENT_TEXT;
        arg.text = value;
    } else if (s.p[0] == '=' && value.n > 1 && value.p[0] == '"' &&
               quoted_span(value) == value.n) {
        arg.kind = ARGUMENT_TEXT;
        arg.text = unescape(str_make(value.p + 1, value.n - 2), a);
    }
    return arg;
}

static void parse_line(struct str line, struct arena *a, struct cachectl *out)
{
    bool broken = false;
    while (line.n > 0) {
        size_t end = element_end(line, &broken);
        struct str element = str_trim(str_make(line.p, end));
        line = str_skip(line, end + 1);
        size_t n = token_span(element);
        struct argument arg = parse_argument(str_skip(element, n), a);
        if (broken) {
            arg.kind = ARGUMENT_BROKEN;
        }
        apply(out, str_make(element.p, n), &arg, a);
    }
}

void cachectl_parse(const struct msg *m, struct arena *a, struct cachectl *out)
{
    *out = (struct cachectl){0};
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id == FIELD_CACHE_CONTROL) {
            out->any = true;
            parse_line(m->fields[i].value, a, out);
        }
    }
    if (m->status == 0) {
        /* In a request no-cache has no field names (5.2.1.4). */
        out->no_cache = out->no_cache || out->no_cache_fields.p != NULL ||
                        (!out->any && msg_has_token(m, FIELD_PRAGMA, STR("no-cache")));
        out->no_cache_fields = STR_NULL;
    }
}

/* ---- targeted fields -----------------------------------------------------------------------
 */

static void apply_member(struct cachectl *out, const struct sf_member *member, struct arena *a)
{
    const struct sf_value *v = &member->value;
    struct argument arg = {.kind = ARGUMENT_BROKEN, .text = v->text, .number = v->number};
    if (v->type == SF_BOOLEAN) {
        if (v->number == 0) {
            return; /* said not to be there */
        }
        arg.kind = ARGUMENT_NONE;
    } else if (v->type == SF_INTEGER) {
        arg.kind = ARGUMENT_NUMBER;
    } else if (v->type == SF_STRING) {
        arg.kind = ARGUMENT_STRING;
    }
    apply(out, member->key, &arg, a);
}

enum field_id cachectl_parse_targeted(const struct msg *m, struct arena *a,
                                      struct cachectl *out)
{
    static const enum field_id targets[] = {FIELD_LARDER_CACHE_CONTROL,
                                            FIELD_CDN_CACHE_CONTROL};
    *out = (struct cachectl){0};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct sf_member *members;
        int n = sf_dictionary_parse(msg_joined(m, targets[i], a), a, &members);
        for (int k = 0; k < n; k++) {
            apply_member(out, &members[k], a);
        }
        if (n > 0) {
            out->any = true;
            return targets[i];
        }
    }
    return FIELD_OTHER;
}
