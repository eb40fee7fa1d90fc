/*
 * cache/jwks: local sources and their errors, and the fetching thread against a real HTTP
 * server on loopback: retries, refetches, early fetches for an unknown kid, what it refuses to
 * follow or read, and that it ends at once in the middle of a fetch.
 *
 * Where a test must show that something does not happen, a second source that is refetched all
 * the time ("/tick") is the clock: it passes only if the thread had every chance to do it.
 */
#include "unit.h"

#include "tokens.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/arena.h"
#include "base/log.h"
#include "cache/jwks.h"
#include "cache/jwt.h"

#define MAX_HELD 64

/* ---- the server ------------------------------------------------------------------------- */

enum mode {
    SERVE,     /* 200 with `body` */
    FAIL,      /* 500 */
    HANG,      /* takes the request and never answers */
    REDIRECT,  /* 302 to `location` */
    HUGE_BODY, /* 200 with a length of 300 KiB */
    FLOOD,     /* 200 without a length, 64 MiB unless the client has enough before */
    CUT,       /* 200 with a length, closed in the middle */
    TLS,       /* a TLS handshake with a certificate of its own making */
};

struct server {
    int fd;
    unsigned port;
    int wake[2];
    pthread_t thread;
    pthread_mutex_t lock; /* of the three texts */
    char *body;
    char *fields; /* more response fields, each with CRLF */
    char *location;
    atomic_int mode;
    atomic_int keys;       /* requests for /keys */
    atomic_int ticks;      /* requests for /tick */
    atomic_int other;      /* requests for anything else, and TLS handshakes */
    atomic_size_t flooded; /* bytes of FLOOD bodies that went out */
    SSL_CTX *tls;
    int held[MAX_HELD];
    size_t n_held;
};

static const char empty_set[] = "{\"keys\":[]}";

static bool send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        text += sent;
        n -= (size_t)sent;
    }
    return true;
}

static void answer(int fd, const char *status, const char *fields, const char *body, size_t n)
{
    char *head = tokens_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s"
                               "\r\n",
                               status, n, fields);
    send_all(fd, head, strlen(head));
    send_all(fd, body, n);
    free(head);
}

/* Reads a request head; false when the peer leaves first. */
static bool read_head(int fd, char *head, size_t size)
{
    size_t n = 0;
    while (n + 1 < size) {
        ssize_t got = recv(fd, head + n, size - 1 - n, 0);
        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        head[n] = '\0';
        if (head[0] == 0x16) { /* a TLS ClientHello */
            return true;
        }
        if (strstr(head, "\r\n\r\n") != NULL) {
            return true;
        }
    }
    return false;
}

static void shake_hands(struct server *s, int fd)
{
    SSL *ssl = SSL_new(s->tls);
    SSL_set_fd(ssl, fd);
    char byte;
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1) {
        atomic_fetch_add(&s->keys, 1); /* a client that does not verify gets here */
    }
    SSL_free(ssl);
    atomic_fetch_add(&s->other, 1);
}

static void serve_keys(struct server *s, int fd)
{
    static char flood[300 * 1024];
    pthread_mutex_lock(&s->lock);
    switch (atomic_load(&s->mode)) {
    case SERVE: answer(fd, "200 OK", s->fields, s->body, strlen(s->body)); break;
    case FAIL: answer(fd, "500 Oops", "", s->body, strlen(s->body)); break;
    case REDIRECT: {
        char *field = tokens_printf("Location: %s\r\n", s->location);
        answer(fd, "302 Found", field, "", 0);
        free(field);
        break;
    }
    case HUGE_BODY:
        memset(flood, ' ', sizeof(flood));
        answer(fd, "200 OK", "", flood, sizeof(flood));
        break;
    case FLOOD:
        memset(flood, ' ', sizeof(flood));
        send_all(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 38);
        for (int i = 0; i < 220 && send_all(fd, flood, sizeof(flood)); i++) {
            atomic_fetch_add(&s->flooded, sizeof(flood));
        }
        break;
    case CUT: send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"ke", 43); break;
    default: break;
    }
    pthread_mutex_unlock(&s->lock);
}

static void serve(struct server *s, int fd)
{
    char head[4096];
    if (atomic_load(&s->mode) == TLS) {
        shake_hands(s, fd);
    } else if (!read_head(fd, head, sizeof(head))) {
        /* A client that went away; nothing to answer. */
    } else if (strncmp(head, "GET /tick ", 10) == 0) {
        answer(fd, "200 OK", "Cache-Control: max-age=0\r\n", empty_set, strlen(empty_set));
        atomic_fetch_add(&s->ticks, 1);
    } else if (strncmp(head, "GET /keys ", 10) == 0) {
        if (atomic_load(&s->mode) == HANG && s->n_held < MAX_HELD) {
            s->held[s->n_held++] = fd;
            atomic_fetch_add(&s->keys, 1);
            return;
        }
        serve_keys(s, fd);
        atomic_fetch_add(&s->keys, 1);
    } else {
        pthread_mutex_lock(&s->lock);
        answer(fd, "200 OK", "", s->body, strlen(s->body));
        pthread_mutex_unlock(&s->lock);
        atomic_fetch_add(&s->other, 1);
    }
    close(fd);
}

static void *server_thread(void *arg)
{
    struct server *s = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN},
                                {.fd = s->wake[0], .events = POLLIN}};
        poll(fds, 2, -1);
        if (fds[1].revents != 0) {
            return NULL;
        }
        int fd = accept(s->fd, NULL, NULL);
        if (fd >= 0) {
            struct timeval limit = {.tv_sec = 5};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
            serve(s, fd);
        }
    }
}

static SSL_CTX *self_signed(void)
{
    EVP_PKEY *pkey = tokens_ec("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    X509_set_pubkey(x, pkey);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"127.0.0.1", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pkey), 1);
    X509_free(x);
    EVP_PKEY_free(pkey);
    return ctx;
}

static struct server *server_new(enum mode mode, const char *body)
{
    struct server *s = xcalloc(1, sizeof(*s));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pipe(s->wake), 0);
    pthread_mutex_init(&s->lock, NULL);
    s->body = xstrdup(body);
    s->fields = xstrdup("");
    s->location = xstrdup("");
    atomic_store(&s->mode, mode);
    s->tls = self_signed();
    assert_int_equal(pthread_create(&s->thread, NULL, server_thread, s), 0);
    return s;
}

static void server_free(struct server *s)
{
    assert_int_equal(write(s->wake[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    for (size_t i = 0; i < s->n_held; i++) {
        close(s->held[i]);
    }
    close(s->fd);
    close(s->wake[0]);
    close(s->wake[1]);
    SSL_CTX_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s->body);
    free(s->fields);
    free(s->location);
    free(s);
}

static void server_set(struct server *s, char **text, const char *value)
{
    pthread_mutex_lock(&s->lock);
    free(*text);
    *text = xstrdup(value);
    pthread_mutex_unlock(&s->lock);
}

/* ---- settings --------------------------------------------------------------------------- */

#define DAY (24 * 3600 * 1000)

/* Nothing by itself but /tick, which asks for max-age=0. */
static const struct jwks_timing slow = {
    .period = DAY,
    .period_min = 5,
    .period_max = DAY,
    .retry_min = DAY,
    .retry_max = DAY,
    .early_gap = DAY,
    .connect_timeout = 2000,
    .total_timeout = 5000,
};

struct fixture {
    struct server *server;
    struct settings settings;
    struct jwt_settings jwts[2];
    char *url;
    char *tick;
    struct jwks *jwks;
};

static void fixture_init(struct fixture *f, struct server *server,
                         const struct jwks_timing *timing, const char *scheme)
{
    const char *error = NULL;
    memset(f, 0, sizeof(*f));
    f->server = server;
    f->url = tokens_printf("%s://127.0.0.1:%u/keys", scheme, server->port);
    f->tick = tokens_printf("http://127.0.0.1:%u/tick", server->port);
    f->jwts[0] = (struct jwt_settings){
        .name = STR("main"), .algs = JWT_HS256 | JWT_ES256, .jwks = str_from(f->url)};
    f->jwts[1] = (struct jwt_settings){
        .name = STR("tick"), .algs = JWT_ES256, .jwks = str_from(f->tick), .index = 1};
    f->settings.jwts = f->jwts;
    f->settings.n_jwts = 2;
    f->jwks = jwks_new(&f->settings, timing, &error);
    assert_non_null(f->jwks);
}

static void fixture_fini(struct fixture *f)
{
    jwks_free(f->jwks);
    server_free(f->server);
    free(f->url);
    free(f->tick);
}

static msec_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (msec_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until the condition holds; fails the test after ten seconds. */
#define wait_until(condition)                                        \
    do {                                                             \
        for (msec_t limit = now_ms() + 10000; !(condition);) {       \
            if (now_ms() > limit) {                                  \
                fail_msg("not within 10 s: %s", #condition);         \
            }                                                        \
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); \
        }                                                            \
    } while (0)

/* Ten more rounds of the thread. */
static void wait_ticks(struct fixture *f)
{
    int from = atomic_load(&f->server->ticks);
    wait_until(atomic_load(&f->server->ticks) >= from + 10);
}

static char *oct_set(const char *kid)
{
    char *k = tokens_b64(TOKENS_SECRET, strlen(TOKENS_SECRET));
    char *text =
        tokens_printf("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"%s\",\"k\":\"%s\"}]}", kid, k);
    free(k);
    return text;
}

static bool has_kid(struct jwks *k, const char *kid)
{
    uint64_t generation;
    struct jwk_set *set = jwks_get(k, 0, &generation);
    bool found = set != NULL && set->n == 1 && strcmp(set->keys[0].kid, kid) == 0;
    jwk_set_unref(set);
    return found;
}

/* ---- local sources ---------------------------------------------------------------------- */

static char *temporary(const char *text, size_t n)
{
    char *path = xstrdup("/tmp/larder-test-jwks-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
    return path;
}

/* Loads one directive; the error is compared, NULL: none may come. */
static void loads(struct jwt_settings jwt, const char *expected)
{
    struct settings s = {.jwts = &jwt, .n_jwts = 1};
    const char *error = NULL;
    jwt.name = STR("main");
    struct jwks *k = jwks_new(&s, &jwks_timing_default, &error);
    if (expected == NULL) {
        assert_non_null(k);
        uint64_t generation = 0;
        struct jwk_set *set = jwks_get(k, 0, &generation);
        assert_non_null(set);
        assert_true(generation != 0);
        assert_int_equal(generation, jwks_generation(k, 0));
        assert_false(jwks_want(k, 0));
        jwk_set_unref(set);
    } else {
        assert_null(k);
        if (strstr(error, expected) == NULL || strstr(error, "main") == NULL) {
            fail_msg("\"%s\" where \"%s\" was expected", error, expected);
        }
    }
    jwks_free(k);
}

static void test_local(void **state)
{
    (void)state;
    EVP_PKEY *ec = tokens_ec("P-256");
    char *pem = tokens_pem(ec);
    char *jwk = tokens_jwk(ec, "\"kid\":\"a\",");
    char *set = tokens_printf("{\"keys\":[%s]}", jwk);
    char *pem_file = temporary(pem, strlen(pem));
    char *set_file = temporary(set, strlen(set));
    char *big = xcalloc(JWK_SET_MAX_BYTES + 1, 1);
    char *big_file = temporary(big, JWK_SET_MAX_BYTES + 1);
    char *empty_file = temporary("", 0);
    struct str pem_path = str_from(pem_file);
    struct str set_path = str_from(set_file);

    loads((struct jwt_settings){.algs = JWT_HS256, .secret = STR(TOKENS_SECRET)}, NULL);
    loads((struct jwt_settings){.algs = JWT_ES256, .key_file = pem_path}, NULL);
    loads((struct jwt_settings){.algs = JWT_ES256 | JWT_RS256, .jwks = set_path}, NULL);
    loads((struct jwt_settings){.algs = JWT_HS256, .secret = STR("short")}, "32 bytes");
    loads((struct jwt_settings){.algs = JWT_RS256, .key_file = pem_path}, "alg");
    loads((struct jwt_settings){.algs = JWT_RS256, .jwks = set_path}, "alg");
    loads((struct jwt_settings){.algs = JWT_ES256, .jwks = pem_path}, pem_file);
    loads((struct jwt_settings){.algs = JWT_ES256, .key_file = set_path}, "PEM");
    loads((struct jwt_settings){.algs = JWT_ES256, .jwks = str_from(big_file)}, "256 KiB");
    loads((struct jwt_settings){.algs = JWT_ES256, .jwks = str_from(empty_file)}, "empty");
    loads((struct jwt_settings){.algs = JWT_ES256, .key_file = STR("/nonexistent/k")},
          "key_file /nonexistent/k: No such file");
    loads((struct jwt_settings){.algs = JWT_ES256, .jwks = STR("/tmp")}, "/tmp");
    char *const files[] = {pem_file, set_file, big_file, empty_file};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        unlink(files[i]);
        free(files[i]);
    }
    free(big);
    free(set);
    free(jwk);
    free(pem);
    EVP_PKEY_free(ec);
}

static void test_generations_are_unique(void **state)
{
    (void)state;
    struct jwt_settings jwts[2] = {
        {.name = STR("a"), .algs = JWT_HS256, .secret = STR(TOKENS_SECRET)},
        {.name = STR("b"), .algs = JWT_HS256, .secret = STR(TOKENS_SECRET), .index = 1},
    };
    struct settings s = {.jwts = jwts, .n_jwts = 2};
    const char *error = NULL;
    struct jwks *first = jwks_new(&s, &jwks_timing_default, &error);
    struct jwks *second = jwks_new(&s, &jwks_timing_default, &error);
    assert_non_null(first);
    assert_non_null(second);
    uint64_t seen[4] = {jwks_generation(first, 0), jwks_generation(first, 1),
                        jwks_generation(second, 0), jwks_generation(second, 1)};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
    jwks_free(first);
    jwks_free(second);
}

/* ---- fetching --------------------------------------------------------------------------- */

static void test_fetch(void **state)
{
    (void)state;
    struct fixture f;
    char *set = oct_set("k1");
    fixture_init(&f, server_new(SERVE, set), &slow, "http");
    wait_until(jwks_generation(f.jwks, 0) != 0);
    assert_true(has_kid(f.jwks, "k1"));
    wait_ticks(&f);
    assert_int_equal(atomic_load(&f.server->keys), 1);
    fixture_fini(&f);
    free(set);
}

static void test_retry_until_it_answers(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    char *set = oct_set("k1");
    timing.retry_min = 2;
    timing.retry_max = 10;
    static const enum mode faults[] = {FAIL, HUGE_BODY, CUT};
    fixture_init(&f, server_new(FAIL, set), &timing, "http");
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        int from = atomic_load(&f.server->keys);
        atomic_store(&f.server->mode, faults[i]);
        wait_until(atomic_load(&f.server->keys) >= from + 3);
        assert_int_equal(jwks_generation(f.jwks, 0), 0);
    }
    server_set(f.server, &f.server->body, "<html>sign in</html>");
    atomic_store(&f.server->mode, SERVE);
    int from = atomic_load(&f.server->keys);
    wait_until(atomic_load(&f.server->keys) >= from + 3);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    server_set(f.server, &f.server->body, set);
    wait_until(jwks_generation(f.jwks, 0) != 0);
    assert_true(has_kid(f.jwks, "k1"));
    fixture_fini(&f);
    free(set);
}

/* An endless body is cut off at the limit (what the sockets' buffers hold goes out anyway). */
static void test_flood(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, server_new(FLOOD, empty_set), &slow, "http");
    wait_until(atomic_load(&f.server->keys) == 1);
    assert_true(atomic_load(&f.server->flooded) < 32u << 20);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    fixture_fini(&f);
}

/* The same set again changes nothing; a failure neither; another set does. */
static void test_refetch(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    char *one = oct_set("k1");
    char *two = oct_set("k2");
    timing.period = 5;
    timing.retry_min = 2;
    timing.retry_max = 10;
    fixture_init(&f, server_new(SERVE, one), &timing, "http");
    wait_until(jwks_generation(f.jwks, 0) != 0);
    uint64_t generation = jwks_generation(f.jwks, 0);
    int from = atomic_load(&f.server->keys);
    wait_until(atomic_load(&f.server->keys) >= from + 4);
    assert_int_equal(jwks_generation(f.jwks, 0), generation);
    from = atomic_load(&f.server->keys);
    atomic_store(&f.server->mode, FAIL);
    wait_until(atomic_load(&f.server->keys) >= from + 4);
    assert_int_equal(jwks_generation(f.jwks, 0), generation);
    assert_true(has_kid(f.jwks, "k1"));
    server_set(f.server, &f.server->body, two);
    atomic_store(&f.server->mode, SERVE);
    wait_until(has_kid(f.jwks, "k2"));
    assert_true(jwks_generation(f.jwks, 0) > generation);
    fixture_fini(&f);
    free(one);
    free(two);
}

/* A max-age is obeyed within its bounds; here the upper one is what makes it come again. */
static void test_max_age(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    char *set = oct_set("k1");
    struct server *server = server_new(SERVE, set);
    timing.period_max = 20;
    server_set(server, &server->fields,
               "Cache-Control: public, MAX-AGE=31536000, immutable\r\n");
    fixture_init(&f, server, &timing, "http");
    wait_until(atomic_load(&server->keys) >= 3);
    /* Without one, the period counts, which is a day. */
    server_set(server, &server->fields, "Cache-Control: no-cache\r\n");
    wait_ticks(&f);
    int from = atomic_load(&server->keys);
    wait_ticks(&f);
    assert_int_equal(atomic_load(&server->keys), from);
    fixture_fini(&f);
    free(set);
}

static void test_want(void **state)
{
    (void)state;
    struct fixture f;
    char *one = oct_set("k1");
    char *two = oct_set("k2");
    fixture_init(&f, server_new(SERVE, one), &slow, "http");
    wait_until(has_kid(f.jwks, "k1"));
    server_set(f.server, &f.server->body, two);
    assert_true(jwks_want(f.jwks, 0));
    wait_until(has_kid(f.jwks, "k2"));
    assert_int_equal(atomic_load(&f.server->keys), 2);
    for (int i = 0; i < 1000; i++) {
        assert_true(jwks_want(f.jwks, 0));
    }
    wait_ticks(&f);
    assert_int_equal(atomic_load(&f.server->keys), 2);
    fixture_fini(&f);
    free(one);
    free(two);
}

static void test_want_waits_while_failing(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    timing.early_gap = 1;
    fixture_init(&f, server_new(FAIL, empty_set), &timing, "http");
    wait_until(atomic_load(&f.server->keys) == 1);
    for (int i = 0; i < 5; i++) {
        wait_ticks(&f);
        assert_true(jwks_want(f.jwks, 0));
    }
    wait_ticks(&f);
    assert_int_equal(atomic_load(&f.server->keys), 1);
    fixture_fini(&f);
}

/* ---- what is not followed or believed --------------------------------------------------- */

static void test_redirects(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "file://%f", "ftp://127.0.0.1/keys",           "gopher://127.0.0.1:1/",
        "dict://h/", "https://127.0.0.1:%u/elsewhere",
    };
    char *set = oct_set("k1");
    char *file = temporary(set, strlen(set)); /* a set that would do, were it followed */
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct fixture f;
        struct server *server = server_new(REDIRECT, set);
        char port[8];
        snprintf(port, sizeof(port), "%u", server->port);
        const char *mark = strchr(refused[i], '%');
        char *location = mark == NULL
                             ? xstrdup(refused[i])
                             : tokens_printf("%.*s%s%s", (int)(mark - refused[i]), refused[i],
                                             mark[1] == 'f' ? file : port, mark + 2);
        server_set(server, &server->location, location);
        fixture_init(&f, server, &slow, "http");
        wait_until(atomic_load(&server->keys) == 1);
        wait_ticks(&f);
        assert_int_equal(jwks_generation(f.jwks, 0), 0);
        assert_int_equal(atomic_load(&server->other), 0);
        fixture_fini(&f);
        free(location);
    }
    unlink(file);
    free(file);
    /* Within the scheme, to another path; and round in circles. */
    struct fixture f;
    struct server *server = server_new(REDIRECT, set);
    server_set(server, &server->location, "/elsewhere");
    fixture_init(&f, server, &slow, "http");
    wait_until(has_kid(f.jwks, "k1"));
    assert_int_equal(atomic_load(&server->other), 1);
    fixture_fini(&f);
    server = server_new(REDIRECT, set);
    server_set(server, &server->location, "/keys");
    fixture_init(&f, server, &slow, "http");
    wait_until(atomic_load(&server->keys) == 4);
    wait_ticks(&f);
    assert_int_equal(atomic_load(&server->keys), 4);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    fixture_fini(&f);
    free(set);
}

static void test_unknown_certificate(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    timing.retry_min = 2;
    timing.retry_max = 5;
    char *set = oct_set("k1");
    fixture_init(&f, server_new(TLS, set), &timing, "https");
    wait_until(atomic_load(&f.server->other) >= 3);
    assert_int_equal(atomic_load(&f.server->keys), 0);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    fixture_fini(&f);
    free(set);
}

static void test_connection_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct server *gone = server_new(SERVE, empty_set);
    char *dead = tokens_printf("http://127.0.0.1:%u/keys", gone->port);
    server_free(gone);
    fixture_init(&f, server_new(SERVE, empty_set), &slow, "http");
    jwks_free(f.jwks);
    const char *error = NULL;
    f.jwts[0].jwks = str_from(dead);
    f.jwks = jwks_new(&f.settings, &slow, &error);
    assert_non_null(f.jwks);
    wait_ticks(&f);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    fixture_fini(&f);
    free(dead);
}

/* ---- ending ----------------------------------------------------------------------------- */

static void test_free_while_it_hangs(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, server_new(HANG, empty_set), &jwks_timing_default, "http");
    wait_until(atomic_load(&f.server->keys) == 1);
    msec_t start = now_ms();
    jwks_free(f.jwks);
    f.jwks = NULL;
    /* About a millisecond; the bound leaves room for sanitizers on a busy machine. */
    assert_true(now_ms() - start < 1000);
    fixture_fini(&f);
}

/* And while the thread sleeps for a day. */
static void test_free_while_it_sleeps(void **state)
{
    (void)state;
    struct fixture f;
    char *set = oct_set("k1");
    struct jwks_timing timing = slow;
    timing.period_min = DAY;
    fixture_init(&f, server_new(SERVE, set), &timing, "http");
    wait_until(has_kid(f.jwks, "k1"));
    wait_until(atomic_load(&f.server->ticks) == 1);
    msec_t start = now_ms();
    jwks_free(f.jwks);
    f.jwks = NULL;
    assert_true(now_ms() - start < 1000);
    fixture_fini(&f);
    free(set);
}

static void test_hanging_fetch_times_out(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    char *set = oct_set("k1");
    timing.total_timeout = 50;
    timing.retry_min = 2;
    timing.retry_max = 5;
    fixture_init(&f, server_new(HANG, set), &timing, "http");
    wait_until(atomic_load(&f.server->keys) >= 2);
    assert_int_equal(jwks_generation(f.jwks, 0), 0);
    /* The other source was served all the while. */
    wait_ticks(&f);
    atomic_store(&f.server->mode, SERVE);
    wait_until(has_kid(f.jwks, "k1"));
    fixture_fini(&f);
    free(set);
}

static void test_adopt(void **state)
{
    (void)state;
    struct fixture f;
    const char *error = NULL;
    char *set = oct_set("k1");
    fixture_init(&f, server_new(SERVE, set), &slow, "http");
    wait_until(has_kid(f.jwks, "k1"));
    atomic_store(&f.server->mode, HANG);
    struct jwks *next = jwks_new(&f.settings, &slow, &error);
    assert_non_null(next);
    wait_until(atomic_load(&f.server->keys) == 2);
    assert_int_equal(jwks_generation(next, 0), 0);
    jwks_adopt(next, f.jwks);
    assert_true(has_kid(next, "k1"));
    assert_true(jwks_generation(next, 0) > jwks_generation(f.jwks, 0));
    uint64_t generation = jwks_generation(next, 0);
    jwks_free(f.jwks);
    assert_true(has_kid(next, "k1"));
    /* What it has already is not replaced by something older. */
    f.jwks = next;
    jwks_adopt(next, next);
    assert_int_equal(jwks_generation(next, 0), generation);
    fixture_fini(&f);
    free(set);
}

/* ---- sharing ---------------------------------------------------------------------------- */

struct reader {
    struct jwks *jwks;
    atomic_bool *stop;
    unsigned long reads;
    unsigned long wrong;
};

static void *read_all_the_time(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->stop)) {
        uint64_t before = jwks_generation(r->jwks, 0);
        uint64_t generation;
        struct jwk_set *set = jwks_get(r->jwks, 0, &generation);
        r->wrong += (set == NULL) != (generation == 0);
        r->wrong += generation < before;
        r->wrong += set != NULL && set->keys[0].secret_n != strlen(TOKENS_SECRET);
        r->reads++;
        jwk_set_unref(set);
        (void)jwks_want(r->jwks, 0);
    }
    return NULL;
}

static void test_readers_while_sets_change(void **state)
{
    (void)state;
    struct fixture f;
    struct jwks_timing timing = slow;
    struct reader readers[3];
    pthread_t threads[3];
    atomic_bool stop = false;
    timing.period = 1;
    timing.early_gap = 1;
    char *set = oct_set("k0");
    fixture_init(&f, server_new(SERVE, set), &timing, "http");
    free(set);
    for (int i = 0; i < 3; i++) {
        readers[i] = (struct reader){.jwks = f.jwks, .stop = &stop};
        pthread_create(&threads[i], NULL, read_all_the_time, &readers[i]);
    }
    for (int i = 1; i <= 20; i++) {
        char *kid = tokens_printf("k%d", i);
        set = oct_set(kid);
        server_set(f.server, &f.server->body, set);
        wait_until(has_kid(f.jwks, kid));
        free(set);
        free(kid);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].reads > 0);
        assert_int_equal(readers[i].wrong, 0);
    }
    fixture_fini(&f);
}

static int start(void **state)
{
    (void)state;
    /* Loopback is reached directly, whatever proxy the environment names. */
    setenv("no_proxy", "*", 1);
    log_setup(LOG_ERROR, false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_generations_are_unique),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_retry_until_it_answers),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_refetch),
        cmocka_unit_test(test_max_age),
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_want_waits_while_failing),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_unknown_certificate),
        cmocka_unit_test(test_connection_refused),
        cmocka_unit_test(test_free_while_it_hangs),
        cmocka_unit_test(test_free_while_it_sleeps),
        cmocka_unit_test(test_hanging_fetch_times_out),
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_readers_while_sets_change),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
