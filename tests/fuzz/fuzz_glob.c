/*
 * glob_match() against a slow reference. The input is the pattern, a 0x0a byte, the name; both
 * are capped, as the reference is quadratic in memory.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/glob_reference.h"
#include "base/str.h"
#include "cache/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make((const char *)data, size);
    size_t cut = str_index(rest, '\n');
    struct str pattern = str_make(rest.p, cut < 600 ? cut : 600);
    struct str name = str_skip(rest, cut + 1);
    name.n = name.n < 1000 ? name.n : 1000;

    bool match = glob_match(pattern, name);
    if (match != glob_reference((const unsigned char *)pattern.p, pattern.n,
                                (const unsigned char *)name.p, name.n)) {
        abort();
    }
    struct glob_parts parts;
    glob_parse(pattern, &parts);
    if (parts.exact) {
        struct strbuf text = {0};
        glob_unescape(pattern, &text);
        if (str_eq(strbuf_str(&text), name) != match) {
            abort();
        }
        strbuf_free(&text);
    } else if (match &&
               (!str_starts(name, parts.head) || name.n < parts.head.n + parts.tail.n ||
                !str_eq(str_skip(name, name.n - parts.tail.n), parts.tail))) {
        abort();
    }
    return 0;
}
