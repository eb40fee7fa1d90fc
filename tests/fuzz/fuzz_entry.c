/*
 * entry_decode() on arbitrary bytes: as they are, and sealed with the right magic, version and
 * checksum, so that the fuzzer gets past the envelope. What is accepted must encode to the same
 * bytes again, with all sections readable.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "base/str.h"
#include "cache/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned touch(struct str s)
{
    unsigned sum = 0;
    for (size_t i = 0; i < s.n; i++) {
        sum += (unsigned char)s.p[i];
    }
    return sum;
}

static void decode(struct str bytes)
{
    struct entry *e = entry_decode(bytes);
    if (e == NULL) {
        return;
    }
    volatile unsigned sum = touch(entry_name(e)) + touch(entry_head(e)) + touch(entry_body(e)) +
                            touch(entry_etag(e)) + touch(entry_tags(e)) + touch(entry_date(e)) +
                            touch(entry_last_modified(e)) + touch(entry_host(e)) +
                            touch(entry_type(e)) + touch(entry_route(e)) + touch(entry_vary(e));
    (void)sum;
    (void)entry_freshness(e, 0);
    (void)entry_freshness(e, (msec_t)1 << 50);
    struct strbuf out = {0};
    entry_encode(e, 0, &out);
    if (!str_eq(strbuf_str(&out), bytes)) {
        abort();
    }
    strbuf_free(&out);
    entry_unref(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(str_make((const char *)data, size));
    if (size < 16) {
        return 0;
    }
    char *copy = xmalloc(size);
    memcpy(copy, data, size);
    memcpy(copy, "LRD1\x01\x00", 6);
    uint64_t sum = XXH3_64bits(copy, size - 8);
    for (size_t i = 0; i < 8; i++) {
        copy[size - 8 + i] = (char)(sum >> (8 * i));
    }
    decode(str_make(copy, size));
    free(copy);
    return 0;
}
