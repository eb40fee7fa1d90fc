/*
 * Setters of `bypass if` and `store if`.
 *
 *   CONDITION = [ "not" | "!" ] TEST
 *   TEST      = ( "header" | "cookie" | "query" ) NAME [ "=" VALUE | "=VALUE" | "~" GLOB ]
 *             | "status" CODE…              store only
 *             | "size" ( "<" | "<=" | ">" | ">=" ) SIZE     store only
 *
 * Several conditions in one statement count as in several statements. Bounds on the size become
 * two numbers of the route, because a body's size is often known only at its end.
 */
#include "base/units.h"
#include "config/build.h"

#define MAX_CONDITIONS 64 /* of one list of a route: each costs every request */
#define MAX_SIZE       (INT64_C(1) << 40)

/* The arguments of one statement being read. */
struct condition_parser {
    struct conf_build *b;
    const struct conf_stmt *s;
    size_t at; /* next argument */
    struct route_settings *r;
    bool store;
};

static const struct conf_arg *next_arg(struct condition_parser *p)
{
    return p->at < p->s->n_args ? &p->s->args[p->at++] : NULL;
}

/* The next argument if it is this word. */
static bool take_word(struct condition_parser *p, const char *word)
{
    if (p->at < p->s->n_args && str_eq(p->s->args[p->at].text, str_from(word))) {
        p->at++;
        return true;
    }
    return false;
}

static struct condition *extend(struct condition_parser *p, struct condition_list *list)
{
    if (list->n == MAX_CONDITIONS) {
        conf_error(p->b->d, p->s->at, "too many conditions; at most %d", MAX_CONDITIONS);
        return NULL;
    }
    struct condition *grown = arena_zalloc(p->b->keep, (list->n + 1) * sizeof(*grown));
    if (list->n > 0) {
        memcpy(grown, list->list, list->n * sizeof(*grown));
    }
    list->list = grown;
    return &grown[list->n++];
}

static bool add(struct condition_parser *p, const struct condition *c)
{
    struct condition *to = extend(p, p->store ? &p->r->store_if : &p->r->bypass);

    if (to != NULL) {
        *to = *c;
    }
    return to != NULL;
}

/* ---- header, cookie, query -------------------------------------------------------------- */

/* NAME=VALUE in one argument: neither fields nor cookies nor parameters have = in their name.
 */
static void split_value(struct condition *c)
{
    size_t equals = str_index(c->name, '=');

    if (equals < c->name.n) {
        c->match = CONDITION_EQUALS;
        c->value = str_skip(c->name, equals + 1);
        c->name = str_make(c->name.p, equals);
    }
}

static bool is_parameter(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (memchr("&#? ", name.p[i], 4) != NULL) {
            return false;
        }
    }
    return name.n > 0;
}

static bool check_name(struct condition_parser *p, const struct conf_arg *arg,
                       struct condition *c)
{
    bool good = c->kind == CONDITION_QUERY ? is_parameter(c->name) : conf_is_token(c->name);

    if (!good) {
        static const char *const what[] = {"header", "cookie", "query parameter"};

        conf_error(p->b->d, arg->at, "the name of a %s is expected", what[c->kind]);
        return false;
    }
    if (c->kind == CONDITION_HEADER) {
        c->name = conf_lower(p->b->keep, c->name);
    }
    return true;
}

static bool read_named(struct condition_parser *p, const struct conf_arg *word,
                       struct condition *c)
{
    const struct conf_arg *arg = next_arg(p);

    if (arg == NULL) {
        conf_error(p->b->d, word->at, "`%.*s` needs a name", STR_ARG(conf_clip(word->raw)));
        return false;
    }
    c->name = arg->text;
    split_value(c);
    if (!check_name(p, arg, c)) {
        return false;
    }
    bool equals = take_word(p, "=");
    if (!equals && !take_word(p, "~")) {
        return add(p, c);
    }
    const struct conf_arg *op = &p->s->args[p->at - 1];
    const struct conf_arg *value = next_arg(p);
    if (value == NULL || c->match != CONDITION_PRESENT) {
        conf_error(p->b->d, op->at,
                   value == NULL ? "a value is expected behind this"
                                 : "this condition has a value already");
        return false;
    }
    c->match = equals ? CONDITION_EQUALS : CONDITION_GLOB;
    c->value = value->text;
    return add(p, c);
}

/* ---- status, size ----------------------------------------------------------------------- */

static bool is_number(struct str s)
{
    return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

static bool read_status(struct condition_parser *p, const struct conf_arg *word,
                        struct condition *c)
{
    c->statuses = arena_alloc(p->b->keep, p->s->n_args * sizeof(*c->statuses));
    while (p->at < p->s->n_args && is_number(p->s->args[p->at].text)) {
        const struct conf_arg *arg = next_arg(p);

        if (!conf_status(p->b, arg, arg->text, &c->statuses[c->n_statuses])) {
            return false;
        }
        c->n_statuses++;
    }
    if (c->n_statuses == 0) {
        conf_error(p->b->d, word->at, "`status` needs at least one code");
        return false;
    }
    return add(p, c);
}

/* Both bounds hold together with what was said before. */
static bool bound_size(struct condition_parser *p, const struct conf_arg *at, bool below,
                       int64_t size)
{
    struct route_settings *r = p->r;

    if (below && (r->store_below == 0 || size < r->store_below)) {
        r->store_below = size;
    } else if (!below && size > r->store_least) {
        r->store_least = size;
    }
    if ((below && size == 0) || (r->store_below > 0 && r->store_least >= r->store_below)) {
        conf_error(p->b->d, at->at, "no body has such a size: nothing would be stored");
        return false;
    }
    return true;
}

static bool read_size(struct condition_parser *p, const struct conf_arg *word, bool negated)
{
    static const char *const operators[] = {"<", "<=", ">", ">="};
    const struct conf_arg *op = next_arg(p);
    const struct conf_arg *arg = next_arg(p);
    const char *why;
    int64_t size;

    if (arg == NULL) {
        conf_error(p->b->d, word->at, "a bound is expected, like `size < 100kb`");
        return false;
    }
    int which = conf_choice(p->b, op, operators, 4);
    if (which < 0) {
        return false;
    }
    if (!size_parse(arg->text, &size, &why)) {
        conf_error(p->b->d, arg->at, "%s", why);
        return false;
    }
    if (size > MAX_SIZE) {
        conf_error(p->b->d, arg->at, "out of range: from 0b to 1tb");
        return false;
    }
    bool below = (which < 2) != negated;
    bool inclusive = (which == 1 || which == 3) != negated;
    return bound_size(p, arg, below, size + (below == inclusive));
}

/* ---- statements ------------------------------------------------------------------------- */

/* The kind of test that a word begins; -1 with a message. `size` comes last. */
static int read_kind(struct condition_parser *p, const struct conf_arg *word, struct str text)
{
    static const char *const words[] = {"header", "cookie", "query", "status", "size"};
    struct conf_arg bare = *word;

    bare.value = text;
    int kind = conf_choice(p->b, &bare, words, p->store ? 5 : 3);
    if (kind < 0 && !p->store && (str_eq(text, STR("status")) || str_eq(text, STR("size")))) {
        conf_hint(p->b->d, "status and size are those of an answer: say `store if`");
    }
    return kind;
}

static bool read_condition(struct condition_parser *p)
{
    struct condition c = {.match = CONDITION_PRESENT};

    while (take_word(p, "not") || take_word(p, "!")) {
        c.negated = !c.negated;
    }
    const struct conf_arg *word = next_arg(p);
    if (word == NULL) {
        conf_error(p->b->d, p->s->args[p->at - 1].at, "a condition is expected behind this");
        return false;
    }
    struct str text = word->text;
    if (text.n > 1 && text.p[0] == '!') {
        c.negated = !c.negated;
        text = str_skip(text, 1);
    }
    int kind = read_kind(p, word, text);
    if (kind < 0) {
        return false;
    }
    c.kind = (enum condition_kind)kind;
    if (kind == CONDITION_STATUS + 1) {
        return read_size(p, word, c.negated);
    }
    return kind == CONDITION_STATUS ? read_status(p, word, &c) : read_named(p, word, &c);
}

static void read_conditions(struct condition_parser *p)
{
    while (p->at < p->s->n_args && read_condition(p)) {
    }
}

void set_bypass(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct condition_parser p = {b, s, 1, target, false};

    if (!str_eq(s->args[0].text, STR("if"))) {
        conf_error(b->d, s->args[0].at, "`if` is expected");
        conf_hint(b->d, "usage: bypass %s", s->is->form);
        return;
    }
    if (s->n_args == 1) {
        conf_error(b->d, s->args[0].at, "a condition is expected behind this");
        return;
    }
    read_conditions(&p);
}

void set_store_if(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct condition_parser p = {b, s, 0, target, true};

    read_conditions(&p);
}
