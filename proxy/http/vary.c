/*
 * Vary. Normalising makes two requests one only where the fields' own definitions say that they
 * mean the same (RFC 9111 4.1); whatever does not parse as its definition has it is compared
 * as a plain list. The canonical form of a valid value is itself valid, so that a malformed
 * value cannot collide with it.
 */
#include "http/vary.h"

#include "http/token.h"

#define LANGUAGES_MAX 32   /* ranges in an Accept-Language; longer ones are plain lists */
#define WEIGHT_ONE    1000 /* weights are counted in thousandths */
#define WEIGHT_BAD    -1

/* ---- names ---------------------------------------------------------------------------------
 */

static struct str lower_case(struct str s, struct arena *a)
{
    char *out = arena_alloc(a, s.n);
    for (size_t i = 0; i < s.n; i++) {
        out[i] = ascii_lower(s.p[i]);
    }
    return str_make(out, s.n);
}

/* Puts a name in its place; false when it is not a name or one too many. */
static bool add_name(struct vary_spec *spec, struct str name, struct arena *a)
{
    if (!token_valid(name) || str_eq(name, STR("*"))) {
        return false;
    }
    name = lower_case(name, a);
    size_t at = spec->n;
    while (at > 0 && str_cmp(spec->names[at - 1], name) > 0) {
        at--;
    }
    if (at > 0 && str_eq(spec->names[at - 1], name)) {
        return true;
    }
    if (spec->n == VARY_MAX) {
        return false;
    }
    memmove(spec->names + at + 1, spec->names + at, (spec->n - at) * sizeof(*spec->names));
    spec->names[at] = name;
    spec->n++;
    return true;
}

static void add_list(struct vary_spec *spec, struct str list, struct arena *a)
{
    struct str name;
    while (!spec->star && str_next(&list, ',', &name)) {
        if (name.n == 0) {
            continue;
        }
        if (spec->names == NULL) {
            spec->names = arena_alloc(a, VARY_MAX * sizeof(*spec->names));
        }
        spec->star = !add_name(spec, name, a);
    }
}

static bool finish(struct vary_spec *spec)
{
    if (spec->star) {
        spec->n = 0;
    }
    return !spec->star;
}

bool vary_parse(const struct msg *response, struct arena *a, struct vary_spec *out)
{
    *out = (struct vary_spec){0};
    for (size_t i = 0; i < response->n_fields; i++) {
        if (response->fields[i].id == FIELD_VARY) {
            add_list(out, response->fields[i].value, a);
        }
    }
    return finish(out);
}

bool vary_parse_list(struct str list, struct arena *a, struct vary_spec *out)
{
    *out = (struct vary_spec){0};
    add_list(out, list, a);
    return finish(out);
}

struct str vary_list(const struct vary_spec *spec, struct arena *a)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < spec->n; i++) {
        total += spec->names[i].n + 1;
    }
    char *out = arena_alloc(a, total);
    for (size_t i = 0; i < spec->n; i++) {
        if (at > 0) {
            out[at++] = ',';
        }
        memcpy(out + at, spec->names[i].p, spec->names[i].n);
        at += spec->names[i].n;
    }
    return str_make(out, at);
}

/* ---- weights -------------------------------------------------------------------------------
 */

/* qvalue (RFC 9110 12.4.2) in thousandths, or WEIGHT_BAD. */
static int parse_qvalue(struct str s)
{
    if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.')) {
        return WEIGHT_BAD;
    }
    int value = s.p[0] - '0';
    for (size_t i = 2; i < 5; i++) {
        char c = i < s.n ? s.p[i] : '0';
        if (c < '0' || c > '9') {
            return WEIGHT_BAD;
        }
        value = value * 10 + (c - '0');
    }
    return value <= WEIGHT_ONE ? value : WEIGHT_BAD;
}

/* Splits "what ; q=0.5"; the weight is WEIGHT_ONE when there is none. */
static int split_weight(struct str element, struct str *what)
{
    size_t semicolon = str_index(element, ';');
    *what = str_trim(str_make(element.p, semicolon));
    if (semicolon == element.n) {
        return WEIGHT_ONE;
    }
    struct str weight = str_trim(str_skip(element, semicolon + 1));
    if (weight.n < 2 || ascii_lower(weight.p[0]) != 'q' || weight.p[1] != '=') {
        return WEIGHT_BAD;
    }
    return parse_qvalue(str_skip(weight, 2));
}

/* ---- Accept-Encoding -----------------------------------------------------------------------
 */

/* The least weight counts where a coding is named twice. */
static void note_weight(int *kept, int weight)
{
    if (*kept == WEIGHT_BAD || weight < *kept) {
        *kept = weight;
    }
}

bool request_accepts_gzip(const struct msg *request)
{
    int gzip = WEIGHT_BAD, identity = WEIGHT_BAD, any = WEIGHT_BAD;
    for (size_t i = 0; i < request->n_fields; i++) {
        struct str rest = request->fields[i].value;
        struct str element, coding;
        while (request->fields[i].id == FIELD_ACCEPT_ENCODING &&
               str_next(&rest, ',', &element)) {
            int weight = split_weight(element, &coding);
            if (weight == WEIGHT_BAD) {
                continue;
            }
            if (str_ieq(coding, STR("gzip")) || str_ieq(coding, STR("x-gzip"))) {
                note_weight(&gzip, weight);
            } else if (str_ieq(coding, STR("identity"))) {
                note_weight(&identity, weight);
            } else if (str_eq(coding, STR("*"))) {
                note_weight(&any, weight);
            }
        }
    }
    int weight = gzip != WEIGHT_BAD ? gzip : any;
    return weight > 0 && weight >= identity;
}

/* ---- Accept-Language -----------------------------------------------------------------------
 */

/* One language-range. */
struct language {
    struct str range; /* lower case */
    int weight;
};

struct languages {
    struct language list[LANGUAGES_MAX]; /* by weight, then by name; each once */
    size_t n;
};

static bool is_language_range(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '*') {
            return false;
        }
    }
    return s.n > 0;
}

/* Which stands first? <0, 0, >0 */
static int compare_languages(const struct language *a, const struct language *b)
{
    return a->weight != b->weight ? b->weight - a->weight : str_cmp(a->range, b->range);
}

static bool add_language(struct languages *all, struct language one)
{
    size_t at = all->n;
    while (at > 0 && compare_languages(&all->list[at - 1], &one) > 0) {
        at--;
    }
    if (at > 0 && compare_languages(&all->list[at - 1], &one) == 0) {
        return true;
    }
    if (all->n == LANGUAGES_MAX) {
        return false;
    }
    memmove(all->list + at + 1, all->list + at, (all->n - at) * sizeof(one));
    all->list[at] = one;
    all->n++;
    return true;
}

static bool parse_languages(const struct msg *request, struct arena *a, struct languages *all)
{
    for (size_t i = 0; i < request->n_fields; i++) {
        struct str rest = request->fields[i].value;
        struct str element;
        while (request->fields[i].id == FIELD_ACCEPT_LANGUAGE &&
               str_next(&rest, ',', &element)) {
            struct language one;
            if (element.n == 0) {
                continue;
            }
            one.weight = split_weight(element, &one.range);
            if (one.weight == WEIGHT_BAD || !is_language_range(one.range)) {
                return false;
            }
            one.range = lower_case(one.range, a);
            if (!add_language(all, one)) {
                return false;
            }
        }
    }
    return true;
}

/* Could an accepted range take what this one refuses: "en" for "en-gb", or a "*" (RFC 4647 3)?
 */
static bool is_exception(const struct languages *all, struct str refused)
{
    for (size_t i = 0; i < all->n && all->list[i].weight > 0; i++) {
        struct str range = all->list[i].range;
        if (str_index(range, '*') < range.n || str_eq(range, refused) ||
            (str_starts(refused, range) && refused.p[range.n] == '-')) {
            return true;
        }
    }
    return false;
}

/* ";q=0.5"; nothing for 1 */
static size_t put_weight(char *out, int weight)
{
    if (weight == WEIGHT_ONE) {
        return 0;
    }
    char text[] = ";q=0.000";
    size_t n = sizeof(text) - 1;
    for (size_t i = n; i-- > 5; weight /= 10) {
        text[i] = (char)('0' + weight % 10);
    }
    while (text[n - 1] == '0' && n > 5) {
        n--;
    }
    n -= text[n - 1] == '.';
    memcpy(out, text, n);
    return n;
}

/* False when the field is not what RFC 9110 12.5.4 says. */
static bool language_value(const struct msg *request, struct arena *a, struct str *value)
{
    struct languages all;
    all.n = 0;
    if (!parse_languages(request, a, &all)) {
        return false;
    }
    size_t room = 1, n = 0;
    for (size_t i = 0; i < all.n; i++) {
        room += all.list[i].range.n + sizeof(",;q=0.000");
    }
    char *out = arena_alloc(a, room);
    bool accepts = all.n > 0 && all.list[0].weight > 0;
    for (size_t i = 0; i < all.n; i++) {
        const struct language *one = &all.list[i];
        if (one->weight == 0 && accepts && !is_exception(&all, one->range)) {
            continue;
        }
        if (n > 0) {
            out[n++] = ',';
        }
        memcpy(out + n, one->range.p, one->range.n);
        n += one->range.n;
        n += put_weight(out + n, one->weight);
    }
    *value = str_make(out, n);
    return true;
}

struct str request_language(const struct msg *request, struct arena *a)
{
    struct languages all;
    all.n = 0;
    if (!parse_languages(request, a, &all) || all.n == 0) {
        return STR_NULL;
    }
    const struct language *first = &all.list[0];
    bool alone = all.n == 1 || all.list[1].weight < first->weight;
    bool one = str_index(first->range, '*') == first->range.n;
    return alone && one && first->weight > 0 ? first->range : STR_NULL;
}

/* ---- other fields --------------------------------------------------------------------------
 */

/* Copies s without the white space around the commas that are not in quoted strings. */
static size_t put_list(char *out, struct str s)
{
    size_t n = 0;
    bool quoted = false;
    bool fresh = true; /* no byte of this element yet */
    size_t solid = 0;  /* end of what is not trailing white space */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool space = (c == ' ' || c == '\t') && !quoted;
        if (space && fresh) {
            continue;
        }
        if (c == ',' && !quoted) {
            n = solid;
        }
        out[n++] = c;
        fresh = c == ',' && !quoted;
        solid = space ? solid : n;
        if (quoted && c == '\\' && i + 1 < s.n) {
            out[n++] = s.p[++i];
            solid = n;
        } else if (c == '"') {
            quoted = !quoted;
        }
    }
    return solid;
}

/* The combined field value (RFC 9110 5.3) as put_list() has it. */
static struct str plain_list(struct str name, const struct msg *request, struct arena *a)
{
    struct str value = msg_joined_name(request, name, a);
    if (str_index(value, ',') < value.n) {
        char *out = arena_alloc(a, value.n);
        return str_make(out, put_list(out, value));
    }
    return value;
}

/* Lines as they are, joined by LF, which no value holds. */
static struct str plain_lines(enum field_id id, const struct msg *request, struct arena *a)
{
    size_t room = 0, n = 0;
    for (size_t i = 0; i < request->n_fields; i++) {
        room += request->fields[i].id == id ? request->fields[i].value.n + 1 : 0;
    }
    char *out = arena_alloc(a, room);
    for (size_t i = 0; i < request->n_fields; i++) {
        const struct field *f = &request->fields[i];
        if (f->id == id) {
            memcpy(out + n, f->value.p, f->value.n);
            n += f->value.n;
            out[n++] = '\n';
        }
    }
    return str_make(out, n - 1);
}

static struct str plain_value(enum field_id id, struct str name, const struct msg *request,
                              struct arena *a)
{
    if (id == FIELD_OTHER || (field_flags(id) & FIELD_LIST) != 0) {
        return plain_list(name, request, a);
    }
    return msg_count(request, id) > 1 ? plain_lines(id, request, a) : msg_get(request, id);
}

struct str vary_value(struct str name, const struct msg *request, struct arena *a)
{
    struct str value;
    enum field_id id = field_lookup(name);
    if (id == FIELD_ACCEPT_ENCODING) {
        return request_accepts_gzip(request) ? STR("gzip") : STR("identity");
    }
    if (id == FIELD_ACCEPT_LANGUAGE && msg_find(request, id) != NULL &&
        language_value(request, a, &value)) {
        return value;
    }
    return plain_value(id, name, request, a);
}

/* For each name: the name, "=LENGTH:VALUE" unless the field is absent, LF. A name holds neither
 * "=" nor LF, and the length tells where the value ends. */
void vary_variant_text(const struct vary_spec *spec, const struct msg *request, struct arena *a,
                       struct strbuf *out)
{
    for (size_t i = 0; i < spec->n; i++) {
        struct str value = vary_value(spec->names[i], request, a);
        strbuf_add_str(out, spec->names[i]);
        if (value.p != NULL) {
            strbuf_addf(out, "=%zu:", value.n);
            strbuf_add_str(out, value);
        }
        strbuf_add_char(out, '\n');
    }
}
