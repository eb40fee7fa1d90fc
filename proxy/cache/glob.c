/*
 * Matching runs the usual two pointers with one place to go back to, the last `*`. That is
 * quadratic at worst, so it has a budget of steps: who exceeds it is matched again by a
 * bit-parallel automaton (one bit for each element of the pattern), whose cost does not depend
 * on what the pattern and the name are.
 */
#include "cache/glob.h"

#include <stdint.h>

#define BUDGET 8192
#define WORDS  (GLOB_MAX / 64)

/* One element of a pattern that consumes one byte of the name: `?`, a class, or a byte. */
struct element {
    size_t n;        /* its length in the pattern */
    bool wild;       /* `?` or a class */
    bool negated;    /* `[^…]` */
    struct str body; /* a class's inside; for a byte just that byte */
};

static struct element take_class(struct str p)
{
    struct element e = {.wild = true};
    size_t i = 1;
    if (i < p.n && p.p[i] == '^') {
        e.negated = true;
        i++;
    }
    size_t from = i;
    while (i < p.n && p.p[i] != ']') {
        if (p.p[i] == '\\' && i + 1 < p.n) {
            i += 2;
        } else if (i + 2 < p.n && p.p[i + 1] == '-') {
            i += 3; /* a range takes its end even if that is a bracket */
        } else {
            i++;
        }
    }
    e.body = str_make(p.p + from, i - from);
    e.n = i < p.n ? i + 1 : i;
    return e;
}

/* The element at the start of p, which is not empty and does not start with `*`. */
static struct element take_element(struct str p)
{
    if (p.p[0] == '[') {
        return take_class(p);
    }
    if (p.p[0] == '\\' && p.n >= 2) {
        return (struct element){.n = 2, .body = str_make(p.p + 1, 1)};
    }
    return (struct element){.n = 1, .wild = p.p[0] == '?', .body = str_make(p.p, 1)};
}

static bool class_holds(struct str body, unsigned char c)
{
    const unsigned char *b = (const unsigned char *)body.p;
    bool found = false;
    size_t i = 0;
    while (i < body.n && !found) {
        if (b[i] == '\\' && i + 1 < body.n) {
            found = b[i + 1] == c;
            i += 2;
        } else if (i + 2 < body.n && b[i + 1] == '-') {
            unsigned char low = b[i] < b[i + 2] ? b[i] : b[i + 2];
            unsigned char high = b[i] < b[i + 2] ? b[i + 2] : b[i];
            found = c >= low && c <= high;
            i += 3;
        } else {
            found = b[i] == c;
            i++;
        }
    }
    return found;
}

/* pattern[0] is the element's first byte. */
static bool element_matches(const struct element *e, char first, char c)
{
    if (!e->wild) {
        return e->body.p[0] == c;
    }
    return first == '?' || class_holds(e->body, (unsigned char)c) != e->negated;
}

/* ---- the automaton ----------------------------------------------------------------------- */

/* Bit i: the first i elements match what was read so far. */
struct automaton {
    uint64_t takes[256][WORDS]; /* which elements take this byte */
    uint64_t any[WORDS];        /* elements that take every byte */
    uint64_t loops[WORDS];      /* a `*` stands before this element */
    size_t elements;
};

static void set_bit(uint64_t *words, size_t i)
{
    words[i / 64] |= (uint64_t)1 << (i % 64);
}

static void add_element(struct automaton *a, const struct element *e, char first)
{
    size_t i = a->elements++;
    if (!e->wild) {
        set_bit(a->takes[(unsigned char)e->body.p[0]], i);
    } else if (first == '?') {
        set_bit(a->any, i);
    } else {
        for (int c = 0; c < 256; c++) {
            if (class_holds(e->body, (unsigned char)c) != e->negated) {
                set_bit(a->takes[c], i);
            }
        }
    }
}

/* The pattern has at most GLOB_MAX bytes and a `*`, so it has fewer elements than bits. */
static void automaton_build(struct automaton *a, struct str pattern)
{
    memset(a, 0, sizeof(*a));
    while (pattern.n > 0) {
        if (pattern.p[0] == '*') {
            set_bit(a->loops, a->elements);
            pattern = str_skip(pattern, 1);
        } else {
            struct element e = take_element(pattern);
            add_element(a, &e, pattern.p[0]);
            pattern = str_skip(pattern, e.n);
        }
    }
}

static bool automaton_match(struct str pattern, struct str name)
{
    struct automaton a;
    automaton_build(&a, pattern);
    size_t words = a.elements / 64 + 1;
    uint64_t state[WORDS] = {1};
    for (size_t at = 0; at < name.n; at++) {
        const uint64_t *takes = a.takes[(unsigned char)name.p[at]];
        uint64_t carry = 0;
        for (size_t w = 0; w < words; w++) {
            uint64_t stepped = state[w] & (takes[w] | a.any[w]);
            state[w] = stepped << 1 | carry | (state[w] & a.loops[w]);
            carry = stepped >> 63;
        }
    }
    return state[a.elements / 64] >> (a.elements % 64) & 1;
}

/* ---- matching ---------------------------------------------------------------------------- */

bool glob_match(struct str pattern, struct str name)
{
    struct str p = pattern;
    size_t at = 0;
    struct str after_star = STR_NULL; /* pattern behind the last `*` */
    size_t star_at = 0;               /* where in the name it was tried */
    bool star = false;
    size_t steps = 0;

    while (at < name.n) {
        if (p.n > 0 && p.p[0] == '*') {
            p = str_skip(p, 1);
            if (p.n == 0) {
                return true;
            }
            star = true;
            after_star = p;
            star_at = at;
            continue;
        }
        if (p.n > 0) {
            struct element e = take_element(p);
            steps += e.n;
            if (element_matches(&e, p.p[0], name.p[at])) {
                p = str_skip(p, e.n);
                at++;
                continue;
            }
        }
        if (!star) {
            return false;
        }
        if (steps > BUDGET && pattern.n <= GLOB_MAX) {
            return automaton_match(pattern, name);
        }
        p = after_star;
        at = ++star_at;
    }
    while (p.n > 0 && p.p[0] == '*') {
        p = str_skip(p, 1);
    }
    return p.n == 0;
}

void glob_parse(struct str pattern, struct glob_parts *out)
{
    size_t head = pattern.n; /* end of the head */
    size_t tail = 0;         /* start of the tail */
    bool wild = false;
    bool only_stars = true;
    size_t at = 0;
    while (at < pattern.n) {
        struct str rest = str_skip(pattern, at);
        bool star = rest.p[0] == '*';
        struct element e = star ? (struct element){.n = 1, .wild = true} : take_element(rest);
        if (e.wild || e.n > 1) {
            head = head == pattern.n ? at : head;
            /* Between the first and the last special there must be nothing but stars. */
            only_stars = only_stars && star && (tail == 0 || tail == at);
            wild = wild || e.wild;
            tail = at + e.n;
        }
        at += e.n;
    }
    out->exact = !wild;
    out->head = str_make(pattern.p, head);
    out->tail = str_skip(pattern, wild || tail > 0 ? tail : pattern.n);
    out->simple = wild && only_stars;
}

void glob_unescape(struct str pattern, struct strbuf *out)
{
    while (pattern.n > 0) {
        struct element e = take_element(pattern);
        strbuf_add_str(out, e.body);
        pattern = str_skip(pattern, e.n);
    }
}
