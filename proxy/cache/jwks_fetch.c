/*
 * The transfer of a JWK set: options of the easy handle, and callbacks that gather the body up
 * to the limit and the max-age of the last response's Cache-Control (RFC 9111 section 5.2.2.1).
 */
#include "cache/jwks_fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/jwk.h"

struct jwks_fetch {
    CURL *easy;
    struct curl_slist *fields; /* request fields, kept for the life of the handle */
    struct strbuf body;        /* of the running or last transfer */
    msec_t max_age;            /* of the last response seen; -1: none */
    char why[CURL_ERROR_SIZE]; /* curl's words, or ours */
};

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct jwks_fetch *f = arg;
    (void)size; /* always 1 */
    if (n > JWK_SET_MAX_BYTES - f->body.n) {
        return 0; /* ends the transfer with CURLE_WRITE_ERROR */
    }
    strbuf_add(&f->body, bytes, n);
    return n;
}

static void read_max_age(struct jwks_fetch *f, struct str value)
{
    struct str directive;
    while (str_next(&value, ',', &directive)) {
        size_t at = str_index(directive, '=');
        uint64_t seconds;
        if (str_ieq(str_make(directive.p, at), STR("max-age")) &&
            str_to_u64(str_skip(directive, at + 1), UINT32_MAX, &seconds)) {
            f->max_age = (msec_t)seconds * 1000;
        }
    }
}

/* Each header line; also those of redirects, so a status line starts anew. */
static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct jwks_fetch *f = arg;
    (void)size;
    struct str line = str_make(bytes, n);
    if (str_starts(line, STR("HTTP/"))) {
        f->max_age = -1;
        return n;
    }
    size_t colon = str_index(line, ':');
    if (str_ieq(str_make(line.p, colon), STR("cache-control"))) {
        while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n')) {
            line.n--;
        }
        read_max_age(f, str_skip(line, colon + 1));
    }
    return n;
}

static void set_limits(CURL *easy, msec_t connect_timeout, msec_t total_timeout)
{
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)total_timeout);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)JWK_SET_MAX_BYTES);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 3L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    /* A name lookup that hangs must not hold up the end of the process or a reload. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

struct jwks_fetch *jwks_fetch_new(struct str url, msec_t connect_timeout, msec_t total_timeout,
                                  void *owner)
{
    struct jwks_fetch *f = xcalloc(1, sizeof(*f));
    f->easy = curl_easy_init();
    f->fields = curl_slist_append(NULL, "Accept: application/jwk-set+json, application/json");
    if (f->easy == NULL || f->fields == NULL) {
        abort(); /* out of memory, as base/mem does */
    }
    bool tls = url.n >= 6 && str_ieq(str_make(url.p, 6), STR("https:"));
    char *text = str_dup(url);
    curl_easy_setopt(f->easy, CURLOPT_URL, text);
    free(text);
    curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(f->easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(f->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(f->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->fields);
    curl_easy_setopt(f->easy, CURLOPT_USERAGENT, "larder/" LARDER_VERSION);
    curl_easy_setopt(f->easy, CURLOPT_PRIVATE, owner);
    curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->why);
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
    set_limits(f->easy, connect_timeout, total_timeout);
    return f;
}

void jwks_fetch_free(struct jwks_fetch *f)
{
    if (f == NULL) {
        return;
    }
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->fields);
    strbuf_free(&f->body);
    free(f);
}

void jwks_fetch_start(struct jwks_fetch *f, CURLM *multi)
{
    strbuf_free(&f->body);
    f->max_age = -1;
    f->why[0] = '\0';
    curl_multi_add_handle(multi, f->easy);
}

void jwks_fetch_stop(struct jwks_fetch *f, CURLM *multi)
{
    curl_multi_remove_handle(multi, f->easy);
}

void jwks_fetch_read(struct jwks_fetch *f, CURLcode code, struct jwks_fetch_result *out)
{
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    *out = (struct jwks_fetch_result){.why = f->why, .max_age = f->max_age};
    if (code != CURLE_OK) {
        if (f->why[0] == '\0') {
            snprintf(f->why, sizeof(f->why), "%s", curl_easy_strerror(code));
        }
    } else if (status != 200) {
        snprintf(f->why, sizeof(f->why), "the answer's status is %ld", status);
    } else {
        out->ok = true;
        out->body = strbuf_str(&f->body);
    }
}

void *jwks_fetch_owner(CURL *easy)
{
    void *owner = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
    return owner;
}
