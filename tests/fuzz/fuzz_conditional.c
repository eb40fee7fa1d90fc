/*
 * Entity-tags, their lists, and dates. The first line is the stored ETag or Last-Modified, the
 * rest is what the client sends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "http/conditional.h"
#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* A date that is understood survives being written in the one form that is sent. */
static void check_date(struct str s)
{
    msec_t wall, again;
    char out[HTTP_DATE_LEN];
    if (http_date_parse_at(s, 1767225600000, &wall) && wall >= 0) {
        http_date_format(wall, out);
        require(http_date_parse_at(str_make(out, sizeof(out)), 0, &again) && again == wall);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_make((const char *)data, size);
    size_t end = str_index(input, '\n');
    struct str stored = str_make(input.p, end);
    struct str sent = str_trim(str_skip(input, end + 1));
    check_date(stored);
    check_date(sent);
    bool strong = etag_list_match(sent, stored, true);
    bool weak = etag_list_match(sent, stored, false);
    require(!strong || weak);
    require(!etag_strong_match(sent, stored) || etag_weak_match(sent, stored));
    if (etag_strong_match(sent, stored)) {
        require(strong && if_range_match(sent, stored, STR_NULL, STR_NULL));
    }
    struct field fields[] = {{STR("If-None-Match"), sent, FIELD_IF_NONE_MATCH},
                             {STR("If-Modified-Since"), sent, FIELD_IF_MODIFIED_SINCE}};
    struct msg m = {.method = METHOD_GET, .fields = fields, .n_fields = 1 + size % 2};
    require((conditional_evaluate(&m, stored, stored, STR_NULL) == CONDITIONAL_NOT_MODIFIED) ==
            weak);
    m.fields++;
    m.n_fields = 1;
    (void)conditional_evaluate(&m, STR_NULL, stored, STR_NULL);
    return 0;
}
