/*
 * Hyphens are written `\-`: what is shown is mostly typed, and must be found and copied as
 * ASCII. Characters beyond ASCII are written `\[uXXXX]`, which every formatter understands.
 */
#include "base/roff.h"

#include <stdint.h>
#include <string.h>

#define WRAP 78 /* bytes of a source line, where words allow it */

void roff_break(struct roff *r)
{
    if (r->column > 0) {
        fputc('\n', r->out);
        r->column = 0;
    }
}

void roff_macro(struct roff *r, const char *line)
{
    roff_break(r);
    fprintf(r->out, "%s\n", line);
}

/* The character at *p, which is UTF-8 that a table of ours holds; *p moves behind it. */
static uint32_t next_code(const char **p)
{
    const unsigned char *b = (const unsigned char *)*p;
    unsigned n = b[0] < 0xc0 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? b[0] : b[0] & (0xffu >> (n + 1));
    unsigned i = 1;
    for (; i < n && (b[i] & 0xc0) == 0x80; i++) {
        code = code << 6 | (b[i] & 0x3f);
    }
    *p += i;
    return code;
}

/* The character as roff writes it; returns the bytes written. */
static size_t put_code(struct roff *r, uint32_t code)
{
    int n = 1;
    if (code >= 0x80) {
        n = fprintf(r->out, "\\[u%04X]", (unsigned)code);
    } else if (strchr("\\-'^~", (int)code) != NULL) {
        n = fprintf(r->out, "%s",
                    code == '\\'   ? "\\e"
                    : code == '-'  ? "\\-"
                    : code == '\'' ? "\\(aq"
                    : code == '^'  ? "\\(ha"
                                   : "\\(ti");
    } else {
        fputc((int)code, r->out);
    }
    return n > 0 ? (size_t)n : 0;
}

/* Up to `end`, in the font that is set; a backquote switches to bold and back. */
static void put_word(struct roff *r, const char *p, const char *end)
{
    if (r->column == 0 && (*p == '.' || *p == '\'')) {
        fputs("\\&", r->out);
    }
    while (p < end) {
        uint32_t code = next_code(&p);
        if (code == '`') {
            r->code = !r->code;
            fputs(r->code ? "\\fB" : "\\fP", r->out);
            r->column += 3;
        } else {
            r->column += put_code(r, code);
        }
    }
}

void roff_text(struct roff *r, const char *text)
{
    r->code = false;
    while (*text != '\0') {
        size_t blanks = strspn(text, " \n");
        size_t n = strcspn(text + blanks, " \n");
        if (blanks > 1 && memchr(text, '\n', blanks) != NULL) {
            roff_macro(r, ".PP");
        } else if (blanks > 0 && n > 0 && r->column + 1 + n > WRAP) {
            roff_break(r);
        } else if (blanks > 0 && r->column > 0) {
            fputc(' ', r->out);
            r->column++;
        }
        text += blanks;
        if (n > 0) {
            put_word(r, text, text + n);
        }
        text += n;
    }
}

void roff_bold(struct roff *r, const char *text)
{
    fputs("\\fB", r->out);
    put_word(r, text, text + strlen(text));
    fputs("\\fP", r->out);
}

void roff_italic(struct roff *r, const char *text)
{
    fputs("\\fI", r->out);
    put_word(r, text, text + strlen(text));
    fputs("\\fP", r->out);
}
