/*
 * Line by line with memchr; each byte is then looked at once through a class table. The head
 * that passes holds only complete CRLF lines of the grammar, so llhttp sees nothing ambiguous.
 */
#include "http/guard.h"

#include <stdint.h>
#include <string.h>

enum byte_class {
    CLASS_CTL = 0,       /* never allowed */
    CLASS_VALUE = 1,     /* may stand in a field value: VCHAR, SP, HTAB, obs-text */
    CLASS_TOKEN = 2 | 1, /* may also stand in a token (RFC 9110 5.6.2) */
};

#define T CLASS_TOKEN
#define V CLASS_VALUE
static const uint8_t classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, /* 00: HTAB */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 10 */
    V, T, V, T, T, T, T, T, V, V, T, T, V, T, T, V, /* 20: SP " ( ) , / */
    T, T, T, T, T, T, T, T, T, T, V, V, V, V, V, V, /* 30: : ; < = > ? */
    V, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* 40: @ */
    T, T, T, T, T, T, T, T, T, T, T, V, V, V, T, T, /* 50: [ \ ] */
    T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* 60 */
    T, T, T, T, T, T, T, T, T, T, T, V, T, V, T, 0, /* 70: { } DEL */
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
#undef T
#undef V

static enum guard_result refuse(int code, const char *text, int *status, const char **why)
{
    *status = code;
    *why = text;
    return GUARD_REFUSE;
}

static bool values_only(struct str s)
{
    uint8_t all = CLASS_VALUE;
    for (size_t i = 0; i < s.n; i++) {
        all &= classes[(unsigned char)s.p[i]];
    }
    return all != 0;
}

/* token SP target SP version: exactly two spaces, no HTAB, no obs-text. */
static const char *check_request_line(struct str line)
{
    size_t spaces = 0;
    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if (c <= 0x20 || c >= 0x7f) {
            if (c != ' ') {
                return "a byte that is not allowed in a request line";
            }
            spaces++;
        }
    }
    if (spaces != 2) {
        return "a request line needs exactly two spaces";
    }
    size_t method = str_index(line, ' ');
    struct str rest = str_skip(line, method + 1);
    return method == 0 || rest.p[0] == ' ' ? "an empty element in the request line" : NULL;
}

static const char *check_field_line(struct str line)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        return "a folded or indented field line";
    }
    size_t colon = 0;
    while (colon < line.n && (classes[(unsigned char)line.p[colon]] & 2) != 0) {
        colon++;
    }
    if (colon == 0) {
        return "a field line without a name";
    }
    if (colon == line.n || line.p[colon] != ':') {
        return "a byte that is not allowed in a field name";
    }
    return values_only(str_skip(line, colon + 1)) ? NULL : "a control byte in a field value";
}

static enum guard_result check_line(const struct guard *g, struct str line,
                                    const struct guard_limits *limits, bool response,
                                    int *status, const char **why)
{
    if (g->lines == 0) {
        if (line.n > limits->start_line) {
            return refuse(414, "the request line is too long", status, why);
        }
        const char *bad = response
                              ? (values_only(line) ? NULL : "a control byte in a status line")
                              : check_request_line(line);
        return bad != NULL ? refuse(400, bad, status, why) : GUARD_MORE;
    }
    if (line.n > limits->field_line) {
        return refuse(431, "a field line is too long", status, why);
    }
    if (g->lines > limits->field_count) {
        return refuse(431, "too many field lines", status, why);
    }
    const char *bad = check_field_line(line);
    return bad != NULL ? refuse(400, bad, status, why) : GUARD_MORE;
}

/* A line that has not ended: refuse what cannot become valid, so that nobody streams junk at
 * us. */
static enum guard_result check_open_line(const struct guard *g, struct str open,
                                         const struct guard_limits *limits, int *status,
                                         const char **why)
{
    size_t cap = g->lines == 0 ? limits->start_line : limits->field_line;
    if (open.n > cap + 2) {
        return g->lines == 0 ? refuse(414, "the request line is too long", status, why)
                             : refuse(431, "a field line is too long", status, why);
    }
    if (g->scanned + open.n > limits->head_bytes) {
        return refuse(431, "the head is too large", status, why);
    }
    const char *cr = open.n > 0 ? memchr(open.p, '\r', open.n) : NULL;
    if (cr != NULL && cr != open.p + open.n - 1) {
        return refuse(400, "a bare CR", status, why);
    }
    return GUARD_MORE;
}

enum guard_result guard_scan(struct guard *g, struct str buf, const struct guard_limits *limits,
                             bool response, size_t *head_len, int *status, const char **why)
{
    for (;;) {
        struct str rest = str_skip(buf, g->scanned);
        const char *lf = rest.n > 0 ? memchr(rest.p, '\n', rest.n) : NULL;
        if (lf == NULL) {
            return check_open_line(g, rest, limits, status, why);
        }
        size_t len = (size_t)(lf - rest.p);
        if (len == 0 || rest.p[len - 1] != '\r') {
            return refuse(400, "a bare LF", status, why);
        }
        struct str line = str_make(rest.p, len - 1);
        g->scanned += len + 1;
        if (g->scanned > limits->head_bytes) {
            return refuse(431, "the head is too large", status, why);
        }
        if (line.n > 0) {
            enum guard_result r = check_line(g, line, limits, response, status, why);
            if (r != GUARD_MORE) {
                return r;
            }
            g->lines++;
        } else if (g->lines > 0) {
            *head_len = g->scanned;
            return GUARD_DONE;
        } else if (response || g->start > 0) {
            return refuse(400, "empty lines before the start line", status, why);
        } else {
            g->start = g->scanned;
        }
    }
}
