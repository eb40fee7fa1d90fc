/*
 * Whether a route is cached, who shares its entries, by which name, and which query parameters
 * they depend on (design section 4). Everything that could hand one caller's answer to another
 * is an error here, never a default.
 */
#include "config/build.h"

static bool is_read_method(struct str m)
{
    return str_eq(m, STR("GET")) || str_eq(m, STR("HEAD"));
}

static bool is_body_method(struct str m)
{
    return str_eq(m, STR("POST")) || str_eq(m, STR("QUERY"));
}

/* The first method that keeps the route from being cached; empty when there is none. */
static struct str uncached_method(const struct route_settings *r)
{
    for (size_t i = 0; i < r->methods.n; i++) {
        struct str m = r->methods.list[i];

        if (!is_read_method(m) && !(r->method_body && is_body_method(m))) {
            return m;
        }
    }
    return STR_NULL;
}

/* A ttl in the route's own block that can have no effect is a misunderstanding. */
static void refuse_ttl(struct conf_build *b, const struct route_settings *r,
                       const struct conf_route *x)
{
    struct str method = uncached_method(r);

    if (x->own_ttl == NULL || x->own_ttl->bad || r->ttl_mode == TTL_NONE) {
        return;
    }
    if (r->upgrade_websocket) {
        conf_error(b->d, x->own_ttl->at, "a route with `upgrade` is never cached");
    } else if (r->n_invalidate > 0) {
        conf_error(b->d, x->own_ttl->at, "a route with `invalidate` is never cached");
        conf_hint(b->d, "but one with `method_body on` that takes POST: its mutations write");
    } else if (method.n > 0) {
        conf_error(b->d, x->own_ttl->at,
                   "`ttl` caches GET and HEAD, and this route also takes %.*s",
                   STR_ARG(method));
        if (is_body_method(method)) {
            conf_hint(b->d, "`method_body on` caches POST and QUERY by their body");
        }
    }
}

/* What a route that is not cached says about caching. */
static void warn_unused(struct conf_build *b, const struct conf_route *x)
{
    static const enum conf_directive_id about_entries[] = {
        DIR_key,  DIR_scope,      DIR_query,  DIR_status,         DIR_store,
        DIR_tag,  DIR_stale,      DIR_jitter, DIR_stale_if_error, DIR_compress,
        DIR_etag, DIR_max_object, DIR_bypass, DIR_store_if,       DIR_max_key_body,
    };

    for (size_t i = 0; i < sizeof(about_entries) / sizeof(about_entries[0]); i++) {
        const struct conf_stmt *s = x->index->first[about_entries[i]];

        if (s != NULL && !s->bad) {
            conf_warn(b->d, s->at, "`%s` has no effect: this route is not cached", s->is->name);
            conf_hint(b->d, "a cached route has a `ttl`, takes GET or HEAD only, and neither "
                            "upgrades nor invalidates");
            return;
        }
    }
}

static bool has_body_method(const struct route_settings *r)
{
    for (size_t i = 0; i < r->methods.n; i++) {
        if (is_body_method(r->methods.list[i])) {
            return true;
        }
    }
    return false;
}

/* Does it read by POST or QUERY? Then its GraphQL mutations are the writes. */
static bool takes_bodies(const struct route_settings *r)
{
    return r->method_body && has_body_method(r);
}

static void make_pass_route(struct conf_build *b, struct route_settings *r,
                            const struct conf_route *x)
{
    const struct conf_stmt *settle = x->index->first[DIR_settle];

    refuse_ttl(b, r, x);
    if (x->own_ttl == NULL && !x->unsure) {
        warn_unused(b, x);
    }
    if (settle != NULL && r->n_invalidate == 0 && !settle->bad) {
        conf_warn(b->d, settle->at, "`settle` has no effect: this route invalidates nothing");
    }
    r->cached = false;
    r->scope = SCOPE_NONE;
    r->scope_mask = 0;
    r->key = (struct key_template){0};
    r->query = (struct str_list){0};
    r->query_all = true;
    r->query_used = false;
    r->query_drop = false;
}

/* ---- scope ------------------------------------------------------------------------------ */

static struct str identity_name(const struct conf_build *b, unsigned index)
{
    return b->s->identities[index].name;
}

/* The first identity of a mask, for a message. */
static struct str first_identity(const struct conf_build *b, uint32_t mask)
{
    for (unsigned i = 0; i < b->s->n_identities; i++) {
        if ((mask & (UINT32_C(1) << i)) != 0) {
            return identity_name(b, i);
        }
    }
    return STR("?");
}

static void refuse_unscoped(struct conf_build *b, const struct conf_route *x)
{
    conf_error(b->d, x->key_at,
               "this route is cached, but nothing says who shares its answers");
    conf_hint(b->d, "a hit skips the backend's authorization; say one of:");
    if (b->s->n_identities > 0) {
        struct str name = identity_name(b, 0);
        conf_hint(b->d, "- an identity in the key ({%.*s}) or `scope %.*s`: one entry for each",
                  STR_ARG(name), STR_ARG(name));
    } else {
        conf_hint(b->d, "- an `identity`, named in the key or in `scope`: one entry for each");
    }
    conf_hint(b->d,
              "- `scope public` (everybody) or `scope authenticated` (anybody with a valid "
              "identity), in the route or its type");
}

/* `authenticated` rests on a verified token or a trusted field; a hash proves nothing. */
static bool can_authenticate(const struct conf_build *b)
{
    for (size_t i = 0; i < b->s->n_identities; i++) {
        if (b->s->identities[i].source == IDENTITY_HEADER) {
            return true;
        }
    }
    return b->sites[0].index.first[DIR_jwt] != NULL;
}

/* The scope from `scope` and the identities of an explicit key. */
static void decide_scope(struct conf_build *b, struct route_settings *r,
                         const struct conf_route *x)
{
    uint32_t in_key = x->explicit_key ? conf_template_identities(&r->key) : 0;

    if (!x->explicit_scope) {
        r->scope = in_key != 0 ? SCOPE_IDENTITIES : SCOPE_NONE;
        r->scope_mask = in_key;
        if (in_key == 0) {
            refuse_unscoped(b, x);
        }
        return;
    }
    if (r->scope == SCOPE_IDENTITIES) {
        uint32_t missing = x->explicit_key ? r->scope_mask & ~in_key : 0;

        if (missing != 0) {
            struct str name = first_identity(b, missing);
            conf_error(b->d, x->key_at,
                       "the scope names `%.*s`, but the key does not hold {%.*s}",
                       STR_ARG(name), STR_ARG(name));
        }
        r->scope_mask |= in_key;
        return;
    }
    if (in_key != 0) {
        struct str name = first_identity(b, in_key);
        conf_error(b->d, x->key_at, "the scope is %s, but the key names the identity {%.*s}",
                   r->scope == SCOPE_PUBLIC ? "public" : "authenticated", STR_ARG(name));
        conf_hint(b->d, "drop one of them; `scope %.*s` in the route beats its type's scope",
                  STR_ARG(name));
    }
    if (r->scope == SCOPE_AUTHENTICATED && !can_authenticate(b)) {
        conf_error(b->d, x->scope_at,
                   "`scope authenticated` needs a `jwt`, or an `identity` from "
                   "a trusted header");
    }
}

/* ---- key -------------------------------------------------------------------------------- */

/* "api.agents.id" of /api/agents/{id}: readable; {path} behind it makes the name unique. */
static void add_path_name(struct strbuf *out, const struct route_settings *r)
{
    size_t start = out->n;

    for (size_t i = 0; i < r->n_segments; i++) {
        struct str text = r->segments[i].text;

        if (out->n > start && text.n > 0) {
            strbuf_add_char(out, '.');
        }
        for (size_t k = 0; k < text.n; k++) {
            char c = ascii_lower(text.p[k]);
            bool plain =
                (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

            strbuf_add_char(out, plain ? text.p[k] : '_');
        }
    }
    if (out->n == start) {
        strbuf_add_str(out, STR("root"));
    }
}

/* {type or route}:{identities of scope}:{path}:{query}[:{method}:{body}] */
static void make_default_key(struct conf_build *b, struct route_settings *r)
{
    struct strbuf text = {0};
    struct key_part *parts =
        arena_zalloc(b->keep, (2 * (size_t)SETTINGS_MAX_IDENTITIES + 16) * sizeof(*parts));
    size_t n = 1;

    if (r->type.n > 0 || r->name.n > 0) {
        strbuf_add_str(&text, r->type.n > 0 ? r->type : r->name);
    } else {
        add_path_name(&text, r);
    }
    struct str first = strbuf_str(&text);
    if (str_eq(first, STR("type")) || str_eq(first, STR("tag")) ||
        str_eq(first, STR("route"))) {
        strbuf_add_char(&text, '_'); /* a name may not begin like these words of `invalidate` */
    }
    parts[0].text = arena_dup(b->keep, strbuf_str(&text));
    for (unsigned i = 0; i < b->s->n_identities; i++) {
        if ((r->scope_mask & (UINT32_C(1) << i)) != 0) {
            parts[n++] = (struct key_part){.kind = KEY_LITERAL, .text = STR(":")};
            parts[n++] = (struct key_part){.kind = KEY_IDENTITY, .index = i};
            strbuf_addf(&text, ":{%.*s}", STR_ARG(identity_name(b, i)));
        }
    }
    static const struct {
        const char *name;
        enum key_part_kind kind;
        bool with_body;
    } rest[] = {
        {":{path}", KEY_PATH, false},
        {":{query}", KEY_QUERY, false},
        {":{method}", KEY_METHOD, true},
        {":{body}", KEY_BODY, true},
    };
    for (size_t i = 0; i < 4; i++) {
        if (!rest[i].with_body || takes_bodies(r)) {
            parts[n++] = (struct key_part){.kind = KEY_LITERAL, .text = STR(":")};
            parts[n++] = (struct key_part){.kind = rest[i].kind};
            strbuf_addf(&text, "%s", rest[i].name);
        }
    }
    r->key = (struct key_template){arena_dup(b->keep, strbuf_str(&text)), parts, n};
    strbuf_free(&text);
}

static bool key_holds_param(const struct key_template *key, unsigned index)
{
    for (size_t i = 0; i < key->n; i++) {
        if (key->parts[i].kind == KEY_PARAM && key->parts[i].index == index) {
            return true;
        }
    }
    return false;
}

/* Two paths must never share a name. */
static void check_path_in_key(struct conf_build *b, const struct route_settings *r,
                              const struct conf_route *x)
{
    if (conf_template_has(&r->key, KEY_PATH)) {
        return;
    }
    for (unsigned i = 0; i < r->n_params; i++) {
        if (!key_holds_param(&r->key, i)) {
            conf_error(b->d, x->key_at, "the key lacks the path parameter {%.*s}",
                       STR_ARG(r->params[i]));
            conf_hint(b->d, "without it, or {path}, different paths would share an answer");
        }
    }
    if (r->n_segments > 0 && r->segments[r->n_segments - 1].kind == SEGMENT_REST) {
        conf_error(b->d, x->key_at, "the path ends in *, so the key must hold {path}");
        conf_hint(b->d, "without it different paths would share an answer");
    }
}

/* May the encoded value of this placeholder hold the byte (cache/key)? */
static bool value_may_hold(enum key_part_kind kind, char c)
{
    if ((c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z')) {
        return true;
    }
    const char *more = "";
    if (kind == KEY_QUERY) {
        more = "=&+";
    } else if (kind == KEY_QUERY_NAME) {
        more = "&+";
    } else if (kind == KEY_PATH) {
        more = "/";
    }
    return c != '\0' && (strchr("._-%~", c) != NULL || strchr(more, c) != NULL);
}

static bool separates(enum key_part_kind kind, struct str literal)
{
    for (size_t i = 0; i < literal.n; i++) {
        if (!value_may_hold(kind, literal.p[i])) {
            return true;
        }
    }
    return false;
}

/* {org}-{id}: "a-b" + "c" and "a" + "b-c" would be one name, and one tenant would read the
 * other's entry. Between two values there must be a byte that the left one cannot hold. */
static void check_separators(struct conf_build *b, const struct route_settings *r,
                             const struct conf_route *x)
{
    const struct key_part *left = NULL;
    bool apart = true;
    for (size_t i = 0; i < r->key.n; i++) {
        const struct key_part *part = &r->key.parts[i];
        if (part->kind == KEY_LITERAL) {
            apart = apart || separates(left->kind, part->text);
            continue;
        }
        if (!apart) {
            conf_error(b->d, x->key_at, "two placeholders of the key are not kept apart");
            conf_hint(b->d, "put `:` between them: \"a-b\" with \"c\" and \"a\" with \"b-c\" "
                            "would share an answer");
            return;
        }
        left = part;
        apart = false;
    }
}

static void check_body_in_key(struct conf_build *b, const struct route_settings *r,
                              const struct conf_route *x)
{
    if (!takes_bodies(r)) {
        return;
    }
    if (!conf_template_has(&r->key, KEY_BODY)) {
        conf_error(b->d, x->key_at, "with `method_body on` the key must hold {body}");
        conf_hint(b->d, "without it different requests would share an answer");
    }
    size_t kinds = 0;
    for (size_t i = 0; i < r->methods.n; i++) {
        kinds += !str_eq(r->methods.list[i], STR("HEAD"));
    }
    if (kinds > 1 && !conf_template_has(&r->key, KEY_METHOD)) {
        conf_warn(b->d, x->key_at,
                  "the methods of this route share entries: the key lacks {method}");
    }
}

/* ---- query ------------------------------------------------------------------------------ */

static bool list_holds(const struct str_list *list, struct str name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (str_eq(list->list[i], name)) {
            return true;
        }
    }
    return false;
}

/* The parameters that the key names one by one. */
static struct str_list names_in_key(struct conf_build *b, const struct key_template *key)
{
    struct str_list names = {0};

    for (size_t i = 0; i < key->n; i++) {
        if (key->parts[i].kind == KEY_QUERY_NAME && !list_holds(&names, key->parts[i].text)) {
            *conf_list_extend(b->keep, &names, 1) = key->parts[i].text;
        }
    }
    return names;
}

/* Where `query` lists this name. */
static const struct conf_arg *query_arg(const struct conf_stmt *s, struct str name)
{
    const struct conf_arg *found = NULL;

    for (; s != NULL; s = s->same) {
        for (size_t i = 0; i < s->n_args && found == NULL; i++) {
            if (s->args[i].text.p == name.p) {
                found = &s->args[i];
            }
        }
    }
    return found;
}

/* A parameter that is let through but not keyed would colour a shared entry. */
static void check_query_listed(struct conf_build *b, const struct route_settings *r,
                               const struct conf_route *x, const struct str_list *named)
{
    for (size_t i = 0; i < r->query.n; i++) {
        if (!list_holds(named, r->query.list[i])) {
            const struct conf_arg *arg = query_arg(x->query, r->query.list[i]);
            struct str name = conf_quotable(arg, r->query.list[i]);

            conf_error(b->d, arg->at, "`query` lists `%.*s`, which the key does not hold",
                       STR_ARG(name));
            conf_hint(b->d, "put {query} into the key, or {query.%.*s}", STR_ARG(name));
        }
    }
}

static void decide_query(struct conf_build *b, struct route_settings *r,
                         const struct conf_route *x)
{
    bool whole = conf_template_has(&r->key, KEY_QUERY);
    struct str_list named = names_in_key(b, &r->key);

    r->query_used = whole || named.n > 0;
    if (x->query == NULL || (x->query_from_defaults && !whole)) {
        r->query_all = whole;
        r->query = named;
        if (whole) {
            r->query = (struct str_list){0};
        }
        return;
    }
    r->query_all = false;
    if (!whole) {
        check_query_listed(b, r, x, &named);
    }
    for (size_t i = 0; i < named.n; i++) {
        if (!list_holds(&r->query, named.list[i])) {
            conf_error(b->d, x->key_at,
                       "the key names {query.%.*s}, which `query` does not list",
                       STR_ARG(conf_clip(named.list[i])));
            conf_hint(b->d, "a request with that parameter would never be cached");
        }
    }
}

void conf_scope_route(struct conf_build *b, struct route_settings *r, struct conf_route *x)
{
    bool any = r->methods.n == 1 && str_eq(r->methods.list[0], STR("*"));

    if (r->upgrade_websocket && !any && !list_holds(&r->methods, STR("GET"))) {
        conf_error(b->d, x->index->first[DIR_upgrade]->at, "`upgrade websocket` needs GET");
    }
    r->cached = r->ttl_mode != TTL_NONE && uncached_method(r).n == 0 && !r->upgrade_websocket &&
                (r->n_invalidate == 0 || takes_bodies(r));
    if (!r->cached) {
        make_pass_route(b, r, x);
        return;
    }
    if (x->unsure) {
        return;
    }
    decide_scope(b, r, x);
    r->scope_id = conf_scope_id(b->s, r);
    if (!x->explicit_key) {
        make_default_key(b, r);
    }
    if (r->store_private && r->scope != SCOPE_IDENTITIES) {
        const struct conf_stmt *own = x->index->first[DIR_store];

        if (own != NULL) {
            conf_warn(b->d, own->at,
                      "`store private` has no effect: the key names no identity");
        }
        r->store_private = false;
    }
    check_path_in_key(b, r, x);
    check_separators(b, r, x);
    check_body_in_key(b, r, x);
    decide_query(b, r, x);
}
