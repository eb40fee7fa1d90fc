/*
 * The alphabet of tokens as a bitmap over ASCII: digits, letters and !#$%&'*+-.^_`|~
 */
#include "http/token.h"

static const uint32_t TCHARS[4] = {0x00000000, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};

bool token_char(char c)
{
    unsigned byte = (unsigned char)c;
    return byte < 128 && (TCHARS[byte / 32] >> (byte % 32) & 1) != 0;
}

size_t token_span(struct str s)
{
    size_t n = 0;
    while (n < s.n && token_char(s.p[n])) {
        n++;
    }
    return n;
}

bool token_valid(struct str s)
{
    return s.n > 0 && token_span(s) == s.n;
}
