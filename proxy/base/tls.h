/*
 * TLS contexts over OpenSSL 3: server side with several certificates chosen by SNI, client side
 * with verification. TLS 1.2 and 1.3 only, no renegotiation, no compression, ALPN http/1.1; a
 * missing close_notify is a truncation. Contexts are refcounted and may be used by any thread;
 * sessions (SSL *) belong to one stream.
 */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "base/str.h"

/* One certificate and the names it is chosen for. */
struct tls_cert {
    const char *cert_file;   /* PEM chain, leaf first */
    const char *key_file;    /* PEM private key */
    const struct str *names; /* lower-case host names of its site; the certificate's own DNS
                                names (with one leading wildcard label) count too */
    size_t n_names;
};

struct tls_server;

/* Loads all certificates. The first is the default for unknown or missing SNI. NULL with a
 * message in error (truncated to cap). */
struct tls_server *tls_server_new(const struct tls_cert *certs, size_t n, char *error,
                                  size_t cap) __attribute__((warn_unused_result));
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t);

/* A session for an accepted fd; NULL when memory is exhausted. */
SSL *tls_server_session(struct tls_server *t, int fd) __attribute__((warn_unused_result));

struct tls_client;

/* verify: check chain and name. ca_file: PEM, or NULL for the system's. NULL with a message. */
struct tls_client *tls_client_new(bool verify, const char *ca_file, char *error, size_t cap)
    __attribute__((warn_unused_result));

/* Before the first session: proves who we are with a certificate (PEM chain, leaf first) and
 * its key. False with a message. */
bool tls_client_use_cert(struct tls_client *t, const char *cert_file, const char *key_file,
                         char *error, size_t cap) __attribute__((warn_unused_result));

/* Before the first session: for a protocol other than HTTP, offers no ALPN. */
void tls_client_no_alpn(struct tls_client *t);

struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client *t);

/* A session for a connecting fd; name (DNS name or IP literal, NUL-terminated) is used for SNI
 * (DNS names only) and verification. Resumes an earlier session of the same name where it can.
 */
SSL *tls_client_session(struct tls_client *t, int fd, const char *name)
    __attribute__((warn_unused_result));

#endif
