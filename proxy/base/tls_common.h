/*
 * What both sides of TLS share: settings that every context has, errors in plain words. Private
 * to base/tls*.c.
 */
#ifndef BASE_TLS_COMMON_H
#define BASE_TLS_COMMON_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

/* http/1.1 as a ProtocolNameList of one (RFC 7301 section 3.1). */
extern const unsigned char tls_alpn_http11[9];

/* Versions, options and modes of every context. */
void tls_common_apply(SSL_CTX *ctx);

/* Writes the caller's message and OpenSSL's reason, if it has one; empties OpenSSL's error
 * queue. Always false. */
bool tls_refuse(char *error, size_t cap, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Says in plain words why a file cannot be read, before OpenSSL says it in its own. */
bool tls_check_readable(const char *what, const char *file, char *error, size_t cap);

/* A certificate chain and its key from PEM files into a context; a warning about dates. False
 * with a message. */
bool tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file, char *error,
                   size_t cap);

#endif
