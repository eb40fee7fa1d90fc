/*
 * Durations and sizes. A number is digits only; what follows is looked up in a table, so that a
 * unit means the same wherever it is written.
 */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    const char *name; /* lower case */
    int64_t factor;   /* milliseconds or bytes */
};

static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000},
};

/* The names with b come first: they are the ones printed. */
static const struct unit sizes[] = {
    {"b", 1},
    {"kb", INT64_C(1) << 10},
    {"mb", INT64_C(1) << 20},
    {"gb", INT64_C(1) << 30},
    {"tb", INT64_C(1) << 40},
    {"k", INT64_C(1) << 10},
    {"m", INT64_C(1) << 20},
    {"g", INT64_C(1) << 30},
    {"t", INT64_C(1) << 40},
};

#define COUNT(array)      (sizeof(array) / sizeof((array)[0]))
#define SIZES_WITH_B      5
#define SIZE_NAME_MAX_LEN 2

static const struct unit *find_unit(const struct unit *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(name, str_from(list[i].name))) {
            return &list[i];
        }
    }
    return NULL;
}

/* Splits "30s" into digits and the rest, multiplies, and looks for overflow. */
static bool scale(struct str digits, int64_t factor, int64_t *out, const char **why)
{
    uint64_t value;

    if (!str_to_u64(digits, (uint64_t)(INT64_MAX / factor), &value)) {
        *why = "the number is too large";
        return false;
    }
    *out = (int64_t)value * factor;
    return true;
}

static size_t count_digits(struct str text)
{
    size_t n = 0;

    while (n < text.n && text.p[n] >= '0' && text.p[n] <= '9') {
        n++;
    }
    return n;
}

bool duration_parse(struct str text, msec_t *out, const char **why)
{
    size_t n = count_digits(text);
    struct str digits = {text.p, n};
    struct str name = str_skip(text, n);

    if (n == 0) {
        *why = "a duration starts with a number, like 30s";
        return false;
    }
    if (name.n == 0) {
        if (str_eq(digits, STR("0"))) {
            *out = 0;
            return true;
        }
        *why = "a duration needs a unit: ms, s, m, h, d or w";
        return false;
    }
    const struct unit *unit = find_unit(durations, COUNT(durations), name);
    if (unit == NULL) {
        *why = "the units of a duration are ms, s, m, h, d and w";
        return false;
    }
    return scale(digits, unit->factor, out, why);
}

bool size_parse(struct str text, int64_t *out, const char **why)
{
    size_t n = count_digits(text);
    struct str name = str_skip(text, n);
    char lower[SIZE_NAME_MAX_LEN];

    if (n == 0) {
        *why = "a size starts with a number, like 2mb";
        return false;
    }
    if (name.n == 0) {
        return scale(text, 1, out, why);
    }
    const struct unit *unit = NULL;
    if (name.n <= sizeof(lower)) {
        for (size_t i = 0; i < name.n; i++) {
            lower[i] = ascii_lower(name.p[i]);
        }
        unit = find_unit(sizes, COUNT(sizes), str_make(lower, name.n));
    }
    if (unit == NULL) {
        *why = "the units of a size are b, kb, mb, gb and tb";
        return false;
    }
    return scale(str_make(text.p, n), unit->factor, out, why);
}

/* Prints value in the largest unit of list[0..n) that divides it. */
static size_t print_exact(const struct unit *list, size_t n, int64_t value, const char *zero,
                          char *out)
{
    if (value == 0) {
        return (size_t)snprintf(out, UNITS_TEXT_MAX, "%s", zero);
    }
    size_t i = n - 1;
    while (i > 0 && value % list[i].factor != 0) {
        i--;
    }
    return (size_t)snprintf(out, UNITS_TEXT_MAX, "%" PRId64 "%s", value / list[i].factor,
                            list[i].name);
}

size_t duration_text(msec_t value, char out[UNITS_TEXT_MAX])
{
    if (value < 0) {
        return (size_t)snprintf(out, UNITS_TEXT_MAX, "off");
    }
    /* Weeks are read but not printed: 7d says the same and is what people write. */
    return print_exact(durations, COUNT(durations) - 1, value, "0s", out);
}

size_t size_text(int64_t bytes, char out[UNITS_TEXT_MAX])
{
    if (bytes < 0 || bytes == INT64_MAX) {
        return (size_t)snprintf(out, UNITS_TEXT_MAX, "off");
    }
    return print_exact(sizes, SIZES_WITH_B, bytes, "0", out);
}
