/*
 * Both sides become lists of elements: one byte out of a set, or any number of bytes out of a
 * set. Two lists overlap when some text is matched by both; a table over pairs of positions
 * tells, in time length × length.
 */
#include "config/overlap.h"

#include <string.h>

#define MAX_ELEMENTS 1100

/* Bytes as a bit set. */
struct byte_set {
    uint64_t bits[4];
};

struct element {
    struct byte_set set;
    bool star; /* any number of them, none included */
};

struct element_list {
    struct element list[MAX_ELEMENTS];
    size_t n;
    bool full;
};

static void set_add(struct byte_set *s, unsigned char c)
{
    s->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static bool sets_meet(const struct byte_set *a, const struct byte_set *b)
{
    return ((a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1]) | (a->bits[2] & b->bits[2]) |
            (a->bits[3] & b->bits[3])) != 0;
}

static const struct byte_set every_byte = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

static void add_element(struct element_list *out, struct byte_set set, bool star)
{
    if (out->n == MAX_ELEMENTS) {
        out->full = true;
        return;
    }
    out->list[out->n++] = (struct element){set, star};
}

static void add_byte(struct element_list *out, unsigned char c)
{
    struct byte_set set = {{0}};

    set_add(&set, c);
    add_element(out, set, false);
}

/* What a placeholder's value is made of: unreserved bytes, % and the ~ of empty and absent. */
static struct byte_set value_bytes(enum key_part_kind kind)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%~";
    struct byte_set set = {{0}};

    for (size_t i = 0; i + 1 < sizeof(alphabet); i++) {
        set_add(&set, (unsigned char)alphabet[i]);
    }
    if (kind == KEY_QUERY) {
        set_add(&set, '=');
        set_add(&set, '&');
    } else if (kind == KEY_PATH) {
        set_add(&set, '/');
    }
    return set;
}

/* [a-z], [^abc]: the class at p; returns the bytes read. */
static size_t add_class(struct element_list *out, struct str s)
{
    struct byte_set set = {{0}};
    size_t i = 1;
    bool negated = i < s.n && s.p[i] == '^';

    i += negated;
    while (i < s.n && s.p[i] != ']') {
        i += s.p[i] == '\\' && i + 1 < s.n;
        unsigned char low = (unsigned char)s.p[i++];
        unsigned char high = low;

        if (i + 1 < s.n && s.p[i] == '-' && s.p[i + 1] != ']') {
            high = (unsigned char)s.p[i + 1];
            i += 2;
        }
        if (low > high) {
            unsigned char swap = low;
            low = high;
            high = swap;
        }
        for (unsigned c = low; c <= high; c++) {
            set_add(&set, (unsigned char)c);
        }
    }
    for (size_t k = 0; negated && k < 4; k++) {
        set.bits[k] = ~set.bits[k];
    }
    add_element(out, set, false);
    return i < s.n ? i + 1 : s.n;
}

static void add_glob(struct element_list *out, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        char c = s.p[i];

        if (c == '*' || c == '?') {
            add_element(out, every_byte, c == '*');
            i++;
        } else if (c == '[') {
            i += add_class(out, str_skip(s, i));
        } else {
            i += c == '\\' && i + 1 < s.n;
            add_byte(out, (unsigned char)s.p[i++]);
        }
    }
}

static void expand(const struct key_template *t, bool glob, struct element_list *out)
{
    out->n = 0;
    out->full = false;
    for (size_t i = 0; i < t->n; i++) {
        struct str text = t->parts[i].text;

        if (t->parts[i].kind != KEY_LITERAL) {
            add_element(out, value_bytes(t->parts[i].kind), true);
        } else if (glob) {
            add_glob(out, text);
        } else {
            for (size_t k = 0; k < text.n; k++) {
                add_byte(out, (unsigned char)text.p[k]);
            }
        }
    }
}

/* Marks what is reachable from (i, j), given that it is; here[] is row i, next[] row i + 1. */
static void step(const struct element_list *a, const struct element_list *b, size_t i, size_t j,
                 bool *here, bool *next)
{
    const struct element *x = i < a->n ? &a->list[i] : NULL;
    const struct element *y = j < b->n ? &b->list[j] : NULL;
    bool meet = x != NULL && y != NULL && sets_meet(&x->set, &y->set);

    if (x != NULL && x->star) {
        next[j] = true;
        here[j + 1] = here[j + 1] || meet;
    }
    if (y != NULL && y->star) {
        here[j + 1] = true;
        next[j] = next[j] || meet;
    }
    if (meet && !x->star && !y->star) {
        next[j + 1] = true;
    }
}

bool conf_overlap(const struct key_template *a, bool glob, const struct key_template *b)
{
    static _Thread_local struct element_list left, right;
    bool rows[2][MAX_ELEMENTS + 2];

    expand(a, glob, &left);
    expand(b, false, &right);
    if (left.full || right.full) {
        return false;
    }
    memset(rows, 0, sizeof(rows));
    rows[0][0] = true;
    for (size_t i = 0; i <= left.n; i++) {
        bool *here = rows[i % 2];
        bool *next = rows[(i + 1) % 2];

        memset(next, 0, sizeof(rows[0]));
        for (size_t j = 0; j <= right.n; j++) {
            if (here[j]) {
                step(&left, &right, i, j, here, next);
            }
        }
        if (i == left.n) {
            return here[right.n];
        }
    }
    return false;
}

struct str conf_literal_head(const struct key_template *t, bool glob)
{
    if (t->n == 0 || t->parts[0].kind != KEY_LITERAL) {
        return STR_NULL;
    }
    struct str head = t->parts[0].text;
    for (size_t i = 0; glob && i < head.n; i++) {
        if (strchr("*?[\\", head.p[i]) != NULL) {
            head.n = i;
        }
    }
    return head;
}
