/*
 * Reading message heads. Lists are looked at line by line, never by joining first: a request
 * with a thousand Connection lines costs one pass.
 */
#include "http/msg.h"

#include <string.h>

enum method method_lookup(struct str name)
{
    static const struct {
        struct str name;
        enum method method;
    } methods[] = {
        {{"GET", 3}, METHOD_GET},         {{"HEAD", 4}, METHOD_HEAD},
        {{"POST", 4}, METHOD_POST},       {{"PUT", 3}, METHOD_PUT},
        {{"PATCH", 5}, METHOD_PATCH},     {{"DELETE", 6}, METHOD_DELETE},
        {{"OPTIONS", 7}, METHOD_OPTIONS}, {{"TRACE", 5}, METHOD_TRACE},
        {{"CONNECT", 7}, METHOD_CONNECT},
    };
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (str_eq(methods[i].name, name)) {
            return methods[i].method;
        }
    }
    return METHOD_OTHER;
}

bool method_is_safe(enum method m)
{
    return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS || m == METHOD_TRACE;
}

bool method_is_idempotent(enum method m)
{
    return method_is_safe(m) || m == METHOD_PUT || m == METHOD_DELETE;
}

const struct field *msg_find(const struct msg *m, enum field_id id)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id == id) {
            return &m->fields[i];
        }
    }
    return NULL;
}

struct str msg_get(const struct msg *m, enum field_id id)
{
    const struct field *f = msg_find(m, id);
    return f != NULL ? f->value : STR_NULL;
}

struct str msg_get_name(const struct msg *m, struct str name)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (str_ieq(m->fields[i].name, name)) {
            return m->fields[i].value;
        }
    }
    return STR_NULL;
}

size_t msg_count(const struct msg *m, enum field_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        n += m->fields[i].id == id;
    }
    return n;
}

/* Does line i carry this field? By id where there is one, else by name. */
static bool line_is(const struct field *f, enum field_id id, struct str name)
{
    return id != FIELD_OTHER ? f->id == id : str_ieq(f->name, name);
}

static struct str joined(const struct msg *m, enum field_id id, struct str name,
                         struct arena *a)
{
    const struct field *first = NULL;
    size_t lines = 0, total = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (line_is(&m->fields[i], id, name)) {
            first = first != NULL ? first : &m->fields[i];
            lines++;
            total += m->fields[i].value.n + 2;
        }
    }
    if (lines <= 1) {
        return first != NULL ? first->value : STR_NULL;
    }
    char *out = arena_alloc(a, total);
    size_t n = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field *f = &m->fields[i];
        if (line_is(f, id, name)) {
            if (n > 0) {
                out[n++] = ',';
                out[n++] = ' ';
            }
            memcpy(out + n, f->value.p, f->value.n);
            n += f->value.n;
        }
    }
    return str_make(out, n);
}

struct str msg_joined(const struct msg *m, enum field_id id, struct arena *a)
{
    return joined(m, id, STR_NULL, a);
}

struct str msg_joined_name(const struct msg *m, struct str name, struct arena *a)
{
    return joined(m, field_lookup(name), name, a);
}

bool msg_has_token(const struct msg *m, enum field_id id, struct str token)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id != id) {
            continue;
        }
        struct str rest = m->fields[i].value;
        struct str element;
        while (str_next(&rest, ',', &element)) {
            if (str_ieq(element, token)) {
                return true;
            }
        }
    }
    return false;
}

bool msg_connection_lists(const struct msg *m, struct str name)
{
    return msg_has_token(m, FIELD_CONNECTION, name);
}

void msg_add(struct msg *m, struct arena *a, struct str name, struct str value)
{
    if (m->n_fields == m->cap_fields) {
        size_t cap = m->cap_fields > 0 ? m->cap_fields * 2 : 16;
        struct field *grown = arena_alloc(a, cap * sizeof(*grown));
        if (m->n_fields > 0) {
            memcpy(grown, m->fields, m->n_fields * sizeof(*grown));
        }
        m->fields = grown;
        m->cap_fields = cap;
    }
    m->fields[m->n_fields++] = (struct field){name, value, field_lookup(name)};
}

void msg_remove(struct msg *m, enum field_id id)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id != id) {
            m->fields[kept++] = m->fields[i];
        }
    }
    m->n_fields = kept;
}

struct str msg_cookie(const struct msg *m, struct str name, bool *ambiguous)
{
    struct str found = STR_NULL;
    bool twice = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (m->fields[i].id != FIELD_COOKIE) {
            continue;
        }
        struct str rest = m->fields[i].value;
        struct str pair;
        while (str_next(&rest, ';', &pair)) {
            size_t eq = str_index(pair, '=');
            if (eq == pair.n || !str_eq(str_make(pair.p, eq), name)) {
                continue;
            }
            struct str value = str_skip(pair, eq + 1);
            if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
                value = str_make(value.p + 1, value.n - 2);
            }
            twice = twice || (found.p != NULL && !str_eq(found, value));
            found = found.p != NULL ? found : value;
        }
    }
    if (ambiguous != NULL) {
        *ambiguous = twice;
    }
    return twice ? STR_NULL : found;
}

struct str status_phrase(int status)
{
    static const struct {
        int status;
        struct str phrase;
    } phrases[] = {
#define PHRASE(code, text) {code, {text, sizeof(text) - 1}},
        PHRASE(100, "Continue") PHRASE(101, "Switching Protocols") PHRASE(
            103, "Early Hints") PHRASE(200, "OK") PHRASE(201, "Created") PHRASE(202, "Accepted")
            PHRASE(203, "Non-Authoritative Information") PHRASE(204, "No Content") PHRASE(
                206, "Partial Content") PHRASE(300, "Multiple Choices")
                PHRASE(301, "Moved Permanently") PHRASE(302, "Found") PHRASE(
                    303, "See Other") PHRASE(304, "Not Modified")
                    PHRASE(307, "Temporary Redirect") PHRASE(308, "Permanent Redirect") PHRASE(
                        400, "Bad Request") PHRASE(401, "Unauthorized") PHRASE(403, "Forbidden")
                        PHRASE(404, "Not Found") PHRASE(405, "Method Not Allowed") PHRASE(
                            408, "Request Timeout") PHRASE(409, "Conflict") PHRASE(410, "Gone")
                            PHRASE(413, "Content Too Large") PHRASE(414, "URI Too Long") PHRASE(
                                416, "Range Not Satisfiable") PHRASE(417, "Expectation Failed")
                                PHRASE(421, "Misdirected Request") PHRASE(
                                    422, "Unprocessable Content") PHRASE(429,
                                                                         "Too Many Requests")
                                    PHRASE(431, "Request Header Fields Too Large")
                                        PHRASE(500, "Internal Server Error") PHRASE(
                                            501, "Not Implemented") PHRASE(502, "Bad Gateway")
                                            PHRASE(503, "Service Unavailable")
                                                PHRASE(504, "Gateway Timeout")
                                                    PHRASE(505, "HTTP Version Not Supported")
                                                        PHRASE(508, "Loop Detected")
#undef PHRASE
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return STR("");
}
