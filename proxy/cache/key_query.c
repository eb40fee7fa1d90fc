/*
 * The query of a cached route (design section 4, hardening K7): what is keyed is exactly what
 * is sent on, byte for byte, so that no parameter can colour an entry without being part of its
 * name. Therefore one text serves as both:
 *
 *   - split on "&" only; empty elements vanish; well-known tracking parameters are dropped
 *   - each name and value percent-encoded outside [A-Za-z0-9._-]: a ";" or "?" inside a value
 *     reaches the backend as %3B or %3F and cannot become another parameter there
 *   - "a" and "a=" stay different, and so do "+" and "%2B", which backends decode differently
 *   - sorted by name, the values of one name in their order
 *
 * The splitter of http/target gives decoded values; here the encoded text is recoded in one
 * pass, since a decoded "+" would no longer tell which of the two it was.
 */
#include "cache/key.h"

#include <stdlib.h>

#include "cache/key_text.h"

#define SORT_BY_INSERTION 16 /* up to so many parameters, without qsort's indirection */

/* One parameter, encoded. */
struct element {
    struct str name; /* the part of text before "=" */
    struct str text; /* name or name=value */
    size_t index;    /* place in the request: keeps the order of one name's values */
};

/* The name as the configuration would spell it. */
static struct str decode_name(struct str name, struct arena *a)
{
    if (str_index(name, '%') == name.n) {
        return name;
    }
    char *out = arena_alloc(a, name.n);
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        out[n] = name.p[i];
        if (name.p[i] == '%' && name.n - i > 2 && hex_value(name.p[i + 1]) >= 0 &&
            hex_value(name.p[i + 2]) >= 0) {
            out[n] = (char)(hex_value(name.p[i + 1]) << 4 | hex_value(name.p[i + 2]));
            i += 2;
        }
        n++;
    }
    return str_make(out, n);
}

/* Does the key hold this parameter, by {query} or by name? */
static bool is_keyed(const struct route_settings *route, struct str name)
{
    for (size_t i = 0; i < route->key.n; i++) {
        const struct key_part *part = &route->key.parts[i];
        if (part->kind == KEY_QUERY ||
            (part->kind == KEY_QUERY_NAME && str_eq(part->text, name))) {
            return true;
        }
    }
    return false;
}

/* May this parameter reach the backend of a cached route? */
static bool is_allowed(const struct route_settings *route, struct str name)
{
    if (!is_keyed(route, name)) {
        return false;
    }
    if (route->query_all) {
        return true;
    }
    for (size_t i = 0; i < route->query.n; i++) {
        if (str_eq(route->query.list[i], name)) {
            return true;
        }
    }
    return false;
}

static struct element encode(struct str raw, size_t equals, size_t index, struct arena *a)
{
    struct key_text t;
    key_text_init(&t, a, raw.n * 3);
    key_text_add_recoded(&t, str_make(raw.p, equals), true);
    size_t name = t.n;
    if (equals < raw.n) {
        key_text_add(&t, STR("="));
        key_text_add_recoded(&t, str_skip(raw, equals + 1), true);
    }
    return (struct element){str_make(t.p, name), key_text_str(&t), index};
}

static int compare(const void *left, const void *right)
{
    const struct element *a = left;
    const struct element *b = right;
    int order = str_cmp(a->name, b->name);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static void sort(struct element *list, size_t n)
{
    if (n > SORT_BY_INSERTION) {
        qsort(list, n, sizeof(*list), compare);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct element e = list[i];
        size_t k = i;
        while (k > 0 && compare(&list[k - 1], &e) > 0) {
            list[k] = list[k - 1];
            k--;
        }
        list[k] = e;
    }
}

static struct str join(const struct element *list, size_t n, struct arena *a)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++) {
        room += list[i].text.n + 1;
    }
    struct key_text t;
    key_text_init(&t, a, room);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            key_text_add(&t, STR("&"));
        }
        key_text_add(&t, list[i].text);
    }
    return key_text_str(&t);
}

/* Number of non-empty elements. */
static size_t count_elements(struct str query)
{
    size_t n = 0;
    for (size_t i = 0; i < query.n; i++) {
        n += query.p[i] != '&' && (i == 0 || query.p[i - 1] == '&');
    }
    return n;
}

static void note_name(struct str *list, size_t *n, struct str name)
{
    if (*n < KEY_NOTES_MAX) {
        list[*n] = name;
    }
    ++*n;
}

/* A parameter that is stripped. */
static void note_dropped(const struct key_context *kc, struct str name)
{
    if (kc->notes != NULL) {
        note_name(kc->notes->dropped, &kc->notes->n_dropped, name);
    }
}

/* Collects what the route keeps; false when a parameter makes the request pass. */
static bool collect(const struct key_context *kc, struct arena *a, struct element *list,
                    size_t *n)
{
    const struct route_settings *route = kc->route;
    struct str rest = kc->target->query;
    struct str raw;
    size_t index = 0;
    bool keyed = true;
    while (rest.n > 0 && (keyed || kc->notes != NULL)) {
        size_t end = str_index(rest, '&');
        raw = str_make(rest.p, end);
        rest = str_skip(rest, end + 1);
        if (raw.n == 0) {
            continue;
        }
        size_t equals = str_index(raw, '=');
        struct str name = decode_name(str_make(raw.p, equals), a);
        if (query_is_tracking(name)) {
            note_dropped(kc, name);
        } else if (is_allowed(route, name)) {
            list[(*n)++] = encode(raw, equals, index++, a);
        } else if (route->query_drop) {
            note_dropped(kc, name);
        } else {
            keyed = false;
            if (kc->notes != NULL) {
                note_name(kc->notes->unlisted, &kc->notes->n_unlisted, name);
            }
        }
    }
    return keyed;
}

void key_query_build(const struct key_context *kc, struct arena *a, struct key_query *out)
{
    *out = (struct key_query){.canonical = STR("")};
    struct str query = kc->target->query;
    size_t total = count_elements(query);
    if (total == 0) {
        return;
    }
    if (total > kc->settings->limits.query_params) {
        out->too_many = true;
        return;
    }
    struct element *list = arena_alloc(a, total * sizeof(*list));
    size_t n = 0;
    if (!collect(kc, a, list, &n)) {
        out->pass = true;
        out->forward = query;
        return;
    }
    if (n == 0) {
        return;
    }
    sort(list, n);
    out->canonical = n == 1 ? list[0].text : join(list, n, a);
    out->forward = out->canonical;
}

bool key_query_value(struct str query, struct str name, struct arena *a, struct str *value)
{
    struct key_text t;
    bool found = false;
    key_text_init(&t, a, 64);
    while (query.n > 0) {
        size_t end = str_index(query, '&');
        struct str raw = str_make(query.p, end);
        query = str_skip(query, end + 1);
        size_t equals = str_index(raw, '=');
        if (raw.n == 0 || !str_eq(decode_name(str_make(raw.p, equals), a), name)) {
            continue;
        }
        if (found) {
            key_text_add(&t, STR("&"));
        }
        found = true;
        if (equals == raw.n) {
            key_text_add(&t, KEY_BARE);
        } else if (equals + 1 == raw.n) {
            key_text_add(&t, KEY_EMPTY);
        } else {
            key_text_add_recoded(&t, str_skip(raw, equals + 1), true);
        }
    }
    *value = key_text_str(&t);
    return found;
}
