/*
 * Files in state_dir. A file is made when something waits and removed when nothing does; its
 * directory is synced with the first record, so that the name survives as well.
 */
#include "cache/journal_outbox_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"

#define READ_MAX (32u * 1024u * 1024u) /* a longer file is not read */
#define HASH_LEN 16

static void complain(const char *path)
{
    static struct log_limit limit;
    int number = errno;
    if (log_allowed(&limit)) {
        log_error("journal: %s: %s; what waits for Redis would not survive a restart", path,
                  strerror(number));
    }
}

void outbox_file_init(struct outbox_file *f, struct str dir, struct str prefix,
                      const char *node)
{
    *f = (struct outbox_file){.fd = -1};
    if (dir.n == 0) {
        return;
    }
    f->dir = str_dup(dir);
    f->stem = str_dup(prefix);
    f->node = str_dup(str_from(node));
    if (access(f->dir, R_OK | W_OK | X_OK) != 0) {
        complain(f->dir);
    }
}

static void close_file(struct outbox_file *f)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    free(f->path);
    f->path = NULL;
    f->fd = -1;
    f->size = 0;
}

void outbox_file_fini(struct outbox_file *f)
{
    close_file(f);
    strbuf_free(&f->batch);
    strbuf_free(&f->taken);
    free(f->dir);
    free(f->stem);
    free(f->node);
    *f = (struct outbox_file){.fd = -1};
}

/* ---- writing ----------------------------------------------------------------------------- */

static uint64_t hash_of(struct str record)
{
    return XXH3_64bits(record.n > 0 ? record.p : "", record.n);
}

void outbox_file_add(struct outbox_file *f, struct str record)
{
    if (f->dir != NULL) {
        strbuf_addf(&f->batch, "%zu %016llx\n", record.n, (unsigned long long)hash_of(record));
        strbuf_add_str(&f->batch, record);
        strbuf_add_char(&f->batch, '\n');
    }
}

static bool sync_dir(const struct outbox_file *f)
{
    int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool open_new(struct outbox_file *f)
{
    struct strbuf path = {0};
    strbuf_addf(&path, "%s/%s~%s~%u.outbox", f->dir, f->stem, f->node, f->serial++);
    f->path = str_dup(strbuf_str(&path));
    strbuf_free(&path);
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (f->fd < 0 || flock(f->fd, LOCK_EX | LOCK_NB) != 0 || !sync_dir(f)) {
        complain(f->path);
        close_file(f);
        return false;
    }
    return true;
}

static bool write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes = str_skip(bytes, n > 0 ? (size_t)n : 0);
    }
    return true;
}

bool outbox_file_sync(struct outbox_file *f)
{
    if (f->batch.n == 0) {
        return true;
    }
    bool good = f->fd >= 0 || open_new(f);
    if (good && (!write_all(f->fd, strbuf_str(&f->batch)) || fdatasync(f->fd) != 0)) {
        complain(f->path);
        good = false;
    }
    f->size += good ? f->batch.n : 0;
    f->batch.n = 0;
    return good;
}

bool outbox_file_replace(struct outbox_file *f)
{
    struct outbox_file old = *f;
    f->fd = -1;
    f->path = NULL;
    f->size = 0;
    bool good = outbox_file_sync(f);
    if (good && old.path != NULL) {
        unlink(old.path);
    }
    if (!good && f->fd < 0) {
        f->fd = old.fd; /* better that one than none */
        f->path = old.path;
        f->size = old.size;
        return false;
    }
    if (old.fd >= 0) {
        close(old.fd);
    }
    free(old.path);
    return good;
}

void outbox_file_remove(struct outbox_file *f)
{
    f->batch.n = 0;
    if (f->path != NULL) {
        unlink(f->path);
    }
    close_file(f);
}

/* ---- reading ----------------------------------------------------------------------------- */

/* One record off *text; false when the bytes do not check out. */
static bool take_record(struct str *text, struct str *record)
{
    size_t eol = str_index(*text, '\n');
    size_t space = str_index(*text, ' ');
    uint64_t n, hash = 0;
    if (eol == text->n || space > eol || eol - space - 1 != HASH_LEN ||
        !str_to_u64(str_make(text->p, space), text->n - eol - 1, &n) ||
        n + 1 > text->n - eol - 1 || text->p[eol + 1 + n] != '\n') {
        return false;
    }
    for (size_t i = space + 1; i < eol; i++) {
        int digit = hex_value(text->p[i]);
        if (digit < 0) {
            return false;
        }
        hash = hash << 4 | (uint64_t)digit;
    }
    *record = str_make(text->p + eol + 1, (size_t)n);
    *text = str_skip(*text, eol + 1 + (size_t)n + 1);
    return hash == hash_of(*record);
}

static bool read_whole(int fd, struct strbuf *text)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size > (off_t)READ_MAX) {
        return false;
    }
    strbuf_reserve(text, (size_t)st.st_size + 1);
    ssize_t n;
    do {
        n = read(fd, text->p + text->n, text->cap - text->n);
        text->n += n > 0 ? (size_t)n : 0;
    } while (n > 0 && text->n < text->cap);
    return n == 0;
}

static void read_records(int fd, outbox_file_fn *fn, void *ctx)
{
    struct strbuf text = {0};
    bool good = read_whole(fd, &text);
    struct str rest = strbuf_str(&text), record;
    while (good && rest.n > 0) {
        good = take_record(&rest, &record);
        if (good) {
            fn(ctx, record, false);
        }
    }
    if (!good) {
        fn(ctx, STR_NULL, true);
    }
    strbuf_free(&text);
}

static bool ends_with(struct str s, struct str end)
{
    return s.n >= end.n && str_eq(str_skip(s, s.n - end.n), end);
}

/* PREFIX~…~….outbox, and not this process's own. */
static bool is_foreign(const struct outbox_file *f, struct str name)
{
    struct str stem = str_from(f->stem), node = str_from(f->node);
    struct str rest = str_skip(name, stem.n);
    if (!str_starts(name, stem) || rest.n == 0 || rest.p[0] != '~' ||
        !ends_with(name, STR(".outbox"))) {
        return false;
    }
    rest = str_skip(rest, 1);
    return !(str_starts(rest, node) && rest.n > node.n && rest.p[node.n] == '~');
}

/* Reads one file, unless its process is alive: then it is locked. */
static void read_one(struct outbox_file *f, const char *path, outbox_file_fn *fn, void *ctx)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        complain(path);
        return;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        read_records(fd, fn, ctx);
        strbuf_add(&f->taken, path, strlen(path) + 1);
    }
    close(fd);
}

void outbox_file_read_others(struct outbox_file *f, outbox_file_fn *fn, void *ctx)
{
    DIR *dir = f->dir != NULL ? opendir(f->dir) : NULL;
    if (dir == NULL) {
        return;
    }
    struct dirent *entry;
    struct strbuf path = {0};
    /* Of a DIR that nobody shares, and glibc's readdir_r is the deprecated one. */
    /* cppcheck-suppress readdirCalled */
    while ((entry = readdir(dir)) != NULL) {
        if (is_foreign(f, str_from(entry->d_name))) {
            path.n = 0;
            strbuf_addf(&path, "%s/%s", f->dir, entry->d_name);
            strbuf_add_char(&path, '\0');
            read_one(f, path.p, fn, ctx);
        }
    }
    strbuf_free(&path);
    closedir(dir);
}

void outbox_file_adopted(struct outbox_file *f)
{
    for (size_t at = 0; at < f->taken.n; at += strlen(f->taken.p + at) + 1) {
        unlink(f->taken.p + at);
    }
    strbuf_free(&f->taken);
}
