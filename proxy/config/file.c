/*
 * Bounded reading of configuration and secret files.
 */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/diag.h"

static const char *explain_errno(int code)
{
    switch (code) {
    case ENOENT: return "no such file";
    case EACCES: return "permission denied";
    case ENOTDIR: return "a part of the path is not a folder";
    case ENAMETOOLONG: return "the path is too long";
    case ELOOP: return "too many symbolic links";
    default: return strerror(code);
    }
}

static const char *check_kind(const struct stat *st, bool any_kind)
{
    if (S_ISDIR(st->st_mode)) {
        return "it is a folder";
    }
    if (!S_ISREG(st->st_mode) && !any_kind) {
        return "it is not a regular file";
    }
    return NULL;
}

/* Everything up to max bytes; one byte more tells that the file is larger. */
static const char *read_all(int fd, size_t max, struct strbuf *b)
{
    for (;;) {
        strbuf_reserve(b, 16384);
        ssize_t n = read(fd, b->p + b->n, b->cap - b->n);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return explain_errno(errno);
        }
        if (n == 0) {
            return NULL;
        }
        b->n += (size_t)n;
        if (b->n > max) {
            return "the file is too large";
        }
    }
}

const char *conf_file_read(const char *path, size_t max, bool any_kind, struct arena *a,
                           struct str *out, struct conf_file_id *id)
{
    struct strbuf b = {0};
    struct stat st;
    /* A FIFO without a writer must not block before its kind is known. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (any_kind ? 0 : O_NONBLOCK));

    if (fd < 0) {
        return explain_errno(errno);
    }
    const char *why = fstat(fd, &st) != 0 ? explain_errno(errno) : check_kind(&st, any_kind);
    if (why == NULL) {
        why = read_all(fd, max, &b);
    }
    if (why == NULL) {
        *out = arena_dup(a, strbuf_str(&b));
        if (id != NULL) {
            *id = (struct conf_file_id){(uint64_t)st.st_dev, (uint64_t)st.st_ino};
        }
    }
    strbuf_free(&b);
    close(fd);
    return why;
}

const char *conf_file_check(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        return explain_errno(errno);
    }
    const char *why = check_kind(&st, false);
    if (why == NULL && access(path, R_OK) != 0) {
        why = explain_errno(errno);
    }
    return why;
}
