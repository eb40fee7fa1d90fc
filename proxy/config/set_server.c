/*
 * Setters of what belongs to the process and to whole sites: listeners, names, certificates,
 * limits, logs.
 */
#include <sched.h>
#include <unistd.h>

#include "config/build.h"

#define MAX_WORKERS 64 /* of `auto`; more are asked for by number */

static struct site_settings *site(struct conf_build *b)
{
    return &b->s->sites[b->at_site];
}

/* ---- listen ----------------------------------------------------------------------------- */

/* "8080" and ":8080" stand for all interfaces, localhost for its IPv4 address. */
static struct str normalise_address(struct conf_build *b, struct str text)
{
    uint64_t port;

    if (str_to_u64(text, UINT16_MAX, &port)) {
        return arena_printf(b->scratch, "*:%.*s", STR_ARG(text));
    }
    if (str_starts(text, STR(":"))) {
        return arena_printf(b->scratch, "*%.*s", STR_ARG(text));
    }
    if (str_starts(text, STR("localhost:"))) {
        return arena_printf(b->scratch, "127.0.0.1%.*s", STR_ARG(str_skip(text, 9)));
    }
    return text;
}

void set_listen(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"tls", "proxy_protocol"};
    struct listen_settings l = {.text = s->args[0].text};
    const char *why = "";

    (void)target;
    if (!addr_parse(normalise_address(b, l.text), &l.addr, &why)) {
        conf_error(b->d, s->args[0].at, "not an address to listen on: %s", why);
        conf_hint(b->d, "write 127.0.0.1:8080, [::]:8080, *:8080 or unix:/path");
        return;
    }
    for (size_t i = 1; i < s->n_args; i++) {
        int word = conf_choice(b, &s->args[i], words, 2);

        l.tls = l.tls || word == 0;
        l.proxy_protocol = l.proxy_protocol || word == 1;
    }
    for (size_t i = 0; i < b->s->n_listens; i++) {
        if (addr_eq(&b->s->listens[i].addr, &l.addr)) {
            conf_error(b->d, s->args[0].at, "this address is listened on twice");
            return;
        }
    }
    if (b->s->admin.on && addr_eq(&b->s->admin.addr, &l.addr)) {
        conf_error(b->d, s->args[0].at, "this is the address of `admin`");
        return;
    }
    if (l.proxy_protocol && b->proxy_from.n == 0) {
        conf_error(b->d, s->at, "proxy_protocol needs `proxy_protocol_from CIDR…`");
        conf_hint(b->d, "only its peers may say who the client is");
        return;
    }
    l.proxy_trusted = l.proxy_protocol ? b->proxy_from : (struct cidr_set){0};
    b->s->listens[b->s->n_listens++] = l;
}

void set_proxy_protocol_from(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    (void)target;
    conf_cidrs(b, s->args, s->n_args, &b->proxy_from);
}

void set_trusted_proxies(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct cidr_set *set = &((struct settings *)target)->trusted_proxies;

    conf_cidrs(b, s->args, s->n_args, set);
    if (conf_cidrs_open(set)) {
        conf_warn(b->d, s->at,
                  "everybody is a trusted proxy: any client can claim any address");
    }
}

/* ---- admin ------------------------------------------------------------------------------ */

#define MIN_TOKEN 16

static bool is_local(const struct addr *a)
{
    struct cidr_set local;
    struct cidr list[3];

    (void)cidr_parse(STR("127.0.0.0/8"), &list[0]);
    (void)cidr_parse(STR("::1"), &list[1]);
    (void)cidr_parse(STR("unix"), &list[2]);
    local = (struct cidr_set){list, 3};
    return cidr_match(&local, a);
}

void set_admin(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct admin_settings *out = &((struct settings *)target)->admin;
    const struct conf_arg *token = conf_opt(s, "token");
    const char *why = "";

    out->text = s->args[0].text;
    if (!addr_parse(normalise_address(b, out->text), &out->addr, &why)) {
        conf_error(b->d, s->args[0].at, "not an address to listen on: %s", why);
        conf_hint(b->d, "write 127.0.0.1:9090 or unix:/run/larder/admin.sock");
        return;
    }
    out->on = true;
    out->token = token != NULL ? token->value : STR_NULL;
    if (out->token.n > 0 && out->token.n < MIN_TOKEN) {
        conf_error(b->d, token->at, "this token can be guessed: at least %d bytes are needed",
                   MIN_TOKEN);
        conf_hint(b->d, "make one with: openssl rand -hex 32");
    }
    for (size_t i = 0; i < out->token.n; i++) {
        if (out->token.p[i] <= ' ' || out->token.p[i] > '~') {
            conf_error(b->d, token->at, "a token is of visible ASCII, without spaces");
            break;
        }
    }
    if (out->token.n == 0 && !is_local(&out->addr)) {
        conf_error(b->d, s->args[0].at,
                   "an admin address that others can reach needs token=SECRET");
        conf_hint(b->d, "or write 127.0.0.1:PORT, which only this machine can reach");
    }
}

/* ---- process ---------------------------------------------------------------------------- */

static unsigned count_cpus(void)
{
    cpu_set_t cpus;

    /* The CPUs of this process, which a container may have fewer of than the machine. */
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 0) {
        unsigned n = (unsigned)CPU_COUNT(&cpus);
        return n < MAX_WORKERS ? n : MAX_WORKERS;
    }
    return 1;
}

#define MIN_DEBUG_TOKEN 16 /* bytes */

void set_debug_token(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    out->debug_token = s->args[0].text;
    if (out->debug_token.n > 0 && out->debug_token.n < MIN_DEBUG_TOKEN) {
        conf_error(b->d, s->args[0].at, "the token has %zu bytes; at least %d are needed",
                   out->debug_token.n, MIN_DEBUG_TOKEN);
    }
}

void set_workers(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    uint64_t n;

    if (s == NULL || str_eq(s->args[0].text, STR("auto"))) {
        out->workers = count_cpus();
        return;
    }
    if (!str_to_u64(s->args[0].text, (uint64_t)s->is->max, &n) || n < (uint64_t)s->is->min) {
        conf_error(b->d, s->args[0].at, "`auto` or a number from 1 to 256 is expected");
        return;
    }
    out->workers = (unsigned)n;
}

void set_limits(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct limit_settings *limits = &((struct settings *)target)->limits;

    if (s->n_opts == 0) {
        conf_error(b->d, s->at, "`limits` needs at least one NAME=VALUE");
        return;
    }
    conf_options_given(b, s, limits);
}

/* ---- logs ------------------------------------------------------------------------------- */

/* Braces of a format are placeholders {name}; {{ is one brace. The access log knows the names.
 */
static bool check_format(struct conf_build *b, const struct conf_arg *arg)
{
    struct str text = arg->value;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '{') {
            continue;
        }
        struct str inside = str_skip(text, ++i);
        if (str_starts(inside, STR("{"))) {
            continue;
        }
        size_t n = str_index(inside, '}');
        if (n == inside.n || n == 0 || str_index(str_make(inside.p, n), '{') < n) {
            conf_error(b->d, arg->at, "a placeholder of the format is written {name}");
            return false;
        }
        i += n;
    }
    return true;
}

void set_log(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct settings *out = target;
    const struct conf_arg *format = conf_opt(s, "format");

    conf_options_given(b, s, NULL);
    if (s->args[0].text.n == 0) {
        conf_error(b->d, s->args[0].at, "`off`, `-` or a file is expected");
        return;
    }
    out->log_access = !str_eq(s->args[0].text, STR("off"));
    out->log_file = out->log_access ? s->args[0].text : STR_NULL;
    if (format == NULL || format->value.n == 0) {
        return;
    }
    if (str_eq(format->value, STR("json"))) {
        out->log_format = LOG_FORMAT_JSON;
    } else if (str_index(format->value, '{') == format->value.n) {
        conf_error(b->d, format->at, "`json` or a text with {placeholders} is expected");
    } else if (check_format(b, format)) {
        out->log_format = LOG_FORMAT_TEXT;
        out->log_template = format->value;
    }
}

void set_error_log(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    static const char *const words[] = {"debug", "info", "warn", "error", "json"};
    struct settings *out = target;
    const struct conf_arg *level = conf_opt(s, "level");

    for (size_t i = 0; i < s->n_args; i++) {
        int word = conf_choice(b, &s->args[i], words, 5);

        if (word == 4) {
            out->log_json = true;
        } else if (word >= 0) {
            out->log_level = (enum log_level)(LOG_DEBUG + word);
        }
    }
    int word = level != NULL ? conf_choice(b, level, levels, 4) : -1;
    if (word >= 0) {
        out->log_level = (enum log_level)(LOG_DEBUG + word);
    }
}

/* ---- sites ------------------------------------------------------------------------------ */

static bool host_byte(char c, bool literal)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_' || (literal && c == ':');
}

/* Lower case, no port, no dot at the end; NULL or the reason. */
static const char *clean_host(struct conf_build *b, struct str text, struct str *out)
{
    struct str name = conf_lower(b->keep, text);
    bool literal = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    size_t from = literal ? 1 : 0;

    if (!literal && name.n > 1 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    if (name.n == 0 || name.n > 255 || name.p[0] == '.') {
        return "a host name is expected";
    }
    if (str_index(name, '*') < name.n) {
        return "wildcards in host names are not available in this version";
    }
    for (size_t i = from; i < name.n - from; i++) {
        if (name.p[i] == ':' && !literal) {
            return "host names are compared without the port: leave it out";
        }
        if (!host_byte(name.p[i], literal)) {
            return "a host name is expected";
        }
    }
    *out = name;
    return NULL;
}

void conf_add_hosts(struct conf_build *b, const struct conf_arg *args, size_t n,
                    struct site_settings *out)
{
    struct str *to = conf_list_extend(b->keep, &out->hosts, n);
    size_t good = 0;

    for (size_t i = 0; i < n; i++) {
        const char *why = clean_host(b, args[i].text, &to[good]);

        if (why != NULL) {
            conf_error(b->d, args[i].at, "%s", why);
        } else {
            good++;
        }
    }
    out->hosts.n -= n - good;
}

void set_hosts(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    (void)target;
    conf_add_hosts(b, s->args, s->n_args, site(b));
}

static void check_file(struct conf_build *b, const struct conf_arg *arg)
{
    const char *why = conf_file_check(arg->value.p);

    if (why != NULL) {
        conf_error(b->d, arg->at, "cannot read this file: %s", why);
    }
}

void set_tls(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    struct site_settings *out = site(b);
    struct tls_settings *grown = arena_alloc(b->keep, (out->n_certs + 1) * sizeof(*grown));

    (void)target;
    check_file(b, &s->args[0]);
    check_file(b, &s->args[1]);
    if (out->n_certs > 0) {
        memcpy(grown, out->certs, out->n_certs * sizeof(*grown));
    }
    grown[out->n_certs++] = (struct tls_settings){s->args[0].text, s->args[1].text};
    out->certs = grown;
}

void set_redirect(struct conf_build *b, const struct conf_stmt *s, void *target)
{
    static const char *const words[] = {"https"};

    (void)target;
    site(b)->redirect_https = conf_choice(b, &s->args[0], words, 1) == 0;
}
