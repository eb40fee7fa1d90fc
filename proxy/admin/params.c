/*
 * The query of a call. Only what the row names is taken, once and with a value: a misspelt
 * `pattern` must not clear everything.
 */
#include "admin/call.h"

struct str params_decode(struct admin_call *call, struct str text)
{
    char *out = arena_alloc(&call->arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text.p[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0)) {
                return STR_NULL;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return str_make(out, n);
}

static bool add(struct admin_call *call, struct str name, struct str value)
{
    struct call_field *field = &call->params[call->n_params];
    field->name = params_decode(call, name);
    field->value = params_decode(call, value);
    if (field->name.p == NULL || field->value.p == NULL) {
        admin_problem(call, 400, "bad percent-encoding in the query");
        return false;
    }
    if (!endpoint_takes(call->row, field->name)) {
        admin_problem(call, 400, "unknown parameter `%.*s`%s%s", STR_ARG(field->name),
                      call->row->query[0] != '\0' ? "; known: " : "", call->row->query);
        return false;
    }
    if (field->value.n == 0) {
        admin_problem(call, 400, "the parameter `%.*s` is empty", STR_ARG(field->name));
        return false;
    }
    if (admin_query(call, field->name.p) != NULL) {
        admin_problem(call, 400, "the parameter `%.*s` was given twice", STR_ARG(field->name));
        return false;
    }
    call->n_params++;
    return true;
}

bool params_read(struct admin_call *call, struct str query)
{
    struct str rest = query, part;
    while (rest.n > 0) {
        size_t n = str_index(rest, '&');
        part = str_make(rest.p, n);
        rest = str_skip(rest, n + 1);
        size_t eq = str_index(part, '=');
        if (part.n == 0) {
            continue;
        }
        if (call->n_params == CALL_PARAMS_MAX) {
            admin_problem(call, 400, "too many parameters");
            return false;
        }
        if (!add(call, str_make(part.p, eq), str_skip(part, eq + 1))) {
            return false;
        }
    }
    return true;
}
