/*
 * base64url, strict (RFC 4648 sections 3.5 and 5). The decoding table is indexed by the
 * character and holds its value plus one, so that everything not named in it is invalid.
 */
#include "base/base64url.h"

static const char alphabet[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
    'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_',
};

static const uint8_t value_plus_one[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
    ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
    ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
    ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
    ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63,
    ['_'] = 64,
};

/* Collects up to four characters into 24 bits; false on one outside the alphabet. */
static bool group_bits(const char *p, size_t n, uint32_t *bits)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t x = i < n ? value_plus_one[(uint8_t)p[i]] : 1;
        if (x == 0) {
            return false;
        }
        v = v << 6 | (uint32_t)(x - 1);
    }
    *bits = v;
    return true;
}

bool base64url_decode(struct str text, uint8_t *out, size_t cap, size_t *n)
{
    *n = 0;
    size_t tail = text.n % 4;
    size_t need = text.n / 4 * 3 + (tail == 0 ? 0 : tail - 1);
    if (tail == 1 || need > cap) {
        return false;
    }
    size_t used = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.n; i += 4) {
        size_t left = text.n - i < 4 ? text.n - i : 4;
        if (!group_bits(text.p + i, left, &bits)) {
            return false;
        }
        for (size_t k = 0; k + 1 < left; k++) {
            out[used++] = (uint8_t)(bits >> (16 - 8 * k));
        }
    }
    /* 3.5: of a short last group, the bits beyond its bytes must be zero. */
    if ((tail == 2 && (bits & 0xffff) != 0) || (tail == 3 && (bits & 0xff) != 0)) {
        return false;
    }
    *n = used;
    return true;
}

size_t base64url_encode(const uint8_t *bytes, size_t n, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)bytes[i] << 16;
        v |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        v |= left > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; k <= left; k++) {
            out[used++] = alphabet[v >> (18 - 6 * k) & 63];
        }
    }
    return used;
}
