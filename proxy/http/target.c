/*
 * The one canonicaliser of request targets. What it returns is what is routed, keyed and
 * forwarded, so no two parties can read one request in two ways (hardening K5): nothing is
 * repaired, what is ambiguous is refused, and what has several spellings is given one.
 *
 * Policy: "//" stays as received, because origins tell it from "/" and merging would change
 * which resource is asked for. Bytes that RFC 3986 does not allow raw in a path, but clients
 * send ({ } | ^ " < > ` [ ]), are encoded.
 */
#include "http/target.h"

#include <arpa/inet.h>

#define HOST_MAX  253 /* bytes of a host name (RFC 1035 2.3.4) */
#define LABEL_MAX 63

/* Bitmaps over ASCII. */
static const uint32_t UNRESERVED[4] = {0, 0x03ff6000, 0x87fffffe, 0x47fffffe};
static const uint32_t PATH_BYTES[4] = {0, 0x2fffffd2, 0x87ffffff, 0x47fffffe}; /* pchar, / */

static bool in_set(const uint32_t set[4], unsigned char c)
{
    return c < 128 && (set[c / 32] >> (c % 32) & 1) != 0;
}

static char *put_encoded(char *out, unsigned char c)
{
    out[0] = '%';
    out[1] = "0123456789ABCDEF"[c >> 4];
    out[2] = "0123456789ABCDEF"[c & 15];
    return out + 3;
}

/* The byte that %XX at s.p[i] stands for, or -1. */
static int decode_at(struct str s, size_t i)
{
    if (s.n - i < 3) {
        return -1;
    }
    int high = hex_value(s.p[i + 1]), low = hex_value(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What no target may hold in any part. */
static const char *check_bytes(struct str raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if (c == 0) {
            return "NUL";
        }
        if (c <= 0x20 || c == 0x7f) {
            return "control byte or space";
        }
        if (c >= 0x80) {
            return "non-ASCII byte";
        }
        if (c == '\\') {
            return "backslash";
        }
        if (c == '#') {
            return "fragment";
        }
    }
    return NULL;
}

static const char *check_query(struct str query)
{
    for (size_t i = 0; i < query.n; i++) {
        if (query.p[i] != '%') {
            continue;
        }
        int c = decode_at(query, i);
        if (c < 0) {
            return "bad percent-encoding";
        }
        if (c == 0) {
            return "NUL";
        }
    }
    return NULL;
}

static const char *check_path_escape(int c)
{
    if (c < 0) {
        return "bad percent-encoding";
    }
    if (c == 0) {
        return "NUL";
    }
    if (c == '/') {
        return "encoded slash";
    }
    if (c == '\\') {
        return "encoded backslash";
    }
    return c < 0x20 || c == 0x7f ? "encoded control byte" : NULL;
}

/* Is the path its own canonical form? Most are, and need no copy. */
static bool is_canonical(struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (!in_set(PATH_BYTES, (unsigned char)c) ||
            (c == '/' && i + 1 < path.n && path.p[i + 1] == '.')) {
            return false;
        }
    }
    return true;
}

/* Writes the path with one spelling for each byte; *out has room for three times its length. */
static const char *normalize_escapes(struct str path, struct str *out, char *to)
{
    char *start = to;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        if (c == '%') {
            int decoded = decode_at(path, i);
            const char *why = check_path_escape(decoded);
            if (why != NULL) {
                return why;
            }
            c = (unsigned char)decoded;
            i += 2;
            if (in_set(UNRESERVED, c)) {
                *to++ = (char)c;
            } else {
                to = put_encoded(to, c);
            }
        } else if (in_set(PATH_BYTES, c)) {
            *to++ = (char)c;
        } else {
            to = put_encoded(to, c);
        }
    }
    *out = str_make(start, (size_t)(to - start));
    return NULL;
}

/* Some servers drop what follows a ';' before they look for dots, so "..;x" may climb. */
static bool is_dressed_dot(struct str segment)
{
    return str_starts(segment, STR(".;")) || str_starts(segment, STR("..;"));
}

/* Resolves "." and ".." in place (RFC 3986 5.2.4), but refuses to climb above the root. */
static const char *remove_dot_segments(char *p, size_t *n)
{
    size_t kept = 0;
    size_t at = 0;
    while (at < *n) { /* p[at] is a slash */
        size_t length = str_index(str_make(p + at + 1, *n - at - 1), '/');
        struct str segment = str_make(p + at + 1, length);
        bool up = str_eq(segment, STR(".."));
        bool here = str_eq(segment, STR("."));
        bool last = at + 1 + length == *n;
        if (is_dressed_dot(segment)) {
            return "dot segment with parameters";
        }
        if (up) {
            if (kept == 0) {
                return "escapes root";
            }
            do {
                kept--;
            } while (p[kept] != '/');
        } else if (!here) {
            memmove(p + kept, p + at, length + 1);
            kept += length + 1;
        }
        if ((up || here) && last) {
            p[kept++] = '/';
        }
        at += length + 1;
    }
    *n = kept;
    return NULL;
}

static bool holds_semicolon(struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == ';' || str_starts(str_skip(path, i), STR("%3B"))) {
            return true;
        }
    }
    return false;
}

/* path begins with a slash. */
static const char *set_path(struct str path, struct arena *a, struct target *out)
{
    if (!is_canonical(path)) {
        char *buffer = arena_alloc(a, path.n * 3);
        const char *why = normalize_escapes(path, &path, buffer);
        if (why == NULL) {
            why = remove_dot_segments(buffer, &path.n);
        }
        if (why != NULL) {
            return why;
        }
    }
    out->path = path;
    out->semicolon = holds_semicolon(path);
    return NULL;
}

static const char *set_path_and_query(struct str s, struct arena *a, struct target *out)
{
    size_t mark = str_index(s, '?');
    struct str path = str_make(s.p, mark);
    if (mark < s.n) {
        out->query = str_skip(s, mark + 1);
        const char *why = check_query(out->query);
        if (why != NULL) {
            return why;
        }
    }
    /* http://host has the path "/" (RFC 9110 4.2.3). */
    return set_path(path.n > 0 ? path : STR("/"), a, out);
}

/* Length of the scheme of "scheme://", or 0. */
static size_t scheme_length(struct str raw)
{
    size_t colon = str_index(raw, ':');
    return str_starts(str_skip(raw, colon), STR("://")) ? colon : 0;
}

static const char *parse_absolute(struct str raw, size_t scheme, struct arena *a,
                                  struct target *out)
{
    struct str name = str_make(raw.p, scheme);
    if (str_ieq(name, STR("http"))) {
        out->scheme = STR("http");
    } else if (str_ieq(name, STR("https"))) {
        out->scheme = STR("https");
    } else {
        return "unsupported scheme";
    }
    struct str rest = str_skip(raw, scheme + 3);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?') {
        end++;
    }
    out->form = TARGET_ABSOLUTE;
    out->authority = str_make(rest.p, end);
    if (end == 0) {
        return "no authority";
    }
    if (str_index(out->authority, '@') < end) {
        return "userinfo";
    }
    return set_path_and_query(str_skip(rest, end), a, out);
}

/* "host:port", for CONNECT */
static const char *parse_authority(struct str raw, struct target *out)
{
    size_t colon = raw.n;
    while (colon > 0 && raw.p[colon - 1] != ':') {
        colon--;
    }
    uint64_t port;
    if (colon < 2 || !str_to_u64(str_skip(raw, colon), 65535, &port) ||
        str_index(raw, '/') < raw.n || str_index(raw, '?') < raw.n ||
        str_index(raw, '@') < raw.n) {
        return "not a path";
    }
    out->form = TARGET_AUTHORITY;
    out->authority = raw;
    out->path = STR("");
    return NULL;
}

const char *target_parse(struct str raw, struct arena *a, struct target *out)
{
    *out = (struct target){.form = TARGET_ORIGIN};
    if (raw.n == 0) {
        return "empty target";
    }
    const char *why = check_bytes(raw);
    if (why != NULL) {
        return why;
    }
    if (raw.p[0] == '/') { /* even "//host/": a path, not an authority (K3) */
        return set_path_and_query(raw, a, out);
    }
    if (str_eq(raw, STR("*"))) {
        out->form = TARGET_ASTERISK;
        out->path = raw;
        return NULL;
    }
    size_t scheme = scheme_length(raw);
    return scheme > 0 ? parse_absolute(raw, scheme, a, out) : parse_authority(raw, out);
}

/* ---- host ----------------------------------------------------------------------------------
 */

/* Port of "" or ":port" after the host. */
static bool parse_port(struct str s, bool tls, struct str *port)
{
    uint64_t value;
    *port = STR_NULL;
    if (s.n == 0 || str_eq(s, STR(":"))) { /* "host:" is legal and means the default */
        return true;
    }
    if (s.p[0] != ':') {
        return false;
    }
    s = str_skip(s, 1);
    if (!str_to_u64(s, 65535, &value) || value == 0) {
        return false;
    }
    while (s.p[0] == '0') {
        s = str_skip(s, 1);
    }
    if (value != (tls ? 443 : 80)) {
        *port = s;
    }
    return true;
}

/* An IPv6 address has many spellings; the system's printing is the one of RFC 5952. */
static bool parse_ipv6(struct str literal, struct arena *a, struct str *name)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ip;
    if (literal.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, literal.p, literal.n);
    text[literal.n] = '\0';
    if (strlen(text) != literal.n || inet_pton(AF_INET6, text, &ip) != 1 ||
        inet_ntop(AF_INET6, &ip, text, sizeof(text)) == NULL) {
        return false;
    }
    *name = arena_printf(a, "[%s]", text);
    return true;
}

/* Dot-separated labels of letters, digits, hyphen and underscore (container names have it). */
static bool parse_name(struct str s, struct arena *a, struct str *name)
{
    if (s.n > 1 && s.p[s.n - 1] == '.') {
        s.n--; /* the root's dot names the same host */
    }
    if (s.n == 0 || s.n > HOST_MAX) {
        return false;
    }
    char *lower = arena_alloc(a, s.n);
    size_t label = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (c == '.') {
            if (label == 0) {
                return false;
            }
            label = 0;
        } else if (!in_set(UNRESERVED, (unsigned char)c) || c == '~' || ++label > LABEL_MAX) {
            return false;
        }
        lower[i] = c;
    }
    *name = str_make(lower, s.n);
    return label > 0;
}

bool host_parse(struct str value, bool tls, struct arena *a, struct host *out)
{
    *out = (struct host){STR_NULL, STR_NULL};
    if (value.n > 0 && value.p[0] == '[') {
        size_t end = str_index(value, ']');
        return end < value.n && parse_port(str_skip(value, end + 1), tls, &out->port) &&
               parse_ipv6(str_make(value.p + 1, end - 1), a, &out->name);
    }
    size_t colon = str_index(value, ':');
    return parse_port(str_skip(value, colon), tls, &out->port) &&
           parse_name(str_make(value.p, colon), a, &out->name);
}

struct str host_authority(const struct host *h, struct arena *a)
{
    if (h->port.p == NULL) {
        return h->name;
    }
    char *text = arena_alloc(a, h->name.n + 1 + h->port.n);
    memcpy(text, h->name.p, h->name.n);
    text[h->name.n] = ':';
    memcpy(text + h->name.n + 1, h->port.p, h->port.n);
    return str_make(text, h->name.n + 1 + h->port.n);
}

/* ---- query ---------------------------------------------------------------------------------
 */

/* s without its %XX; a slice of s when there are none. A malformed % stays as it is. */
static struct str percent_decode(struct str s, struct arena *a)
{
    size_t first = str_index(s, '%');
    if (first == s.n) {
        return s;
    }
    char *out = arena_alloc(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i] == '%' ? decode_at(s, i) : -1;
        if (c >= 0) {
            out[n++] = (char)c;
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return str_make(out, n);
}

/* Takes the next element that is not empty. */
static bool next_param(struct str *rest, struct str *element)
{
    while (rest->n > 0) {
        size_t end = str_index(*rest, '&');
        *element = str_make(rest->p, end);
        *rest = str_skip(*rest, end + 1);
        if (end > 0) {
            return true;
        }
    }
    return false;
}

int query_split(struct str query, size_t max, struct arena *a, struct query_param **out)
{
    size_t count = 0;
    struct str element;
    for (struct str rest = query; next_param(&rest, &element);) {
        if (++count > max) {
            return -1;
        }
    }
    struct query_param *list = arena_alloc(a, count * sizeof(*list));
    size_t n = 0;
    for (struct str rest = query; next_param(&rest, &element); n++) {
        size_t equals = str_index(element, '=');
        list[n].name = percent_decode(str_make(element.p, equals), a);
        list[n].value = percent_decode(str_skip(element, equals + 1), a);
        list[n].has_value = equals < element.n;
    }
    *out = list;
    return (int)n;
}

bool query_is_tracking(struct str name)
{
    /* Set by advertisers and mailers in links to a page; no API gives them a meaning. */
    static const char *const names[] = {
        "_ga",     "_gl",         "_hsenc",     "_hsmi",   "dclid",  "epik",
        "fbclid",  "gad_source",  "gbraid",     "gclid",   "gclsrc", "hsCtaTracking",
        "igsh",    "igshid",      "li_fat_id",  "mc_cid",  "mc_eid", "mkt_tok",
        "msclkid", "oly_anon_id", "oly_enc_id", "srsltid", "ttclid", "twclid",
        "vero_id", "wbraid",      "yclid",
    };
    if (str_starts(name, STR("utm_"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(name, str_from(names[i]))) {
            return true;
        }
    }
    return false;
}

void percent_encode(struct strbuf *out, struct str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (in_set(UNRESERVED, c) && c != '~') {
            continue;
        }
        char encoded[3];
        put_encoded(encoded, c);
        strbuf_add(out, s.p + from, i - from);
        strbuf_add(out, encoded, sizeof(encoded));
        from = i + 1;
    }
    strbuf_add_str(out, str_skip(s, from));
}
