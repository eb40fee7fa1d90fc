/*
 * Range requests as RFC 9110 14.1.2 has them. A Range that is not understood is ignored, which
 * is always correct (14.2); so is one that costs more than the whole representation, the shape
 * of range amplification attacks (17.15).
 */
#include "http/range.h"

/* How one range-spec of the set ended. */
enum spec_result {
    SPEC_BAD,     /* malformed: the set is ignored */
    SPEC_OUTSIDE, /* selects nothing */
    SPEC_EMPTY,   /* a suffix of an empty representation: no 206 can say that */
    SPEC_OK,
};

/* 1*DIGIT of any length; what is beyond 2^64 is as good as 2^64. */
static bool parse_position(struct str s, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9) {
            return false;
        }
        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    *value = v;
    return s.n > 0;
}

static enum spec_result parse_suffix(struct str digits, uint64_t length, struct byte_range *r)
{
    uint64_t suffix;
    if (!parse_position(digits, &suffix)) {
        return SPEC_BAD;
    }
    if (suffix == 0) {
        return SPEC_OUTSIDE;
    }
    if (length == 0) {
        return SPEC_EMPTY;
    }
    r->first = suffix < length ? length - suffix : 0;
    r->last = length - 1;
    return SPEC_OK;
}

/* "5-9", "5-" or "-5" */
static enum spec_result parse_spec(struct str spec, uint64_t length, struct byte_range *r)
{
    size_t dash = str_index(spec, '-');
    if (dash == spec.n) {
        return SPEC_BAD;
    }
    struct str end = str_skip(spec, dash + 1);
    if (dash == 0) {
        return parse_suffix(end, length, r);
    }
    uint64_t last = UINT64_MAX;
    if (!parse_position(str_make(spec.p, dash), &r->first) ||
        (end.n > 0 && !parse_position(end, &last)) || last < r->first) {
        return SPEC_BAD;
    }
    if (r->first >= length) {
        return SPEC_OUTSIDE;
    }
    r->last = last < length ? last : length - 1;
    return SPEC_OK;
}

/* Do they overlap or stand side by side? No `last` reaches UINT64_MAX here. */
static bool touches(const struct byte_range *a, const struct byte_range *b)
{
    return a->first <= b->last + 1 && b->first <= a->last + 1;
}

/* Adds r to a list whose members do not touch each other, and keeps it so: the first member
 * that r touches grows, further ones are swallowed. */
static void add_range(struct byte_range *list, size_t *n, struct byte_range r)
{
    size_t kept = 0;
    size_t home = SIZE_MAX;
    for (size_t i = 0; i < *n; i++) {
        if (!touches(&list[i], &r)) {
            list[kept++] = list[i];
            continue;
        }
        r.first = list[i].first < r.first ? list[i].first : r.first;
        r.last = list[i].last > r.last ? list[i].last : r.last;
        if (home == SIZE_MAX) {
            home = kept++;
        }
    }
    if (home == SIZE_MAX) {
        home = kept++;
    }
    list[home] = r;
    *n = kept;
}

bool range_is_bytes(struct str value)
{
    size_t equals = str_index(value, '=');
    return equals < value.n && str_ieq(str_make(value.p, equals), STR("bytes"));
}

enum range_verdict range_parse(struct str value, uint64_t length,
                               struct byte_range out[RANGE_MAX], size_t *n)
{
    *n = 0;
    if (!range_is_bytes(value)) {
        return RANGE_IGNORE;
    }
    struct str rest = str_skip(value, str_index(value, '=') + 1);
    struct str spec;
    size_t specs = 0, count = 0;
    uint64_t room = length; /* bytes that may still be asked for */
    while (str_next(&rest, ',', &spec)) {
        if (spec.n == 0) {
            continue; /* empty list elements are legal (5.6.1.2) */
        }
        struct byte_range r;
        enum spec_result result = parse_spec(spec, length, &r);
        if (++specs > RANGE_MAX || result == SPEC_BAD || result == SPEC_EMPTY) {
            return RANGE_IGNORE;
        }
        if (result == SPEC_OUTSIDE) {
            continue;
        }
        if (r.last - r.first >= room) {
            return RANGE_IGNORE;
        }
        room -= r.last - r.first + 1;
        add_range(out, &count, r);
    }
    if (specs == 0) {
        return RANGE_IGNORE;
    }
    *n = count;
    return count > 0 ? RANGE_SATISFIABLE : RANGE_UNSATISFIABLE;
}
