/*
 * Checks that need only the table: does the word exist, may it stand here, does it take these
 * arguments, was it said before. What passes is sorted by directive, so that inheritance is a
 * matter of choosing one block's list.
 */
#include "config/build.h"

/* What people coming from other servers write first. */
static const struct {
    const char *foreign;
    const char *ours;
} aliases[] = {
    {"location", "route"},
    {"server", "host"},
    {"server_name", "hosts"},
    {"proxy_pass", "upstream"},
    {"reverse_proxy", "upstream"},
    {"backend", "upstream"},
    {"bind", "listen"},
    {"port", "listen"},
    {"proxy_cache_valid", "ttl"},
    {"expires", "ttl"},
    {"max_age", "ttl"},
    {"proxy_cache_key", "key"},
    {"client_max_body_size", "max_body"},
    {"gzip", "compress"},
    {"ssl_certificate", "tls"},
    {"access_log", "log"},
    {"worker_processes", "workers"},
    {"set_real_ip_from", "trusted_proxies"},
    {"add_header", "header"},
    {"purge", "invalidate"},
    {"proxy_cache_use_stale", "stale_if_error"},
    {"stale_while_revalidate", "stale"},
    {"default", "defaults"},
};

static const char *const context_names[] = {"the top level", "host", "defaults", "type",
                                            "route"};

/* "defaults, type or route" */
static struct str describe_contexts(struct conf_build *b, unsigned contexts)
{
    struct strbuf out = {0};
    unsigned left = contexts;

    for (unsigned i = 0; i < 5; i++) {
        if ((contexts & (1u << i)) == 0) {
            continue;
        }
        left &= ~(1u << i);
        bool last_of_several = left == 0 && out.n > 0;
        strbuf_addf(&out, "%s%s",
                    last_of_several ? " or "
                    : out.n > 0     ? ", "
                                    : "",
                    context_names[i]);
    }
    struct str text = arena_dup(b->scratch, strbuf_str(&out));
    strbuf_free(&out);
    return text;
}

static unsigned contexts_of(struct str word)
{
    unsigned contexts = 0;

    for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
        if (str_eq(word, str_from(conf_directives[i].name))) {
            contexts |= conf_directives[i].contexts;
        }
    }
    return contexts;
}

static void hint_unknown(struct conf_build *b, struct str word, unsigned context)
{
    struct suggest nearest;

    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (str_eq(word, str_from(aliases[i].foreign))) {
            conf_hint(b->d, "did you mean `%s`?", aliases[i].ours);
            return;
        }
    }
    suggest_init(&nearest, word);
    for (unsigned pass = 0; pass < 2; pass++) { /* words of this context come first */
        for (size_t i = 0; i < DIRECTIVE_COUNT; i++) {
            struct str name = str_from(conf_directives[i].name);
            bool here = (conf_directives[i].contexts & context) != 0;

            if (here == (pass == 0) && str_index(name, ' ') == name.n) {
                suggest_offer(&nearest, name);
            }
        }
    }
    conf_hint_nearest(b->d, &nearest);
}

static bool check_word(struct conf_build *b, struct conf_stmt *s, unsigned context)
{
    s->is = conf_directive_find(s->word, context);
    if (s->is != NULL) {
        const struct conf_directive *form = NULL;

        if (s->n_args > 0) {
            form = conf_directive_form(s->is, s->args[0].text);
        }
        if (form != NULL) {
            s->is = form;
            s->args++;
            s->n_args--;
        }
        return true;
    }
    unsigned elsewhere = contexts_of(s->word);
    if (elsewhere != 0) {
        struct str where = describe_contexts(b, elsewhere);

        conf_error(b->d, s->at, "`%.*s` does not belong here", STR_ARG(conf_clip(s->word)));
        conf_hint(b->d, "it stands in %.*s", STR_ARG(where));
    } else {
        conf_error(b->d, s->at, "unknown directive `%.*s`", STR_ARG(conf_clip(s->word)));
        hint_unknown(b, s->word, context);
    }
    return false;
}

/* A later version brings it. */
static bool check_available(struct conf_build *b, const struct conf_stmt *s)
{
    if ((s->is->flags & CONF_LATER) != 0) {
        conf_error(b->d, s->at, "`%s` is not available in this version", s->is->name);
        return false;
    }
    return true;
}

/* Puts name=value behind the positional arguments; a=b is positional where nothing takes it. */
static void split_options(struct conf_build *b, struct conf_stmt *s)
{
    size_t n = 0;
    struct conf_arg *sorted;

    if (s->n_args == 0) {
        return;
    }
    if (!conf_takes_options(conf_directive_id(s->is))) {
        for (size_t i = 0; i < s->n_args; i++) {
            s->args[i].name = STR_NULL;
            s->args[i].value = s->args[i].text;
        }
        return;
    }
    sorted = arena_alloc(b->scratch, s->n_args * sizeof(*sorted));
    for (unsigned options = 0; options < 2; options++) {
        if (options == 1) {
            s->opts = sorted + n;
            s->n_opts = s->n_args - n;
        }
        for (size_t i = 0; i < s->n_args; i++) {
            if ((s->args[i].name.n > 0) == (options == 1)) {
                sorted[n++] = s->args[i];
            }
        }
    }
    s->n_args -= s->n_opts;
    s->args = sorted;
}

static void hint_option(struct conf_build *b, enum conf_directive_id id, struct str name)
{
    struct suggest nearest;

    suggest_init(&nearest, name);
    for (size_t i = 0; i < conf_n_options; i++) {
        if (conf_options[i].directive == id) {
            suggest_offer(&nearest, str_from(conf_options[i].name));
        }
    }
    conf_hint_nearest(b->d, &nearest);
}

static bool check_options(struct conf_build *b, const struct conf_stmt *s)
{
    enum conf_directive_id id = conf_directive_id(s->is);
    uint64_t given = 0; /* bit per row; no directive has 64 options */
    bool good = true;

    if ((s->is->flags & CONF_ANY_OPTIONS) != 0) {
        return true;
    }
    for (size_t i = 0; i < s->n_opts; i++) {
        const struct conf_arg *arg = &s->opts[i];
        const struct conf_option *option = conf_option_find(id, arg->name);

        if (option == NULL) {
            conf_error(b->d, arg->at, "`%s` has no option `%.*s`", s->is->name,
                       STR_ARG(conf_clip(arg->name)));
            hint_option(b, id, arg->name);
            good = false;
            continue;
        }
        uint64_t bit = UINT64_C(1) << ((size_t)(option - conf_options) % 64);
        if ((given & bit) != 0 && (option->flags & CONF_LIST) == 0) {
            conf_error(b->d, arg->at, "`%s=` is given twice", option->name);
            good = false;
        }
        given |= bit;
    }
    return good;
}

static bool check_arity(struct conf_build *b, const struct conf_stmt *s)
{
    const struct conf_directive *d = s->is;

    if (s->n_args >= d->min_args && s->n_args <= d->max_args) {
        return true;
    }
    bool missing = s->n_args < d->min_args;
    struct conf_span at = missing ? s->at : s->args[d->max_args].at;
    if (missing) {
        conf_error(b->d, at, "`%s` lacks an argument", d->name);
    } else {
        conf_error(b->d, at, "`%s` has an argument too many", d->name);
    }
    conf_hint(b->d, "usage: %s %s", d->name, d->form);
    return false;
}

static bool check_braces(struct conf_build *b, const struct conf_stmt *s)
{
    bool may = (s->is->flags & (CONF_BLOCK | CONF_BLOCK_MAY)) != 0;

    if (s->has_block && !may) {
        conf_error(b->d, s->at, "`%s` takes no block", s->is->name);
        return false;
    }
    if (!s->has_block && (s->is->flags & CONF_BLOCK) != 0) {
        conf_error(b->d, s->at, "`%s` needs a block", s->is->name);
        conf_hint(b->d, "usage: %s %s; the `{` stands on the same line", s->is->name,
                  s->is->form);
        return false;
    }
    return true;
}

static bool check_repetition(struct conf_build *b, const struct conf_stmt *s,
                             const struct conf_stmt *before)
{
    if (before == NULL || (s->is->flags & CONF_LIST) != 0) {
        return true;
    }
    struct str file = b->d->sources[before->at.source].name;
    conf_error(b->d, s->at, "`%s` is given twice", s->is->name);
    conf_hint(b->d, "it was given before at %.*s:%u", STR_ARG(file), before->at.line);
    return false;
}

static bool check_statement(struct conf_build *b, struct conf_stmt *s, unsigned context)
{
    if (!check_word(b, s, context) || !check_available(b, s)) {
        return false;
    }
    split_options(b, s);
    bool good = check_braces(b, s);
    if (s->bad) {
        return false; /* its arguments are not what was meant: nothing to say about them */
    }
    good = check_options(b, s) && good;
    return check_arity(b, s) && good;
}

void conf_block_check(struct conf_build *b, struct conf_stmt *first, unsigned context,
                      struct conf_index *index)
{
    struct conf_stmt *last[DIRECTIVE_COUNT] = {NULL};

    *index = (struct conf_index){{NULL}};
    for (struct conf_stmt *s = first; s != NULL; s = s->next) {
        if (!check_statement(b, s, context)) {
            s->bad = true;
        }
        if (s->is == NULL) {
            continue;
        }
        enum conf_directive_id id = conf_directive_id(s->is);
        if (!check_repetition(b, s, last[id])) {
            continue;
        }
        /* A bad block is kept too: what is inside still wants checking. */
        if (last[id] == NULL) {
            index->first[id] = s;
        } else {
            last[id]->same = s;
        }
        last[id] = s;
    }
}

size_t conf_count(const struct conf_index *index, enum conf_directive_id id)
{
    size_t n = 0;

    for (const struct conf_stmt *s = index->first[id]; s != NULL; s = s->same) {
        n++;
    }
    return n;
}

bool conf_is_broken(const struct conf_build *b, enum conf_directive_id id, struct str name)
{
    for (size_t i = 0; i < b->s->n_sites; i++) {
        for (const struct conf_stmt *s = b->sites[i].index.first[id]; s != NULL; s = s->same) {
            for (size_t k = 0; s->bad && k < s->n_args; k++) {
                if (str_eq(s->args[k].text, name)) {
                    return true;
                }
            }
        }
    }
    return false;
}
