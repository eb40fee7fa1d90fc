/*
 * What both sides of TLS share. See tls.h for the policy.
 */
#include "base/tls_common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/log.h"

const unsigned char tls_alpn_http11[9] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

bool tls_refuse(char *error, size_t cap, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(error, cap, fmt, args);
    va_end(args);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (reason != NULL && n >= 0 && (size_t)n < cap) {
        snprintf(error + n, cap - (size_t)n, " (%s)", reason);
    }
    ERR_clear_error();
    return false;
}

bool tls_check_readable(const char *what, const char *file, char *error, size_t cap)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char byte;
    if (fd < 0 || read(fd, &byte, 1) < 0) {
        int reason = errno;
        if (fd >= 0) {
            close(fd);
        }
        return tls_refuse(error, cap, "cannot read the %s %s: %s", what, file,
                          strerror(reason));
    }
    close(fd);
    return true;
}

void tls_common_apply(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* openssl.cnf may have set it; then a cut connection would look complete. */
    SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
}

/* Called where OpenSSL would ask the terminal for a passphrase. */
static int on_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing;
    bool *asked = arg;
    *asked = true;
    return -1;
}

static bool load_key(SSL_CTX *ctx, const char *cert_file, const char *key_file, char *error,
                     size_t cap)
{
    if (!tls_check_readable("private key", key_file, error, cap)) {
        return false;
    }
    bool encrypted = false;
    BIO *bio = BIO_new_file(key_file, "r");
    EVP_PKEY *key = NULL;
    if (bio != NULL) {
        key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &encrypted);
    }
    BIO_free(bio);
    if (key == NULL && encrypted) {
        ERR_clear_error();
        return tls_refuse(
            error, cap,
            "the private key %s is encrypted; store it without a passphrase, readable "
            "by Larder only",
            key_file);
    }
    if (key == NULL) {
        return tls_refuse(error, cap, "%s holds no usable PEM private key", key_file);
    }
    bool matches = X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) == 1;
    bool loaded = matches && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    if (!matches) {
        ERR_clear_error();
        return tls_refuse(error, cap,
                          "the private key %s does not belong to the certificate %s", key_file,
                          cert_file);
    }
    return loaded || tls_refuse(error, cap, "the private key %s cannot be used", key_file);
}

static void warn_about_dates(const X509 *x, const char *file)
{
    if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0) {
        log_warn("the certificate %s has expired", file);
    } else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0) {
        log_warn("the certificate %s is not valid yet", file);
    }
}

static bool load_chain(SSL_CTX *ctx, const char *file, char *error, size_t cap)
{
    if (!tls_check_readable("certificate", file, error, cap)) {
        return false;
    }
    bool encrypted = false;
    SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &encrypted);
    bool ok = SSL_CTX_use_certificate_chain_file(ctx, file) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, NULL);
    if (!ok) {
        return tls_refuse(error, cap, "%s holds no usable PEM certificate", file);
    }
    warn_about_dates(SSL_CTX_get0_certificate(ctx), file);
    return true;
}

bool tls_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file, char *error,
                   size_t cap)
{
    return load_chain(ctx, cert_file, error, cap) &&
           load_key(ctx, cert_file, key_file, error, cap);
}
