/*
 * base64url without padding (RFC 4648 section 5, as RFC 7515 uses it). Decoding is strict: one
 * text for each sequence of bytes, so that two spellings of a token are never the same token.
 * Pure functions; any thread.
 */
#ifndef BASE_BASE64URL_H
#define BASE_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Most bytes that n characters decode to. */
#define BASE64URL_DECODED_MAX(n) ((n) / 4 * 3 + 2)

/* Characters that n bytes encode to. */
#define BASE64URL_ENCODED(n) ((n) / 3 * 4 + ((n) % 3 == 0 ? 0 : (n) % 3 + 1))

/*
 * Decodes `text` into out (room for cap bytes) and stores the count in *n. False on padding,
 * whitespace, any other character outside the alphabet, an impossible length, unused bits that
 * are not zero, or too little room; *n is then 0. An empty text decodes to nothing.
 */
bool base64url_decode(struct str text, uint8_t *out, size_t cap, size_t *n)
    __attribute__((warn_unused_result));

/* Encodes n bytes into out (room for BASE64URL_ENCODED(n)); returns the count, no NUL. */
size_t base64url_encode(const uint8_t *bytes, size_t n, char *out);

#endif
