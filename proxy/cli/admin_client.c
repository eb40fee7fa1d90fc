/*
 * HTTP by libcurl's multi interface, because its poll takes a descriptor of ours: Ctrl-C ends a
 * request that waits. One handle, so that commands that ask again keep their connection. No
 * proxy of the environment, no redirect, no cookies. What comes is bounded, and parsed by
 * base/json, which refuses what is not exactly JSON.
 */
#include "cli/admin_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/admin_where.h"
#include "cli/admin_why.h"

#define BODY_MAX         (64u << 20)
#define DEPTH_MAX        32
#define TIMEOUT_DEFAULT  (10 * 1000)
#define TIMEOUT_MAX      (3600 * 1000)
#define CONNECT_TIME_MAX (5 * 1000)

struct admin_client {
    struct admin_where where;
    CURL *easy;
    CURLM *multi;
    struct curl_slist *fields; /* of the running or last request */
    struct strbuf body;        /* of the last answer */
    struct cJSON *json;        /* the same, parsed */
    msec_t timeout;            /* for one question */
    int stop_fd;
    char curl_words[CURL_ERROR_SIZE];
    struct strbuf why; /* NUL-terminated once there was a failure */
};

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct admin_client *c = arg;
    (void)size; /* always 1 */
    if (n > BODY_MAX - c->body.n) {
        return 0; /* ends the transfer with CURLE_WRITE_ERROR */
    }
    strbuf_add(&c->body, bytes, n);
    return n;
}

/* False after an error was printed. */
static bool read_timeout(const char *text, msec_t *out)
{
    const char *why = "";
    *out = TIMEOUT_DEFAULT;
    if (text == NULL) {
        return true;
    }
    if (duration_parse(str_from(text), out, &why) && *out > 0 && *out <= TIMEOUT_MAX) {
        return true;
    }
    fprintf(stderr, "larder: --timeout wants a duration such as 30s, at most 1h\n");
    return false;
}

/* What is the same for every request. */
static void set_up(struct admin_client *c)
{
    CURL *easy = c->easy;
    msec_t connect = c->timeout < CONNECT_TIME_MAX ? c->timeout : CONNECT_TIME_MAX;
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)c->timeout);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "larder/" LARDER_VERSION);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->curl_words);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (c->where.socket != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, c->where.socket);
    }
}

struct admin_client *admin_client_new(const struct admin_options *o, enum exit_code *code)
{
    struct admin_where where;
    msec_t timeout;
    if (!read_timeout(o->timeout, &timeout)) {
        *code = EXIT_USAGE;
        return NULL;
    }
    *code = admin_where_find(o, &where);
    if (*code != EXIT_OK) {
        return NULL;
    }
    struct admin_client *c = xcalloc(1, sizeof(*c));
    c->where = where;
    c->timeout = timeout;
    c->stop_fd = -1;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    c->easy = curl_easy_init();
    c->multi = curl_multi_init();
    if (c->easy == NULL || c->multi == NULL) {
        abort(); /* out of memory, as base/mem does */
    }
    set_up(c);
    return c;
}

void admin_client_free(struct admin_client *c)
{
    if (c == NULL) {
        return;
    }
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->fields);
    curl_global_cleanup();
    strbuf_free(&c->body);
    strbuf_free(&c->why);
    json_free(c->json);
    admin_where_fini(&c->where);
    free(c);
}

void admin_client_stop_on(struct admin_client *c, int fd)
{
    c->stop_fd = fd;
}

/* ---- one request ------------------------------------------------------------------------- */

static void add_field(struct admin_client *c, const char *name, const char *value)
{
    struct strbuf line = {0};
    strbuf_addf(&line, "%s: %s", name, value);
    strbuf_add_char(&line, '\0');
    struct curl_slist *list = curl_slist_append(c->fields, line.p);
    strbuf_free(&line);
    if (list == NULL) {
        abort(); /* out of memory */
    }
    c->fields = list;
}

static void set_request(struct admin_client *c, const struct admin_ask *ask)
{
    struct strbuf url = {0};
    strbuf_add_str(&url, str_from(c->where.base));
    strbuf_add_str(&url, ask->target);
    strbuf_add_char(&url, '\0');
    curl_slist_free_all(c->fields);
    c->fields = NULL;
    add_field(c, "Accept", "application/json");
    if (c->where.token != NULL) {
        struct strbuf value = {0};
        strbuf_addf(&value, "Bearer %s", c->where.token);
        strbuf_add_char(&value, '\0');
        add_field(c, "Authorization", value.p);
        strbuf_free(&value);
    }
    curl_easy_setopt(c->easy, CURLOPT_URL, url.p);
    strbuf_free(&url);
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (ask->body.p != NULL || strcmp(ask->method, "POST") == 0) {
        add_field(c, "Content-Type", "application/json");
        add_field(c, "Expect", "");
        curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE, (long)ask->body.n);
        curl_easy_setopt(c->easy, CURLOPT_COPYPOSTFIELDS, ask->body.n > 0 ? ask->body.p : "");
    } else {
        curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, ask->method);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->fields);
}

/* Runs the request to its end; CURLE_ABORTED_BY_CALLBACK when stop_fd became readable. */
static CURLcode perform(struct admin_client *c)
{
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int running = 1;
    curl_multi_add_handle(c->multi, c->easy);
    while (curl_multi_perform(c->multi, &running) == CURLM_OK && running > 0) {
        struct curl_waitfd stop = {.fd = c->stop_fd, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(c->multi, &stop, c->stop_fd >= 0 ? 1 : 0, 1000, NULL);
        if (stop.revents != 0) {
            break;
        }
    }
    if (running == 0) {
        int left;
        const CURLMsg *m = curl_multi_info_read(c->multi, &left);
        result = m != NULL ? m->data.result : CURLE_FAILED_INIT;
    }
    curl_multi_remove_handle(c->multi, c->easy);
    return result;
}

static enum exit_code judge(struct admin_client *c, const struct admin_ask *ask, CURLcode code,
                            const struct admin_reply *reply)
{
    struct admin_failure f = {
        .address = c->where.shown,
        .socket = c->where.socket,
        .token = c->where.token != NULL,
        .timeout = c->timeout,
        .curl = code,
        .curl_words = c->curl_words,
        .status = reply->status,
        .json = reply->json,
    };
    if (code != CURLE_OK) {
        curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &f.error);
        return admin_why_no_answer(&f, &c->why);
    }
    if (reply->status < 200 || reply->status > 299) {
        return admin_why_refused(&f, &c->why);
    }
    bool known = ask->expect == NULL || json_get(reply->json, str_from(ask->expect)) != NULL;
    return reply->json != NULL && known ? EXIT_OK : admin_why_stranger(&f, &c->why);
}

enum exit_code admin_client_ask(struct admin_client *c, const struct admin_ask *ask,
                                struct admin_reply *reply)
{
    c->body.n = 0;
    c->curl_words[0] = '\0';
    json_free(c->json);
    c->json = NULL;
    strbuf_free(&c->why);
    *reply = (struct admin_reply){0};
    set_request(c, ask);
    CURLcode code = perform(c);
    if (code == CURLE_OK) {
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &reply->status);
        reply->text = strbuf_str(&c->body);
        c->json = json_parse(reply->text, BODY_MAX, DEPTH_MAX, NULL);
        reply->json = c->json;
    }
    enum exit_code result = judge(c, ask, code, reply);
    strbuf_add_char(&c->why, '\0');
    return result;
}

const char *admin_client_why(const struct admin_client *c)
{
    return c->why.n > 0 ? c->why.p : "";
}

enum exit_code admin_client_fetch(struct admin_client *c, const struct admin_ask *ask,
                                  struct admin_reply *reply)
{
    enum exit_code code = admin_client_ask(c, ask, reply);
    if (code != EXIT_OK) {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
    }
    return code;
}

int admin_client_show(const struct admin_options *o, const char *target, const char *expect,
                      int (*show)(const struct admin_reply *reply, void *arg), void *arg)
{
    enum exit_code code;
    struct admin_client *c = admin_client_new(o, &code);
    if (c == NULL) {
        return code;
    }
    struct admin_reply reply;
    const struct admin_ask ask = {
        .method = "GET", .target = str_from(target), .expect = expect};
    int result = (int)admin_client_ask(c, &ask, &reply);
    if (result == EXIT_OK || json_get(reply.json, str_from(expect)) != NULL) {
        result = show(&reply, arg);
    } else {
        fprintf(stderr, "larder: %s\n", admin_client_why(c));
    }
    admin_client_free(c);
    return fflush(stdout) == 0 ? result : EXIT_FAILED;
}

const char *admin_client_address(const struct admin_client *c)
{
    return c->where.shown;
}

/* ---- targets ----------------------------------------------------------------------------- */

void admin_target_segment(struct strbuf *target, struct str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char b = (unsigned char)value.p[i];
        if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
            (b != 0 && strchr("-._~", b) != NULL)) {
            strbuf_add_char(target, (char)b);
        } else {
            strbuf_addf(target, "%%%02X", b);
        }
    }
}

void admin_target_add(struct strbuf *target, const char *name, struct str value)
{
    bool first = str_index(strbuf_str(target), '?') == target->n;
    strbuf_addf(target, "%c%s=", first ? '?' : '&', name);
    admin_target_segment(target, value);
}
