/*
 * Writing. Regular files take a whole buffer with one O_APPEND write, so that lines of several
 * workers never mix. Pipes get pieces of at most PIPE_BUF, which the kernel takes whole or not
 * at all; sockets and terminals are written one worker at a time. Nothing of stdout is changed
 * for other processes that share it: a pipe or terminal is opened again through /proc with
 * O_NONBLOCK of our own.
 *
 * accesslog_reopen() puts the new file under the old descriptor's number, atomically (dup3), so
 * that workers need no lock to write while it happens.
 */
#include "flow/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "flow/accesslog_line.h"

#define FLUSH_AT    (32u * 1024u)
#define BUFFER_SIZE (256u * 1024u) /* lines that wait for a slow reader; pages as used */
#define FLUSH_MS    1000
#define RETRY_MS    100
#define LAST_WAIT   200 /* ms for the last flush */
#define LINE_WAIT   50  /* ms to finish a line that a socket or terminal took in part */
#define FILE_MODE   0640

_Static_assert(ACCESS_LINE_MAX <= PIPE_BUF, "a line must fit a pipe's atomic write");

enum sink_kind {
    SINK_FILE,   /* regular file or device: one write for all */
    SINK_PIPE,   /* at most PIPE_BUF at a time */
    SINK_SOCKET, /* send(2), locked */
    SINK_OTHER,  /* terminals, locked */
};

struct accesslog {
    atomic_uint refs;
    char *path;            /* NULL: stdout */
    int fd;                /* its number never changes */
    _Atomic int kind;      /* enum sink_kind */
    _Atomic bool torn;     /* the last write ended within a line: begin with a newline */
    _Atomic uint64_t lost; /* lines */
    pthread_mutex_t lock;  /* SINK_SOCKET, SINK_OTHER: around each write */
    struct access_format format;
};

struct accesslog_writer {
    struct accesslog *log;
    struct loop *loop;
    struct deadline flush; /* the second after the first line, or a retry */
    struct access_clock clock;
    bool stuck;   /* the reader takes nothing now: retry by deadline only */
    char *buffer; /* BUFFER_SIZE */
    size_t n;     /* bytes gathered: whole lines */
};

bool accesslog_format_check(struct str template, const char **why)
{
    struct access_format f;
    return access_format_compile(&f, template, why);
}

/* ---- the file ---------------------------------------------------------------------------- */

static enum sink_kind kind_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode)) {
        return SINK_FILE;
    }
    if (S_ISFIFO(st.st_mode)) {
        return SINK_PIPE;
    }
    if (S_ISSOCK(st.st_mode)) {
        return SINK_SOCKET;
    }
    return isatty(fd) ? SINK_OTHER : SINK_FILE;
}

static int open_stdout(void)
{
    enum sink_kind kind = kind_of(STDOUT_FILENO);
    int fd = -1;
    if (kind == SINK_PIPE || kind == SINK_OTHER) {
        fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_sink(const char *path)
{
    if (path == NULL) {
        return open_stdout();
    }
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
                FILE_MODE);
}

struct accesslog *accesslog_new(struct str file, enum log_format format, struct str template,
                                char *error, size_t cap)
{
    struct accesslog *a = xcalloc(1, sizeof(*a));
    const char *why;
    if (format == LOG_FORMAT_JSON) {
        a->format.json = true;
    } else if (!access_format_compile(&a->format, template, &why)) {
        snprintf(error, cap, "access log: %s", why);
        free(a);
        return NULL;
    }
    a->path = file.n > 0 && !str_eq(file, STR("-")) ? str_dup(file) : NULL;
    a->fd = open_sink(a->path);
    if (a->fd < 0) {
        snprintf(error, cap, "cannot open the access log %s: %s",
                 a->path != NULL ? a->path : "on stdout", strerror(errno));
        free(a->path);
        free(a);
        return NULL;
    }
    atomic_init(&a->refs, 1);
    atomic_init(&a->kind, (int)kind_of(a->fd));
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

struct accesslog *accesslog_ref(struct accesslog *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void accesslog_unref(struct accesslog *a)
{
    if (a == NULL || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    close(a->fd);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}

void accesslog_reopen(struct accesslog *a)
{
    if (a->path == NULL) {
        return;
    }
    int fd = open_sink(a->path);
    if (fd < 0 || dup3(fd, a->fd, O_CLOEXEC) < 0) {
        log_error("cannot reopen the access log %s: %s; the old file stays in use", a->path,
                  strerror(errno));
    } else {
        atomic_store(&a->kind, (int)kind_of(fd));
        log_info("access log %s reopened", a->path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

uint64_t accesslog_lost(const struct accesslog *a)
{
    return atomic_load_explicit(&a->lost, memory_order_relaxed);
}

/* ---- writing ----------------------------------------------------------------------------- */

static size_t count_lines(const char *p, size_t n)
{
    size_t lines = 0;
    const char *end = p + n;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lines++;
        p++;
    }
    return lines;
}

static void lose(struct accesslog *a, size_t lines, int number)
{
    static struct log_limit limit;
    uint64_t total =
        atomic_fetch_add_explicit(&a->lost, lines, memory_order_relaxed) + (uint64_t)lines;
    if (lines > 0 && log_allowed(&limit)) {
        log_error("access log %s: %s; %llu lines lost since the start",
                  a->path != NULL ? a->path : "on stdout",
                  number == EAGAIN ? "the reader is too slow" : strerror(number),
                  (unsigned long long)total);
    }
}

/* One write; like write(2). */
static ssize_t sink_write(struct accesslog *a, enum sink_kind kind, const char *p, size_t n)
{
    ssize_t wrote;
    do {
        wrote = kind == SINK_SOCKET ? send(a->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                    : write(a->fd, p, n);
    } while (wrote < 0 && errno == EINTR);
    return wrote;
}

/* Tries to complete a line of which a part is already out. Bytes written. */
static size_t finish_line(struct accesslog *a, enum sink_kind kind, const char *p, size_t n)
{
    size_t done = 0;
    struct pollfd out = {.fd = a->fd, .events = POLLOUT};
    while (done < n && poll(&out, 1, LINE_WAIT) > 0) {
        ssize_t wrote = sink_write(a, kind, p + done, n - done);
        if (wrote < 0 && errno != EAGAIN) {
            break;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return done;
}

/* Bytes up to and with the last newline within the first `cap` of p. */
static size_t whole_lines(const char *p, size_t n, size_t cap)
{
    if (n <= cap) {
        return n;
    }
    const char *last = memrchr(p, '\n', cap);
    return last != NULL ? (size_t)(last - p) + 1 : cap;
}

/*
 * Writes one piece of whole lines. Returns the bytes that are dealt with (whole lines, written
 * or lost); 0 with errno when nothing was taken.
 */
static size_t write_piece(struct accesslog *a, enum sink_kind kind, const char *p, size_t n)
{
    if (atomic_exchange_explicit(&a->torn, false, memory_order_relaxed) &&
        sink_write(a, kind, "\n", 1) != 1) {
        atomic_store_explicit(&a->torn, true, memory_order_relaxed);
        return 0;
    }
    ssize_t wrote = sink_write(a, kind, p, n);
    if (wrote <= 0) {
        errno = wrote == 0 ? EIO : errno;
        return 0;
    }
    size_t done = (size_t)wrote;
    if (done == n || p[done - 1] == '\n') {
        return done;
    }
    const char *newline = memchr(p + done, '\n', n - done);
    size_t line = newline != NULL ? (size_t)(newline - (p + done)) + 1 : n - done;
    if (finish_line(a, kind, p + done, line) < line) {
        atomic_store_explicit(&a->torn, true, memory_order_relaxed);
        lose(a, 1, errno);
    }
    return done + line;
}

/* Writes p as far as it can be done now. Returns the bytes dealt with; a sink that is broken
 * takes everything, and the lines are lost. */
static size_t write_lines(struct accesslog *a, const char *p, size_t n)
{
    enum sink_kind kind = (enum sink_kind)atomic_load_explicit(&a->kind, memory_order_relaxed);
    bool locked = kind == SINK_SOCKET || kind == SINK_OTHER;
    size_t done = 0;
    if (locked) {
        pthread_mutex_lock(&a->lock);
    }
    while (done < n) {
        size_t piece = kind == SINK_FILE ? n - done : whole_lines(p + done, n - done, PIPE_BUF);
        size_t took = write_piece(a, kind, p + done, piece);
        if (took == 0 && errno == EAGAIN) {
            break;
        }
        if (took == 0) {
            lose(a, count_lines(p + done, n - done), errno);
            took = n - done;
        }
        done += took;
    }
    if (locked) {
        pthread_mutex_unlock(&a->lock);
    }
    return done;
}

void accesslog_flush(struct accesslog_writer *w)
{
    if (w->n == 0) {
        return;
    }
    size_t done = write_lines(w->log, w->buffer, w->n);
    w->n -= done;
    w->stuck = w->n > 0;
    if (w->stuck) {
        memmove(w->buffer, w->buffer + done, w->n);
        deadline_set(w->loop, &w->flush, RETRY_MS);
    } else {
        deadline_cancel(&w->flush);
    }
}

static void on_flush(struct deadline *d)
{
    accesslog_flush(container_of(d, struct accesslog_writer, flush));
}

struct accesslog_writer *accesslog_writer_new(struct accesslog *a, struct loop *l)
{
    struct accesslog_writer *w = xcalloc(1, sizeof(*w));
    w->log = accesslog_ref(a);
    w->loop = l;
    w->buffer = xmalloc(BUFFER_SIZE);
    deadline_init(&w->flush, on_flush);
    return w;
}

void accesslog_writer_free(struct accesslog_writer *w)
{
    if (w == NULL) {
        return;
    }
    msec_t until = clock_monotonic() + LAST_WAIT;
    accesslog_flush(w);
    while (w->n > 0 && clock_monotonic() < until) {
        struct pollfd out = {.fd = w->log->fd, .events = POLLOUT};
        poll(&out, 1, (int)(until - clock_monotonic()));
        accesslog_flush(w);
    }
    lose(w->log, count_lines(w->buffer, w->n), EAGAIN);
    deadline_cancel(&w->flush);
    accesslog_unref(w->log);
    free(w->buffer);
    free(w);
}

void accesslog_write(struct accesslog_writer *w, const struct access_record *r)
{
    if (BUFFER_SIZE - w->n < ACCESS_LINE_MAX) {
        lose(w->log, 1, EAGAIN);
        return;
    }
    if (w->n == 0) {
        deadline_set(w->loop, &w->flush, FLUSH_MS);
    }
    w->n += access_line_render(&w->log->format, &w->clock, r, w->buffer + w->n);
    if (w->n >= FLUSH_AT && !w->stuck) {
        accesslog_flush(w);
    }
}
