/*
 * The lists and dictionaries of a message head: Cache-Control, targeted fields, Vary and what
 * it names, Age. The input is lines of one letter (which field) and a value.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/cachectl.h"
#include "http/msg.h"
#include "http/structured.h"
#include "http/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static struct str name_of(char letter)
{
    switch (letter) {
    case 'C': return STR("Cache-Control");
    case 'D': return STR("CDN-Cache-Control");
    case 'L': return STR("Larder-Cache-Control");
    case 'P': return STR("Pragma");
    case 'A': return STR("Age");
    case 'V': return STR("Vary");
    case 'E': return STR("Accept-Encoding");
    case 'G': return STR("Accept-Language");
    case 'K': return STR("Cookie");
    default: return STR("Foo");
    }
}

static void check_delta(struct cc_delta d)
{
    require(d.seconds >= 0 && d.seconds <= CC_DELTA_MAX);
    require(d.present || !d.valid);
    require(d.valid || d.seconds == 0);
}

static void check_cachectl(const struct cachectl *cc)
{
    check_delta(cc->max_age);
    check_delta(cc->s_maxage);
    check_delta(cc->min_fresh);
    check_delta(cc->max_stale);
    check_delta(cc->stale_while_revalidate);
    check_delta(cc->stale_if_error);
    require(!cc->any_stale || cc->max_stale.seconds == CC_DELTA_MAX);
    require(!cc->no_cache || cc->no_cache_fields.p == NULL);
    require(!cc->is_private || cc->private_fields.p == NULL);
}

/* The canonical value of a field is its own canonical value. */
static void check_vary(struct msg *m, struct arena *a)
{
    static const struct str names[] = {
        {"accept-language", 15}, {"accept-encoding", 15}, {"foo", 3}, {"cookie", 6}};
    struct vary_spec spec, again;
    if (vary_parse(m, a, &spec)) {
        struct strbuf b = {0};
        vary_variant_text(&spec, m, a, &b);
        strbuf_free(&b);
        require(vary_parse_list(vary_list(&spec, a), a, &again) && again.n == spec.n);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct str value = vary_value(names[i], m, a);
        if (value.p != NULL) {
            struct msg one = {.method = METHOD_GET};
            msg_add(&one, a, names[i], value);
            require(str_eq(value, vary_value(names[i], &one, a)));
        }
    }
}

/* A list of strings, written and read again, is the same. */
static void check_strings(struct str value, struct arena *a)
{
    struct str *strings, *again;
    struct strbuf b = {0};
    int n = sf_string_list_parse(value, a, &strings);
    for (int i = 0; i < n; i++) {
        strbuf_add_str(&b, i > 0 ? STR(", ") : STR(""));
        sf_string_write(&b, strings[i]);
    }
    require(n <= 0 || sf_string_list_parse(strbuf_str(&b), a, &again) == n);
    for (int i = 0; i < n; i++) {
        require(str_eq(strings[i], again[i]));
    }
    strbuf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    field_table_init();
    struct str rest = str_make((const char *)data, size);
    struct str line;
    struct msg m = {.status = size % 2 == 0 ? 200 : 0};
    struct cachectl cc;
    struct arena a;
    arena_init(&a, NULL, 0);
    while (str_next(&rest, '\n', &line) && m.n_fields < 100) {
        if (line.n > 0) {
            msg_add(&m, &a, name_of(line.p[0]), str_trim(str_skip(line, 1)));
            check_strings(str_skip(line, 1), &a);
        }
    }
    cachectl_parse(&m, &a, &cc);
    check_cachectl(&cc);
    (void)cachectl_parse_targeted(&m, &a, &cc);
    check_cachectl(&cc);
    check_vary(&m, &a);
    arena_reset(&a);
    return 0;
}
