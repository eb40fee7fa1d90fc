/*
 * Redis's stringmatchlen() once more, as a table over (pattern, name) suffixes: slow, obvious,
 * and what glob_match() is compared with. Includes nothing of glob.c.
 */
#ifndef TESTS_UNIT_GLOB_REFERENCE_H
#define TESTS_UNIT_GLOB_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Does the class at p (behind the bracket) hold c? *used: bytes of the class. */
static inline bool glob_reference_class(const unsigned char *p, size_t n, unsigned char c,
                                        size_t *used)
{
    size_t i = 0;
    bool negated = n > 0 && p[0] == '^';
    bool match = false;
    i += negated;
    for (;;) {
        if (i + 1 < n && p[i] == '\\') {
            i++;
            match = match || p[i] == c;
        } else if (i >= n || p[i] == ']') {
            break;
        } else if (i + 2 < n && p[i + 1] == '-') {
            unsigned char a = p[i], b = p[i + 2];
            match = match || (a <= b ? c >= a && c <= b : c >= b && c <= a);
            i += 2;
        } else {
            match = match || p[i] == c;
        }
        i++;
    }
    *used = i < n ? i + 1 : i;
    return match != negated;
}

static inline bool glob_reference(const unsigned char *p, size_t pn, const unsigned char *s,
                                  size_t sn)
{
    /* ok[i * (sn + 1) + j]: p[i..] matches s[j..]. */
    bool *ok = calloc((pn + 1) * (sn + 1), sizeof(bool));
    if (ok == NULL) {
        abort();
    }
    ok[pn * (sn + 1) + sn] = true;
    for (size_t i = pn; i-- > 0;) {
        for (size_t j = sn + 1; j-- > 0;) {
            bool *at = &ok[i * (sn + 1) + j];
            if (p[i] == '*') {
                *at = ok[(i + 1) * (sn + 1) + j] || (j < sn && at[1]);
                continue;
            }
            if (j == sn) {
                continue;
            }
            size_t used = 1;
            bool one = p[i] == s[j];
            if (p[i] == '?') {
                one = true;
            } else if (p[i] == '[') {
                one = glob_reference_class(p + i + 1, pn - i - 1, s[j], &used);
                used++;
            } else if (p[i] == '\\' && i + 1 < pn) {
                one = p[i + 1] == s[j];
                used = 2;
            }
            *at = one && ok[(i + used) * (sn + 1) + j + 1];
        }
    }
    bool result = ok[0];
    free(ok);
    return result;
}

#endif
