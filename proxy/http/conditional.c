/*
 * Preconditions as a cache evaluates them. Where a validator is malformed the answer is the one
 * that is always right: send the whole representation.
 */
#include "http/conditional.h"

#include "http/date.h"

/* An entity-tag, or something else, at the start of s: its length, or 0. */
static size_t etag_span(struct str s)
{
    size_t i = str_starts(s, STR("W/")) ? 2 : 0; /* case-sensitive (8.8.3) */
    if (i >= s.n || s.p[i] != '"') {
        return 0;
    }
    for (i++; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"') {
            return i + 1;
        }
        if (c <= 0x20 || c == 0x7f) {
            return 0;
        }
    }
    return 0;
}

bool etag_valid(struct str s)
{
    return s.n > 0 && etag_span(s) == s.n;
}

bool etag_strong_match(struct str a, struct str b)
{
    return etag_valid(a) && a.p[0] == '"' && str_eq(a, b);
}

bool etag_weak_match(struct str a, struct str b)
{
    if (!etag_valid(a) || !etag_valid(b)) {
        return false;
    }
    return str_eq(str_skip(a, a.p[0] == 'W' ? 2 : 0), str_skip(b, b.p[0] == 'W' ? 2 : 0));
}

/* Entity-tags may hold commas, so the list is walked, not split. */
bool etag_list_match(struct str list, struct str etag, bool strong)
{
    list = str_trim(list);
    if (str_eq(list, STR("*")) || (!strong && etag.n > 0 && str_eq(list, etag))) {
        return true;
    }
    while (list.n > 0) {
        if (list.p[0] == ',') {
            list = str_trim(str_skip(list, 1));
            continue;
        }
        size_t n = etag_span(list);
        struct str rest = str_trim(str_skip(list, n));
        if (n == 0 || (rest.n > 0 && rest.p[0] != ',')) {
            return false;
        }
        struct str one = str_make(list.p, n);
        if (strong ? etag_strong_match(one, etag) : etag_weak_match(one, etag)) {
            return true;
        }
        list = rest;
    }
    return false;
}

/* RFC 9110 13.1.3. */
static bool unmodified_since(struct str since, struct str last_modified, struct str date)
{
    msec_t asked, modified;
    struct str stored = last_modified.p != NULL ? last_modified : date;
    return http_date_parse(since, &asked) && http_date_parse(stored, &modified) &&
           modified <= asked;
}

enum conditional conditional_evaluate(const struct msg *request, struct str etag,
                                      struct str last_modified, struct str date)
{
    if (request->method != METHOD_GET && request->method != METHOD_HEAD) {
        return CONDITIONAL_NONE;
    }
    const struct field *since = NULL;
    size_t n_since = 0;
    bool none_match = false;
    for (size_t i = 0; i < request->n_fields; i++) {
        const struct field *f = &request->fields[i];
        if (f->id == FIELD_IF_NONE_MATCH) {
            none_match = true;
            if (etag_list_match(f->value, etag, false)) {
                return CONDITIONAL_NOT_MODIFIED;
            }
        } else if (f->id == FIELD_IF_MODIFIED_SINCE) {
            since = f;
            n_since++;
        }
    }
    /* 13.1.3: If-Modified-Since counts only alone and once. */
    if (none_match || n_since > 1) {
        return CONDITIONAL_SEND;
    }
    if (since == NULL) {
        return CONDITIONAL_NONE;
    }
    return unmodified_since(since->value, last_modified, date) ? CONDITIONAL_NOT_MODIFIED
                                                               : CONDITIONAL_SEND;
}

bool if_range_match(struct str if_range, struct str etag, struct str last_modified,
                    struct str date)
{
    if (if_range.p == NULL) {
        return true;
    }
    msec_t asked, modified, sent;
    if (!http_date_parse(if_range, &asked)) {
        return etag_strong_match(if_range, etag);
    }
    /* 13.1.5: the date must be the very same, and a strong validator: the representation was
     * not sent within the second in which it changed (8.8.2.2). */
    return http_date_parse(last_modified, &modified) && asked == modified &&
           http_date_parse(date, &sent) && sent - modified >= 1000;
}
