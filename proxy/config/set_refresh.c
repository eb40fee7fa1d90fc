/*
 * `credential` and `refresh`: answers that are fetched on a schedule, and as whom. A schedule
 * has no caller, so it never uses a user's credential: routes that are kept by an identity need
 * one of the configuration.
 */
#include <string.h>

#include "base/arena.h"
#include "base/suggest.h"
#include "config/build.h"

#define MAX_TARGETS 100 /* of one route */

/* ---- credential ------------------------------------------------------------------------- */

static bool check_credential_name(struct conf_build *b, const struct conf_arg *arg)
{
    if (!conf_check_name(b, arg, "a credential")) {
        return false;
    }
    for (size_t i = 0; i < b->s->n_credentials; i++) {
        if (str_eq(b->s->credentials[i].name, arg->text)) {
            conf_error(b->d, arg->at, "the credential `%.*s` is defined twice",
                       STR_ARG(conf_clip(arg->raw)));
            return false;
        }
    }
    return true;
}

/* What is sent must be one field value: visible text, no line end. */
static bool check_value(struct conf_build *b, const struct conf_arg *arg, struct str value)
{
    if (value.n == 0 && arg->value.n == 0) {
        return false; /* said already */
    }
    if (value.n == 0) {
        conf_error(b->d, arg->at, "the file is empty");
        return false;
    }
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f) {
            conf_error(b->d, arg->at, "the credential holds a control character");
            return false;
        }
    }
    return true;
}

void set_credential(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    struct credential_settings *c = &out->credentials[out->n_credentials];
    const struct conf_arg *value = conf_opt(s, "value");
    const struct conf_arg *file = conf_opt(s, "file");

    if (!check_credential_name(b, &s->args[0])) {
        return;
    }
    *c = (struct credential_settings){.name = s->args[0].text};
    conf_options_initial(DIR_credential, c);
    conf_options_given(b, s, c);
    if ((value == NULL) == (file == NULL)) {
        conf_error(b->d, s->at, "`credential` needs value= or file=, and not both");
        return;
    }
    if (value != NULL) {
        c->value = value->value;
    } else if (file->value.n == 0 || !conf_secret_file(b, file, &c->value)) {
        return;
    }
    const struct conf_arg *header = conf_opt(s, "header");
    if (!conf_is_token(c->header)) {
        conf_error(b->d, header != NULL ? header->at : s->at,
                   "the name of a request field is expected");
        return;
    }
    if (check_value(b, value != NULL ? value : file, c->value)) {
        out->n_credentials++;
    }
}

/* ---- refresh ---------------------------------------------------------------------------- */

static const struct credential_settings *find_credential(struct conf_build *b,
                                                         const struct conf_arg *arg)
{
    struct suggest nearest;

    suggest_init(&nearest, arg->value);
    for (size_t i = 0; i < b->s->n_credentials; i++) {
        if (str_eq(b->s->credentials[i].name, arg->value)) {
            return &b->s->credentials[i];
        }
        suggest_offer(&nearest, b->s->credentials[i].name);
    }
    if (!conf_is_broken(b, DIR_credential, arg->value)) {
        struct str name = conf_quotable(arg, arg->value);
        conf_error(b->d, arg->at, "no credential is called `%.*s`", STR_ARG(name));
        conf_hint_nearest(b->d, &nearest);
    }
    return NULL;
}

/* A target in origin form that can stand in a request line as it is. */
static bool check_target(struct conf_build *b, const struct conf_arg *arg)
{
    struct str t = arg->text;
    bool good = t.n > 0 && t.p[0] == '/';

    for (size_t i = 0; good && i < t.n; i++) {
        unsigned char c = (unsigned char)t.p[i];
        good = c > 0x20 && c < 0x7f && c != '#';
    }
    if (!good) {
        conf_error(b->d, arg->at,
                   "a path to fetch is expected, with its query and percent-encoded: "
                   "/api/pools?page=1");
    }
    return good;
}

void set_refresh(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct route_settings *r = target;
    const struct conf_arg *credential = conf_opt(s, "credential");
    msec_t every;

    conf_options_given(b, s, NULL);
    if (!conf_duration(b, &s->args[0], s->is->min, s->is->max, &every)) {
        conf_hint(b->d, "usage: refresh %s", s->is->form);
        return;
    }
    if (s->n_args - 1 > MAX_TARGETS) {
        conf_error(b->d, s->at, "too many paths; at most %d", MAX_TARGETS);
        return;
    }
    struct str *to = conf_list_extend(b->keep, &r->refresh_targets, s->n_args - 1);
    for (size_t i = 1; i < s->n_args; i++) {
        if (!check_target(b, &s->args[i])) {
            return;
        }
        to[i - 1] = s->args[i].text;
    }
    if (credential != NULL) {
        r->credential = find_credential(b, credential);
        if (r->credential == NULL) {
            b->route->unsure = true;
        }
    }
    r->refresh = every;
}

void conf_check_refresh(struct conf_build *b, struct route_settings *r,
                        const struct conf_route *x)
{
    const struct conf_stmt *own = x->index->first[DIR_refresh];
    struct conf_span at = own != NULL ? own->at : x->at;

    if (r->refresh == 0 || x->unsure) {
        return;
    }
    if (!r->cached) {
        conf_error(b->d, at, "`refresh` is for cached routes, and this one has no `ttl`");
    } else if (r->method_body) {
        conf_error(b->d, at, "`refresh` cannot make the bodies that `method_body on` keys");
    } else if (b->s->sites[b->at_site].hosts.n == 0) {
        conf_error(b->d, at,
                   "`refresh` needs `hosts`: entries are kept by Host, and a schedule "
                   "has none of its own");
        conf_hint(b->d, "add a line like: hosts api.example.com");
    } else if (r->scope != SCOPE_PUBLIC && r->credential == NULL) {
        conf_error(b->d, at,
                   "`refresh` needs a credential: this route's answers are kept by "
                   "identity, and a schedule has none");
        conf_hint(b->d, "define `credential NAME file=…` and say `refresh … credential=NAME`");
    } else if (r->refresh_targets.n == 0 &&
               (r->n_params > 0 || memchr(r->path.p, '*', r->path.n) != NULL)) {
        conf_error(b->d, at, "`refresh` needs paths: this route stands for many");
        conf_hint(b->d, "name those to fetch: refresh 2m /api/items/1 /api/items/2");
    } else {
        if (r->refresh_targets.n == 0) {
            *conf_list_extend(b->keep, &r->refresh_targets, 1) = r->path;
        }
        if (r->ttl_mode != TTL_ORIGIN && r->ttl < r->refresh) {
            conf_warn(b->d, at,
                      "`ttl` is shorter than `refresh`: between two fetches the answer "
                      "expires");
        }
    }
}
