/*
 * range_parse(): the first two bytes choose the length of the representation, the rest is the
 * value. What is selected lies within it, apart from each other, and is not more than all of
 * it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    uint64_t length = (uint64_t)data[0] << (data[1] % 64);
    length = data[1] == 255 ? UINT64_MAX : length;
    struct byte_range out[RANGE_MAX];
    size_t n = 0;
    enum range_verdict verdict =
        range_parse(str_make((const char *)data + 2, size - 2), length, out, &n);
    if ((verdict == RANGE_SATISFIABLE) != (n > 0) || n > RANGE_MAX) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        if (out[i].first > out[i].last || out[i].last >= length) {
            abort();
        }
        for (size_t k = 0; k < i; k++) {
            if (out[i].first <= out[k].last + 1 && out[k].first <= out[i].last + 1) {
                abort();
            }
        }
    }
    return 0;
}
