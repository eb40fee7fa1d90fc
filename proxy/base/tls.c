/*
 * TLS contexts, server side. Every session holds a reference to the tls_server it came from
 * (ex_data), because OpenSSL calls back during the handshake, when a reload may already have
 * dropped the configuration. Sessions are resumed by stateless tickets only, so that clients
 * cost no memory here; each context has its own random ticket key, which a reload replaces.
 * The client side is in tls_client.c.
 */
#include "base/tls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/tls_common.h"

#define NAME_MAX_LENGTH 255

/* Forward secrecy and AEAD only for TLS 1.2 clients; TLS 1.3 suites are all of that kind. */
#define SERVER_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

/* One certificate with its key in a context, and what it is chosen by. */
struct site {
    SSL_CTX *ctx;
    char **names; /* of the configuration, lower case */
    size_t n_names;
    char **dns; /* subjectAltName, lower case, may begin with "*." */
    size_t n_dns;
};

struct tls_server {
    atomic_uint refs;
    struct site *sites; /* the first is the default */
    size_t n_sites;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int server_index = -1; /* SSL ex_data: struct tls_server */

static void on_free_server(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                           void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    tls_server_unref(ptr);
}

static void make_index(void)
{
    server_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free_server);
}

static char *lower_dup(const char *p, size_t n)
{
    char *copy = xmalloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = ascii_lower(p[i]);
    }
    copy[n] = '\0';
    return copy;
}

/* Takes the DNS names of the subjectAltName; the common name counts for nothing (RFC 9525). */
static void collect_dns_names(struct site *site)
{
    const X509 *x = SSL_CTX_get0_certificate(site->ctx);
    GENERAL_NAMES *list = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int n = list != NULL ? sk_GENERAL_NAME_num(list) : 0;
    site->dns = xcalloc((size_t)n + 1, sizeof(*site->dns));
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        if (name->type != GEN_DNS) {
            continue;
        }
        const char *p = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
        size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
        if (len > 0 && len <= NAME_MAX_LENGTH && memchr(p, '\0', len) == NULL) {
            site->dns[site->n_dns++] = lower_dup(p, len);
        }
    }
    GENERAL_NAMES_free(list);
    ERR_clear_error();
}

/* RFC 6125 6.4.3: a leading "*" stands for exactly one label. */
static bool name_matches(const char *pattern, const char *name)
{
    if (pattern[0] != '*' || pattern[1] != '.') {
        return strcmp(pattern, name) == 0;
    }
    const char *dot = strchr(name, '.');
    return dot != NULL && dot != name && strcmp(pattern + 1, dot) == 0;
}

/* How well a site fits a name; 0: not at all. The configuration's word counts most: two sites
 * may have certificates for the same wildcard. Among one site's certificates the one that
 * covers the name wins. */
static int site_score(const struct site *site, const char *name)
{
    int score = 0;
    for (size_t i = 0; i < site->n_names; i++) {
        if (name_matches(site->names[i], name)) {
            score = 4;
            break;
        }
    }
    int covered = 0;
    for (size_t i = 0; i < site->n_dns && covered < 2; i++) {
        if (name_matches(site->dns[i], name)) {
            covered = site->dns[i][0] == '*' ? 1 : 2;
        }
    }
    return score + covered;
}

/* The site for a name, or NULL. */
static const struct site *choose_site(const struct tls_server *t, const char *name)
{
    const struct site *best = NULL;
    int best_score = 0;
    for (size_t i = 0; i < t->n_sites; i++) {
        int score = site_score(&t->sites[i], name);
        if (score > best_score) {
            best = &t->sites[i];
            best_score = score;
        }
    }
    return best;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_server *t = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t n = asked != NULL ? strlen(asked) : 0;
    if (n > 0 && asked[n - 1] == '.') {
        n--;
    }
    if (n == 0 || n > NAME_MAX_LENGTH) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    char name[NAME_MAX_LENGTH + 1];
    for (size_t i = 0; i < n; i++) {
        name[i] = ascii_lower(asked[i]);
    }
    name[n] = '\0';
    const struct site *site = choose_site(t, name);
    if (site == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (site->ctx != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, site->ctx) == NULL) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 section 3.2: a client that offers protocols but not ours gets
 * no_application_protocol, so that it never speaks HTTP/2 to us by guessing. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned i = 0; i < in_len && in_len - i > in[i]; i += 1u + in[i]) {
        if (in[i] == tls_alpn_http11[0] &&
            memcmp(in + i, tls_alpn_http11, sizeof(tls_alpn_http11)) == 0) {
            *out = in + i + 1;
            *out_len = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool site_load(struct tls_server *t, const struct tls_cert *cert, char *error,
                      size_t cap)
{
    static const unsigned char id_context[] = "larder";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return tls_refuse(error, cap, "cannot create a TLS context");
    }
    struct site *site = &t->sites[t->n_sites++];
    site->ctx = ctx;
    tls_common_apply(ctx);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, id_context, sizeof(id_context) - 1);
    SSL_CTX_set_cipher_list(ctx, SERVER_CIPHERS);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, t);
    if (!tls_load_pair(ctx, cert->cert_file, cert->key_file, error, cap)) {
        return false;
    }
    site->names = xcalloc(cert->n_names + 1, sizeof(*site->names));
    for (size_t i = 0; i < cert->n_names; i++) {
        site->names[site->n_names++] = lower_dup(cert->names[i].p, cert->names[i].n);
    }
    collect_dns_names(site);
    return true;
}

struct tls_server *tls_server_new(const struct tls_cert *certs, size_t n, char *error,
                                  size_t cap)
{
    pthread_once(&once, make_index);
    ERR_clear_error();
    if (n == 0) {
        tls_refuse(error, cap, "TLS needs a certificate: add tls CERT KEY");
        return NULL;
    }
    struct tls_server *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    t->sites = xcalloc(n, sizeof(*t->sites));
    for (size_t i = 0; i < n; i++) {
        if (!site_load(t, &certs[i], error, cap)) {
            tls_server_unref(t);
            return NULL;
        }
    }
    return t;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(names[i]);
    }
    free(names);
}

void tls_server_unref(struct tls_server *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < t->n_sites; i++) {
        SSL_CTX_free(t->sites[i].ctx);
        free_names(t->sites[i].names, t->sites[i].n_names);
        free_names(t->sites[i].dns, t->sites[i].n_dns);
    }
    free(t->sites);
    free(t);
}

SSL *tls_server_session(struct tls_server *t, int fd)
{
    SSL *ssl = SSL_new(t->sites[0].ctx);
    if (ssl == NULL) {
        ERR_clear_error();
        return NULL;
    }
    SSL_set_ex_data(ssl, server_index, tls_server_ref(t));
    SSL_set_accept_state(ssl);
    if (SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    return ssl;
}
