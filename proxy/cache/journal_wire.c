/* See the header; the letters are part of the stream's format and never change their meaning.
 */
#include "cache/journal_wire.h"

static const char kind_letters[] = {
    [RECORD_NAME] = 'n', [RECORD_GLOB] = 'g',  [RECORD_TYPE] = 't',
    [RECORD_TAG] = 'k',  [RECORD_ROUTE] = 'r', [RECORD_ALL] = 'a',
};

static const struct record hard_all = {.kind = RECORD_ALL};

static void encode_one(const struct record *r, struct strbuf *out)
{
    char digits[20];
    strbuf_add_char(out, kind_letters[r->kind]);
    strbuf_add_char(out, r->soft ? 's' : 'h');
    strbuf_add(out, digits, u64_to_dec(r->text.n, digits));
    strbuf_add_char(out, ':');
    strbuf_add_str(out, r->text);
}

void journal_wire_encode(const struct record *records, size_t n, struct strbuf *out)
{
    size_t start = out->n;
    for (size_t i = 0; i < n; i++) {
        encode_one(&records[i], out);
        if (i == JOURNAL_RECORDS_MAX || out->n - start > JOURNAL_WIRE_MAX) {
            out->n = start;
            encode_one(&hard_all, out);
            return;
        }
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
    *r = hard_all;
    if (decode_kind(rest->p[0], &r->kind)) {
        r->text = str_make(rest->p + colon + 1, (size_t)n);
        /* Anything but `s` is hard: the stricter reading of what is not understood. */
        r->soft = rest->p[1] == 's';
    }
    *rest = str_skip(*rest, colon + 1 + (size_t)n);
    return true;
}

size_t journal_wire_decode(struct str bytes, struct arena *a, struct record **out)
{
    size_t cap = 4, n = 0;
    struct record *list = arena_alloc(a, cap * sizeof(*list));
    while (bytes.n > 0) {
        if (n == cap) {
            struct record *grown = arena_alloc(a, 2 * cap * sizeof(*grown));
            memcpy(grown, list, n * sizeof(*list));
            list = grown;
            cap *= 2;
        }
        if (n == JOURNAL_RECORDS_MAX || !decode_one(&bytes, &list[n])) {
            list[0] = hard_all;
            n = 1;
            break;
        }
        n++;
    }
    *out = list;
    return n;
}

void journal_wire_encode_intent(const struct journal_intent *intent, struct strbuf *out)
{
    strbuf_add_str(out, intent->mid);
    strbuf_addf(out, " %llu ", (unsigned long long)intent->deadline);
    strbuf_add_str(out, intent->records);
}

bool journal_wire_decode_intent(struct str bytes, struct journal_intent *out)
{
    size_t mid_n = str_index(bytes, ' ');
    struct str rest = str_skip(bytes, mid_n < bytes.n ? mid_n + 1 : mid_n);
    size_t deadline_n = str_index(rest, ' ');
    uint64_t deadline;
    if (mid_n == 0 || mid_n > JOURNAL_MID_MAX || deadline_n == rest.n ||
        !str_to_u64(str_make(rest.p, deadline_n), JOURNAL_INTENT_DEADLINE, &deadline) ||
        deadline == 0) {
        return false;
    }
    out->mid = str_make(bytes.p, mid_n);
    out->deadline = (msec_t)deadline;
    out->records = str_skip(rest, deadline_n + 1);
    return true;
}
