/*
 * The growing text and the encoding of values. Called for each request, so every function
 * reserves the worst case once and then writes without checks.
 */
#include "cache/key_text.h"

#include <string.h>

/* [A-Za-z0-9._-], the bytes that stand for themselves. */
static const bool plain[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
    ['.'] = true,         ['_'] = true,         ['-'] = true,
};

void key_text_init(struct key_text *t, struct arena *a, size_t room)
{
    t->arena = a;
    t->p = arena_alloc(a, room);
    t->n = 0;
    t->cap = room;
}

static char *reserve(struct key_text *t, size_t extra)
{
    if (t->cap - t->n < extra) {
        size_t cap = t->cap * 2 + extra;
        char *p = arena_alloc(t->arena, cap);
        memcpy(p, t->p, t->n);
        t->p = p;
        t->cap = cap;
    }
    return t->p + t->n;
}

static void put(struct key_text *t, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char b = (unsigned char)c;
    if (plain[b]) {
        t->p[t->n++] = c;
        return;
    }
    t->p[t->n++] = '%';
    t->p[t->n++] = hex[b >> 4];
    t->p[t->n++] = hex[b & 15];
}

void key_text_add(struct key_text *t, struct str s)
{
    if (s.n > 0) {
        memcpy(reserve(t, s.n), s.p, s.n);
        t->n += s.n;
    }
}

void key_text_add_value(struct key_text *t, struct str raw)
{
    if (raw.n == 0) {
        key_text_add(t, KEY_EMPTY);
        return;
    }
    reserve(t, raw.n * 3);
    for (size_t i = 0; i < raw.n; i++) {
        put(t, raw.p[i]);
    }
}

void key_text_add_recoded(struct key_text *t, struct str encoded, bool keep_plus)
{
    reserve(t, encoded.n * 3);
    for (size_t i = 0; i < encoded.n; i++) {
        char c = encoded.p[i];
        if (c == '%' && encoded.n - i > 2) {
            int high = hex_value(encoded.p[i + 1]);
            int low = hex_value(encoded.p[i + 2]);
            if (high >= 0 && low >= 0) {
                put(t, (char)(high << 4 | low));
                i += 2;
                continue;
            }
        }
        if (c == '+' && keep_plus) {
            t->p[t->n++] = c;
        } else {
            put(t, c);
        }
    }
}

void key_text_add_recoded_value(struct key_text *t, struct str encoded)
{
    if (encoded.n == 0) {
        key_text_add(t, KEY_EMPTY);
    } else {
        key_text_add_recoded(t, encoded, false);
    }
}

void key_text_add_path(struct key_text *t, struct str path)
{
    for (;;) {
        size_t slash = str_index(path, '/');
        key_text_add_recoded(t, str_make(path.p, slash), false);
        if (slash == path.n) {
            return;
        }
        key_text_add(t, STR("/"));
        path = str_skip(path, slash + 1);
    }
}
