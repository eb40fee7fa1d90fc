/*
 * Line by line with memchr; each byte is then looked at once through a class table. The head
 * that passes holds only complete CRLF lines of the grammar, so llhttp sees nothing ambiguous.
 */
#include "http/guard.h"

#include <stdint.h>
#include <string.h>

/* What a byte may be part of; control bytes of nothing. */
enum byte_class {
    VALUE_BIT = 1, /* a field value: VCHAR, SP, HTAB, obs-text */
    TOKEN_BIT = 2, /* a token (RFC 9110 5.6.2) */
};

#define T (TOKEN_BIT | VALUE_BIT)
#define V VALUE_BIT
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
    uint8_t all = VALUE_BIT;
    for (size_t i = 0; i < s.n; i++) {
        all &= classes[(unsigned char)s.p[i]];
    }
    return all != 0;
}

static size_t token_length(struct str s)
{
    size_t n = 0;
    while (n < s.n && (classes[(unsigned char)s.p[n]] & TOKEN_BIT) != 0) {
        n++;
    }
    return n;
}

/* HTTP/1.0 or HTTP/1.1. llhttp knows others: OPTIONS * RTSP/1.0, SOURCE /x ICE/1.0. */
static bool is_version(struct str s)
{
    return s.n == 8 && memcmp(s.p, "HTTP/1.", 7) == 0 && (s.p[7] == '0' || s.p[7] == '1');
}

/* token SP target SP version: exactly two spaces, no HTAB, no obs-text (RFC 9112 3). */
static enum guard_result check_request_line(struct str line, int *status, const char **why)
{
    size_t method = token_length(line);
    if (method == 0 || method == line.n || line.p[method] != ' ') {
        return refuse(400, "a malformed method", status, why);
    }
    size_t at = method + 1;
    while (at < line.n && line.p[at] > ' ' && line.p[at] < 0x7f) { /* obs-text: < or > */
        at++;
    }
    if (at == method + 1 || at == line.n || line.p[at] != ' ') {
        return refuse(400, "a malformed request line", status, why);
    }
    struct str version = str_skip(line, at + 1);
    if (is_version(version)) {
        return GUARD_MORE;
    }
    bool other = str_starts(version, STR("HTTP/")) && str_index(version, ' ') == version.n &&
                 values_only(version);
    return other ? refuse(505, "unsupported HTTP version", status, why)
                 : refuse(400, "a malformed request line", status, why);
}

/* version SP 3DIGIT [SP reason] (RFC 9112 4): the last space is often left out with an empty
 * reason. */
static enum guard_result check_status_line(struct str line, int *status, const char **why)
{
    bool ok = line.n >= 12 && is_version(str_make(line.p, 8)) && line.p[8] == ' ' &&
              line.p[9] >= '1' && line.p[9] <= '9' && line.p[10] >= '0' && line.p[10] <= '9' &&
              line.p[11] >= '0' && line.p[11] <= '9' && (line.n == 12 || line.p[12] == ' ');
    if (!ok || !values_only(str_skip(line, 12))) {
        return refuse(400, "a malformed status line", status, why);
    }
    return GUARD_MORE;
}

static const char *check_field_line(struct str line)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        return "a folded or indented field line";
    }
    size_t colon = token_length(line);
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
        return response ? check_status_line(line, status, why)
                        : check_request_line(line, status, why);
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

/* May a line begin with c? An empty line ends the head, or stands before a request. */
static bool may_begin(const struct guard *g, char c, bool response)
{
    if (c == '\r') {
        return g->lines > 0 || (!response && g->start == 0);
    }
    if (response && g->lines == 0) {
        return c == 'H';
    }
    return (classes[(unsigned char)c] & TOKEN_BIT) != 0;
}

/* A line that has not ended: refuse what cannot become valid, so that nobody streams junk at
 * us. */
static enum guard_result check_open_line(const struct guard *g, struct str open,
                                         const struct guard_limits *limits, bool response,
                                         int *status, const char **why)
{
    if (open.n > 0 && !may_begin(g, open.p[0], response)) {
        return refuse(400, "a line that begins with a byte that it may not", status, why);
    }
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
            return check_open_line(g, rest, limits, response, status, why);
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
