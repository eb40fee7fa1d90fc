/* See utf8.h. */
#include "base/utf8.h"

size_t utf8_sequence(const unsigned char *p, size_t n, uint32_t *code)
{
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len) {
        return 0;
    }
    uint32_t v = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        v = v << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0x80, 0x800, 0x10000};
    if (v < least[len - 2] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) {
        return 0;
    }
    *code = v;
    return len;
}
