/*
 * Heads. llhttp splits the bytes; what they mean for framing is decided here in one place,
 * because a proxy that disagrees with its backend about one byte of framing is a security hole.
 */
#include "http/h1.h"

#include <string.h>

#include <llhttp.h>

#include "base/log.h"

#define CONNECTION_OPTIONS_MAX 32 /* each is compared with every field */

/* One parse; the parser's callbacks fill the message. */
struct head_parse {
    llhttp_t parser;
    struct msg *msg;
    struct arena *arena;
    bool complete; /* the end of the head was reached */
};

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct msg *m = ((struct head_parse *)(void *)p)->msg;
    m->target = str_make(at, n);
    return 0;
}

static int on_status(llhttp_t *p, const char *at, size_t n)
{
    struct msg *m = ((struct head_parse *)(void *)p)->msg;
    m->reason = str_make(at, n);
    return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct head_parse *hp = (struct head_parse *)(void *)p;
    msg_add(hp->msg, hp->arena, str_make(at, n), str_make(at + n, 0));
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct msg *m = ((struct head_parse *)(void *)p)->msg;
    m->fields[m->n_fields - 1].value = str_trim(str_make(at, n));
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    ((struct head_parse *)(void *)p)->complete = true;
    return 1; /* the body is framed by http/body */
}

static const llhttp_settings_t head_settings = {
    .on_url = on_url,
    .on_status = on_status,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

static struct h1_verdict refuse(int status, const char *why)
{
    return (struct h1_verdict){status, why};
}

static const struct h1_verdict fine = {0, NULL};

/* What llhttp has against the head; its reasons are literals. */
static struct h1_verdict parser_error(const llhttp_t *p, llhttp_errno_t e)
{
    if (e == HPE_INVALID_METHOD || e == HPE_INVALID_CONSTANT) {
        /* The constant is the method's too: the guard has seen to the version. */
        return refuse(501, "unknown method");
    }
    return refuse(400,
                  p->reason != NULL && p->reason[0] != '\0' ? p->reason : "malformed head");
}

/* A copy of the head with spaces for the tabs at the ends of its lines; STR_NULL when there are
 * none. */
static struct str without_trailing_tabs(struct str head, struct arena *a)
{
    char *copy = arena_alloc(a, head.n);
    memcpy(copy, head.p, head.n);
    bool at_end = false, changed = false;
    for (size_t i = head.n; i-- > 0;) {
        at_end = copy[i] == '\r' || (at_end && (copy[i] == ' ' || copy[i] == '\t'));
        if (at_end && copy[i] == '\t') {
            copy[i] = ' ';
            changed = true;
        }
    }
    return changed ? str_make(copy, head.n) : STR_NULL;
}

/* Runs llhttp over the whole head. */
static struct h1_verdict split_head(struct str head, llhttp_type_t type, struct arena *a,
                                    struct msg *out)
{
    struct head_parse hp = {.msg = out, .arena = a};
    *out = (struct msg){0};
    llhttp_init(&hp.parser, type, &head_settings);
    llhttp_errno_t e = llhttp_execute(&hp.parser, head.p, head.n);
    if (e == HPE_INVALID_CONTENT_LENGTH) {
        /* "5" HTAB is a good Content-Length; llhttp only knows SP there. */
        struct str copy = without_trailing_tabs(head, a);
        if (copy.n > 0) {
            return split_head(copy, type, a, out);
        }
    }
    if (e != HPE_OK && e != HPE_PAUSED_UPGRADE) {
        return parser_error(&hp.parser, e);
    }
    if (!hp.complete) { /* PRI: it waits for the rest of HTTP/2's preface */
        return refuse(400, "malformed head");
    }
    if (hp.parser.http_major != 1 || hp.parser.http_minor > 1) {
        return refuse(505, "unsupported HTTP version");
    }
    out->minor = hp.parser.http_minor;
    out->status = hp.parser.status_code;
    return fine;
}

/* Content-Length and Transfer-Encoding of either side (RFC 9112 6.1-6.3; F1-F6). Anything but
 * one plain Content-Length or exactly "chunked" is refused. */
static struct h1_verdict parse_framing(struct msg *m)
{
    const struct field *te = msg_find(m, FIELD_TRANSFER_ENCODING);
    const struct field *cl = msg_find(m, FIELD_CONTENT_LENGTH);
    m->framing = FRAMING_NONE;
    if (te != NULL) {
        if (cl != NULL) {
            return refuse(400, "both Content-Length and Transfer-Encoding");
        }
        if (m->minor == 0) {
            return refuse(400, "Transfer-Encoding in HTTP/1.0");
        }
        if (msg_count(m, FIELD_TRANSFER_ENCODING) != 1 || !str_ieq(te->value, STR("chunked"))) {
            return refuse(501, "a transfer coding other than chunked");
        }
        m->framing = FRAMING_CHUNKED;
        return fine;
    }
    if (cl != NULL) {
        if (msg_count(m, FIELD_CONTENT_LENGTH) != 1 || cl->value.n > 19 ||
            !str_to_u64(cl->value, INT64_MAX, &m->content_length)) {
            return refuse(400, "a bad Content-Length");
        }
        m->framing = FRAMING_LENGTH;
    }
    return fine;
}

/* Persistence (RFC 9112 9.3) and Upgrade. */
static void parse_connection(struct msg *m)
{
    bool has_field = msg_find(m, FIELD_CONNECTION) != NULL;
    if (!has_field) {
        m->keep_alive = m->minor == 1;
        return;
    }
    bool close = msg_has_token(m, FIELD_CONNECTION, STR("close"));
    bool keep = msg_has_token(m, FIELD_CONNECTION, STR("keep-alive"));
    m->keep_alive = !close && (m->minor == 1 || keep);
    m->upgrade = msg_has_token(m, FIELD_CONNECTION, STR("upgrade")) &&
                 msg_find(m, FIELD_UPGRADE) != NULL;
}

/* What Connection names: few, and of a request no field that decides anything (H2). */
static struct h1_verdict check_connection_names(const struct msg *m, bool is_request)
{
    size_t count = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id != FIELD_CONNECTION) {
            continue;
        }
        struct str rest = m->fields[i].value;
        struct str name;
        while (str_next(&rest, ',', &name)) {
            if (++count > CONNECTION_OPTIONS_MAX) {
                return refuse(400, "too many connection options");
            }
            if (is_request && (field_flags(field_lookup(name)) & FIELD_PROTECTED)) {
                return refuse(400, "Connection names a field that it may not");
            }
        }
    }
    return fine;
}

/* What Connection names was for this hop alone (RFC 9110 7.6.1). It goes before anybody reads
 * it, so that no key holds what the backend does not get. Connection and its like stay. */
static void drop_connection_names(struct msg *m)
{
    size_t kept = 0;
    if (msg_find(m, FIELD_CONNECTION) == NULL) {
        return;
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        if ((field_flags(f->id) & FIELD_HOP) || !msg_connection_lists(m, f->name)) {
            m->fields[kept++] = *f;
        }
    }
    m->n_fields = kept;
}

/* Singletons sent twice (H3), and names with "_" that CGI-like backends read as "-" (F13). */
static struct h1_verdict check_fields(struct msg *m, bool keep_underscores)
{
    uint64_t seen[(FIELD_COUNT + 63) / 64] = {0};
    size_t kept = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        struct field f = m->fields[i];
        unsigned bit = f.id % 64;
        if (field_flags(f.id) & FIELD_SINGLETON) {
            if (seen[f.id / 64] >> bit & 1) {
                return refuse(400, "a field that may stand only once is repeated");
            }
            seen[f.id / 64] |= (uint64_t)1 << bit;
        }
        if (f.id == FIELD_OTHER && memchr(f.name.p, '_', f.name.n) != NULL) {
            char dashed[64];
            for (size_t k = 0; k < f.name.n && k < sizeof(dashed); k++) {
                dashed[k] = f.name.p[k] == '_' ? '-' : f.name.p[k];
            }
            if (f.name.n <= sizeof(dashed) &&
                field_lookup(str_make(dashed, f.name.n)) != FIELD_OTHER) {
                return refuse(400, "a field name with '_' that imitates a known field");
            }
            if (!keep_underscores) {
                continue;
            }
        }
        m->fields[kept++] = f;
    }
    m->n_fields = kept;
    return fine;
}

static struct h1_verdict check_expect(struct msg *m)
{
    const struct field *expect = msg_find(m, FIELD_EXPECT);
    if (expect == NULL) {
        return fine;
    }
    if (msg_count(m, FIELD_EXPECT) != 1 || !str_ieq(expect->value, STR("100-continue"))) {
        return refuse(417, "an expectation other than 100-continue");
    }
    /* Without a body there is nothing to wait for, and HTTP/1.0 knows no 1xx (RFC 9110 10.1.1).
     */
    m->expect_continue =
        m->minor == 1 && (m->framing == FRAMING_CHUNKED || m->content_length > 0);
    return fine;
}

struct h1_verdict h1_parse_request(struct str head, struct arena *a, bool keep_underscores,
                                   struct msg *out)
{
    struct h1_verdict v = split_head(head, HTTP_REQUEST, a, out);
    if (v.status != 0) {
        return v;
    }
    out->method_name = str_make(head.p, str_index(head, ' '));
    out->method = method_lookup(out->method_name);
    size_t hosts = msg_count(out, FIELD_HOST);
    if (hosts > 1 || (hosts == 0 && out->minor == 1)) {
        return refuse(400, "exactly one Host is required");
    }
    v = parse_framing(out);
    if (v.status == 0) {
        v = check_connection_names(out, true);
    }
    if (v.status == 0) {
        drop_connection_names(out);
        v = check_fields(out, keep_underscores);
    }
    if (v.status == 0) {
        v = check_expect(out);
    }
    parse_connection(out);
    return v;
}

struct h1_verdict h1_parse_response(struct str head, enum method method, struct arena *a,
                                    struct msg *out)
{
    struct h1_verdict v = split_head(head, HTTP_RESPONSE, a, out);
    if (v.status == 0) {
        v = parse_framing(out);
    }
    if (v.status == 0) {
        v = check_connection_names(out, false);
    }
    if (v.status != 0) {
        return refuse(502, v.why);
    }
    parse_connection(out);
    if (out->status < 200 || out->status == 204) {
        /* RFC 9110 8.6, RFC 9112 6.1: they may not be there, and mean nothing. */
        msg_remove(out, FIELD_CONTENT_LENGTH);
        msg_remove(out, FIELD_TRANSFER_ENCODING);
        out->framing = FRAMING_NONE;
    } else if (method == METHOD_HEAD || out->status == 304) {
        out->framing = FRAMING_NONE;
    } else if (out->framing == FRAMING_NONE) {
        out->framing = FRAMING_CLOSE;
        out->keep_alive = false;
    }
    return fine;
}

bool h1_forwardable(const struct msg *m, const struct field *f)
{
    if (field_flags(f->id) & FIELD_HOP) {
        return false;
    }
    return !msg_connection_lists(m, f->name);
}

#define EACH_BYTE(c) ((uint64_t)0x0101010101010101u * (unsigned char)(c))

/* Is one of the eight bytes zero? */
static bool has_zero_byte(uint64_t w)
{
    return ((w - EACH_BYTE(0x01)) & ~w & EACH_BYTE(0x80)) != 0;
}

static bool word_splits(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return has_zero_byte(w) || has_zero_byte(w ^ EACH_BYTE('\r')) ||
           has_zero_byte(w ^ EACH_BYTE('\n'));
}

/* Does s hold a byte that could end the line it is written to? Eight bytes at a time, the last
 * eight overlapping those before: every field of every message passes here. */
static bool splits(struct str s)
{
    if (s.n >= 8) {
        for (size_t i = 0; i + 8 < s.n; i += 8) {
            if (word_splits(s.p + i)) {
                return true;
            }
        }
        return word_splits(s.p + s.n - 8);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0') {
            return true;
        }
    }
    return false;
}

/* Method and target were checked long ago; a byte that could end them is encoded all the same.
 */
static void write_element(struct strbuf *out, struct str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c > 0x20 && c < 0x7f) {
            continue;
        }
        strbuf_add(out, s.p + from, i - from);
        strbuf_addf(out, "%%%02X", c);
        from = i + 1;
    }
    strbuf_add_str(out, str_skip(s, from));
}

void h1_write_request_line(struct strbuf *out, struct str method, struct str target)
{
    strbuf_reserve(out, method.n + target.n + 12);
    write_element(out, method);
    strbuf_add_char(out, ' ');
    write_element(out, target);
    strbuf_add(out, " HTTP/1.1\r\n", 11);
}

void h1_write_status_line(struct strbuf *out, int status, struct str reason)
{
    char code[20];
    size_t n = u64_to_dec((uint64_t)status, code);
    strbuf_add(out, "HTTP/1.1 ", 9);
    strbuf_add(out, code, n);
    strbuf_add_char(out, ' ');
    if (!splits(reason)) {
        strbuf_add_str(out, reason);
    }
    strbuf_add(out, "\r\n", 2);
}

void h1_write_field(struct strbuf *out, struct str name, struct str value)
{
    if (splits(name) || splits(value)) {
        static struct log_limit limit;
        if (log_allowed(&limit)) {
            log_error("a field with a line break or NUL was not sent: %.*s",
                      (int)(name.n < 40 ? name.n : 40), name.p);
        }
        return;
    }
    strbuf_reserve(out, name.n + value.n + 4);
    char *p = out->p + out->n;
    memcpy(p, name.p, name.n);
    p += name.n;
    *p++ = ':';
    *p++ = ' ';
    if (value.n > 0) {
        memcpy(p, value.p, value.n);
        p += value.n;
    }
    *p++ = '\r';
    *p++ = '\n';
    out->n = (size_t)(p - out->p);
}

void h1_write_u64_field(struct strbuf *out, struct str name, uint64_t value)
{
    char digits[20];
    h1_write_field(out, name, str_make(digits, u64_to_dec(value, digits)));
}

void h1_write_end(struct strbuf *out)
{
    strbuf_add(out, "\r\n", 2);
}
