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
