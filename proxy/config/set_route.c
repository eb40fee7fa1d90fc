/*
 * Setters of what defaults, types and routes say. The target is always the route that is being
 * resolved; a list directive is called once for each of its statements and adds to what is
 * there.
 */
#include "config/build.h"

/* Answer fields that frame a message or that the proxy computes (RFC 9110 section 7.6.1). */
static const char *const framing_fields[] = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "date",
    "age",
    "content-range",
    "cache-status",
    "x-cache",
    "transfer-encoding",
};

void set_use_upstream(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    struct suggest nearest;

    suggest_init(&nearest, s->args[0].text);
    for (size_t i = 0; i < b->s->n_upstreams; i++) {
        if (str_eq(b->s->upstreams[i].name, s->args[0].text)) {
            r->upstream = &b->s->upstreams[i];
            return;
        }
        suggest_offer(&nearest, b->s->upstreams[i].name);
    }
    if (conf_is_broken(b, DIR_upstream, s->args[0].text)) {
        return;
    }
    conf_error(b->d, s->args[0].at, "no upstream `%.*s` is defined",
               STR_ARG(conf_clip(s->args[0].raw)));
    conf_hint_nearest(b->d, &nearest);
}

void set_ttl(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"force"};
    struct route_settings *r = target;
    bool origin = str_eq(s->args[0].text, STR("origin"));
    bool off = str_eq(s->args[0].text, STR("off"));

    if ((origin || off) && s->n_args > 1) {
        conf_error(b->d, s->args[1].at, "`ttl %s` takes no further word",
                   origin ? "origin" : "off");
        return;
    }
    if (origin || off) {
        r->ttl_mode = origin ? TTL_ORIGIN : TTL_NONE;
        return;
    }
    r->ttl_mode = TTL_FALLBACK;
    if (!conf_duration(b, &s->args[0], s->is->min, s->is->max, &r->ttl)) {
        conf_hint(b->d, "usage: ttl %s", s->is->form);
        return;
    }
    if (s->n_args > 1 && conf_choice(b, &s->args[1], words, 1) == 0) {
        r->ttl_mode = TTL_FORCE;
    }
}

void set_stale_if_error(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"unverified"};
    struct route_settings *r = target;

    if (!conf_duration(b, &s->args[0], s->is->min, s->is->max, &r->stale_if_error)) {
        conf_hint(b->d, "usage: stale_if_error %s", s->is->form);
        return;
    }
    r->stale_unverified = s->n_args > 1 && conf_choice(b, &s->args[1], words, 1) == 0;
}

/* ---- scope, key, query ------------------------------------------------------------------ */

static bool find_identity(struct conf_build *b, const struct conf_arg *arg, unsigned *index)
{
    struct suggest nearest;

    suggest_init(&nearest, arg->text);
    for (size_t i = 0; i < b->s->n_identities; i++) {
        if (str_eq(b->s->identities[i].name, arg->text)) {
            *index = (unsigned)i;
            return true;
        }
        suggest_offer(&nearest, b->s->identities[i].name);
    }
    if (conf_is_broken(b, DIR_identity, arg->text)) {
        return false;
    }
    suggest_offer(&nearest, STR("public"));
    suggest_offer(&nearest, STR("authenticated"));
    conf_error(b->d, arg->at, "no identity `%.*s` is defined", STR_ARG(conf_clip(arg->raw)));
    conf_hint_nearest(b->d, &nearest);
    return false;
}

void set_scope(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    bool open = str_eq(s->args[0].text, STR("public"));
    bool authenticated = str_eq(s->args[0].text, STR("authenticated"));

    b->route->explicit_scope = true;
    b->route->scope_at = s->at;
    r->scope_mask = 0;
    if (open || authenticated) {
        r->scope = open ? SCOPE_PUBLIC : SCOPE_AUTHENTICATED;
        if (s->n_args > 1) {
            conf_error(b->d, s->args[1].at, "`scope %s` takes no further word",
                       open ? "public" : "authenticated");
        }
        return;
    }
    r->scope = SCOPE_IDENTITIES;
    for (size_t i = 0; i < s->n_args; i++) {
        unsigned index;

        if (find_identity(b, &s->args[i], &index)) {
            r->scope_mask |= UINT32_C(1) << index;
        } else {
            b->route->unsure = true;
        }
    }
}

/* Whether the key fits the route's scope is decided in scope.c, when both are known. */
void set_key(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;

    b->route->explicit_key = conf_template(b, &s->args[0], 0, r, TEMPLATE_KEY, &r->key);
    b->route->unsure = b->route->unsure || !b->route->explicit_key;
    b->route->key_at = s->args[0].at;
    if (str_starts(r->key.text, STR("type:")) || str_starts(r->key.text, STR("tag:")) ||
        str_starts(r->key.text, STR("route:"))) {
        conf_error(b->d, s->args[0].at, "a key cannot begin with type: tag: or route:");
        conf_hint(b->d, "`invalidate` gives these words a meaning of their own");
    }
}

void set_query(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"drop"};
    struct route_settings *r = target;
    const struct conf_arg *unlisted = conf_opt(s, "unlisted");
    size_t before = r->query.n;

    r->query_all = false;
    if (unlisted != NULL) {
        r->query_drop = conf_choice(b, unlisted, words, 1) == 0;
    } else if (s->n_args == 0) {
        conf_error(b->d, s->at, "`query` needs the names of parameters, or unlisted=drop");
        return;
    }
    struct str *to = conf_list_extend(b->keep, &r->query, s->n_args);
    for (size_t i = 0; i < s->n_args; i++) {
        to[i] = s->args[i].text;
        if (to[i].n == 0 || to[i].n != strcspn(to[i].p, "&=#? ")) {
            conf_error(b->d, s->args[i].at, "the name of a query parameter is expected");
        }
        /* A long list is somebody's generated one: finding its repetitions is not worth it. */
        for (size_t k = 0; k < before + i && before + i < 256; k++) {
            if (str_eq(r->query.list[k], to[i])) {
                conf_error(b->d, s->args[i].at, "`%.*s` is listed twice",
                           STR_ARG(conf_clip(s->args[i].raw)));
                break;
            }
        }
    }
}

/* ---- what is stored --------------------------------------------------------------------- */

bool conf_status(struct conf_build *b, const struct conf_arg *arg, struct str text,
                 uint16_t *out)
{
    uint64_t code;

    if (!str_to_u64(text, 599, &code) || code < 200 || text.n != 3) {
        conf_error(b->d, arg->at, "a status from 200 to 599 is expected");
        return false;
    }
    if (code == 206 || code == 304) {
        conf_error(b->d, arg->at, "%u is never stored: it is only a part of an answer",
                   (unsigned)code);
        return false;
    }
    *out = (uint16_t)code;
    return true;
}

void set_status(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    size_t room = r->n_statuses + s->n_args + s->n_opts;
    struct status_rule *list = arena_zalloc(b->keep, (room + 1) * sizeof(*list));

    if (s->n_args + s->n_opts == 0) {
        conf_error(b->d, s->at, "`status` needs at least one code");
        return;
    }
    if (r->n_statuses > 0) {
        memcpy(list, r->statuses, r->n_statuses * sizeof(*list));
    }
    r->statuses = list;
    for (size_t i = 0; i < s->n_args + s->n_opts; i++) {
        bool plain = i < s->n_args;
        const struct conf_arg *arg = plain ? &s->args[i] : &s->opts[i - s->n_args];
        struct status_rule rule = {.ttl = -1};

        if (!conf_status(b, arg, plain ? arg->text : arg->name, &rule.status) ||
            (!plain && !conf_duration(b, arg, s->is->min, s->is->max, &rule.ttl))) {
            continue;
        }
        bool repeated = false;
        for (size_t k = 0; k < r->n_statuses; k++) {
            repeated = repeated || list[k].status == rule.status;
        }
        if (repeated) {
            conf_error(b->d, arg->at, "status %u is listed twice", (unsigned)rule.status);
            continue;
        }
        list[r->n_statuses++] = rule;
    }
}

void set_store(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"private", "set-cookie", "surplus"};
    struct route_settings *r = target;

    for (size_t i = 0; i < s->n_args; i++) {
        int word = conf_choice(b, &s->args[i], words, 3);

        r->store_private = r->store_private || word == 0;
        r->store_set_cookie = r->store_set_cookie || word == 1;
        r->store_surplus = r->store_surplus || word == 2;
    }
}

void set_client_cache_control(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"honor", "ignore"};

    ((struct route_settings *)target)->honor_client_cc =
        conf_choice(b, &s->args[0], words, 2) == 0;
}

#define COST_MAX 1000000

/* Digits, and up to six more behind a point; in millionths. */
static bool parse_cost(struct str text, int64_t *out)
{
    size_t point = str_index(text, '.');
    struct str fraction = str_skip(text, point + 1);
    uint64_t whole = 0, part = 0;
    bool dangling = point < text.n && fraction.n == 0;

    if (!str_to_u64(str_make(text.p, point), COST_MAX, &whole) || dangling || fraction.n > 6 ||
        (fraction.n > 0 && !str_to_u64(fraction, 999999, &part))) {
        return false;
    }
    for (size_t i = fraction.n; i < 6; i++) {
        part *= 10;
    }
    *out = (int64_t)(whole * 1000000 + part);
    return *out <= COST_MAX * INT64_C(1000000);
}

void set_cost(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    if (!parse_cost(s->args[0].text, &((struct route_settings *)target)->cost)) {
        conf_error(b->d, s->args[0].at,
                   "a cost is a number up to %d with at most six decimals, like 0.05",
                   COST_MAX);
    }
}

void set_forward_headers(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    struct str *to = conf_list_extend(b->keep, &r->forward_headers, s->n_args);

    for (size_t i = 0; i < s->n_args; i++) {
        struct str name = str_skip(s->args[i].text, 1);

        if (!str_starts(s->args[i].text, STR("+")) || !conf_is_token(name)) {
            conf_error(b->d, s->args[i].at,
                       "a field is added with a + before its name, like "
                       "+X-Feature");
            continue;
        }
        to[i] = conf_lower(b->keep, name);
        if (str_eq(to[i], STR("authorization")) || str_eq(to[i], STR("cookie"))) {
            conf_error(b->d, s->args[i].at,
                       "credentials are sent only where the key's identities "
                       "come from them");
            conf_hint(b->d, "name an identity in the key, or use `scope authenticated`");
        }
    }
}

static struct key_template *extend_tags(struct conf_build *b, struct route_settings *r,
                                        size_t n)
{
    struct key_template *list = arena_zalloc(b->keep, (r->n_tags + n) * sizeof(*list));

    if (r->n_tags > 0) {
        memcpy(list, r->tags, r->n_tags * sizeof(*list));
    }
    r->tags = list;
    return list;
}

void set_tag(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    struct key_template *list = extend_tags(b, r, s->n_args);

    for (size_t i = 0; i < s->n_args; i++) {
        if (conf_template(b, &s->args[i], 0, r, TEMPLATE_TAG, &list[r->n_tags])) {
            r->n_tags++;
        }
    }
}

/* ---- writes, upgrades, answers ---------------------------------------------------------- */

static bool parse_target(struct conf_build *b, const struct conf_arg *arg,
                         const struct route_settings *r, struct invalidate_target *t)
{
    static const struct {
        const char *prefix;
        enum target_kind kind;
    } forms[] = {{"type:", TARGET_TYPE}, {"tag:", TARGET_TAG}, {"route:", TARGET_ROUTE}};

    if (str_eq(arg->text, STR("all"))) {
        *t = (struct invalidate_target){.kind = TARGET_ALL};
        return true;
    }
    for (size_t i = 0; i < 3; i++) {
        struct str prefix = str_from(forms[i].prefix);

        if (str_starts(arg->text, prefix)) {
            /* Names of types and routes hold no placeholders: checked when all are known. */
            t->kind = forms[i].kind;
            return conf_template(b, arg, prefix.n, r,
                                 t->kind == TARGET_TAG ? TEMPLATE_TAG : TEMPLATE_GLOB,
                                 &t->value);
        }
    }
    t->kind = TARGET_GLOB;
    return conf_template(b, arg, 0, r, TEMPLATE_GLOB, &t->value);
}

void set_invalidate(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    size_t room = r->n_invalidate + s->n_args;
    struct invalidate_target *list = arena_zalloc(b->keep, room * sizeof(*list));

    const struct conf_arg **args = arena_alloc(b->scratch, room * sizeof(*args));

    conf_options_given(b, s, r);
    if (r->n_invalidate > 0) {
        memcpy(list, r->invalidate, r->n_invalidate * sizeof(*list));
        memcpy(args, b->route->targets, r->n_invalidate * sizeof(*args));
    }
    r->invalidate = list;
    b->route->targets = args;
    for (size_t i = 0; i < s->n_args; i++) {
        if (parse_target(b, &s->args[i], r, &list[r->n_invalidate])) {
            args[r->n_invalidate++] = &s->args[i];
        }
    }
}

void set_upgrade(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"websocket"};

    ((struct route_settings *)target)->upgrade_websocket =
        conf_choice(b, &s->args[0], words, 1) == 0;
}

void set_timeout(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    if (s->n_opts == 0) {
        conf_error(b->d, s->at, "`timeout` needs at least one NAME=DURATION");
        return;
    }
    conf_options_given(b, s, &((struct route_settings *)target)->timeout);
}

static bool check_header(struct conf_build *b, const struct conf_stmt *s, struct str name)
{
    struct str lower = conf_lower(b->scratch, name);

    if (!conf_is_token(name)) {
        conf_error(b->d, s->args[1].at, "a header name is expected");
        return false;
    }
    for (size_t i = 0; i < sizeof(framing_fields) / sizeof(framing_fields[0]); i++) {
        if (str_eq(lower, str_from(framing_fields[i]))) {
            conf_error(b->d, s->args[1].at, "%s is set by the proxy and cannot be changed",
                       s->args[1].raw.n == name.n ? framing_fields[i] : "this field");
            return false;
        }
    }
    for (size_t i = 0; s->n_args == 3 && i < s->args[2].text.n; i++) {
        unsigned char c = (unsigned char)s->args[2].text.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            conf_error(b->d, s->args[2].at, "a header value cannot hold a control byte");
            return false;
        }
    }
    return true;
}

void set_header(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"set", "add", "remove"};
    struct route_settings *r = target;
    int word = conf_choice(b, &s->args[0], words, 3);
    struct str name = s->args[1].text;

    if (word < 0 || !check_header(b, s, name)) {
        return;
    }
    if ((s->n_args == 2) != (word == 2)) {
        conf_error(b->d, s->at,
                   word == 2 ? "`header remove` takes a name and no value"
                             : "this form of `header` takes a name and a value");
        return;
    }
    struct header_op *list = arena_alloc(b->keep, (r->n_headers + 1) * sizeof(*list));
    if (r->n_headers > 0) {
        memcpy(list, r->headers, r->n_headers * sizeof(*list));
    }
    list[r->n_headers++] = (struct header_op){
        .kind = (enum header_op_kind)(HEADER_SET + word),
        .name = name,
        .value = word == 2 ? STR_NULL : str_trim(s->args[2].text),
    };
    r->headers = list;
}
