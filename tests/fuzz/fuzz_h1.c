/*
 * Guard and head parser on arbitrary bytes, as a request and as an answer. Whatever they accept
 * must be what two other readers see: llhttp in strict mode over the whole head, and a plain
 * splitter at CRLF and the first colon. Besides:
 *   - the verdict does not depend on how the bytes arrive;
 *   - "no body" is never decided when Transfer-Encoding or Content-Length is there;
 *   - what the writer makes of an accepted head is accepted again, with the same fields.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/guard.h"
#include "http/h1.h"

#define FIELDS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guard_limits limits = {32768, 8192, 8192, FIELDS_MAX};

/* A head as another reader sees it. */
struct reading {
    llhttp_t parser;
    struct str target;
    struct str names[FIELDS_MAX + 1];
    struct str values[FIELDS_MAX + 1];
    size_t n;
    bool complete;
};

static void require(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_h1: %s\n", what);
        abort();
    }
}

/* ---- llhttp --------------------------------------------------------------------------------
 */

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    ((struct reading *)(void *)p)->target = str_make(at, n);
    return 0;
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct reading *r = (struct reading *)(void *)p;
    require(r->n < FIELDS_MAX, "llhttp sees more fields than the guard lets through");
    r->names[r->n] = str_make(at, n);
    r->values[r->n++] = STR("");
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct reading *r = (struct reading *)(void *)p;
    r->values[r->n - 1] = str_trim(str_make(at, n));
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    ((struct reading *)(void *)p)->complete = true;
    return HPE_PAUSED; /* before the body; the framing flags are set */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

/* ---- comparison ----------------------------------------------------------------------------
 */

/* The head's lines split in the simplest way. */
static void read_plainly(struct str head, struct reading *r)
{
    memset(r, 0, sizeof(*r));
    struct str rest = str_skip(head, str_index(head, '\n') + 1);
    while (rest.n > 2) {
        size_t end = str_index(rest, '\n');
        struct str line = str_make(rest.p, end - 1);
        size_t colon = str_index(line, ':');
        require(r->n < FIELDS_MAX, "more fields than the guard lets through");
        r->names[r->n] = str_make(line.p, colon);
        r->values[r->n++] = str_trim(str_skip(line, colon + 1));
        rest = str_skip(rest, end + 1);
    }
}

static bool is_dropped(struct str name)
{
    return str_index(name, '_') < name.n;
}

/* Has m the reading's fields? (Those with "_" were dropped, lengths of 1xx and 204 too.) */
static void compare_fields(const struct msg *m, const struct reading *r, bool request)
{
    size_t at = 0;
    bool lengthless = !request && (m->status < 200 || m->status == 204);
    for (size_t i = 0; i < r->n; i++) {
        enum field_id id = field_lookup(r->names[i]);
        if ((request && is_dropped(r->names[i])) ||
            (lengthless && (id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING))) {
            continue;
        }
        require(at < m->n_fields, "a field is missing");
        require(str_eq(m->fields[at].name, r->names[i]), "names differ");
        require(str_eq(m->fields[at].value, r->values[i]), "values differ");
        require(m->fields[at].id == id, "ids differ");
        at++;
    }
    require(at == m->n_fields, "a field too many");
}

static size_t count(const struct reading *r, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        n += str_ieq(r->names[i], str_from(name));
    }
    return n;
}

/* The framing from the plain reading alone. */
static void check_framing(const struct msg *m, const struct reading *r, bool bodiless,
                          bool request)
{
    size_t te = count(r, "Transfer-Encoding"), cl = count(r, "Content-Length");
    require(te + cl <= 1, "two framing fields");
    if (bodiless) {
        require(m->framing == FRAMING_NONE, "a body where there is none");
        return;
    }
    require((m->framing == FRAMING_CHUNKED) == (te == 1), "chunked or not");
    require((m->framing == FRAMING_LENGTH) == (cl == 1), "a length or not");
    require(te == 0 || m->minor == 1, "chunked in HTTP/1.0");
    require(te + cl > 0 || m->framing == (request ? FRAMING_NONE : FRAMING_CLOSE),
            "no framing");
    for (size_t i = 0; i < r->n; i++) {
        uint64_t length = 0;
        if (str_ieq(r->names[i], STR("Content-Length"))) {
            require(str_to_u64(r->values[i], INT64_MAX, &length), "not a number");
            require(length == m->content_length, "lengths differ");
        } else if (str_ieq(r->names[i], STR("Transfer-Encoding"))) {
            require(str_ieq(r->values[i], STR("chunked")), "another coding");
        }
    }
}

/* Does a line end in white space with a tab? After a length or coding llhttp does not know it:
 * it refuses the length, and "chunked" HTAB is no chunked to it. */
static bool has_trailing_tab(const struct reading *plain)
{
    for (size_t i = 0; i < plain->n; i++) {
        const char *p = plain->values[i].p + plain->values[i].n;
        while (*p == ' ') {
            p++;
        }
        if (*p == '\t') {
            return true;
        }
    }
    return false;
}

/* llhttp must accept the head and see the same. */
static void compare_llhttp(struct str head, const struct msg *m, const struct reading *plain,
                           bool request)
{
    static struct reading r;
    if (has_trailing_tab(plain)) {
        return;
    }
    memset(&r, 0, sizeof(r));
    llhttp_init(&r.parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    llhttp_execute(&r.parser, head.p, head.n);
    require(r.complete, "llhttp refuses the head");
    require(r.parser.http_major == 1 && r.parser.http_minor == m->minor, "versions differ");
    compare_fields(m, &r, request);
    if (request) {
        const char *method = llhttp_method_name((llhttp_method_t)r.parser.method);
        require(str_eq(m->method_name, str_from(method)), "methods differ");
        require(str_eq(m->target, r.target), "targets differ");
        require(((r.parser.flags & F_CHUNKED) != 0) == (m->framing == FRAMING_CHUNKED),
                "llhttp frames it otherwise");
        require(((r.parser.flags & F_CONTENT_LENGTH) != 0) == (m->framing == FRAMING_LENGTH),
                "llhttp sees another length");
        require(m->framing != FRAMING_LENGTH || r.parser.content_length == m->content_length,
                "llhttp reads another length");
    } else {
        require(r.parser.status_code == m->status, "statuses differ");
    }
}

/* ---- the parts under test ------------------------------------------------------------------
 */

static enum guard_result scan(struct str bytes, bool response, struct guard *g,
                              size_t *head_len)
{
    int status = 0;
    const char *why = NULL;
    *g = (struct guard){0};
    enum guard_result r = guard_scan(g, bytes, &limits, response, head_len, &status, &why);
    require((r == GUARD_REFUSE) == (status >= 400 && why != NULL),
            "a refusal without a reason");
    return r;
}

/* The same bytes in pieces of `step` must give the same verdict. */
static void compare_split(struct str bytes, bool response, size_t step, enum guard_result whole,
                          const struct guard *g, size_t head_len)
{
    struct guard s = {0};
    enum guard_result r = GUARD_MORE;
    size_t n = 0, len = 0;
    do {
        int status;
        const char *why;
        n = bytes.n - n < step ? bytes.n : n + step;
        r = guard_scan(&s, str_make(bytes.p, n), &limits, response, &len, &status, &why);
    } while (r == GUARD_MORE && n < bytes.n);
    require(r == whole, "the verdict depends on how the bytes arrive");
    require(r != GUARD_DONE || (len == head_len && s.start == g->start), "another end");
}

static bool parse(struct str head, bool response, enum method method, struct arena *a,
                  struct msg *m)
{
    struct h1_verdict v =
        response ? h1_parse_response(head, method, a, m) : h1_parse_request(head, a, false, m);
    require((v.status == 0) == (v.why == NULL), "a refusal without a reason");
    return v.status == 0;
}

/* What the writer makes of m is accepted again and has the same fields. */
static void round_trip(const struct msg *m, bool response, enum method method)
{
    struct strbuf out = {0};
    if (response) {
        h1_write_status_line(&out, m->status, m->reason);
    } else {
        h1_write_request_line(&out, m->method_name, m->target);
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        h1_write_field(&out, m->fields[i].name, m->fields[i].value);
    }
    h1_write_end(&out);
    struct guard g;
    size_t n = 0;
    struct arena a;
    struct msg again;
    /* ": " may take a head over a limit that ":" kept */
    if (scan(strbuf_str(&out), response, &g, &n) == GUARD_DONE) {
        arena_init(&a, NULL, 0);
        require(n == out.n, "the written head ends early");
        bool ok = parse(strbuf_str(&out), response, method, &a, &again);
        if (m->minor == 1 || ok) { /* without Host only HTTP/1.0 is good */
            require(ok, "the written head is refused");
            require(again.n_fields == m->n_fields, "the written head has other fields");
            require(again.framing == m->framing, "the written head has another framing");
        }
        arena_reset(&a);
    } else {
        require(out.n > limits.field_line, "the guard refuses what the writer wrote");
    }
    strbuf_free(&out);
}

static void run(struct str bytes, bool response, enum method method)
{
    struct guard g;
    size_t head_len = 0;
    enum guard_result r = scan(bytes, response, &g, &head_len);
    compare_split(bytes, response, 1 + bytes.n % 7, r, &g, head_len);
    if (r != GUARD_DONE) {
        return;
    }
    struct arena a;
    struct msg m;
    static struct reading plain;
    struct str head = str_make(bytes.p + g.start, head_len - g.start);
    arena_init(&a, NULL, 0);
    if (parse(head, response, method, &a, &m)) {
        bool bodiless = response && (method == METHOD_HEAD || m.status < 200 ||
                                     m.status == 204 || m.status == 304);
        read_plainly(head, &plain);
        compare_fields(&m, &plain, !response);
        check_framing(&m, &plain, bodiless, !response);
        compare_llhttp(head, &m, &plain, !response);
        require(response || count(&plain, "Host") == 1 || m.minor == 0, "not one Host");
        round_trip(&m, response, method);
    }
    arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    field_table_init();
    char *copy = malloc(size > 0 ? size : 1); /* of this size, for ASan */
    memcpy(copy, data, size);
    struct str bytes = str_make(copy, size);
    run(bytes, false, METHOD_OTHER);
    run(bytes, true, METHOD_GET);
    run(bytes, true, METHOD_HEAD);
    free(copy);
    return 0;
}
