/*
 * The statements of a configuration as text again, for people who ask what runs: includes
 * resolved, ${NAME} replaced, and whatever is secret as ***. What is secret says the table: an
 * argument or option written SECRET in its form. Besides, the user part of every URL, and of a
 * webhook's all behind the host.
 */
#include "config/build.h"

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || strchr("\"\\;#{}", text.p[i]) != NULL) {
            return false;
        }
    }
    return text.n > 0;
}

static void add_quoted(struct strbuf *out, struct str text)
{
    /* Braces are text unless they stand alone. */
    bool brace = str_eq(text, STR("{")) || str_eq(text, STR("}"));
    bool braced = !brace && str_index(text, '{') < text.n && str_index(text, ' ') == text.n;
    if (is_plain(text) || (braced && str_index(text, '"') == text.n)) {
        strbuf_add_str(out, text);
        return;
    }
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\') {
            strbuf_add_char(out, '\\');
        }
        strbuf_add_char(out, text.p[i]);
    }
    strbuf_add_char(out, '"');
}

/* Length of scheme:// at the start of a URL; 0 for anything else. */
static size_t scheme_length(struct str text)
{
    size_t colon = str_index(text, ':');
    return str_starts(str_skip(text, colon), STR("://")) ? colon + 3 : 0;
}

/* A value without the user and password that a URL may hold; host_only: and without what is
 * behind the host. */
static void add_value(struct strbuf *out, struct str text, bool host_only)
{
    size_t scheme = scheme_length(text);
    struct str rest = str_skip(text, scheme);
    size_t end = 0, at = rest.n;
    while (end < rest.n && strchr("/?#", rest.p[end]) == NULL) {
        at = rest.p[end] == '@' ? end : at;
        end++;
    }
    /* A password with a slash in it is still one. */
    for (size_t i = end; i < rest.n && scheme > 0; i++) {
        at = rest.p[i] == '@' ? i : at;
    }
    if (scheme == 0 || (at == rest.n && !host_only)) {
        add_quoted(out, text);
        return;
    }
    struct strbuf url = {0};
    strbuf_add(&url, text.p, scheme);
    if (at < rest.n) {
        strbuf_add_str(&url, STR("***@"));
        rest = str_skip(rest, at + 1);
    }
    size_t host = 0;
    while (host < rest.n && strchr("/?#", rest.p[host]) == NULL) {
        host++;
    }
    if (host_only && host < rest.n) {
        rest.n = host;
        strbuf_add_str(&url, rest);
        strbuf_add_str(&url, STR("/***"));
    } else {
        strbuf_add_str(&url, rest);
    }
    add_quoted(out, strbuf_str(&url));
    strbuf_free(&url);
}

/* Is a positional argument, or the option of this name, a secret? */
static bool is_secret(const struct conf_directive *d, const struct conf_option *o)
{
    return strcmp(o != NULL ? o->form : d->form, "SECRET") == 0;
}

static void add_option(struct strbuf *out, const struct conf_stmt *s,
                       const struct conf_arg *arg)
{
    const struct conf_option *o = conf_option_find(conf_directive_id(s->is), arg->name);
    strbuf_addf(out, " %.*s=", STR_ARG(arg->name));
    if (arg->value.n > 0 && (o == NULL || is_secret(s->is, o))) {
        strbuf_add_str(out, STR("***"));
    } else {
        add_value(out, arg->value, conf_directive_id(s->is) == DIR_alert);
    }
}

static void add_block(struct strbuf *out, const struct conf_stmt *first, unsigned depth)
{
    for (const struct conf_stmt *s = first; s != NULL; s = s->next) {
        if (s->is == NULL) {
            continue;
        }
        strbuf_addf(out, "%*s%.*s", (int)(4 * depth), "", STR_ARG(s->word));
        for (size_t i = 0; i < s->n_args; i++) {
            strbuf_add_char(out, ' ');
            if (is_secret(s->is, NULL)) {
                strbuf_add_str(out, STR("***"));
            } else {
                add_value(out, s->args[i].text, false);
            }
        }
        for (size_t i = 0; i < s->n_opts; i++) {
            add_option(out, s, &s->opts[i]);
        }
        if (s->has_block) {
            strbuf_add_str(out, STR(" {\n"));
            add_block(out, s->block, depth + 1);
            strbuf_addf(out, "%*s}", (int)(4 * depth), "");
        }
        strbuf_add_char(out, '\n');
    }
}

struct str conf_effective(struct arena *keep, const struct conf_stmt *top)
{
    struct strbuf out = {0};
    add_block(&out, top, 0);
    struct str text = arena_dup(keep, strbuf_str(&out));
    strbuf_free(&out);
    return text;
}
