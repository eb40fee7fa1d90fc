/*
 * One pass over UTF-8 (RFC 3629); what is not well-formed is shown byte for byte as \xHH.
 */
#include "cli/term.h"

#include "base/utf8.h"

/* How the characters that may not be shown are written. */
enum style {
    STYLE_LINE, /* newline and tab too */
    STYLE_TEXT, /* newline and tab stay */
    STYLE_JSON, /* whitespace between values becomes a blank */
};

/* Length of the well-formed character at p, 0 when there is none. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *code)
{
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    return utf8_sequence(p, n, code);
}

/* Controls (C0, DEL, C1), line separators, marks and overrides of direction, characters
 * without width that hide in a name. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

static void add_unsafe(struct strbuf *out, uint32_t code, enum style style)
{
    if (style == STYLE_JSON && code < 0x20) {
        strbuf_add_char(out, ' ');
    } else if (style != STYLE_JSON && code < 0x80) {
        strbuf_addf(out, "\\x%02x", (unsigned)code);
    } else if (code <= 0xffff) {
        strbuf_addf(out, "\\u%04x", (unsigned)code);
    } else {
        strbuf_addf(out, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (code >> 10)),
                    (unsigned)(0xdc00 + (code & 0x3ff)));
    }
}

static void add(struct strbuf *out, struct str s, enum style style)
{
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n;) {
        uint32_t code;
        size_t len = decode(p + i, s.n - i, &code);
        if (len == 0) {
            strbuf_addf(out, "\\x%02x", p[i]);
            len = 1;
        } else if (is_unsafe(code) && (style != STYLE_TEXT || (code != '\n' && code != '\t'))) {
            add_unsafe(out, code, style);
        } else {
            strbuf_add(out, p + i, len);
        }
        i += len;
    }
}

static void print(FILE *out, struct str s, enum style style)
{
    struct strbuf text = {0};
    add(&text, s, style);
    fwrite(text.p, 1, text.n, out);
    strbuf_free(&text);
}

void term_add(struct strbuf *out, struct str s)
{
    add(out, s, STYLE_LINE);
}

void term_print(FILE *out, struct str s)
{
    print(out, s, STYLE_LINE);
}

void term_print_text(FILE *out, struct str s)
{
    print(out, s, STYLE_TEXT);
}

void term_add_json(struct strbuf *out, struct str json)
{
    add(out, json, STYLE_JSON);
}

void term_print_json(FILE *out, struct str json)
{
    while (json.n > 0 && (unsigned char)json.p[json.n - 1] <= ' ') {
        json.n--;
    }
    print(out, json, STYLE_JSON);
    fputc('\n', out);
}

/* First and last of the characters that are not one column wide. */
static const struct {
    uint32_t first, last;
    unsigned columns;
} widths[] = {
    {0x0300, 0x036f, 0},   {0x1100, 0x115f, 2},   {0x1ab0, 0x1aff, 0},   {0x1dc0, 0x1dff, 0},
    {0x20d0, 0x20ff, 0},   {0x2e80, 0x303e, 2},   {0x3041, 0xa4cf, 2},   {0xa960, 0xa97f, 2},
    {0xac00, 0xd7a3, 2},   {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},   {0xfe20, 0xfe2f, 0},
    {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},   {0x1f300, 0x1f64f, 2},
    {0x1f680, 0x1f6ff, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
};

/* Bytes of the first character of s, which is not empty, and its columns. */
static size_t character(struct str s, size_t *columns)
{
    uint32_t code = 0;
    size_t n = utf8_sequence((const unsigned char *)s.p, s.n, &code);
    *columns = 1;
    for (size_t i = 0; n > 0 && i < sizeof(widths) / sizeof(widths[0]); i++) {
        if (code >= widths[i].first && code <= widths[i].last) {
            *columns = widths[i].columns;
        }
    }
    return n > 0 ? n : 1;
}

size_t term_columns(struct str s)
{
    size_t count = 0, columns;
    while (s.n > 0) {
        s = str_skip(s, character(s, &columns));
        count += columns;
    }
    return count;
}

struct str term_head(struct str s, size_t wanted)
{
    size_t count = 0, at = 0, columns;
    while (at < s.n) {
        size_t n = character(str_skip(s, at), &columns);
        if (count + columns > wanted) {
            break;
        }
        count += columns;
        at += n;
    }
    return str_make(s.p, at);
}
