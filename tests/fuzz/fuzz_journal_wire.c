/*
 * journal_wire_decode() on arbitrary bytes: texts lie within them, and what was read is written
 * and read again the same. What makes no sense must be one hard RECORD_ALL. The same bytes as
 * an intent, which must be refused or come back the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cache/journal_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what) {
        abort();
    }
}

static void require_within(struct str text, struct str bytes)
{
    require(text.n == 0 || (text.p >= bytes.p && text.p + text.n <= bytes.p + bytes.n));
}

static void look_at_intent(struct str bytes)
{
    struct journal_intent first, second;
    struct strbuf again = {0};
    if (!journal_wire_decode_intent(bytes, &first)) {
        return;
    }
    require_within(first.mid, bytes);
    require_within(first.records, bytes);
    require(first.mid.n > 0 && first.mid.n <= JOURNAL_MID_MAX);
    require(first.deadline > 0 && first.deadline <= JOURNAL_INTENT_DEADLINE);
    journal_wire_encode_intent(&first, &again);
    require(journal_wire_decode_intent(strbuf_str(&again), &second));
    require(str_eq(first.mid, second.mid) && str_eq(first.records, second.records) &&
            first.deadline == second.deadline);
    strbuf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_make((const char *)data, size);
    struct arena arena;
    struct record *first, *second;
    struct strbuf again = {0};
    arena_init(&arena, NULL, 0);
    size_t n = journal_wire_decode(bytes, &arena, &first);
    require(n <= JOURNAL_RECORDS_MAX && (n > 0) == (size > 0));
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        require(first[i].kind <= RECORD_ALL);
        require_within(first[i].text, bytes);
        length += first[i].text.n;
    }
    require(length <= size);
    journal_wire_encode(first, n, &again);
    size_t m = journal_wire_decode(strbuf_str(&again), &arena, &second);
    if (again.n <= JOURNAL_WIRE_MAX / 2) {
        require(m == n);
        for (size_t i = 0; i < n; i++) {
            require(first[i].kind == second[i].kind && first[i].soft == second[i].soft &&
                    str_eq(first[i].text, second[i].text));
        }
    }
    look_at_intent(bytes);
    strbuf_free(&again);
    arena_reset(&arena);
    return 0;
}
