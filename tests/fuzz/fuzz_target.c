/*
 * Request targets, hosts and queries on arbitrary bytes. What is accepted must be its own
 * canonical form, and hold none of the bytes that parties disagree on.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void try_target(struct str raw, struct arena *a)
{
    struct target t, again;
    struct strbuf b = {0};
    if (target_parse(raw, a, &t) != NULL || t.form == TARGET_ASTERISK ||
        t.form == TARGET_AUTHORITY) {
        return;
    }
    require(t.path.n > 0 && t.path.p[0] == '/');
    for (size_t i = 0; i < t.path.n; i++) {
        char c = t.path.p[i];
        require(c > 0x20 && c < 0x7f && c != '\\' && c != '#' && c != '?');
    }
    strbuf_add_str(&b, t.path);
    if (t.query.p != NULL) {
        strbuf_add_char(&b, '?');
        strbuf_add_str(&b, t.query);
    }
    require(target_parse(strbuf_str(&b), a, &again) == NULL);
    require(str_eq(t.path, again.path) && str_eq(t.query, again.query));
    require(t.semicolon == again.semicolon && again.form == TARGET_ORIGIN);
    strbuf_free(&b);
}

static void try_host(struct str value, bool tls, struct arena *a)
{
    struct host h, again;
    if (host_parse(value, tls, a, &h)) {
        require(host_parse(host_authority(&h, a), tls, a, &again));
        require(str_eq(h.name, again.name) && str_eq(h.port, again.port));
    }
}

/* Encoding what was decoded and decoding it again changes nothing. */
static void try_query(struct str query, struct arena *a)
{
    struct query_param *params, *again;
    int n = query_split(query, 256, a, &params);
    struct strbuf b = {0};
    for (int i = 0; i < n; i++) {
        strbuf_add_str(&b, i > 0 ? STR("&") : STR(""));
        percent_encode(&b, params[i].name);
        if (params[i].has_value) {
            strbuf_add_char(&b, '=');
            percent_encode(&b, params[i].value);
        }
        (void)query_is_tracking(params[i].name);
    }
    if (n > 0 && params[0].name.n > 0) {
        int count = query_split(strbuf_str(&b), 256, a, &again);
        require(count > 0 && str_eq(params[0].name, again[0].name));
        require(str_eq(params[0].value, again[0].value));
    }
    strbuf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = str_make((const char *)data, size);
    struct arena a;
    arena_init(&a, NULL, 0);
    try_target(input, &a);
    try_host(input, size % 2 == 0, &a);
    try_query(input, &a);
    arena_reset(&a);
    return 0;
}
