/*
 * The token of a configuration goes to the address of that configuration only: with --admin
 * somebody else may listen there.
 */
#include "cli/admin_where.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/str.h"
#include "cli/admin_client.h"
#include "config.h"

#define TOKEN_FILE_MAX 4096

static char *text_of(struct strbuf *b)
{
    char *text = str_dup(strbuf_str(b));
    strbuf_free(b);
    return text;
}

/* Letters that an authority or a path may hold; not `@`, which would hide a password. */
static bool is_url_text(const char *p)
{
    for (; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f ||
            strchr("@\\\"<>^`{|}?#", *p) != NULL) {
            return false;
        }
    }
    return true;
}

static bool parse_url(const char *text, struct admin_where *out)
{
    struct str base = str_from(text);
    const char *host = strstr(text, "://") + 3;
    if (host[0] == '\0' || host[0] == '/' || !is_url_text(text)) {
        return false;
    }
    while (base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    out->base = str_dup(base);
    out->shown = str_dup(base);
    return true;
}

/* The host to connect to for one that only a server can bind. */
static struct str reachable(struct str host)
{
    if (host.n == 0 || str_eq(host, STR("*")) || str_eq(host, STR("0.0.0.0"))) {
        return STR("127.0.0.1");
    }
    return str_eq(host, STR("[::]")) ? STR("[::1]") : host;
}

static bool parse_host_port(const char *text, struct admin_where *out)
{
    const char *colon = strrchr(text, ':');
    struct str host = colon != NULL ? str_make(text, (size_t)(colon - text)) : STR("");
    struct str port = str_from(colon != NULL ? colon + 1 : text);
    uint64_t number;
    struct strbuf base = {0}, shown = {0};
    if (!str_to_u64(port, 65535, &number) || number == 0 || !is_url_text(text) ||
        str_index(host, '/') < host.n ||
        (host.n > 0 && host.p[0] != '[' && str_index(host, ':') < host.n)) {
        return false;
    }
    host = reachable(host);
    strbuf_addf(&shown, "%.*s:%u", STR_ARG(host), (unsigned)number);
    strbuf_addf(&base, "http://%.*s", (int)shown.n, shown.p);
    out->shown = text_of(&shown);
    out->base = text_of(&base);
    return true;
}

bool admin_where_parse(const char *text, struct admin_where *out)
{
    if (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0) {
        return parse_url(text, out);
    }
    if (strncmp(text, "unix:", 5) != 0) {
        return parse_host_port(text, out);
    }
    if (text[5] == '\0') {
        return false;
    }
    out->socket = str_dup(str_from(text + 5));
    out->shown = str_dup(str_from(text));
    out->base = str_dup(STR("http://localhost"));
    return true;
}

void admin_where_fini(struct admin_where *w)
{
    free(w->shown);
    free(w->base);
    free(w->socket);
    free(w->token);
    *w = (struct admin_where){0};
}

/* A token travels in a header field: one line of visible characters. */
static char *checked_token(struct str token, const char *source)
{
    token = str_trim(token);
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.p[i] <= ' ' || (unsigned char)token.p[i] >= 0x7f) {
            fprintf(stderr, "larder: the token in %s holds a blank or a control character\n",
                    source);
            return NULL;
        }
    }
    if (token.n == 0) {
        fprintf(stderr, "larder: there is no token in %s\n", source);
        return NULL;
    }
    return str_dup(token);
}

static char *token_of_file(const char *path)
{
    char text[TOKEN_FILE_MAX];
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof(text), f) : 0;
    if (f == NULL || ferror(f)) {
        fprintf(stderr, "larder: cannot read the token file %s: %s\n", path, strerror(errno));
        if (f != NULL) {
            fclose(f);
        }
        return NULL;
    }
    fclose(f);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    return checked_token(str_make(text, n), path);
}

/* What was given by hand beats what the configuration says. False after an error. */
static bool find_token(const struct admin_options *o, struct admin_where *out)
{
    const char *environment = getenv("LARDER_TOKEN");
    char *token = NULL;
    if (o->token_file != NULL) {
        token = token_of_file(o->token_file);
    } else if (environment != NULL && environment[0] != '\0') {
        token = checked_token(str_from(environment), "LARDER_TOKEN");
    } else {
        return true;
    }
    free(out->token);
    out->token = token;
    return token != NULL;
}

/* The `admin` of the configuration. */
static enum exit_code find_in_config(const struct admin_options *o, struct admin_where *out)
{
    const char *path = options_config_path(o->config);
    struct config_report report = {0};
    struct settings *s = config_load(path, &report);
    enum exit_code code = EXIT_FAILED;
    if (s == NULL) {
        options_print_report(&report);
        fprintf(stderr, "larder: %s is not usable; name the admin plane with --admin ADDRESS\n",
                path);
        return EXIT_FAILED;
    }
    strbuf_free(&report.text); /* warnings are for `check` */
    if (!s->admin.on) {
        fprintf(stderr,
                "larder: %s has no `admin`; add one, such as `admin 127.0.0.1:9090`, or name "
                "the address with --admin\n",
                path);
    } else {
        char address[ADDR_TEXT_MAX];
        addr_text(&s->admin.addr, address);
        if (admin_where_parse(address, out)) {
            out->token = s->admin.token.n > 0 ? str_dup(s->admin.token) : NULL;
            code = EXIT_OK;
        }
    }
    settings_unref(s);
    return code;
}

enum exit_code admin_where_find(const struct admin_options *o, struct admin_where *out)
{
    enum exit_code code = EXIT_OK;
    *out = (struct admin_where){0};
    if (o->admin == NULL) {
        code = find_in_config(o, out);
    } else if (!admin_where_parse(o->admin, out)) {
        fprintf(stderr, "larder: --admin wants HOST:PORT, unix:/PATH or a URL\n");
        code = EXIT_USAGE;
    }
    if (code == EXIT_OK && !find_token(o, out)) {
        code = EXIT_FAILED;
    }
    if (code != EXIT_OK) {
        admin_where_fini(out);
    }
    return code;
}
