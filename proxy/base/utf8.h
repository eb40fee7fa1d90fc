/*
 * UTF-8 as RFC 3629 has it: no surrogates, nothing overlong, nothing beyond U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence of two to four bytes at p, of which there are n > 0; its
 * character in *code. 0 when there is none (also for ASCII). */
size_t utf8_sequence(const unsigned char *p, size_t n, uint32_t *code);

#endif
