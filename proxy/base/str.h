/*
 * Byte strings: `struct str` is a borrowed slice (never owned, not NUL-terminated),
 * `struct strbuf` a growing buffer on the heap. Both are binary-safe.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A slice of somebody else's bytes. p may be NULL only when n is 0. */
struct str {
    const char *p; /* first byte */
    size_t n;      /* length in bytes */
};

/* A growing byte buffer; zero-initialised is valid and empty. */
struct strbuf {
    char *p;    /* heap, NULL until the first write */
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
};

#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
#define STR_NULL     ((struct str){NULL, 0})
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_make(const char *p, size_t n)
{
    return (struct str){p, n};
}

static inline struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr != NULL ? strlen(cstr) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII lower case of one byte; other bytes unchanged. Locale-free. */
static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

/* Equal ignoring ASCII case. */
bool str_ieq(struct str a, struct str b);

/* memcmp order, a shorter prefix first: <0, 0, >0. */
int str_cmp(struct str a, struct str b);

bool str_starts(struct str s, struct str prefix);

/* Index of the first c, or s.n when there is none. */
size_t str_index(struct str s, char c);

/* s without leading and trailing OWS (SP, HTAB; RFC 9110 section 5.6.3). */
struct str str_trim(struct str s);

/* s from `from` to its end; from beyond the end gives an empty slice. */
struct str str_skip(struct str s, size_t from);

/*
 * Takes the part of *rest before the first `sep` (or all of it), trimmed of OWS, and advances
 * *rest past the separator. Returns false when *rest is exhausted (p == NULL). An empty element
 * is returned as an empty slice. Does not know quoted strings.
 */
bool str_next(struct str *rest, char sep, struct str *element);

/* 1*DIGIT below or equal to max; false on empty, sign, other bytes or overflow. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *value);

/* A NUL-terminated heap copy. Free with free(). */
char *str_dup(struct str s) __attribute__((warn_unused_result));

/* Value 0-15 of a hex digit of either case, or -1. */
int hex_value(char c);

/* Makes room for at least `extra` more bytes. */
void strbuf_grow(struct strbuf *b, size_t extra);
static inline void strbuf_reserve(struct strbuf *b, size_t extra)
{
    if (b->cap - b->n < extra) {
        strbuf_grow(b, extra);
    }
}
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_add_str(struct strbuf *b, struct str s);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first n bytes (n <= b->n). */
void strbuf_consume(struct strbuf *b, size_t n);
/* Releases the memory and leaves an empty, usable buffer. */
void strbuf_free(struct strbuf *b);

static inline struct str strbuf_str(const struct strbuf *b)
{
    return (struct str){b->p, b->n};
}

/* Decimal digits of v into out (at least 20 bytes); returns the count, no NUL. */
size_t u64_to_dec(uint64_t v, char *out);

#endif
