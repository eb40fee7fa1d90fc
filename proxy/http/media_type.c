/*
 * Content-Type values: parameters are split at semicolons outside of quotes, nothing else is
 * interpreted.
 */
#include "http/media_type.h"

/* Takes what stands before the next ";" outside of quotes; false at the end (p == NULL). */
static bool next_part(struct str *rest, struct str *part)
{
    if (rest->p == NULL) {
        return false;
    }
    bool quoted = false;
    size_t n = 0;
    while (n < rest->n && (quoted || rest->p[n] != ';')) {
        if (rest->p[n] == '"') {
            quoted = !quoted;
        } else if (quoted && rest->p[n] == '\\' && n + 1 < rest->n) {
            n++;
        }
        n++;
    }
    *part = str_trim(str_make(rest->p, n));
    *rest = n < rest->n ? str_skip(*rest, n + 1) : STR_NULL;
    return true;
}

/* The parameters behind the type; STR_NULL when there are none. */
static struct str params_of(struct str content_type)
{
    size_t end = str_index(content_type, ';');
    return end < content_type.n ? str_skip(content_type, end + 1) : STR_NULL;
}

/* name=value; blanks around "=" are not allowed (8.3.1), so they make another name. */
static void split_param(struct str part, struct str *name, struct str *value)
{
    size_t equals = str_index(part, '=');
    *name = str_make(part.p, equals);
    *value = str_skip(part, equals < part.n ? equals + 1 : equals);
}

static struct str unquoted(struct str value)
{
    bool quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
    return quoted ? str_make(value.p + 1, value.n - 2) : value;
}

struct str media_type_essence(struct str content_type)
{
    return str_trim(str_make(content_type.p, str_index(content_type, ';')));
}

bool media_type_is_json(struct str essence)
{
    struct str suffix = STR("+json");
    return str_ieq(essence, STR("application/json")) ||
           (essence.n > suffix.n && str_ieq(str_skip(essence, essence.n - suffix.n), suffix));
}

struct str media_type_param(struct str content_type, struct str wanted)
{
    struct str rest = params_of(content_type);
    struct str part, name, value;
    while (next_part(&rest, &part)) {
        split_param(part, &name, &value);
        if (str_ieq(name, wanted)) {
            return unquoted(value);
        }
    }
    return STR_NULL;
}

static void add_lower(struct strbuf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        strbuf_add_char(out, ascii_lower(s.p[i]));
    }
}

void media_type_canonical(struct str content_type, struct strbuf *out)
{
    struct str rest = params_of(content_type);
    struct str part, name, value;
    bool json = media_type_is_json(media_type_essence(content_type));
    add_lower(out, media_type_essence(content_type));
    while (next_part(&rest, &part)) {
        split_param(part, &name, &value);
        bool default_charset =
            json && str_ieq(name, STR("charset")) && str_ieq(unquoted(value), STR("utf-8"));
        if (part.n == 0 || default_charset) {
            continue;
        }
        strbuf_add_char(out, ';');
        add_lower(out, name);
        if (name.n < part.n) {
            strbuf_add_char(out, '=');
            strbuf_add_str(out, value);
        }
    }
}
