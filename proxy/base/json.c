/*
 * The guard: a scanner of the strict grammar (RFC 8259), whose recursion is bounded by
 * max_depth, then cJSON, then the search for duplicate members. The scanner builds nothing; it
 * only decides what cJSON may see.
 */
#include "base/json.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/mem.h"

/* Position and limits of one scan. */
struct scan {
    const unsigned char *p;   /* next byte */
    const unsigned char *end; /* one past the text */
    unsigned depth_left;      /* levels that may still be opened */
    const char *why;          /* set at the first fault */
};

static bool scan_value(struct scan *s);

static bool fault(struct scan *s, const char *why)
{
    s->why = why;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
        s->p++;
    }
}

static bool take(struct scan *s, unsigned char c)
{
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return true;
    }
    return false;
}

static bool scan_word(struct scan *s, struct str word)
{
    if ((size_t)(s->end - s->p) < word.n || memcmp(s->p, word.p, word.n) != 0) {
        return fault(s, "not a JSON value");
    }
    s->p += word.n;
    return true;
}

static bool scan_digits(struct scan *s)
{
    const unsigned char *start = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return s->p > start || fault(s, "malformed number");
}

/* cJSON keeps 63 characters of a number in some versions; what follows must not be lost. */
#define NUMBER_MAX 63

/* [ "-" ] int [ frac ] [ exp ] (section 6); cJSON would take 01, 1. and more. */
static bool scan_number(struct scan *s)
{
    const unsigned char *start = s->p;
    (void)take(s, '-');
    if (!take(s, '0') && !scan_digits(s)) {
        return false;
    }
    if (take(s, '.') && !scan_digits(s)) {
        return false;
    }
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+')) {
            (void)take(s, '-');
        }
        if (!scan_digits(s)) {
            return false;
        }
    }
    return s->p - start <= NUMBER_MAX || fault(s, "number too long");
}

/* After a backslash. Surrogate pairs are cJSON's to check; it refuses lone ones. */
static bool scan_escape(struct scan *s)
{
    if (s->p >= s->end) {
        return fault(s, "unterminated string");
    }
    unsigned char c = *s->p++;
    if (c != 'u') {
        return memchr("\"\\/bfnrt", c, 8) != NULL || fault(s, "unknown escape");
    }
    unsigned unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = s->p < s->end ? hex_value((char)*s->p) : -1;
        if (digit < 0) {
            return fault(s, "malformed \\u escape");
        }
        unit = unit << 4 | (unsigned)digit;
        s->p++;
    }
    return unit != 0 || fault(s, "U+0000 in a string");
}

/* One multi-byte UTF-8 sequence (RFC 3629 section 4); s->p is at its first byte. */
static bool scan_utf8(struct scan *s)
{
    unsigned char c = *s->p++;
    int more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : 3;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (c < 0xc2 || c > 0xf4) {
        return fault(s, "invalid UTF-8");
    }
    if (c == 0xe0) {
        low = 0xa0;
    } else if (c == 0xed) {
        high = 0x9f;
    } else if (c == 0xf0) {
        low = 0x90;
    } else if (c == 0xf4) {
        high = 0x8f;
    }
    for (; more > 0; more--, low = 0x80, high = 0xbf) {
        if (s->p >= s->end || *s->p < low || *s->p > high) {
            return fault(s, "invalid UTF-8");
        }
        s->p++;
    }
    return true;
}

static bool scan_string(struct scan *s)
{
    if (!take(s, '"')) {
        return fault(s, "a string was expected");
    }
    while (s->p < s->end) {
        unsigned char c = *s->p;
        if (c == '"') {
            s->p++;
            return true;
        }
        if (c < 0x20) {
            return fault(s, "control byte in a string");
        }
        if (c >= 0x80) {
            if (!scan_utf8(s)) {
                return false;
            }
            continue;
        }
        s->p++;
        if (c == '\\' && !scan_escape(s)) {
            return false;
        }
    }
    return fault(s, "unterminated string");
}

static bool scan_member(struct scan *s)
{
    if (!scan_string(s)) {
        return false;
    }
    skip_space(s);
    if (!take(s, ':')) {
        return fault(s, "':' was expected");
    }
    return scan_value(s);
}

/* What stands between the brackets of an object or array, and the closing one. */
static bool scan_elements(struct scan *s, unsigned char close)
{
    if (s->depth_left == 0) {
        return fault(s, "nested too deep");
    }
    s->depth_left--;
    skip_space(s);
    bool open = !take(s, close);
    while (open) {
        skip_space(s);
        if (!(close == '}' ? scan_member(s) : scan_value(s))) {
            return false;
        }
        if (take(s, close)) {
            open = false;
        } else if (!take(s, ',')) {
            return fault(s, "',' or a closing bracket was expected");
        }
    }
    s->depth_left++;
    return true;
}

/* One value and the whitespace around it. */
static bool scan_value(struct scan *s)
{
    skip_space(s);
    if (s->p >= s->end) {
        return fault(s, "the text ends early");
    }
    bool ok;
    switch (*s->p) {
    case '{':
    case '[':
        s->p++;
        ok = scan_elements(s, s->p[-1] == '{' ? '}' : ']');
        break;
    case '"': ok = scan_string(s); break;
    case 't': ok = scan_word(s, STR("true")); break;
    case 'f': ok = scan_word(s, STR("false")); break;
    case 'n': ok = scan_word(s, STR("null")); break;
    default:
        ok = *s->p == '-' || (*s->p >= '0' && *s->p <= '9') ? scan_number(s)
                                                            : fault(s, "not a JSON value");
        break;
    }
    skip_space(s);
    return ok;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted rather than compared pairwise: a text of many members must not cost its square. */
static bool names_repeat(const cJSON *object)
{
    size_t n = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        n++;
    }
    if (n < 2) {
        return false;
    }
    const char *few[32];
    const char **names = n <= 32 ? few : xcalloc(n, sizeof(*names));
    size_t i = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        names[i++] = m->string;
    }
    qsort(names, n, sizeof(*names), compare_names);
    bool repeat = false;
    for (i = 1; i < n && !repeat; i++) {
        repeat = strcmp(names[i - 1], names[i]) == 0;
    }
    if (names != few) {
        free(names);
    }
    return repeat;
}

/* Recursion is bounded by the depth that the scanner let through. */
static bool any_names_repeat(const cJSON *item)
{
    if (cJSON_IsObject(item) && names_repeat(item)) {
        return true;
    }
    for (const cJSON *m = item->child; m != NULL; m = m->next) {
        if (m->child != NULL && any_names_repeat(m)) {
            return true;
        }
    }
    return false;
}

static bool only_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) {
        p++;
    }
    return p == end;
}

struct cJSON *json_parse(struct str text, size_t max_bytes, unsigned max_depth,
                         const char **why)
{
    const char *ignored = NULL;
    why = why != NULL ? why : &ignored;
    if (text.n > max_bytes) {
        *why = "too long";
        return NULL;
    }
    struct scan s = {
        .p = (const unsigned char *)text.p,
        .end = (const unsigned char *)text.p + text.n,
        .depth_left = max_depth < JSON_MAX_DEPTH ? max_depth : JSON_MAX_DEPTH,
    };
    if (text.n == 0 || !scan_value(&s)) {
        *why = text.n == 0 ? "empty" : s.why;
        return NULL;
    }
    if (s.p != s.end) {
        *why = "bytes after the JSON value";
        return NULL;
    }
    /* The two must agree where the value ends. */
    const char *end = NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0);
    if (tree == NULL || !only_space(end, text.p + text.n)) {
        *why = "not a JSON text";
        cJSON_Delete(tree);
        return NULL;
    }
    if (any_names_repeat(tree)) {
        *why = "an object has two members of the same name";
        cJSON_Delete(tree);
        return NULL;
    }
    return tree;
}

void json_free(struct cJSON *tree)
{
    cJSON_Delete(tree);
}

const struct cJSON *json_get(const struct cJSON *object, struct str name)
{
    if (!cJSON_IsObject(object)) {
        return NULL;
    }
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        if (str_eq(str_from(m->string), name)) {
            return m;
        }
    }
    return NULL;
}

struct str json_string(const struct cJSON *item)
{
    return cJSON_IsString(item) ? str_from(item->valuestring) : STR_NULL;
}
