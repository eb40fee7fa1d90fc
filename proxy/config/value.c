/*
 * Typed values: one reader for each kind of the table, with its range, and the fields they are
 * stored in. Messages quote what the file says, never what a variable holds.
 */
#include "base/units.h"
#include "config/build.h"

/* A range as the reader of a message would write it. */
static void say_range(struct conf_build *b, struct conf_span at, enum conf_kind kind,
                      int64_t min, int64_t max)
{
    char low[UNITS_TEXT_MAX];
    char high[UNITS_TEXT_MAX];

    switch (kind) {
    case KIND_DURATION:
    case KIND_DURATION_OFF:
        duration_text(min, low);
        duration_text(max, high);
        break;
    case KIND_SIZE:
    case KIND_SIZE_OFF:
    case KIND_SIZE_UNLIMITED:
        size_text(min, low);
        size_text(max, high);
        break;
    default:
        low[u64_to_dec((uint64_t)min, low)] = '\0';
        high[u64_to_dec((uint64_t)max, high)] = '\0';
        break;
    }
    conf_error(b->d, at, "out of range: from %s to %s", low, high);
}

static bool in_range(struct conf_build *b, struct conf_span at, enum conf_kind kind,
                     int64_t min, int64_t max, int64_t value)
{
    if (value >= min && value <= max) {
        return true;
    }
    say_range(b, at, kind, min, max);
    return false;
}

static bool read_number(struct conf_build *b, struct conf_span at, enum conf_kind kind,
                        struct str text, int64_t *out)
{
    const char *why = NULL;
    uint64_t number;

    if (kind == KIND_DURATION || kind == KIND_DURATION_OFF) {
        if (!duration_parse(text, out, &why)) {
            conf_error(b->d, at, "%s", why);
        }
        return why == NULL;
    }
    if (kind == KIND_SIZE || kind == KIND_SIZE_OFF || kind == KIND_SIZE_UNLIMITED) {
        if (!size_parse(text, out, &why)) {
            conf_error(b->d, at, "%s", why);
        }
        return why == NULL;
    }
    if (kind == KIND_PERCENT) {
        if (text.n < 2 || text.p[text.n - 1] != '%') {
            conf_error(b->d, at, "a percentage is expected, like 10%%");
            return false;
        }
        text.n--;
    }
    if (!str_to_u64(text, INT64_MAX, &number)) {
        conf_error(b->d, at, "a whole number is expected");
        return false;
    }
    *out = (int64_t)number;
    return true;
}

/* Stores an integer in a field of 4 or 8 bytes; the range of the row fits the field. */
static void store_integer(int64_t value, void *field, size_t size)
{
    uint32_t half = (uint32_t)value;

    memcpy(field, size == sizeof(half) ? (const void *)&half : (const void *)&value, size);
}

static bool is_off(enum conf_kind kind, struct str text, int64_t *value)
{
    if (!str_eq(text, STR("off"))) {
        return false;
    }
    *value = kind == KIND_SIZE_UNLIMITED ? SETTINGS_UNLIMITED : -1;
    return kind == KIND_DURATION_OFF || kind == KIND_SIZE_OFF || kind == KIND_SIZE_UNLIMITED;
}

/* Reads text as `kind`; stores it when there is a field. */
static bool read_value(struct conf_build *b, struct conf_span at, enum conf_kind kind,
                       struct str text, int64_t min, int64_t max, void *field, size_t size)
{
    int64_t number;

    if (kind == KIND_TEXT) {
        if (text.n == 0) {
            conf_error(b->d, at, "the value is empty");
            return false;
        }
        if (size > 0) {
            memcpy(field, &text, sizeof(text));
        }
        return true;
    }
    if (kind == KIND_FLAG) {
        bool on = str_eq(text, STR("on"));

        if (!on && !str_eq(text, STR("off"))) {
            conf_error(b->d, at, "`on` or `off` is expected");
            return false;
        }
        if (size > 0) {
            memcpy(field, &on, sizeof(on));
        }
        return true;
    }
    if (!is_off(kind, text, &number) && (!read_number(b, at, kind, text, &number) ||
                                         !in_range(b, at, kind, min, max, number))) {
        return false;
    }
    if (size > 0) {
        store_integer(number, field, size);
    }
    return true;
}

/* Defaults go through the same reader; the table is right, a test sees to it. */
static void store_initial(enum conf_kind kind, const char *initial, void *field, size_t size)
{
    if (size > 0 && initial[0] != '\0') {
        (void)read_value(NULL, (struct conf_span){0}, kind, str_from(initial), INT64_MIN,
                         INT64_MAX, field, size);
    }
}

void conf_apply(struct conf_build *b, const struct conf_stmt *s, void *target)
{
#define OPTION(...)
#define DIRECTIVE(id, name, contexts, form, args, kind, field, initial, range, flags, setter, \
                  example, brief, text)                                                       \
    [DIR_##id] = setter,
    static conf_setter *const setters[DIRECTIVE_COUNT] = {
#include "tbl/directives.def"
    };
#undef DIRECTIVE
#undef OPTION
    const struct conf_directive *d = s->is;

    if (s->bad) {
        return;
    }
    if (d->kind != KIND_CUSTOM) {
        (void)read_value(b, s->args[0].at, d->kind, s->args[0].text, d->min, d->max,
                         (char *)target + d->offset, d->size);
    } else if (setters[conf_directive_id(d)] != NULL) {
        setters[conf_directive_id(d)](b, s, target);
    }
}

void conf_apply_initial(unsigned context, void *target)
{
    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        const struct conf_directive *d = &conf_directives[i];

        if ((d->contexts & context) != 0 && d->kind != KIND_CUSTOM) {
            store_initial(d->kind, d->initial, (char *)target + d->offset, d->size);
        }
    }
}

void conf_options_initial(enum conf_directive_id id, void *target)
{
    for (size_t i = 0; i < conf_n_options; i++) {
        const struct conf_option *o = &conf_options[i];

        if (o->directive == id) {
            store_initial(o->kind, o->initial, (char *)target + o->offset, o->size);
        }
    }
}

void conf_options_given(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    for (size_t i = 0; i < s->n_opts; i++) {
        const struct conf_arg *arg = &s->opts[i];
        const struct conf_option *o = conf_option_find(conf_directive_id(s->is), arg->name);

        if (o != NULL) {
            (void)read_value(b, arg->at, o->kind, arg->value, o->min, o->max,
                             o->size > 0 ? (char *)target + o->offset : NULL, o->size);
        }
    }
}

const struct conf_arg *conf_opt(const struct conf_stmt *s, const char *name)
{
    for (size_t i = 0; i < s->n_opts; i++) {
        if (str_eq(s->opts[i].name, str_from(name))) {
            return &s->opts[i];
        }
    }
    return NULL;
}

bool conf_duration(struct conf_build *b, const struct conf_arg *arg, int64_t min, int64_t max,
                   msec_t *out)
{
    return read_value(b, arg->at, KIND_DURATION, arg->value, min, max, out, sizeof(*out));
}

int conf_choice(struct conf_build *b, const struct conf_arg *arg, const char *const *words,
                size_t n)
{
    struct suggest nearest;
    struct strbuf list = {0};

    for (size_t i = 0; i < n; i++) {
        if (str_eq(arg->value, str_from(words[i]))) {
            return (int)i;
        }
    }
    suggest_init(&nearest, arg->value);
    for (size_t i = 0; i < n; i++) {
        suggest_offer(&nearest, str_from(words[i]));
        strbuf_addf(&list, "%s`%s`", i == 0 ? "" : i + 1 == n ? " or " : ", ", words[i]);
    }
    conf_error(b->d, arg->at, "%.*s is expected, not `%.*s`", STR_ARG(strbuf_str(&list)),
               STR_ARG(conf_clip(arg->raw)));
    conf_hint_nearest(b->d, &nearest);
    strbuf_free(&list);
    return -1;
}

bool conf_check_name(struct conf_build *b, const struct conf_arg *arg, const char *what)
{
    bool good = arg->value.n > 0 && arg->value.n <= 64;

    for (size_t i = 0; good && i < arg->value.n; i++) {
        char c = ascii_lower(arg->value.p[i]);

        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    }
    if (!good) {
        conf_error(b->d, arg->at, "the name of %s has 1 to 64 of A-Z a-z 0-9 . _ -", what);
    }
    return good;
}

bool conf_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= 0x20 || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) {
            return false;
        }
    }
    return s.n > 0;
}

struct str conf_lower(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);

    for (size_t i = 0; i < s.n; i++) {
        out[i] = ascii_lower(s.p[i]);
    }
    out[s.n] = '\0';
    return str_make(out, s.n);
}

struct str *conf_list_extend(struct arena *a, struct str_list *list, size_t extra)
{
    struct str *grown = arena_alloc(a, (list->n + extra) * sizeof(*grown));
    size_t before = list->n;

    if (before > 0) {
        memcpy(grown, list->list, before * sizeof(*grown));
    }
    memset(grown + before, 0, extra * sizeof(*grown));
    list->list = grown;
    list->n = before + extra;
    return grown + before;
}

struct conf_span conf_part(const struct conf_arg *arg, size_t from, size_t len)
{
    struct conf_span at = arg->at;

    /* Only where the argument stands in the file as it is: no quotes, no variables. */
    if (str_eq(arg->raw, arg->text) && from <= at.len && len <= at.len - from) {
        at.offset += (uint32_t)from;
        at.len = (uint32_t)len;
    }
    return at;
}

struct str conf_quotable(const struct conf_arg *arg, struct str part)
{
    bool expanded = memmem(arg->raw.p, arg->raw.n, "${", 2) != NULL;

    return expanded ? STR("\xE2\x80\xA6") : conf_clip(part);
}

static size_t count_elements(const struct conf_arg *args, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count++;
        for (size_t k = 0; k < args[i].value.n; k++) {
            count += args[i].value.p[k] == ',';
        }
    }
    return count;
}

bool conf_cidrs(struct conf_build *b, const struct conf_arg *args, size_t n,
                struct cidr_set *set)
{
    size_t total = set->n + count_elements(args, n);
    struct cidr *list = arena_zalloc(b->keep, (total + 1) * sizeof(*list));
    bool good = true;

    if (set->n > 0) {
        memcpy(list, set->list, set->n * sizeof(*list));
    }
    set->list = list;
    for (size_t i = 0; i < n; i++) {
        struct str rest = args[i].value;
        struct str element;

        while (str_next(&rest, ',', &element)) {
            if (cidr_parse(element, &list[set->n])) {
                set->n++;
                continue;
            }
            conf_error(b->d, args[i].at, "an address or range is expected, like 10.0.0.0/8");
            good = false;
        }
    }
    return good;
}

bool conf_cidrs_open(const struct cidr_set *set)
{
    static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    for (size_t i = 0; i < set->n; i++) {
        const struct cidr *c = &set->list[i];

        if (c->bits == 0 || (c->bits == 96 && memcmp(c->ip, v4_prefix, 12) == 0)) {
            return true;
        }
    }
    return false;
}
