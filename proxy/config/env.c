/*
 * Environment references. What a variable holds is never looked at again: no second
 * replacement, no splitting into words, no options from it. It never appears in a message.
 */
#include "config/env.h"

#include <stdlib.h>

#define ENV_NAME_MAX 256

static bool is_name_byte(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* The parts of the reference whose "${" was just passed. */
struct reference {
    struct str name;
    struct str fallback;
    bool has_fallback;
    size_t len; /* bytes up to and with the closing brace */
};

static bool parse_reference(struct str text, struct reference *ref)
{
    size_t n = 0;

    while (n < text.n && is_name_byte(text.p[n], n == 0)) {
        n++;
    }
    *ref = (struct reference){.name = {text.p, n}};
    if (n == 0 || n >= ENV_NAME_MAX) {
        return false;
    }
    if (n < text.n && text.p[n] == '}') {
        ref->len = n + 1;
        return true;
    }
    struct str rest = str_skip(text, n);
    size_t end = str_index(rest, '}');
    if (!str_starts(rest, STR(":-")) || end == rest.n) {
        return false;
    }
    ref->has_fallback = true;
    ref->fallback = str_make(rest.p + 2, end - 2);
    ref->len = n + end + 1;
    return true;
}

static bool look_up(struct conf_diags *d, struct conf_span at, const struct reference *ref,
                    struct str *value)
{
    char name[ENV_NAME_MAX];

    memcpy(name, ref->name.p, ref->name.n);
    name[ref->name.n] = '\0';
    *value = str_from(getenv(name));
    if (value->n == 0 && !ref->has_fallback) {
        conf_error(d, at, "the environment variable %s is %s", name,
                   value->p == NULL ? "not set" : "empty");
        conf_hint(d, "write ${%s:-default} where it may be missing", name);
        return false;
    }
    if (value->n == 0) {
        *value = ref->fallback;
    }
    for (size_t i = 0; i < value->n; i++) {
        if ((unsigned char)value->p[i] < 0x20 || value->p[i] == 0x7F) {
            conf_error(d, at, "the value of the environment variable %s holds a control byte",
                       name);
            return false;
        }
    }
    return true;
}

bool conf_env_expand(struct conf_diags *d, struct conf_span at, struct str text,
                     struct arena *keep, struct str *out)
{
    struct strbuf b = {0};
    bool good = true;

    if (text.n == 0 || memmem(text.p, text.n, "${", 2) == NULL) {
        *out = arena_dup(keep, text); /* nearly every argument */
        return true;
    }
    for (size_t i = 0; i < text.n && good;) {
        struct reference ref;
        struct str value;

        if (!str_starts(str_skip(text, i), STR("${"))) {
            strbuf_add_char(&b, text.p[i++]);
            continue;
        }
        if (!parse_reference(str_skip(text, i + 2), &ref)) {
            conf_error(d, at, "malformed reference; write ${NAME} or ${NAME:-default}");
            good = false;
            break;
        }
        good = look_up(d, at, &ref, &value);
        if (good) {
            strbuf_add_str(&b, value);
            i += 2 + ref.len;
        }
    }
    *out = good ? arena_dup(keep, strbuf_str(&b)) : STR_NULL;
    strbuf_free(&b);
    return good;
}
