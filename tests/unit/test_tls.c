/*
 * TLS contexts and the stream over TLS: real handshakes over socketpairs with certificates made
 * here. Verification, SNI, ALPN, truncation, back-pressure, resumption, bad files.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/loop.h"
#include "base/stream.h"
#include "base/tls.h"

static char dir[64];
static struct loop *l;
static struct deadline tick;

/* ---- certificates ---- */

static char *path(const char *name)
{
    static char buf[8][160];
    static unsigned next;
    char *p = buf[next++ % 8];
    snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
    return p;
}

static void write_key(const char *file, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path(file), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, passphrase != NULL ? EVP_aes_256_cbc() : NULL,
                                          NULL, 0, NULL, (void *)(uintptr_t)passphrase),
                     1);
    fclose(f);
}

static void add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

/* A certificate NAME.crt with its key NAME.key; `from` and `to` in seconds from now. issuer
 * NULL: a self-signed authority, returned. */
static struct authority make_cert(const char *name, const char *san,
                                  const struct authority *issuer, long from, long to)
{
    static long serial = 1;
    struct authority a = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    assert_non_null(a.key);
    X509 *x = a.cert;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, a.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer->cert : x));
    add_extension(x, NID_basic_constraints, issuer != NULL ? "CA:FALSE" : "critical,CA:TRUE");
    if (san != NULL) {
        add_extension(x, NID_subject_alt_name, san);
    }
    assert_true(X509_sign(x, issuer != NULL ? issuer->key : a.key, EVP_sha256()) > 0);
    char file[80];
    snprintf(file, sizeof(file), "%s.key", name);
    write_key(file, a.key, NULL);
    snprintf(file, sizeof(file), "%s.crt", name);
    FILE *f = fopen(path(file), "w");
    assert_non_null(f);
    PEM_write_X509(f, x);
    fclose(f);
    return a;
}

static void forget(struct authority a)
{
    EVP_PKEY_free(a.key);
    X509_free(a.cert);
}

static void write_text(const char *file, const char *text)
{
    FILE *f = fopen(path(file), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_files(void)
{
    struct authority ca = make_cert("ca", NULL, NULL, -3600, 86400);
    struct authority other = make_cert("other-ca", NULL, NULL, -3600, 86400);
    forget(make_cert("api", "DNS:api.example.com, IP:127.0.0.1, IP:::1", &ca, -3600, 86400));
    forget(make_cert("shop", "DNS:shop.example.org, DNS:www.example.org", &ca, -3600, 86400));
    forget(make_cert("wild", "DNS:*.example.net, DNS:example.net", &ca, -3600, 86400));
    forget(make_cert("wild2", "DNS:*.example.net", &ca, -3600, 86400));
    forget(make_cert("stranger", "DNS:api.example.com", &other, -3600, 86400));
    forget(make_cert("nameless", NULL, &ca, -3600, 86400));
    struct authority old = make_cert("expired", "DNS:api.example.com", &ca, -7200, -3600);
    write_key("locked.key", old.key, "secret");
    forget(old);
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    write_key("rsa.key", rsa, NULL);
    EVP_PKEY_free(rsa);
    write_text("garbage.pem", "this is no PEM\n");
    write_text("empty.pem", "");
    forget(ca);
    forget(other);
}

static int group_setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/larder-test-tls.XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    make_files();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"ca",    "other-ca", "api",      "shop",   "wild",
                                        "wild2", "stranger", "nameless", "expired"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char file[80];
        snprintf(file, sizeof(file), "%s.key", names[i]);
        unlink(path(file));
        snprintf(file, sizeof(file), "%s.crt", names[i]);
        unlink(path(file));
    }
    unlink(path("locked.key"));
    unlink(path("rsa.key"));
    unlink(path("garbage.pem"));
    unlink(path("empty.pem"));
    return rmdir(dir);
}

/* ---- streams ---- */

struct end {
    struct stream s;
    struct strbuf in;
    size_t read_cap; /* 0: 4096 */
    unsigned connected, readable, written, failed;
    enum stream_error error;
    bool eof;
};

static void on_connected(struct stream *s)
{
    container_of(s, struct end, s)->connected++;
}

static void on_readable(struct stream *s)
{
    struct end *e = container_of(s, struct end, s);
    char buf[4096];
    size_t cap = e->read_cap != 0 ? e->read_cap : sizeof(buf);
    size_t n = 0;
    e->readable++;
    enum io_result r = stream_read(s, buf, cap, &n);
    if (r == IO_OK) {
        strbuf_add(&e->in, buf, n);
    } else if (r == IO_EOF) {
        e->eof = true;
        stream_want_read(s, false);
    }
}

static void on_written(struct stream *s)
{
    container_of(s, struct end, s)->written++;
}

static void on_failed(struct stream *s, enum stream_error error)
{
    struct end *e = container_of(s, struct end, s);
    e->failed++;
    e->error = error;
}

static const struct stream_ops ops = {
    .connected = on_connected,
    .readable = on_readable,
    .written = on_written,
    .failed = on_failed,
};

static void on_tick(struct deadline *d)
{
    deadline_set(l, d, 20);
}

/* The two ends of the running test; static, so that teardown can close them after a failure. */
static struct end client, server;
static struct tls_server *tls_front;
static struct tls_client *tls_back;

static int setup(void **state)
{
    (void)state;
    l = loop_new();
    if (l == NULL) {
        return -1;
    }
    deadline_init(&tick, on_tick);
    deadline_set(l, &tick, 20);
    return 0;
}

static void close_ends(void)
{
    stream_close(&client.s, false);
    stream_close(&server.s, false);
    strbuf_free(&client.in);
    strbuf_free(&server.in);
}

static int teardown(void **state)
{
    (void)state;
    close_ends();
    tls_server_unref(tls_front);
    tls_client_unref(tls_back);
    tls_front = NULL;
    tls_back = NULL;
    deadline_cancel(&tick);
    loop_free(l);
    return 0;
}

#define RUN_UNTIL(condition)                                                       \
    do {                                                                           \
        msec_t limit = clock_monotonic() + 20000;                                  \
        while (!(condition)) {                                                     \
            loop_turn(l, true);                                                    \
            if (clock_monotonic() > limit) {                                       \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition); \
            }                                                                      \
        }                                                                          \
    } while (0)

static void settle(void)
{
    for (unsigned i = 0; i < 10; i++) {
        loop_turn(l, false);
    }
}

static struct tls_cert cert_of(const char *name)
{
    char crt[80], key[80];
    snprintf(crt, sizeof(crt), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return (struct tls_cert){.cert_file = path(crt), .key_file = path(key)};
}

static void use_server(const struct tls_cert *certs, size_t n)
{
    char error[300] = "";
    tls_front = tls_server_new(certs, n, error, sizeof(error));
    if (tls_front == NULL) {
        fail_msg("%s", error);
    }
}

static void use_client(bool verify, const char *ca)
{
    char error[300] = "";
    tls_back = tls_client_new(verify, ca, error, sizeof(error));
    if (tls_back == NULL) {
        fail_msg("%s", error);
    }
}

static void pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

/* Both ends over a new socketpair, the client asking for `name`. */
static void open_ends(const char *name)
{
    close_ends();
    int fd[2];
    pair(fd);
    server = (struct end){0};
    client = (struct end){0};
    SSL *ssl = tls_server_session(tls_front, fd[0]);
    assert_non_null(ssl);
    stream_open(&server.s, l, &ops, fd[0], ssl);
    ssl = tls_client_session(tls_back, fd[1], name);
    assert_non_null(ssl);
    stream_open(&client.s, l, &ops, fd[1], ssl);
}

static void send_text(struct end *e, const char *text)
{
    struct segment seg = {.p = text, .n = strlen(text)};
    stream_send(&e->s, &seg, 1);
}

/* A whole exchange under this name, both ways. */
static void exchange(const char *name)
{
    open_ends(name);
    send_text(&client, "ping"); /* before the handshake: queued */
    RUN_UNTIL(server.in.n == 4);
    send_text(&server, "pong!");
    RUN_UNTIL(client.in.n == 5);
    assert_int_equal(client.connected, 1);
    assert_int_equal(server.connected, 1);
    assert_int_equal(client.failed + server.failed, 0);
}

/* The common name of the certificate that the client was shown. */
static const char *shown(void)
{
    static char name[80];
    X509 *x = SSL_get1_peer_certificate(client.s.ssl);
    assert_non_null(x);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
    X509_free(x);
    return name;
}

static void test_exchange(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    exchange("api.example.com");
    assert_string_equal(SSL_get_version(client.s.ssl), "TLSv1.3");
    const unsigned char *alpn;
    unsigned n;
    SSL_get0_alpn_selected(client.s.ssl, &alpn, &n);
    assert_int_equal(n, 8);
    assert_memory_equal(alpn, "http/1.1", 8);
    assert_true(SSL_get_options(server.s.ssl) & SSL_OP_NO_RENEGOTIATION);
    assert_false(SSL_get_options(client.s.ssl) & SSL_OP_IGNORE_UNEXPECTED_EOF);

    stream_shutdown(&client.s); /* close_notify: an orderly end */
    RUN_UNTIL(server.eof);
    send_text(&server, "last");
    stream_shutdown(&server.s);
    RUN_UNTIL(client.eof);
    assert_int_equal(client.in.n, 9);
    assert_int_equal(client.failed + server.failed, 0);

    exchange("127.0.0.1"); /* IP literals are verified too */
    exchange("::1");
}

static void expect_refused(const char *name)
{
    open_ends(name);
    send_text(&client, "secret");
    RUN_UNTIL(client.failed == 1 && server.failed == 1);
    assert_int_equal(client.error, STREAM_HANDSHAKE);
    assert_int_equal(client.connected, 0);
    assert_int_equal(server.in.n, 0);
    settle();
    assert_int_equal(client.failed, 1);
}

static void test_wrong_name(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    expect_refused("api.example.org");
    expect_refused("example.com");
    expect_refused("127.0.0.2");
    exchange("api.example.com");
    expect_refused("other.example.com"); /* not even with a session of another name at hand */
    int fd[2];
    pair(fd);
    assert_null(tls_client_session(tls_back, fd[0], "")); /* never "any name" */
    close(fd[0]);
    close(fd[1]);
}

static void test_unknown_ca(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("stranger");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    expect_refused("api.example.com");
    tls_client_unref(tls_back);
    use_client(true, NULL); /* the system's authorities do not know ours either */
    expect_refused("api.example.com");
    tls_client_unref(tls_back);
    use_client(true, path("other-ca.crt"));
    exchange("api.example.com");
    tls_client_unref(tls_back);
    use_client(true, path("stranger.crt")); /* pinning the certificate itself */
    exchange("api.example.com");
    tls_client_unref(tls_back);
    use_client(false, NULL);
    exchange("whatever.example");
}

static void test_expired(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("expired");
    use_server(&cert, 1); /* a warning only: the client decides */
    use_client(true, path("ca.crt"));
    expect_refused("api.example.com");
}

/* A certificate without subjectAltName names nobody, whatever its common name says. */
static void test_common_name(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("nameless");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    expect_refused("nameless");
}

static void test_sni(void **state)
{
    (void)state;
    const struct str site1[] = {STR("api.example.com")};
    const struct str site2[] = {STR("shop.example.org"), STR("b.example.net")};
    const struct str site3[] = {STR("a.example.net"), STR("intern")};
    struct tls_cert certs[4] = {cert_of("api"), cert_of("shop"), cert_of("wild"),
                                cert_of("wild2")};
    certs[0].names = site1;
    certs[0].n_names = 1;
    certs[1].names = site2; /* one site with two certificates: the covering one is shown */
    certs[1].n_names = 2;
    certs[2].names = site2;
    certs[2].n_names = 2;
    certs[3].names = site3; /* another site of the same wildcard */
    certs[3].n_names = 2;
    use_server(certs, 4);
    use_client(false, NULL);
    static const struct {
        const char *name, *cert;
    } cases[] = {
        {"api.example.com", "api"},   {"API.Example.COM", "api"},
        {"shop.example.org", "shop"}, {"www.example.org", "shop"}, /* SAN alone */
        {"b.example.net", "wild"},    {"a.example.net", "wild2"},
        {"c.example.net", "wild"},                                /* the first that covers it */
        {"example.net", "wild"},      {"x.y.example.net", "api"}, /* one label only */
        {"intern", "wild2"},                                /* the site's word, without a SAN */
        {"unknown.example", "api"},   {"127.0.0.1", "api"}, /* no SNI */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        exchange(cases[i].name);
        if (strcmp(shown(), cases[i].cert) != 0) {
            fail_msg("%s: shown %s, not %s", cases[i].name, shown(), cases[i].cert);
        }
    }
}

/* A handshake of our server with a bare OpenSSL client; the client's error reason, 0: done. */
static int bare_handshake(SSL_CTX *ctx, const unsigned char *alpn, unsigned alpn_len)
{
    close_ends();
    int fd[2];
    pair(fd);
    server = (struct end){0};
    SSL *ssl = tls_server_session(tls_front, fd[0]);
    assert_non_null(ssl);
    stream_open(&server.s, l, &ops, fd[0], ssl);
    SSL *bare = SSL_new(ctx);
    if (alpn != NULL) {
        SSL_set_alpn_protos(bare, alpn, alpn_len);
    }
    SSL_set_fd(bare, fd[1]);
    int reason = -1;
    for (unsigned i = 0; i < 1000 && reason < 0; i++) {
        ERR_clear_error();
        int r = SSL_connect(bare);
        int error = SSL_get_error(bare, r);
        if (r == 1) {
            reason = 0;
        } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            reason = ERR_GET_REASON(ERR_peek_error());
        }
        loop_turn(l, false);
    }
    SSL_free(bare);
    close(fd[1]);
    ERR_clear_error();
    return reason;
}

static void test_alpn(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(bare_handshake(ctx, NULL, 0), 0);
    assert_int_equal(bare_handshake(ctx, (const unsigned char *)"\2h2\10http/1.1", 12), 0);
    assert_int_equal(bare_handshake(ctx, (const unsigned char *)"\2h2", 3),
                     SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
    RUN_UNTIL(server.failed == 1);
    assert_int_equal(server.error, STREAM_HANDSHAKE);
    assert_int_equal(bare_handshake(ctx, (const unsigned char *)"\10http/1.0", 9),
                     SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
    SSL_CTX_free(ctx);
}

static void test_versions(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    assert_int_equal(bare_handshake(ctx, NULL, 0), 0);
    SSL_CTX_set_cipher_list(ctx, "AES128-SHA:AES256-GCM-SHA384"); /* no forward secrecy */
    assert_int_not_equal(bare_handshake(ctx, NULL, 0), 0);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    assert_int_equal(bare_handshake(ctx, NULL, 0), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    SSL_CTX_free(ctx);
}

/* An end without close_notify is a truncation, during the handshake a failed handshake. */
static void test_truncation(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    exchange("api.example.com");
    shutdown(server.s.fd, SHUT_WR); /* behind TLS's back */
    RUN_UNTIL(client.failed == 1);
    assert_int_equal(client.error, STREAM_TRUNCATED);
    assert_false(client.eof);

    open_ends("api.example.com");
    shutdown(server.s.fd, SHUT_RDWR);
    RUN_UNTIL(client.failed == 1);
    assert_int_equal(client.error, STREAM_HANDSHAKE);

    exchange("api.example.com"); /* a close with reset says no close_notify */
    stream_close(&server.s, true);
    RUN_UNTIL(client.failed == 1);
    assert_false(client.eof);

    exchange("api.example.com"); /* an ordinary close does */
    stream_close(&server.s, false);
    RUN_UNTIL(client.eof);
    assert_int_equal(client.failed, 0);
}

static void test_plain_bytes(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    int fd[2];
    pair(fd);
    server = (struct end){0};
    client = (struct end){0};
    stream_open(&server.s, l, &ops, fd[0], tls_server_session(tls_front, fd[0]));
    stream_open(&client.s, l, &ops, fd[1], NULL);
    send_text(&client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    RUN_UNTIL(server.failed == 1);
    assert_int_equal(server.error, STREAM_HANDSHAKE);
    assert_int_equal(server.in.n, 0);
}

/* Output that waits for a silent peer's handshake does not make the loop spin. */
static void test_silent_peer(void **state)
{
    (void)state;
    use_client(true, path("ca.crt"));
    int fd[2];
    pair(fd);
    client = (struct end){0};
    server = (struct end){0};
    stream_open(&client.s, l, &ops, fd[1], tls_client_session(tls_back, fd[1], "a.example"));
    stream_open(&server.s, l, &ops, fd[0], NULL);
    send_text(&client, "waits");
    RUN_UNTIL(server.in.n > 100); /* the ClientHello */
    settle();
    assert_int_equal(client.s.armed, EV_READ);
    assert_int_equal(client.s.pending, 5);
    stream_shutdown(&client.s);
    assert_int_equal(client.s.pending, 5);
}

static unsigned releases;

static void on_release(void *owner)
{
    (void)owner;
    releases++;
}

static char *pattern(size_t n)
{
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)((i * 31 + i / 251) & 0xff);
    }
    return p;
}

/* Megabytes both ways at once, in pieces of all sizes, through small buffers and small reads.
 */
static void test_big_both_ways(void **state)
{
    (void)state;
    enum { TOTAL = 3 << 20 };
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    open_ends("api.example.com");
    int small = 8192;
    setsockopt(client.s.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(server.s.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    client.read_cap = 1000;
    char *data = pattern(TOTAL);
    releases = 0;
    size_t sent = 0, owned = 0;
    static const size_t sizes[] = {1, 17, 100000, 5, 16384, 16383, 40000, 3};
    for (unsigned i = 0; sent < TOTAL; i++) {
        struct segment segs[3];
        size_t n = 0;
        for (; n < 3 && sent < TOTAL; n++) {
            size_t len = sizes[(i * 3 + n) % 8];
            len = len < TOTAL - sent ? len : TOTAL - sent;
            segs[n] = (struct segment){.p = data + sent, .n = len};
            if (n == 1) {
                segs[n].release = on_release;
                owned++;
            }
            sent += len;
        }
        stream_send(&client.s, segs, n);
        stream_send(&server.s, segs, n);
        owned += n > 1 ? 1 : 0;
    }
    stream_want_read(&client.s, false); /* one side stuffed first: back-pressure */
    RUN_UNTIL(client.connected == 1 && server.connected == 1);
    settle();
    assert_true(server.s.pending > TOTAL - (1 << 20));
    stream_want_read(&client.s, true);
    RUN_UNTIL(client.in.n == TOTAL && server.in.n == TOTAL);
    assert_memory_equal(client.in.p, data, TOTAL);
    assert_memory_equal(server.in.p, data, TOTAL);
    assert_int_equal(client.s.pending + server.s.pending, 0);
    assert_int_equal(releases, owned);
    assert_int_equal(client.failed + server.failed, 0);
    free(data);
}

/* What OpenSSL holds after a short read is delivered without another byte on the wire, and
 * again after reading was switched off and on. */
static void test_pending(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(true, path("ca.crt"));
    exchange("api.example.com");
    client.read_cap = 7;
    client.in.n = 0;
    char *data = pattern(5000);
    struct segment seg = {.p = data, .n = 5000};
    stream_send(&server.s, &seg, 1);
    RUN_UNTIL(client.in.n == 5000);
    assert_memory_equal(client.in.p, data, 5000);

    client.in.n = 0;
    client.read_cap = 1;
    stream_send(&server.s, &seg, 1);
    RUN_UNTIL(client.in.n >= 1);
    stream_want_read(&client.s, false);
    size_t have = client.in.n;
    settle();
    if (have < 5000) {
        assert_int_equal(client.in.n, have);
        assert_true(stream_peek_dirty(&client.s));
    }
    client.read_cap = 4096;
    stream_want_read(&client.s, true);
    RUN_UNTIL(client.in.n == 5000);
    assert_memory_equal(client.in.p, data, 5000);
    assert_false(stream_peek_dirty(&client.s));
    free(data);
}

static void test_resumption(void **state)
{
    (void)state;
    const struct str names[] = {STR("shop.example.org")};
    struct tls_cert certs[2] = {cert_of("api"), cert_of("shop")};
    certs[1].names = names;
    certs[1].n_names = 1;
    use_server(certs, 2);
    use_client(true, path("ca.crt"));
    exchange("api.example.com");
    assert_false(SSL_session_reused(client.s.ssl));
    exchange("api.example.com");
    assert_true(SSL_session_reused(client.s.ssl));
    exchange("shop.example.org"); /* another name starts afresh */
    assert_false(SSL_session_reused(client.s.ssl));
    exchange("shop.example.org");
    assert_true(SSL_session_reused(client.s.ssl));
    exchange("api.example.com");
    assert_true(SSL_session_reused(client.s.ssl));

    /* After a reload the sessions' tickets mean nothing, and nothing fails. */
    tls_server_unref(tls_front);
    use_server(certs, 2);
    exchange("api.example.com");
    assert_false(SSL_session_reused(client.s.ssl));
}

/* More names than are remembered: still connections, without resumption. */
static void test_many_names(void **state)
{
    (void)state;
    struct tls_cert cert = cert_of("api");
    use_server(&cert, 1);
    use_client(false, NULL);
    char name[40];
    for (unsigned i = 0; i < 300; i++) {
        int fd[2];
        pair(fd);
        snprintf(name, sizeof(name), "n%u.example", i);
        SSL *ssl = tls_client_session(tls_back, fd[0], name);
        assert_non_null(ssl);
        SSL_free(ssl);
        close(fd[0]);
        close(fd[1]);
    }
    exchange("late.example");
    exchange("late.example");
    assert_false(SSL_session_reused(client.s.ssl));
    exchange("n0.example");
    exchange("n0.example");
    assert_true(SSL_session_reused(client.s.ssl));
}

/* A reload drops the configuration while handshakes and connections go on. */
static void test_dropped_configuration(void **state)
{
    (void)state;
    const struct str names[] = {STR("shop.example.org")};
    struct tls_cert certs[2] = {cert_of("api"), cert_of("shop")};
    certs[1].names = names;
    certs[1].n_names = 1;
    use_server(certs, 2);
    use_client(true, path("ca.crt"));
    open_ends("shop.example.org");
    tls_server_unref(tls_front);
    tls_client_unref(tls_back);
    tls_front = NULL;
    tls_back = NULL;
    send_text(&client, "ping");
    RUN_UNTIL(server.in.n == 4);
    send_text(&server, "pong");
    RUN_UNTIL(client.in.n == 4);
    assert_string_equal(shown(), "shop");
}

static void expect_load_error(const char *crt, const char *key, const char *part)
{
    struct tls_cert cert = {.cert_file = path(crt), .key_file = path(key)};
    char error[400] = "";
    assert_null(tls_server_new(&cert, 1, error, sizeof(error)));
    if (strstr(error, part) == NULL) {
        fail_msg("%s + %s: \"%s\" does not say \"%s\"", crt, key, error, part);
    }
    assert_int_equal(ERR_peek_error(), 0);
    char tiny[8];
    assert_null(tls_server_new(&cert, 1, tiny, sizeof(tiny)));
    assert_int_equal(strlen(tiny), 7);
}

static void test_bad_files(void **state)
{
    (void)state;
    expect_load_error("absent.crt", "api.key", "absent.crt: No such file");
    expect_load_error("api.crt", "absent.key", "absent.key: No such file");
    expect_load_error("", "api.key", "Is a directory");
    expect_load_error("garbage.pem", "api.key", "no usable PEM certificate");
    expect_load_error("empty.pem", "api.key", "no usable PEM certificate");
    expect_load_error("api.crt", "garbage.pem", "no usable PEM private key");
    expect_load_error("api.crt", "api.crt", "no usable PEM private key");
    expect_load_error("api.crt", "shop.key", "does not belong to the certificate");
    expect_load_error("api.crt", "rsa.key", "does not belong to the certificate");
    expect_load_error("expired.crt", "locked.key", "is encrypted");
    char error[300];
    assert_null(tls_server_new(NULL, 0, error, sizeof(error)));
    assert_null(tls_client_new(true, path("absent.pem"), error, sizeof(error)));
    assert_non_null(strstr(error, "No such file"));
    assert_null(tls_client_new(true, path("garbage.pem"), error, sizeof(error)));
    assert_non_null(strstr(error, "no usable PEM certificate"));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_ca, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_common_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sni, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dropped_configuration, setup, teardown),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
