/*
 * Printing of messages:
 *
 *     proxy.conf:12:9: error: unknown directive `rout`
 *         rout GET /x { ttl 5m }
 *         ^~~~
 *         did you mean `route`?
 *
 * The source line is the file's own text, with bytes that a terminal would obey replaced and
 * the values of options that hold secrets covered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config.h"
#include "config/diag.h"

#define LINE_WINDOW 160 /* bytes of a source line that are shown */
#define LINE_BEFORE 60  /* of which before the place, when the line is longer */

/* What stands before a value that is covered in a shown line. */
static const char *const secrets[] = {
    "secret=", "token=", "password=", "sentinel_password=", "value=", "debug_token"};

static int compare_diags(const void *pa, const void *pb)
{
    const struct conf_diag *a = pa;
    const struct conf_diag *b = pb;

    if (a->at.source != b->at.source) {
        return a->at.source < b->at.source ? -1 : 1;
    }
    if (a->at.offset != b->at.offset) {
        return a->at.offset < b->at.offset ? -1 : 1;
    }
    return a->order < b->order ? -1 : a->order > b->order;
}

/* The same place may say several things, each of them once. */
static bool said_before(const struct conf_diag *list, size_t i)
{
    for (size_t j = i; j > 0; j--) {
        const struct conf_diag *other = &list[j - 1];

        if (other->at.source != list[i].at.source || other->at.offset != list[i].at.offset) {
            return false;
        }
        if (other->error == list[i].error && str_eq(other->text, list[i].text)) {
            return true;
        }
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Where the value at i ends: behind a quote at the next one, else at a blank. */
static size_t value_end(const char *line, size_t n, size_t i, bool quoted)
{
    while (i < n && (quoted ? line[i] != '"' : !is_blank(line[i]) && line[i] != ';')) {
        i += quoted && line[i] == '\\' && i + 1 < n ? 2 : 1;
    }
    return i;
}

/* Covers the value at i; what is only a ${NAME} stays readable. */
static void cover_value(char *line, size_t n, size_t i, bool quoted)
{
    size_t end = value_end(line, n, i, quoted);
    bool reference = end - i > 3 && line[i] == '$' && line[i + 1] == '{' &&
                     line[end - 1] == '}' && memchr(line + i, ':', end - i) == NULL;
    if (!reference) {
        memset(line + i, '*', end - i);
    }
}

/* Covers who logs in to the URL whose `//` ends at i, and all behind a webhook's host. A
 * password with a slash in it is still one. */
static void cover_url(char *line, size_t n, size_t i, bool webhook)
{
    size_t end = value_end(line, n, i, false);
    for (size_t at = end; at > i; at--) {
        if (line[at - 1] == '@') {
            memset(line + i, '*', at - 1 - i);
            i = at;
        }
    }
    while (i < end && webhook && strchr("/?#\"", line[i]) == NULL) {
        i++;
    }
    if (webhook && i + 1 < end && line[i] != '"') {
        memset(line + i + 1, '*', end - i - 1 - (line[end - 1] == '"'));
    }
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool stands_at(const char *line, size_t n, size_t i, const char *word)
{
    size_t len = strlen(word);
    return n - i > len && memcmp(line + i, word, len) == 0 &&
           (i == 0 || !is_word_byte(line[i - 1]));
}

/* Covers the values of secret options and what is secret in URLs, keeping every column. */
static void cover_secrets(char *line, size_t n)
{
    bool webhook = false;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof(secrets) / sizeof(secrets[0]); k++) {
            if (!stands_at(line, n, i, secrets[k])) {
                continue;
            }
            bool quoted = i > 0 && line[i - 1] == '"';
            size_t from = i + strlen(secrets[k]);
            while (from < n && is_blank(line[from])) {
                from++;
            }
            if (from < n && line[from] == '"') {
                quoted = true;
                from++;
            }
            cover_value(line, n, from, quoted);
        }
        webhook = stands_at(line, n, i, "url=") || (webhook && !is_blank(line[i]));
        if (n - i > 3 && memcmp(line + i, "://", 3) == 0) {
            cover_url(line, n, i + 3, webhook);
        }
    }
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Appends text as a terminal may show it, one column for each character. */
static void add_shown(struct strbuf *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        strbuf_add_char(out, c == '\t' ? ' ' : (c < 0x20 || c == 0x7F) ? '?' : (char)c);
    }
}

static size_t count_chars(const char *p, size_t n)
{
    size_t chars = 0;

    for (size_t i = 0; i < n; i++) {
        chars += !is_continuation(p[i]);
    }
    return chars;
}

/* The line of `at` and the caret line below it. */
static void render_line(struct strbuf *out, struct str text, size_t start, size_t end,
                        const struct conf_span *at)
{
    size_t n = end - start;
    size_t place = at->offset - start;
    char *line = xmalloc(n + 1);

    memcpy(line, text.p + start, n);
    cover_secrets(line, n);
    size_t from = 0;
    if (n > LINE_WINDOW && place > LINE_BEFORE) {
        from = place - LINE_BEFORE;
        while (from < place && is_continuation(line[from])) {
            from++;
        }
    }
    size_t to = n - from > LINE_WINDOW ? from + LINE_WINDOW : n;
    while (to < n && to > place && is_continuation(line[to])) {
        to--;
    }
    strbuf_addf(out, "    %s", from > 0 ? "..." : "");
    add_shown(out, line + from, to - from);
    strbuf_addf(out, "%s\n    ", to < n ? "..." : "");
    size_t pad = count_chars(line + from, place - from) + (from > 0 ? 3 : 0);
    for (size_t i = 0; i < pad; i++) {
        strbuf_add_char(out, ' ');
    }
    strbuf_add_char(out, '^');
    size_t last = place + at->len < to ? place + at->len : to;
    size_t width = last > place ? count_chars(line + place, last - place) : 1;
    for (size_t i = 1; i < width; i++) {
        strbuf_add_char(out, '~');
    }
    strbuf_add_char(out, '\n');
    free(line);
}

static void render_hints(struct strbuf *out, struct str hints)
{
    while (hints.n > 0) {
        size_t n = str_index(hints, '\n');

        strbuf_add_str(out, STR("    "));
        add_shown(out, hints.p, n);
        strbuf_add_char(out, '\n');
        hints = str_skip(hints, n + 1);
    }
}

static void render_one(const struct conf_diags *d, const struct conf_diag *diag,
                       struct strbuf *out)
{
    struct str name = STR("configuration");
    struct str text = STR_NULL;
    const char *kind = diag->error ? "error" : "warning";

    if (diag->at.source < d->n_sources) {
        name = d->sources[diag->at.source].name;
        text = d->sources[diag->at.source].text;
    }
    add_shown(out, name.p, name.n);
    if (diag->at.line == 0 || diag->at.offset > text.n) {
        strbuf_addf(out, ": %s: ", kind);
        add_shown(out, diag->text.p, diag->text.n);
        strbuf_add_char(out, '\n');
        render_hints(out, diag->hints);
        return;
    }
    size_t start = diag->at.offset;
    while (start > 0 && text.p[start - 1] != '\n') {
        start--;
    }
    size_t end = diag->at.offset + str_index(str_skip(text, diag->at.offset), '\n');
    if (end > start && text.p[end - 1] == '\r' && end > diag->at.offset) {
        end--;
    }
    strbuf_addf(out, ":%u:%zu: %s: ", diag->at.line,
                count_chars(text.p + start, diag->at.offset - start) + 1, kind);
    add_shown(out, diag->text.p, diag->text.n);
    strbuf_add_char(out, '\n');
    render_line(out, text, start, end, &diag->at);
    render_hints(out, diag->hints);
}

void conf_diags_render(struct conf_diags *d, struct config_report *report)
{
    size_t printed = 0;
    size_t silent = d->dropped;

    if (d->n > 0) {
        qsort(d->list, d->n, sizeof(*d->list), compare_diags);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (said_before(d->list, i)) {
            continue;
        }
        if (d->list[i].error) {
            report->errors++;
        } else {
            report->warnings++;
        }
        if (printed == CONF_MAX_PRINTED) {
            silent++;
            continue;
        }
        render_one(d, &d->list[i], &report->text);
        printed++;
    }
    if (silent > 0) {
        strbuf_addf(&report->text, "... and %zu more\n", silent);
    }
    if (d->failed && report->errors == 0) {
        report->errors = 1;
    }
}
