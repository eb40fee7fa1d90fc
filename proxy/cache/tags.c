/*
 * Collecting tags. Every source adds through one function, which drops empty and repeated ones
 * and notices when the bounds are met.
 */
#include "cache/tags.h"

#include "http/structured.h"

static void add(struct tag_set *tags, struct str tag)
{
    if (tag.n == 0) {
        return;
    }
    for (size_t i = 0; i < tags->n; i++) {
        if (str_eq(tags->list[i], tag)) {
            return;
        }
    }
    if (tag.n > TAG_LENGTH_MAX || tags->n == TAGS_MAX) {
        tags->incomplete = true;
        return;
    }
    tags->list[tags->n++] = tag;
}

static void add_templates(const struct key_context *kc, const struct key_query *q,
                          struct arena *a, struct tag_set *tags)
{
    for (size_t i = 0; i < kc->route->n_tags; i++) {
        struct str tag;
        if (key_render_template(kc, q, &kc->route->tags[i], a, &tag)) {
            add(tags, tag);
        } else {
            tags->incomplete = true;
        }
    }
}

/* Surrogate-Key: separated by blanks (Fastly); a comma is part of a tag. */
static void add_words(struct str text, struct tag_set *tags)
{
    size_t start = 0;
    for (size_t i = 0; i <= text.n; i++) {
        if (i == text.n || text.p[i] == ' ' || text.p[i] == '\t') {
            add(tags, str_make(text.p + start, i - start));
            start = i + 1;
        }
    }
}

/* Cache-Tag: separated by commas (Cloudflare, Akamai). */
static void add_list(struct str text, struct tag_set *tags)
{
    struct str tag;
    while (str_next(&text, ',', &tag)) {
        add(tags, tag);
    }
}

/* A List of Strings, or nothing: a syntax error makes the whole field invalid (RFC 9651 4.2).
 */
static void add_groups(const struct msg *response, enum field_id id, struct arena *a,
                       struct tag_set *tags)
{
    struct str value = msg_joined(response, id, a);
    struct str *groups;
    int n = value.p != NULL ? sf_string_list_parse(value, a, &groups) : 0;
    for (int i = 0; i < n; i++) {
        add(tags, groups[i]);
    }
}

void tags_collect(const struct key_context *kc, const struct key_query *q,
                  const struct msg *response, struct arena *a, struct tag_set *out)
{
    out->n = 0;
    out->incomplete = false;
    add_templates(kc, q, a, out);
    for (size_t i = 0; i < response->n_fields; i++) {
        const struct field *f = &response->fields[i];
        if (f->id == FIELD_SURROGATE_KEY) {
            add_words(f->value, out);
        } else if (f->id == FIELD_CACHE_TAG) {
            add_list(f->value, out);
        }
    }
    add_groups(response, FIELD_CACHE_GROUPS, a, out);
}

struct str tags_join(const struct tag_set *tags, struct arena *a)
{
    size_t room = 0;
    for (size_t i = 0; i < tags->n; i++) {
        room += tags->list[i].n + 1;
    }
    char *out = arena_alloc(a, room + 1);
    size_t n = 0;
    for (size_t i = 0; i < tags->n; i++) {
        if (i > 0) {
            out[n++] = '\0';
        }
        memcpy(out + n, tags->list[i].p, tags->list[i].n);
        n += tags->list[i].n;
    }
    return str_make(out, n);
}

void tags_invalidated(const struct msg *response, struct arena *a, struct tag_set *out)
{
    out->n = 0;
    out->incomplete = false;
    add_groups(response, FIELD_CACHE_GROUP_INVALIDATION, a, out);
}
