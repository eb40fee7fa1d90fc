/*
 * The lexer. A brace counts only as a token of its own, so paths and templates keep theirs; a
 * word with an unpaired brace is nearly always a forgotten space, and is refused as that.
 */
#include "config/lexer.h"

#include <string.h>

bool conf_is_option_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static struct conf_span span_at(const struct conf_lexer *lx, size_t from, size_t to)
{
    return (struct conf_span){
        .source = lx->source,
        .offset = (uint32_t)from,
        .len = (uint32_t)(to - from),
        .line = lx->line,
    };
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), 0 when there is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } forms[] = {
        {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (p[0] < forms[i].first_min || p[0] > forms[i].first_max) {
            continue;
        }
        size_t len = forms[i].len;
        if (len > n ||
            (len > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))) {
            return 0;
        }
        for (size_t k = 2; k < len; k++) {
            if ((p[k] & 0xC0) != 0x80) {
                return 0;
            }
        }
        return len;
    }
    return 0;
}

/* One message for each line that holds bytes no configuration has. */
static void check_bytes(struct conf_lexer *lx)
{
    const unsigned char *p = (const unsigned char *)lx->text.p;
    size_t n = lx->text.n;
    bool said = false;

    for (size_t i = 0; i < n;) {
        size_t len = utf8_length(p + i, n - i);
        bool newline = p[i] == '\n';
        bool cr = p[i] == '\r' && i + 1 < n && p[i + 1] == '\n';
        bool control = (p[i] < 0x20 && p[i] != '\t' && !newline && !cr) || p[i] == 0x7F;

        if (!said && len == 0) {
            conf_error(lx->d, span_at(lx, i, i + 1), "byte 0x%02x is not UTF-8", p[i]);
            said = true;
        } else if (!said && control) {
            conf_error(lx->d, span_at(lx, i, i + 1), "control byte 0x%02x", p[i]);
            said = true;
        }
        if (newline) {
            lx->line++;
            said = false;
        }
        i += len > 0 ? len : 1;
    }
    lx->line = 1;
}

void conf_lexer_init(struct conf_lexer *lx, struct conf_diags *d, uint32_t source)
{
    *lx = (struct conf_lexer){
        .d = d,
        .source = source,
        .text = d->sources[source].text,
        .line = 1,
    };
    check_bytes(lx);
    if (str_starts(lx->text, STR("\xEF\xBB\xBF"))) {
        lx->pos = 3; /* a byte order mark, as some editors leave it */
    }
}

static char peek(const struct conf_lexer *lx, size_t ahead)
{
    return lx->pos + ahead < lx->text.n ? lx->text.p[lx->pos + ahead] : '\0';
}

static bool at_end(const struct conf_lexer *lx)
{
    return lx->pos >= lx->text.n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_word(const struct conf_lexer *lx)
{
    char c = peek(lx, 0);

    return at_end(lx) || is_blank(c) || c == '\n' || c == ';';
}

/* Length of a \ and the newline behind it; 0 when there is none at pos. */
static size_t continuation(const struct conf_lexer *lx)
{
    if (peek(lx, 0) != '\\') {
        return 0;
    }
    return peek(lx, 1) == '\n' ? 2 : peek(lx, 1) == '\r' && peek(lx, 2) == '\n' ? 3 : 0;
}

/* A \ followed by blanks and a newline looks like a continuation and is none. */
static void check_blank_continuation(struct conf_lexer *lx)
{
    size_t i = 1;

    while (is_blank(peek(lx, i))) {
        i++;
    }
    if (i > 1 && peek(lx, i) == '\n') {
        conf_error(lx->d, span_at(lx, lx->pos, lx->pos + 1),
                   "blanks after the `\\` that should continue the line");
    }
}

static void skip_blanks(struct conf_lexer *lx)
{
    while (!at_end(lx)) {
        size_t n = continuation(lx);

        if (n > 0) {
            lx->pos += n;
            lx->line++;
        } else if (is_blank(peek(lx, 0))) {
            lx->pos++;
        } else if (peek(lx, 0) == '#') {
            lx->pos += str_index(str_skip(lx->text, lx->pos), '\n');
        } else {
            return;
        }
    }
}

/* Index of the quote that closes the string opened at `open`, or of the end of the line. */
static size_t closing_quote(struct str text, size_t open)
{
    size_t i = open + 1;

    while (i < text.n && text.p[i] != '"' && text.p[i] != '\n') {
        bool escape = text.p[i] == '\\' && i + 1 < text.n && text.p[i + 1] != '\n';
        i += escape ? 2 : 1;
    }
    return i;
}

/*
 * The text between two quotes at pos into *text. False, with pos at the end of the line, when
 * the string has no end.
 */
static bool take_quoted(struct conf_lexer *lx, struct str *text, bool *bad)
{
    size_t start = lx->pos++;
    size_t end = closing_quote(lx->text, start);
    char *out = arena_alloc(&lx->d->arena, end - start);
    size_t n = 0;

    for (; lx->pos < end; lx->pos++) {
        char c = peek(lx, 0);

        if (c == '\\' && lx->pos + 1 < end) {
            c = peek(lx, 1);
            if (c != '"' && c != '\\' && c != 'n') {
                conf_error(lx->d, span_at(lx, lx->pos, lx->pos + 2),
                           "unknown escape; a quoted string knows \\\" \\\\ and \\n");
                *bad = true;
            }
            c = c == 'n' ? '\n' : c;
            lx->pos++;
        }
        out[n++] = c;
    }
    *text = str_make(out, n);
    if (peek(lx, 0) != '"') {
        conf_error(lx->d, span_at(lx, start, start + 1), "this string has no closing quote");
        *bad = true;
        return false;
    }
    lx->pos++;
    return true;
}

/* What is glued to a closing quote belongs to nothing. */
static void take_garbage_after_quote(struct conf_lexer *lx, bool *bad)
{
    size_t start = lx->pos;

    while (!ends_word(lx)) {
        lx->pos++;
    }
    if (lx->pos > start) {
        conf_error(lx->d, span_at(lx, start, lx->pos),
                   "text directly after a closing quote; leave a space, or quote it all");
        *bad = true;
    }
}

/* Are all braces of a bare word paired and in order? */
static bool braces_paired(struct str word)
{
    size_t open = 0;

    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] == '{') {
            open++;
        } else if (word.p[i] == '}' && open-- == 0) {
            return false;
        }
    }
    return open == 0;
}

/* Reads on as if the space were there, so that one slip is one message. */
static void split_brace(struct conf_lexer *lx, struct conf_token *t)
{
    size_t n = t->text.n;

    if (t->text.p[0] == '{' && braces_paired(str_skip(t->text, 1))) {
        t->kind = TOKEN_OPEN;
        lx->pos -= n - 1;
    } else if (t->text.p[0] == '{' && n == 2) {
        t->kind = TOKEN_OPEN;
        lx->pos--;
    } else if (n > 1 && t->text.p[n - 1] == '}' && braces_paired(str_make(t->text.p, n - 1))) {
        t->raw.n = t->text.n = n - 1;
        t->at.len--;
        t->bad = false;
        lx->pos--;
    }
}

static void check_bare(struct conf_lexer *lx, struct conf_token *t)
{
    if (t->raw.n > 1 && t->raw.p[t->raw.n - 1] == '\\') {
        /* Only reachable before blanks or the end of the file: see continuation(). */
        lx->pos--;
        check_blank_continuation(lx);
        lx->pos++;
    }
    if (memchr(t->text.p, '"', t->text.n) != NULL) {
        conf_error(lx->d, t->at, "a quote inside a word; quote the whole word");
        t->bad = true;
    } else if (!braces_paired(t->text) || str_eq(t->text, STR("{}"))) {
        conf_error(lx->d, t->at, "unpaired brace in this word");
        conf_hint(lx->d, "the braces of a block stand alone: put a space on both sides; "
                         "quote a word that holds other braces or blanks");
        t->bad = true;
        split_brace(lx, t);
    }
}

/* Bytes of an option's name at pos, if a = follows them; 0 otherwise. */
static size_t option_name(const struct conf_lexer *lx)
{
    size_t n = 0;

    while (conf_is_option_byte(peek(lx, n))) {
        n++;
    }
    return peek(lx, n) == '=' ? n : 0;
}

static struct conf_token take_word(struct conf_lexer *lx)
{
    struct conf_token t = {.kind = TOKEN_WORD};
    size_t start = lx->pos;

    t.quoted = peek(lx, 0) == '"';
    t.name_len = t.quoted ? 0 : option_name(lx);
    if (t.quoted || (t.name_len > 0 && peek(lx, t.name_len + 1) == '"')) {
        struct str value = STR_NULL;

        lx->pos += t.quoted ? 0 : t.name_len + 1;
        if (take_quoted(lx, &value, &t.bad)) {
            take_garbage_after_quote(lx, &t.bad);
        }
        t.raw = str_make(lx->text.p + start, lx->pos - start);
        t.at = span_at(lx, start, lx->pos);
        t.text = value;
        if (t.name_len > 0) {
            /* Keep "name=" in front, as in a bare option. */
            char *joined = arena_alloc(&lx->d->arena, t.name_len + 1 + value.n);
            memcpy(joined, lx->text.p + start, t.name_len + 1);
            memcpy(joined + t.name_len + 1, value.p, value.n);
            t.text = str_make(joined, t.name_len + 1 + value.n);
        }
        return t;
    }
    while (!ends_word(lx) && continuation(lx) == 0) {
        lx->pos++;
    }
    t.raw = t.text = str_make(lx->text.p + start, lx->pos - start);
    t.at = span_at(lx, start, lx->pos);
    check_bare(lx, &t);
    return t;
}

struct conf_token conf_lexer_next(struct conf_lexer *lx)
{
    skip_blanks(lx);
    struct conf_token t = {.kind = TOKEN_EOF, .at = span_at(lx, lx->pos, lx->pos)};
    char c = peek(lx, 0);

    if (at_end(lx)) {
        return t;
    }
    if (c == '\n' || c == ';') {
        t.kind = TOKEN_END;
        t.at.len = 1;
        lx->pos++;
        lx->line += c == '\n';
        return t;
    }
    bool brace = c == '{' || c == '}';
    if (brace) {
        lx->pos++;
        bool alone = ends_word(lx) || continuation(lx) > 0;
        lx->pos--;
        if (alone) {
            t.kind = c == '{' ? TOKEN_OPEN : TOKEN_CLOSE;
            t.at.len = 1;
            lx->pos++;
            return t;
        }
    }
    if (c == '\\') {
        check_blank_continuation(lx);
    }
    return take_word(lx);
}
