/*
 * TLS contexts, client side. Every session holds a reference to its tls_client (ex_data):
 * session tickets arrive long after the handshake, when a reload may have dropped the
 * configuration. One session is kept for each name; a resumed session skips verification, so it
 * must never move to another name or another tls_client.
 */
#include "base/tls.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/tls_common.h"

#define SESSION_NAMES_MAX 256 /* names come from the configuration; more are not resumed */

/* The last session of one server name. */
struct session_slot {
    struct session_slot *next;
    SSL_SESSION *session; /* NULL: none yet; under the client's lock */
    char name[];
};

struct tls_client {
    atomic_uint refs;
    SSL_CTX *ctx;
    bool verify;
    pthread_mutex_t lock;
    struct session_slot *slots; /* under lock; only ever grows, so a slot's address is stable */
    size_t n_slots;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int client_index = -1; /* SSL ex_data: struct tls_client */
static int slot_index = -1;   /* SSL ex_data: struct session_slot, borrowed */

static void on_free_client(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                           void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    tls_client_unref(ptr);
}

static void make_indexes(void)
{
    client_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free_client);
    slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

/* A session can be resumed from now on: it replaces the name's last one. 1: we keep it. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *t = SSL_get_ex_data(ssl, client_index);
    struct session_slot *slot = SSL_get_ex_data(ssl, slot_index);
    if (t == NULL || slot == NULL) {
        return 0;
    }
    pthread_mutex_lock(&t->lock);
    SSL_SESSION *old = slot->session;
    slot->session = session;
    pthread_mutex_unlock(&t->lock);
    SSL_SESSION_free(old);
    return 1;
}

/* The name's slot with a reference to its session (or NULL); NULL when there are too many. */
static struct session_slot *slot_find(struct tls_client *t, const char *name,
                                      SSL_SESSION **session)
{
    *session = NULL;
    pthread_mutex_lock(&t->lock);
    struct session_slot *slot = t->slots;
    while (slot != NULL && strcmp(slot->name, name) != 0) {
        slot = slot->next;
    }
    if (slot == NULL && t->n_slots < SESSION_NAMES_MAX) {
        size_t n = strlen(name) + 1;
        slot = xmalloc(sizeof(*slot) + n);
        *slot = (struct session_slot){.next = t->slots};
        memcpy(slot->name, name, n);
        t->slots = slot;
        t->n_slots++;
    }
    if (slot != NULL && slot->session != NULL) {
        SSL_SESSION_up_ref(slot->session);
        *session = slot->session;
    }
    pthread_mutex_unlock(&t->lock);
    return slot;
}

static bool load_authorities(SSL_CTX *ctx, const char *ca_file, char *error, size_t cap)
{
    if (ca_file == NULL) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ||
               tls_refuse(error, cap, "cannot load the system's certificate authorities");
    }
    if (!tls_check_readable("CA file", ca_file, error, cap)) {
        return false;
    }
    if (SSL_CTX_load_verify_file(ctx, ca_file) != 1) {
        return tls_refuse(error, cap, "%s holds no usable PEM certificate", ca_file);
    }
    /* Whoever names an intermediate or the server's own certificate means to trust just it. */
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return true;
}

struct tls_client *tls_client_new(bool verify, const char *ca_file, char *error, size_t cap)
{
    pthread_once(&once, make_indexes);
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        tls_refuse(error, cap, "cannot create a TLS context");
        return NULL;
    }
    tls_common_apply(ctx);
    if (verify && !load_authorities(ctx, ca_file, error, cap)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_alpn_protos(ctx, tls_alpn_http11, sizeof(tls_alpn_http11));
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    struct tls_client *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    t->ctx = ctx;
    t->verify = verify;
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

bool tls_client_use_cert(struct tls_client *t, const char *cert_file, const char *key_file,
                         char *error, size_t cap)
{
    return tls_load_pair(t->ctx, cert_file, key_file, error, cap);
}

void tls_client_no_alpn(struct tls_client *t)
{
    SSL_CTX_set_alpn_protos(t->ctx, NULL, 0);
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_client_unref(struct tls_client *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (t->slots != NULL) {
        struct session_slot *slot = t->slots;
        t->slots = slot->next;
        SSL_SESSION_free(slot->session);
        free(slot);
    }
    SSL_CTX_free(t->ctx);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Name for SNI and verification; IP literals have no SNI (RFC 6066 section 3). */
static bool set_peer_name(const struct tls_client *t, SSL *ssl, const char *name)
{
    uint8_t ip[16];
    bool literal = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
    if (literal) {
        return !t->verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    /* OpenSSL's macro SSL_set_tlsext_host_name() casts const away; it only copies the name. */
    if (SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)name) != 1) {
        return false;
    }
    if (!t->verify) {
        return true;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(ssl, name) == 1;
}

SSL *tls_client_session(struct tls_client *t, int fd, const char *name)
{
    /* An empty name would verify as "any name" (SSL_set1_host). */
    SSL *ssl = name[0] != '\0' ? SSL_new(t->ctx) : NULL;
    if (ssl == NULL) {
        ERR_clear_error();
        return NULL;
    }
    SSL_set_ex_data(ssl, client_index, tls_client_ref(t));
    SSL_set_connect_state(ssl);
    if (SSL_set_fd(ssl, fd) != 1 || !set_peer_name(t, ssl, name)) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_SESSION *session;
    SSL_set_ex_data(ssl, slot_index, slot_find(t, name, &session));
    if (session != NULL) {
        SSL_set_session(ssl, session);
        SSL_SESSION_free(session);
    }
    return ssl;
}
