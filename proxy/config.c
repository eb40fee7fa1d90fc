/*
 * Loading of proxy.conf, step by step: text to statements (parse), statements to settings
 * (setters, resolve), then the checks that need everything. Each step reports what it finds
 * and goes on with what is right, so that one run shows every error.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "config/build.h"
#include "config/parse.h"

static size_t count_in_sites(const struct conf_build *b, enum conf_directive_id id)
{
    size_t n = 0;

    for (size_t i = 0; i < b->s->n_sites; i++) {
        n += conf_count(&b->sites[i].index, id);
    }
    return n;
}

/* The `defaults` of a site as an index of its own; NULL when it has none. */
static struct conf_index *index_defaults(struct conf_build *b, const struct conf_index *block)
{
    const struct conf_stmt *s = block->first[DIR_defaults];

    if (s == NULL) {
        return NULL;
    }
    struct conf_index *index = arena_alloc(b->scratch, sizeof(*index));
    conf_block_check(b, s->block, IN_DEFAULTS, index);
    return index;
}

/* sites[0] is the file itself; every `host` block is one more. */
static void index_sites(struct conf_build *b, struct conf_stmt *top)
{
    struct conf_index file;
    size_t i = 1;

    conf_block_check(b, top, IN_TOP, &file);
    b->s->n_sites = 1 + conf_count(&file, DIR_host);
    b->s->sites = arena_zalloc(b->keep, b->s->n_sites * sizeof(*b->s->sites));
    b->sites = arena_zalloc(b->scratch, b->s->n_sites * sizeof(*b->sites));
    b->sites[0].index = file;
    b->sites[0].outer = index_defaults(b, &file);
    if (file.first[DIR_hosts] != NULL) {
        b->sites[0].at = file.first[DIR_hosts]->at;
    }
    for (const struct conf_stmt *s = file.first[DIR_host]; s != NULL; s = s->same, i++) {
        b->sites[i].at = s->at;
        b->s->sites[i].index = (unsigned)i;
        conf_block_check(b, s->block, IN_HOST, &b->sites[i].index);
        b->sites[i].outer = b->sites[0].outer;
        b->sites[i].inner = index_defaults(b, &b->sites[i].index);
        if (!s->bad) {
            conf_add_hosts(b, s->args, s->n_args, &b->s->sites[i]);
        }
    }
}

static void apply_all(struct conf_build *b, const struct conf_index *index,
                      enum conf_directive_id id)
{
    for (const struct conf_stmt *s = index->first[id]; s != NULL; s = s->same) {
        conf_apply(b, s, b->s);
    }
}

static void *alloc_items(struct conf_build *b, enum conf_directive_id id, size_t size)
{
    return arena_zalloc(b->keep, (count_in_sites(b, id) + 1) * size);
}

static void apply_initial(struct conf_build *b)
{
    struct settings *s = b->s;

    conf_apply_initial(IN_TOP, s);
    conf_options_initial(DIR_limits, &s->limits);
    set_workers(b, NULL, s);
    s->log_access = true;
    s->log_format = LOG_FORMAT_JSON;
    s->log_level = LOG_INFO;
    conf_apply_initial(IN_POLICY, &b->base);
    conf_options_initial(DIR_timeout, &b->base.timeout);
    b->base.query_all = true;
}

/* Is it a rule of routes, which they inherit from the file or their host? */
static bool is_inherited(size_t id)
{
    return (conf_directives[id].contexts & IN_ANY) == IN_ANY;
}

/*
 * Everything but types and routes, in the order of the table, in which what others refer to
 * comes first (jwt before identity); listeners last, they need proxy_protocol_from.
 */
static void apply_sites(struct conf_build *b)
{
    struct settings *s = b->s;

    s->listens = alloc_items(b, DIR_listen, sizeof(*s->listens));
    s->upstreams = alloc_items(b, DIR_upstream, sizeof(*s->upstreams));
    s->jwts = alloc_items(b, DIR_jwt, sizeof(*s->jwts));
    s->credentials = alloc_items(b, DIR_credential, sizeof(*s->credentials));
    s->alerts = alloc_items(b, DIR_alert, sizeof(*s->alerts));
    s->identities = arena_zalloc(b->keep, SETTINGS_MAX_IDENTITIES * sizeof(*s->identities));
    for (b->at_site = 0; b->at_site < s->n_sites; b->at_site++) {
        for (size_t id = 0; id < DIRECTIVE_COUNT; id++) {
            if (id != DIR_listen && !is_inherited(id)) {
                apply_all(b, &b->sites[b->at_site].index, (enum conf_directive_id)id);
            }
        }
    }
    apply_all(b, &b->sites[0].index, DIR_listen);
    if (b->sites[0].index.first[DIR_listen] == NULL) {
        const char *why;

        s->listens[0].text = str_from(conf_directives[DIR_listen].initial);
        s->n_listens = addr_parse(s->listens[0].text, &s->listens[0].addr, &why) ? 1 : 0;
    }
}

static bool check_type_name(struct conf_build *b, const struct conf_stmt *s)
{
    struct str name = s->args[0].text;

    if (!conf_check_name(b, &s->args[0], "a type")) {
        return false;
    }
    for (size_t i = 0; i < b->n_types; i++) {
        if (str_eq(b->types[i].name, name)) {
            conf_error(b->d, s->args[0].at, "the type `%.*s` is defined twice", STR_ARG(name));
            return false;
        }
    }
    return true;
}

static void collect_types(struct conf_build *b)
{
    b->types = arena_zalloc(b->scratch, (count_in_sites(b, DIR_type) + 1) * sizeof(*b->types));
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (const struct conf_stmt *s = b->sites[i].index.first[DIR_type]; s != NULL;
             s = s->same) {
            struct conf_index index;

            conf_block_check(b, s->block, IN_TYPE, &index);
            if (!s->bad && check_type_name(b, s)) {
                b->types[b->n_types++] = (struct conf_type){s->args[0].text, index};
            }
        }
    }
}

/* Statements to settings; returns NULL when anything was wrong. */
static struct settings *build(struct conf_diags *d, struct settings *s, struct arena *scratch,
                              struct conf_stmt *top)
{
    struct conf_build b = {
        .d = d,
        .s = s,
        .keep = &s->arena,
        .scratch = scratch,
        .garbled = d->failed,
    };

    index_sites(&b, top);
    apply_initial(&b);
    apply_sites(&b);
    collect_types(&b);
    conf_resolve_sites(&b);
    conf_check_all(&b);
    conf_check_names(&b);
    s->text = conf_effective(&s->arena, top);
    return d->failed ? NULL : s;
}

static struct settings *load(struct str name, const struct str *text,
                             struct config_report *report)
{
    struct settings *s = xcalloc(1, sizeof(*s));
    struct arena scratch;
    struct conf_diags d;

    *report = (struct config_report){0};
    atomic_init(&s->refs, 1);
    arena_init(&s->arena, NULL, 0);
    arena_init(&scratch, NULL, 0);
    conf_diags_init(&d);
    s->file = arena_dup(&s->arena, name);
    struct conf_parser p = {.d = &d, .scratch = &scratch, .keep = &s->arena};
    struct conf_stmt *top =
        text != NULL ? conf_parse_text(&p, name, *text) : conf_parse_file(&p, name);
    struct settings *out = NULL;
    if (d.n_sources > 0) {
        out = build(&d, s, &scratch, top);
    }
    conf_diags_render(&d, report);
    conf_diags_fini(&d);
    arena_reset(&scratch);
    if (out == NULL) {
        settings_unref(s);
    }
    return out;
}

struct settings *config_load(const char *path, struct config_report *report)
{
    return load(str_from(path), NULL, report);
}

struct settings *config_parse(const char *name, struct str text, struct config_report *report)
{
    return load(str_from(name), &text, report);
}
