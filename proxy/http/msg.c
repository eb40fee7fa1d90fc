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
            if (f != first) {
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

bool msg_is_conditional(const struct msg *m)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        enum field_id id = m->fields[i].id;
        if (id == FIELD_IF_NONE_MATCH || id == FIELD_IF_MODIFIED_SINCE) {
            return true;
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
    if (value.p == NULL) {
        value = STR(""); /* a NULL value means absence to those who read */
    }
    enum field_id id = field_lookup(name);
    if (id == FIELD_RANGE) {
        m->has_range = true;
    } else if (id == FIELD_X_LARDER_DEBUG) {
        m->has_debug = true;
    }
    m->fields[m->n_fields++] = (struct field){name, value, id};
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
            /* Backends trim around the "=", so "sid =x" names sid to them. */
            if (eq == pair.n || !str_eq(str_trim(str_make(pair.p, eq)), name)) {
                continue;
            }
            struct str value = str_trim(str_skip(pair, eq + 1));
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

/* The IANA registry of status codes. */
static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

struct str status_phrase(int status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return str_from(phrases[i].phrase);
        }
    }
    return STR("");
}
