/* See the header; the letters are part of the stream's format and never change their meaning.
 */
#include "cache/journal_wire.h"

static const char kind_letters[] = {
    [RECORD_NAME] = 'n', [RECORD_GLOB] = 'g',  [RECORD_TYPE] = 't',
    [RECORD_TAG] = 'k',  [RECORD_ROUTE] = 'r', [RECORD_ALL] = 'a',
};

void journal_wire_encode(const struct record *records, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        char digits[20];
        strbuf_add_char(out, kind_letters[records[i].kind]);
        strbuf_add_char(out, records[i].soft ? 's' : 'h');
        strbuf_add(out, digits, u64_to_dec(records[i].text.n, digits));
        strbuf_add_char(out, ':');
        strbuf_add_str(out, records[i].text);
    }
}

static bool decode_kind(char letter, enum record_kind *kind)
{
    for (size_t i = 0; i < sizeof(kind_letters); i++) {
        if (kind_letters[i] == letter) {
            *kind = (enum record_kind)i;
            return true;
        }
    }
    return false;
}

/* One record off *rest; false when the bytes make no sense. */
static bool decode_one(struct str *rest, struct record *r)
{
    size_t colon = str_index(*rest, ':');
    uint64_t n;
    if (colon < 3 || colon == rest->n ||
        !str_to_u64(str_make(rest->p + 2, colon - 2), rest->n - colon - 1, &n)) {
        return false;
    }
    *r = (struct record){.text = str_make(rest->p + colon + 1, (size_t)n)};
    if (!decode_kind(rest->p[0], &r->kind)) {
        r->kind = RECORD_ALL;
    }
    /* Anything but `s` is hard: the stricter reading of what is not understood. */
    r->soft = rest->p[1] == 's' && r->kind != RECORD_ALL;
    *rest = str_skip(*rest, colon + 1 + (size_t)n);
    return true;
}

size_t journal_wire_decode(struct str bytes, size_t max, struct arena *a, struct record **out)
{
    size_t cap = 4, n = 0;
    struct record *list = arena_alloc(a, cap * sizeof(*list));
    while (bytes.n > 0) {
        if (n == cap && cap < max) {
            struct record *grown = arena_alloc(a, 2 * cap * sizeof(*grown));
            memcpy(grown, list, n * sizeof(*list));
            list = grown;
            cap *= 2;
        }
        if (n == cap || n == max || !decode_one(&bytes, &list[n])) {
            list[0] = (struct record){.kind = RECORD_ALL};
            n = 1;
            break;
        }
        n++;
    }
    *out = list;
    return n;
}
