/*
 * Setter of `alert`.
 *
 *   CONDITION = NAME OP VALUE | "redis" "down" | "breaker" "open"      OP = < <= > >=
 *   alert CONDITION [ "for" DURATION ] url=URL …
 *
 * The parts of a condition may be written in one word or in several (hit_rate < 50%). What it
 * came to is kept as a text in one form, which names the alert in messages and to its receiver.
 */
#include "base/units.h"
#include "config/build.h"

#define MIN_SECRET 16                         /* bytes */
#define MAX_ALERTS 64                         /* each is looked at every second */
#define MAX_FOR    (3600 * (msec_t)1000)      /* what the history holds */
#define MAX_LAG    (24 * 3600 * (msec_t)1000) /* of journal_lag */

/* One row for each word that may begin a condition. */
static const struct alert_word {
    const char *name;
    const char *state; /* the word behind it; NULL: it takes OP VALUE */
    enum alert_kind kind;
    msec_t window; /* where `for` is left out */
    const char *example;
} words[] = {
    {"hit_rate", NULL, ALERT_HIT_RATE, 300 * 1000, "hit_rate<50%"},
    {"errors", NULL, ALERT_ERRORS, 60 * 1000, "errors>10"},
    {"journal_lag", NULL, ALERT_JOURNAL_LAG, 10 * 1000, "journal_lag>5s"},
    {"redis", "down", ALERT_REDIS_DOWN, 10 * 1000, "redis down"},
    {"breaker", "open", ALERT_BREAKER_OPEN, 10 * 1000, "breaker open"},
};

#define N_WORDS (sizeof(words) / sizeof(words[0]))

static const char *const operators[] = {"<", "<=", ">", ">="}; /* by enum alert_compare */

/* ---- the condition ---------------------------------------------------------------------- */

static const struct alert_word *find_word(struct conf_build *b, const struct conf_arg *arg,
                                          size_t *len)
{
    const char *names[N_WORDS];
    struct conf_arg word = *arg;

    for (size_t i = 0; i < N_WORDS; i++) {
        names[i] = words[i].name;
    }
    *len = 0;
    while (*len < arg->text.n && strchr("<>=!", arg->text.p[*len]) == NULL) {
        (*len)++;
    }
    word.value = word.raw = str_make(arg->text.p, *len);
    word.at = conf_part(arg, 0, *len > 0 ? *len : arg->text.n);
    int which = conf_choice(b, &word, names, N_WORDS);
    return which >= 0 ? &words[which] : NULL;
}

/* Takes OP from the front of *text. */
static bool read_operator(struct str *text, enum alert_compare *out)
{
    for (size_t i = 4; i-- > 0;) { /* <= before < */
        static const size_t order[] = {0, 2, 1, 3};
        struct str op = str_from(operators[order[i]]);

        if (str_starts(*text, op)) {
            *text = str_skip(*text, op.n);
            *out = (enum alert_compare)order[i];
            return true;
        }
    }
    return false;
}

/* Reads a limit in the unit of its kind; NULL or what is wrong with it. */
static const char *read_limit(const struct alert_word *word, struct str text, int64_t *out)
{
    const char *why = NULL;
    uint64_t number = 0;

    switch (word->kind) {
    case ALERT_HIT_RATE:
        if (text.n < 2 || text.p[text.n - 1] != '%' ||
            !str_to_u64(str_make(text.p, text.n - 1), 100, &number)) {
            return "a percentage from 0% to 100% is expected";
        }
        *out = (int64_t)number;
        return NULL;
    case ALERT_ERRORS:
        if (!str_to_u64(text, INT64_MAX, &number)) {
            return "a whole number is expected";
        }
        *out = (int64_t)number;
        return NULL;
    default:
        if (duration_parse(text, out, &why) && *out > MAX_LAG) {
            return "out of range: from 0s to 1d";
        }
        return why;
    }
}

/* "hit_rate<50%", in one word or several. */
static bool read_comparison(struct conf_build *b, const struct conf_stmt *s, size_t n,
                            const struct alert_word *word, size_t name_len,
                            struct alert_settings *a)
{
    struct strbuf rest = {0};

    strbuf_add_str(&rest, str_skip(s->args[0].text, name_len));
    for (size_t i = 1; i < n; i++) {
        strbuf_add_str(&rest, s->args[i].text);
    }
    struct str text = strbuf_str(&rest);
    const char *why = "`<`, `<=`, `>` or `>=` and a limit are expected behind this";
    bool given = read_operator(&text, &a->compare);
    if (given) {
        why = read_limit(word, text, &a->limit);
    }
    strbuf_free(&rest);
    if (why != NULL) {
        conf_error(b->d, s->args[given ? n - 1 : 0].at, "%s", why);
        conf_hint(b->d, "example: alert %s for 1m url=https://hooks.example.com/x",
                  word->example);
    }
    return why == NULL;
}

static bool read_state(struct conf_build *b, const struct conf_stmt *s, size_t n,
                       const struct alert_word *word, size_t name_len)
{
    if (name_len == s->args[0].text.n && n == 2 &&
        str_eq(s->args[1].text, str_from(word->state))) {
        return true;
    }
    conf_error(b->d, s->args[n > 1 ? 1 : 0].at, "`%s %s` is expected", word->name, word->state);
    return false;
}

/* What the alert is called: the condition as we understood it. */
static struct str name_alert(struct conf_build *b, const struct alert_word *word,
                             const struct alert_settings *a)
{
    char lasting[UNITS_TEXT_MAX];
    char limit[UNITS_TEXT_MAX];

    duration_text(a->window, lasting);
    if (word->state != NULL) {
        return arena_printf(b->keep, "%s %s for %s", word->name, word->state, lasting);
    }
    if (word->kind == ALERT_JOURNAL_LAG) {
        duration_text(a->limit, limit);
    } else {
        size_t n = u64_to_dec((uint64_t)a->limit, limit);
        limit[n] = '%';
        limit[word->kind == ALERT_HIT_RATE ? n + 1 : n] = '\0';
    }
    return arena_printf(b->keep, "%s%s%s for %s", word->name, operators[a->compare], limit,
                        lasting);
}

static bool read_window(struct conf_build *b, const struct conf_stmt *s, size_t at, msec_t *out)
{
    if (at == s->n_args) {
        return true;
    }
    if (at + 1 == s->n_args) {
        conf_error(b->d, s->args[at].at, "a duration is expected behind `for`");
        return false;
    }
    if (at + 2 < s->n_args) {
        conf_error(b->d, s->args[at + 2].at, "nothing may follow `for DURATION` but options");
        return false;
    }
    return conf_duration(b, &s->args[at + 1], 1000, MAX_FOR, out);
}

static bool read_condition(struct conf_build *b, const struct conf_stmt *s,
                           struct alert_settings *a)
{
    size_t len;
    size_t n = 0;

    while (n < s->n_args && !str_eq(s->args[n].text, STR("for"))) {
        n++;
    }
    if (n == 0) {
        conf_error(b->d, s->args[0].at, "a condition is expected before `for`");
        return false;
    }
    const struct alert_word *word = find_word(b, &s->args[0], &len);
    if (word == NULL) {
        return false;
    }
    a->kind = word->kind;
    a->window = word->window;
    bool good = word->state != NULL ? read_state(b, s, n, word, len)
                                    : read_comparison(b, s, n, word, len, a);
    if (!good || !read_window(b, s, n, &a->window)) {
        return false;
    }
    a->text = name_alert(b, word, a);
    return true;
}

/* ---- the receiver ----------------------------------------------------------------------- */

static bool is_local(struct str host)
{
    static const struct str local[] = {{"127.", 4}, {"localhost", 9}, {"[::1]", 5}};

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (str_starts(host, local[i])) {
            return true;
        }
    }
    return false;
}

static bool read_url(struct conf_build *b, const struct conf_stmt *s, struct alert_settings *a)
{
    const struct conf_arg *arg = conf_opt(s, "url");

    if (arg == NULL) {
        conf_error(b->d, s->at, "`alert` needs url=: who is to be told?");
        return false;
    }
    struct str rest = arg->value;
    bool tls = str_starts(rest, STR("https://"));
    if (!tls && !str_starts(rest, STR("http://"))) {
        conf_error(b->d, arg->at, "a URL begins with https:// or http://");
        return false;
    }
    rest = str_skip(rest, tls ? 8 : 7);
    bool good = rest.n > 0 && memchr("/?#:@", rest.p[0], 5) == NULL;
    for (size_t i = 0; i < rest.n; i++) {
        good = good && (unsigned char)rest.p[i] > 0x20 && rest.p[i] != 0x7F;
    }
    if (!good) {
        conf_error(b->d, arg->at, "this is no URL: a host name has to follow `//`");
        return false;
    }
    if (!tls && !is_local(rest)) {
        conf_warn(b->d, arg->at,
                  "alerts leave this machine over plain http: anybody on the way can read and "
                  "drop them");
    }
    a->url = arg->value;
    return true;
}

static bool read_secret(struct conf_build *b, const struct conf_stmt *s,
                        struct alert_settings *a)
{
    const struct conf_arg *text = conf_opt(s, "secret");
    const struct conf_arg *file = conf_opt(s, "secret_file");
    const struct conf_arg *arg = text != NULL ? text : file;

    if (arg == NULL) {
        return true;
    }
    if (text != NULL && file != NULL) {
        conf_error(b->d, file->at, "one secret is enough: secret= or secret_file=");
        return false;
    }
    if (text != NULL) {
        a->secret = text->value;
    } else if (file->value.n == 0 || !conf_secret_file(b, file, &a->secret)) {
        return false;
    }
    if (a->secret.n < MIN_SECRET) {
        conf_error(b->d, arg->at, "the secret has %zu bytes; at least %d are needed",
                   a->secret.n, MIN_SECRET);
        return false;
    }
    return true;
}

static bool is_double(struct conf_build *b, const struct alert_settings *a)
{
    for (size_t i = 0; i < b->s->n_alerts; i++) {
        if (str_eq(b->s->alerts[i].text, a->text) && str_eq(b->s->alerts[i].url, a->url)) {
            return true;
        }
    }
    return false;
}

void set_alert(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct alert_settings a = {0};
    struct settings *out = target;

    conf_options_initial(DIR_alert, &a);
    conf_options_given(b, s, &a);
    bool good = read_condition(b, s, &a);
    good = read_url(b, s, &a) && good;
    good = read_secret(b, s, &a) && good;
    if (!good) {
        return;
    }
    if (a.kind != ALERT_HIT_RATE && conf_opt(s, "requests") != NULL) {
        conf_error(b->d, conf_opt(s, "requests")->at, "`requests=` belongs to hit_rate");
    }
    if (is_double(b, &a)) {
        conf_error(b->d, s->at, "this alert is given twice");
    } else if (out->n_alerts == MAX_ALERTS) {
        conf_error(b->d, s->at, "too many alerts; at most %d", MAX_ALERTS);
    } else {
        out->alerts[out->n_alerts++] = a;
    }
}
