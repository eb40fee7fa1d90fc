/*
 * The parsing algorithms of RFC 8941 section 4.2, one function for each. All of them take the
 * cursor past what they read, or return false and leave the field invalid.
 */
#include "http/structured.h"

#include "http/token.h"

/* Where the parser stands. */
struct cursor {
    const char *p;
    const char *end;
    struct arena *arena;
};

/* A list that grows in the arena. */
struct value_list {
    struct sf_value *items;
    size_t n;
    size_t cap;
};

static bool at_end(const struct cursor *c)
{
    return c->p == c->end;
}

static bool next_is(const struct cursor *c, char wanted)
{
    return !at_end(c) && *c->p == wanted;
}

static bool take(struct cursor *c, char wanted)
{
    bool there = next_is(c, wanted);
    c->p += there;
    return there;
}

static void skip_spaces(struct cursor *c)
{
    while (take(c, ' ')) {
    }
}

static void skip_ows(struct cursor *c)
{
    while (next_is(c, ' ') || next_is(c, '\t')) {
        c->p++;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower(ascii_lower(c));
}

/* Digits from here on, at most `max` of them (fewer than 19); false on none or more. */
static bool parse_digits(struct cursor *c, size_t max, int64_t *value, size_t *n)
{
    *value = 0;
    for (*n = 0; !at_end(c) && is_digit(*c->p); c->p++, ++*n) {
        if (*n == max) {
            return false;
        }
        *value = *value * 10 + (*c->p - '0');
    }
    return *n > 0;
}

/* 4.2.4 */
static bool parse_number(struct cursor *c, struct sf_value *out)
{
    int64_t sign = take(c, '-') ? -1 : 1;
    int64_t whole, fraction;
    size_t n;
    if (!parse_digits(c, 15, &whole, &n)) {
        return false;
    }
    out->type = SF_INTEGER;
    out->number = sign * whole;
    if (!take(c, '.')) {
        return true;
    }
    if (n > 12 || !parse_digits(c, 3, &fraction, &n)) {
        return false;
    }
    for (; n < 3; n++) {
        fraction *= 10;
    }
    out->type = SF_DECIMAL;
    out->number = sign * (whole * 1000 + fraction);
    return true;
}

/* RFC 9651 4.2.9 */
static bool parse_date(struct cursor *c, struct sf_value *out)
{
    c->p++;
    if (!parse_number(c, out) || out->type != SF_INTEGER) {
        return false;
    }
    out->type = SF_DATE;
    return true;
}

/* 4.2.5 */
static bool parse_string(struct cursor *c, struct sf_value *out)
{
    const char *start = ++c->p;
    char *to = NULL; /* set once there is something to unescape */
    for (; !at_end(c); c->p++) {
        char byte = *c->p;
        if (byte == '"') {
            out->type = SF_STRING;
            out->text = to != NULL ? str_make(start, (size_t)(to - start))
                                   : str_make(start, (size_t)(c->p - start));
            c->p++;
            return true;
        }
        if (byte < 0x20 || byte > 0x7e) {
            return false;
        }
        if (byte == '\\') {
            if (c->end - c->p < 2 || (c->p[1] != '"' && c->p[1] != '\\')) {
                return false;
            }
            if (to == NULL) {
                size_t n = (size_t)(c->p - start);
                char *copy = arena_alloc(c->arena, (size_t)(c->end - start));
                memcpy(copy, start, n);
                start = copy;
                to = copy + n;
            }
            byte = *++c->p;
        }
        if (to != NULL) {
            *to++ = byte;
        }
    }
    return false;
}

/* 4.2.6; the first byte has been looked at */
static bool parse_token(struct cursor *c, struct sf_value *out)
{
    const char *start = c->p++;
    while (!at_end(c) && (token_char(*c->p) || *c->p == ':' || *c->p == '/')) {
        c->p++;
    }
    out->type = SF_TOKEN;
    out->text = str_make(start, (size_t)(c->p - start));
    return true;
}

/* 4.2.7 */
static bool parse_bytes(struct cursor *c, struct sf_value *out)
{
    const char *start = ++c->p;
    while (!at_end(c) && (is_alpha(*c->p) || is_digit(*c->p) || next_is(c, '+') ||
                          next_is(c, '/') || next_is(c, '='))) {
        c->p++;
    }
    out->type = SF_BYTES;
    out->text = str_make(start, (size_t)(c->p - start));
    return take(c, ':');
}

/* 4.2.8 */
static bool parse_boolean(struct cursor *c, struct sf_value *out)
{
    c->p++;
    out->type = SF_BOOLEAN;
    out->number = next_is(c, '1');
    return take(c, '1') || take(c, '0');
}

/* 4.2.3.1 */
static bool parse_bare_item(struct cursor *c, struct sf_value *out)
{
    if (at_end(c)) {
        return false;
    }
    switch (*c->p) {
    case '"': return parse_string(c, out);
    case ':': return parse_bytes(c, out);
    case '?': return parse_boolean(c, out);
    case '@': return parse_date(c, out);
    case '*': return parse_token(c, out);
    default: return is_alpha(*c->p) ? parse_token(c, out) : parse_number(c, out);
    }
}

/* 4.2.3.3 */
static bool parse_key(struct cursor *c, struct str *key)
{
    const char *start = c->p;
    if (at_end(c) || (!is_lower(*c->p) && *c->p != '*')) {
        return false;
    }
    while (!at_end(c) && (is_lower(*c->p) || is_digit(*c->p) || next_is(c, '_') ||
                          next_is(c, '-') || next_is(c, '.') || next_is(c, '*'))) {
        c->p++;
    }
    *key = str_make(start, (size_t)(c->p - start));
    return true;
}

/* 4.2.3.2; what they say is dropped */
static bool skip_parameters(struct cursor *c)
{
    struct str key;
    struct sf_value value;
    while (take(c, ';')) {
        skip_spaces(c);
        if (!parse_key(c, &key) || (take(c, '=') && !parse_bare_item(c, &value))) {
            return false;
        }
    }
    return true;
}

/* 4.2.3 */
static bool parse_item(struct cursor *c, struct sf_value *out)
{
    return parse_bare_item(c, out) && skip_parameters(c);
}

static bool list_add(struct cursor *c, struct value_list *list, struct sf_value value)
{
    if (list->n == SF_MAX_MEMBERS) {
        return false;
    }
    if (list->n == list->cap) {
        size_t cap = list->cap > 0 ? list->cap * 2 : 8;
        struct sf_value *grown = arena_alloc(c->arena, cap * sizeof(*grown));
        if (list->n > 0) {
            memcpy(grown, list->items, list->n * sizeof(*grown));
        }
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = value;
    return true;
}

/* 4.2.1.2 */
static bool parse_inner_list(struct cursor *c, struct sf_value *out)
{
    struct value_list list = {0};
    c->p++;
    for (;;) {
        struct sf_value item = {0};
        skip_spaces(c);
        if (take(c, ')')) {
            break;
        }
        if (!parse_item(c, &item) || !list_add(c, &list, item) ||
            (!next_is(c, ' ') && !next_is(c, ')'))) {
            return false;
        }
    }
    out->type = SF_INNER_LIST;
    out->items = list.items;
    out->n_items = list.n;
    return skip_parameters(c);
}

/* 4.2.1.1 */
static bool parse_item_or_inner_list(struct cursor *c, struct sf_value *out)
{
    return next_is(c, '(') ? parse_inner_list(c, out) : parse_item(c, out);
}

/* After a member: false on a syntax error, *more tells whether another one follows. */
static bool parse_comma(struct cursor *c, bool *more)
{
    skip_ows(c);
    *more = !at_end(c);
    if (!*more) {
        return true;
    }
    if (!take(c, ',')) {
        return false;
    }
    skip_ows(c);
    return !at_end(c); /* a trailing comma */
}

static struct cursor cursor_of(struct str value, struct arena *a)
{
    if (value.n == 0) {
        value = STR("");
    }
    while (value.n > 0 && value.p[value.n - 1] == ' ') {
        value.n--;
    }
    struct cursor c = {value.p, value.p + value.n, a};
    skip_spaces(&c);
    return c;
}

/* A member without a value is the Boolean true. */
static bool parse_member(struct cursor *c, struct sf_member *out)
{
    *out = (struct sf_member){.value = {.type = SF_BOOLEAN, .number = 1}};
    if (!parse_key(c, &out->key)) {
        return false;
    }
    return take(c, '=') ? parse_item_or_inner_list(c, &out->value) : skip_parameters(c);
}

/* Index of the key, or n. */
static size_t find_key(const struct sf_member *members, size_t n, struct str key)
{
    size_t i = 0;
    while (i < n && !str_eq(members[i].key, key)) {
        i++;
    }
    return i;
}

/* Upper bound of the members in a field: its commas and one. */
static size_t count_members(struct str value)
{
    size_t n = 1;
    for (size_t i = 0; i < value.n; i++) {
        n += value.p[i] == ',';
    }
    return n < SF_MAX_MEMBERS ? n : SF_MAX_MEMBERS;
}

int sf_dictionary_parse(struct str value, struct arena *a, struct sf_member **out)
{
    struct cursor c = cursor_of(value, a);
    struct sf_member *members = arena_alloc(a, count_members(value) * sizeof(*members));
    size_t n = 0;
    bool more = !at_end(&c);
    while (more) {
        struct sf_member member;
        if (!parse_member(&c, &member)) {
            return -1;
        }
        size_t at = find_key(members, n, member.key);
        if (at == SF_MAX_MEMBERS) {
            return -1;
        }
        members[at] = member;
        n += at == n;
        if (!parse_comma(&c, &more)) {
            return -1;
        }
    }
    *out = members;
    return (int)n;
}

int sf_string_list_parse(struct str value, struct arena *a, struct str **out)
{
    struct cursor c = cursor_of(value, a);
    struct str *strings = arena_alloc(a, count_members(value) * sizeof(*strings));
    size_t n = 0;
    bool more = !at_end(&c);
    while (more) {
        struct sf_value item;
        if (n == SF_MAX_MEMBERS || !parse_item(&c, &item) || item.type != SF_STRING) {
            return -1;
        }
        strings[n++] = item.text;
        if (!parse_comma(&c, &more)) {
            return -1;
        }
    }
    *out = strings;
    return (int)n;
}

void sf_string_write(struct strbuf *out, struct str s)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"' || c == '\\') {
            strbuf_add_char(out, '\\');
        }
        strbuf_add_char(out, c >= 0x20 && c <= 0x7e ? c : '?');
    }
    strbuf_add_char(out, '"');
}
