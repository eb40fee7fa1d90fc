/* XXH3-128, unseeded: the tag outlives the process in clients and in Redis. */
#include "cache/own_etag.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct str own_etag(struct str body, char out[OWN_ETAG_LEN])
{
    static const char hex[] = "0123456789abcdef";
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(body.n > 0 ? body.p : "", body.n));
    char *p = out;
    *p++ = '"';
    for (size_t i = 0; i < sizeof(digest.digest); i++) {
        *p++ = hex[digest.digest[i] >> 4];
        *p++ = hex[digest.digest[i] & 15];
    }
    *p++ = '"';
    return str_make(out, (size_t)(p - out));
}
