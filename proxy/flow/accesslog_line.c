/*
 * Rendering. Every field has a cap on the bytes it may take after escaping, so that a JSON line
 * is always whole: the caps and the text between them stay below ACCESS_LINE_MAX. Numbers and
 * times are written by hand; this runs for every request.
 */
#include "flow/accesslog_line.h"

#include <string.h>
#include <time.h>

#include "base/utf8.h"

/* Fields: X(name in JSON and in {placeholders}, kind, member, cap in bytes after escaping). */
#define FIELDS(X)                              \
    X(time, TIME, time, 0)                     \
    X(id, TEXT, id, 64)                        \
    X(client, TEXT, client, 64)                \
    X(method, TEXT, method, 32)                \
    X(host, TEXT, host, 256)                   \
    X(path, PATH, path, 2048)                  \
    X(route, TEXT, route, 128)                 \
    X(cache, TEXT, cache, 16)                  \
    X(reason, TEXT, reason, 64)                \
    X(tier, TEXT, tier, 16)                    \
    X(status, NUMBER, status, 0)               \
    X(bytes, NUMBER, bytes, 0)                 \
    X(request_bytes, NUMBER, request_bytes, 0) \
    X(ms, MICROS, total_us, 0)                 \
    X(upstream_ms, MICROS, upstream_us, 0)     \
    X(upstream, TEXT, upstream, 128)           \
    X(protocol, TEXT, protocol, 16)            \
    X(agent, TEXT, agent, 256)                 \
    X(tls, FLAG, tls, 0)

enum {
#define X(name, kind, member, cap) F_##name,
    FIELDS(X)
#undef X
        F_COUNT
};

static const char *const field_names[F_COUNT] = {
#define X(name, kind, member, cap) #name,
    FIELDS(X)
#undef X
};

/* A JSON line never has to be cut: the caps, and for each field its name with quotes and
 * commas, the longest number and the time. */
#define X(name, kind, member, cap) +(cap) + sizeof(#name) + 32
_Static_assert(0 FIELDS(X) + 4 < ACCESS_LINE_MAX, "a full JSON line is too long");
#undef X

/* Output with a hard end; writers beyond it write nothing. */
struct out {
    char *p;
    char *end;
    bool json;
};

static void put(struct out *o, const char *p, size_t n)
{
    if (n <= (size_t)(o->end - o->p)) {
        memcpy(o->p, p, n);
        o->p += n;
    }
}

#define PUT_LITERAL(o, text) put(o, text, sizeof(text) - 1)

static void put_number(struct out *o, uint64_t v)
{
    char digits[20];
    put(o, digits, u64_to_dec(v, digits));
}

/* Bytes that are written as they are: printable ASCII but the quote and the backslash. */
static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static char *put_hex(char *p, const char *mark, uint32_t v, unsigned digits)
{
    static const char hex[] = "0123456789abcdef";
    *p++ = mark[0];
    *p++ = mark[1];
    while (digits-- > 0) {
        *p++ = hex[v >> (4 * digits) & 0xf];
    }
    return p;
}

/* Escapes the character at p into at most 12 bytes; returns how many input bytes it took. */
static size_t escape_one(const unsigned char *p, size_t n, bool json, char *text, size_t *len)
{
    char *q = text;
    size_t took = 1;
    if (p[0] == '"' || p[0] == '\\') {
        *q++ = '\\';
        *q++ = (char)p[0];
    } else if (!json) {
        q = put_hex(q, "\\x", p[0], 2);
    } else if (p[0] < 0x80) {
        q = put_hex(q, "\\u", p[0], 4);
    } else {
        uint32_t code = 0xfffd; /* what is not UTF-8 shows as the replacement character */
        size_t sequence = utf8_sequence(p, n, &code);
        took = sequence > 0 ? sequence : 1;
        if (code > 0xffff) {
            q = put_hex(q, "\\u", 0xd7c0 + (code >> 10), 4);
            q = put_hex(q, "\\u", 0xdc00 + (code & 0x3ff), 4);
        } else {
            q = put_hex(q, "\\u", code, 4);
        }
    }
    *len = (size_t)(q - text);
    return took;
}

/* As much of s as fits before `limit`; an escape is never cut. False when something was left
 * out. */
static bool put_escaped(struct out *o, struct str s, const char *limit)
{
    const unsigned char *p = (const unsigned char *)s.p;
    const unsigned char *end = p + s.n;
    char *q = o->p;
    while (p < end && q < limit) {
        if (is_plain(*p)) {
            *q++ = (char)*p++;
            continue;
        }
        char text[12];
        size_t len;
        size_t took = escape_one(p, (size_t)(end - p), o->json, text, &len);
        if (len > (size_t)(limit - q)) {
            break;
        }
        memcpy(q, text, len);
        q += len;
        p += took;
    }
    o->p = q;
    return p == end;
}

static const struct str secrets[] = {
    STR("token"),
    STR("access_token"),
    STR("refresh_token"),
    STR("id_token"),
    STR("api_key"),
    STR("apikey"),
    STR("key"),
    STR("password"),
    STR("passwd"),
    STR("secret"),
    STR("client_secret"),
    STR("sig"),
    STR("signature"),
    STR("jwt"),
    STR("authorization"),
    STR("x-amz-signature"),
    STR("x-goog-signature"),
    STR("x-amz-security-token"),
};

#define SECRET_NAME_MAX 20

/* Does the parameter carry a secret by its name (any case, percent-encoded or not, api_key[])?
 */
static bool is_secret(struct str name)
{
    char plain[SECRET_NAME_MAX];
    size_t n = 0;
    for (size_t i = 0; i < name.n && name.p[i] != '['; i++) {
        char c = name.p[i];
        if (c == '%' && name.n - i > 2 && hex_value(name.p[i + 1]) >= 0 &&
            hex_value(name.p[i + 2]) >= 0) {
            c = (char)(hex_value(name.p[i + 1]) << 4 | hex_value(name.p[i + 2]));
            i += 2;
        }
        if (c == '[') {
            break;
        }
        if (n == sizeof(plain)) {
            return false;
        }
        plain[n++] = ascii_lower(c);
    }
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (str_eq(secrets[i], str_make(plain, n))) {
            return true;
        }
    }
    return false;
}

/* Length up to the next & or ; (some backends split there too). */
static size_t parameter_length(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '&' && s.p[n] != ';') {
        n++;
    }
    return n;
}

/* Length of the userinfo of a target in absolute form (http://user:password@host/…), and in
 * *start where it begins; 0 when there is none. Refused requests are logged with it, too. */
static size_t userinfo(struct str target, size_t *start)
{
    size_t colon = str_index(target, ':');
    if (target.n == 0 || target.p[0] == '/' ||
        !str_starts(str_skip(target, colon), STR("://"))) {
        return 0;
    }
    *start = colon + 3;
    size_t n = 0;
    for (size_t i = *start; i < target.n && target.p[i] != '/' && target.p[i] != '?'; i++) {
        if (target.p[i] == '@') {
            n = i - *start;
        }
    }
    return n;
}

static void put_path(struct out *o, struct str path, const char *limit)
{
    size_t start;
    size_t secret = userinfo(path, &start);
    if (secret > 0) {
        if (!put_escaped(o, str_make(path.p, start), limit) ||
            !put_escaped(o, STR("***"), limit)) {
            return;
        }
        path = str_skip(path, start + secret);
    }
    size_t mark = str_index(path, '?');
    if (mark == path.n) {
        put_escaped(o, path, limit);
        return;
    }
    bool more = put_escaped(o, str_make(path.p, mark + 1), limit);
    struct str rest = str_skip(path, mark + 1);
    while (more && rest.n > 0) {
        size_t n = parameter_length(rest);
        struct str pair = str_make(rest.p, n);
        size_t equals = str_index(pair, '=');
        if (equals < n && is_secret(str_make(pair.p, equals))) {
            more = put_escaped(o, str_make(pair.p, equals + 1), limit) &&
                   put_escaped(o, STR("***"), limit);
        } else {
            more = put_escaped(o, pair, limit);
        }
        if (more && n < rest.n) {
            more = put_escaped(o, str_make(rest.p + n, 1), limit);
            n++;
        }
        rest = str_skip(rest, n);
    }
}

static void put_absent(struct out *o)
{
    if (o->json) {
        PUT_LITERAL(o, "null");
    } else {
        PUT_LITERAL(o, "-");
    }
}

static void put_text(struct out *o, struct str s, size_t cap, bool path)
{
    if (s.n == 0) {
        put_absent(o);
        return;
    }
    if (o->json) {
        PUT_LITERAL(o, "\"");
    }
    const char *limit = cap < (size_t)(o->end - o->p) ? o->p + cap : o->end;
    if (path) {
        put_path(o, s, limit);
    } else {
        put_escaped(o, s, limit);
    }
    if (o->json) {
        PUT_LITERAL(o, "\"");
    }
}

/* Milliseconds with three decimals. */
static void put_micros(struct out *o, int64_t us)
{
    if (us < 0) {
        put_absent(o);
        return;
    }
    put_number(o, (uint64_t)us / 1000);
    unsigned rest = (unsigned)(us % 1000);
    const char fraction[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                              (char)('0' + rest % 10)};
    put(o, fraction, sizeof(fraction));
}

static void put_time(struct out *o, struct access_clock *clock, msec_t wall)
{
    int64_t second = wall / 1000;
    if (second != clock->second || clock->second == 0) {
        struct tm tm;
        time_t t = (time_t)second;
        gmtime_r(&t, &tm);
        strftime(clock->text, sizeof(clock->text), "%Y-%m-%dT%H:%M:%S", &tm);
        clock->second = second;
    }
    unsigned ms = (unsigned)(wall % 1000);
    const char fraction[5] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                              (char)('0' + ms % 10), 'Z'};
    if (o->json) {
        PUT_LITERAL(o, "\"");
    }
    put(o, clock->text, strlen(clock->text));
    put(o, fraction, sizeof(fraction));
    if (o->json) {
        PUT_LITERAL(o, "\"");
    }
}

static void put_flag(struct out *o, bool yes)
{
    if (yes) {
        PUT_LITERAL(o, "true");
    } else {
        PUT_LITERAL(o, "false");
    }
}

#define PUT_TIME(o, r, clock, member, cap)   put_time(o, clock, (r)->member)
#define PUT_TEXT(o, r, clock, member, cap)   put_text(o, (r)->member, cap, false)
#define PUT_PATH(o, r, clock, member, cap)   put_text(o, (r)->member, cap, true)
#define PUT_NUMBER(o, r, clock, member, cap) put_number(o, (uint64_t)(r)->member)
#define PUT_MICROS(o, r, clock, member, cap) put_micros(o, (r)->member)
#define PUT_FLAG(o, r, clock, member, cap)   put_flag(o, (r)->member)

static void put_json(struct out *o, struct access_clock *clock, const struct access_record *r)
{
#define X(name, kind, member, cap)         \
    if (F_##name == 0) {                   \
        PUT_LITERAL(o, "{\"" #name "\":"); \
    } else {                               \
        PUT_LITERAL(o, ",\"" #name "\":"); \
    }                                      \
    PUT_##kind(o, r, clock, member, cap);
    FIELDS(X)
#undef X
    PUT_LITERAL(o, "}");
}

static void put_field(struct out *o, struct access_clock *clock, const struct access_record *r,
                      int field)
{
    switch (field) {
#define X(name, kind, member, cap) \
    case F_##name: PUT_##kind(o, r, clock, member, cap); break;
        FIELDS(X)
#undef X
    default: break;
    }
}

size_t access_line_render(const struct access_format *f, struct access_clock *clock,
                          const struct access_record *r, char *out)
{
    struct out o = {.p = out, .end = out + ACCESS_LINE_MAX - 1, .json = f->json};
    if (f->json) {
        put_json(&o, clock, r);
    } else {
        for (size_t i = 0; i < f->n; i++) {
            put(&o, f->pieces[i].literal.p, f->pieces[i].literal.n);
            put_field(&o, clock, r, f->pieces[i].field);
        }
    }
    *o.p++ = '\n';
    return (size_t)(o.p - out);
}

/* ---- compiling --------------------------------------------------------------------------- */

static int field_by_name(struct str name)
{
    for (int i = 0; i < F_COUNT; i++) {
        if (str_eq(name, str_from(field_names[i]))) {
            return i;
        }
    }
    return -1;
}

static bool add_piece(struct access_format *f, struct str literal, int field, const char **why)
{
    if (f->n == ACCESS_PIECES_MAX) {
        *why = "the format has too many placeholders";
        return false;
    }
    f->pieces[f->n++] = (struct access_piece){literal, field};
    return true;
}

bool access_format_compile(struct access_format *f, struct str template, const char **why)
{
    f->json = false;
    f->n = 0;
    if (template.n == 0 || template.n > sizeof(f->template)) {
        *why = template.n == 0 ? "the format is empty" : "the format is too long";
        return false;
    }
    memcpy(f->template, template.p, template.n);
    struct str rest = str_make(f->template, template.n);
    size_t literal = 0; /* bytes of rest that are literal so far */
    while (literal < rest.n) {
        char c = rest.p[literal];
        if ((unsigned char)c < 0x20 && c != '\t') {
            *why = "the format holds a control character";
            return false;
        }
        if (c != '{') {
            literal++;
            continue;
        }
        if (rest.n - literal > 1 && rest.p[literal + 1] == '{') { /* {{ is one brace */
            if (!add_piece(f, str_make(rest.p, literal + 1), -1, why)) {
                return false;
            }
            rest = str_skip(rest, literal + 2);
            literal = 0;
            continue;
        }
        struct str name = str_skip(rest, literal + 1);
        size_t close = str_index(name, '}');
        int field = close < name.n ? field_by_name(str_make(name.p, close)) : -1;
        if (field < 0) {
            *why = close < name.n ? "the format has an unknown {placeholder}"
                                  : "the format has a { without its }";
            return false;
        }
        if (!add_piece(f, str_make(rest.p, literal), field, why)) {
            return false;
        }
        rest = str_skip(name, close + 1);
        literal = 0;
    }
    return rest.n == 0 || add_piece(f, rest, -1, why);
}
