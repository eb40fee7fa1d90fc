/*
 * flow/proxy_protocol from bytes of a peer: no read beyond them, nothing consumed beyond them,
 * and a decision that no further byte changes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flow/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum pp_result decided = PP_NEED_MORE;
    size_t decided_used = 0;
    size_t step = size > 256 ? 61 : 1;
    for (size_t n = 0; n <= size; n = n < size && n + step > size ? size : n + step) {
        struct addr src = {.len = 0};
        struct addr dst = {.len = 0};
        size_t used = 0;
        char *copy = malloc(n > 0 ? n : 1); /* its own block: reads beyond n are seen */
        if (copy == NULL) {
            return 0;
        }
        memcpy(copy, data, n);
        enum pp_result r = pp_parse(str_make(copy, n), &src, &dst, &used);
        free(copy);
        if (used > n || (used > 0) != (r == PP_OK || r == PP_LOCAL)) {
            abort();
        }
        if (decided != PP_NEED_MORE && (r != decided || used != decided_used)) {
            abort();
        }
        if (r == PP_OK && (src.len == 0 || dst.len == 0)) {
            abort();
        }
        decided = r;
        decided_used = used;
    }
    return 0;
}
