/*
 * Slices and growing buffers. Nothing here knows a protocol, but for OWS, which every text
 * protocol on this side of the wire shares.
 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (order != 0) {
        return order;
    }
    return (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

size_t str_index(struct str s, char c)
{
    const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
    return at != NULL ? (size_t)(at - s.p) : s.n;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_ows(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_ows(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

struct str str_skip(struct str s, size_t from)
{
    if (from >= s.n) {
        return str_make(s.p != NULL ? s.p + s.n : NULL, 0);
    }
    return str_make(s.p + from, s.n - from);
}

bool str_next(struct str *rest, char sep, struct str *element)
{
    if (rest->p == NULL) {
        return false;
    }
    size_t at = str_index(*rest, sep);
    *element = str_trim(str_make(rest->p, at));
    *rest = at < rest->n ? str_skip(*rest, at + 1) : STR_NULL;
    return true;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;
    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    if (v > max) {
        return false;
    }
    *value = v;
    return true;
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.n + 1);
    if (s.n > 0) {
        memcpy(copy, s.p, s.n);
    }
    copy[s.n] = '\0';
    return copy;
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void strbuf_grow(struct strbuf *b, size_t extra)
{
    if (extra > SIZE_MAX / 4 || b->cap > SIZE_MAX / 4) {
        b->p = xrealloc(b->p, SIZE_MAX); /* aborts; doubling would overflow */
    }
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap - b->n < extra) {
        cap *= 2;
    }
    b->p = xrealloc(b->p, cap);
    b->cap = cap;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
    if (n > 0) {
        strbuf_reserve(b, n);
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}

void strbuf_add_str(struct strbuf *b, struct str s)
{
    strbuf_add(b, s.p, s.n);
}

void strbuf_add_char(struct strbuf *b, char c)
{
    strbuf_reserve(b, 1);
    b->p[b->n++] = c;
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n <= 0) {
        return;
    }
    strbuf_reserve(b, (size_t)n + 1);
    va_start(args, fmt);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, args);
    va_end(args);
    b->n += (size_t)n;
}

void strbuf_consume(struct strbuf *b, size_t n)
{
    if (n > 0) {
        memmove(b->p, b->p + n, b->n - n);
        b->n -= n;
    }
}

void strbuf_free(struct strbuf *b)
{
    free(b->p);
    *b = (struct strbuf){0};
}

size_t u64_to_dec(uint64_t v, char *out)
{
    size_t n = 1;
    for (uint64_t rest = v; rest >= 10; rest /= 10) {
        n++;
    }
    char *p = out + n;
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return n;
}
