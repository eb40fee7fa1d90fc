/*
 * The origin behind every proxy of the benchmark: fast enough not to be what is measured.
 *
 *   GET  /any/thing/N   200, N bytes, cacheable for an hour, with ETag; under /bin/ the type is
 *                       application/octet-stream (nothing compresses it), else application/json
 *   GET  /_count        {"requests":…}: all requests so far but these; so bench/run can prove
 * that a "hit" was one POST /any/thing     200 and a small answer (a Content-Length body is
 * read and dropped)
 *
 * The body is a run of digits, which is valid JSON at every length. Usage: origin PORT.
 * One thread; requests of one connection are answered in order. It trusts its peers (loopback).
 */
#include "net.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { IN_MAX = 16384, HEAD_MAX = 512, BODY_MAX = 16 << 20, COUNT_MAX = 64 };

struct conn {
    int fd;              /* the proxy's connection */
    bool writing;        /* an answer is partly sent, EPOLLOUT is armed */
    size_t have;         /* bytes in `in` */
    size_t skip;         /* bytes of a request body still to be dropped */
    size_t head_len;     /* the answer's head */
    size_t body_len;     /* the answer's body */
    size_t sent;         /* bytes of head and body already sent */
    const char *body;    /* where the body is: digits, or count */
    char head[HEAD_MAX]; /* the answer's head */
    char count[COUNT_MAX];
    char in[IN_MAX]; /* request bytes; filled from the front */
};

static char *digits;               /* BODY_MAX bytes of 1…9 */
static unsigned long long counted; /* requests but those for /_count */
static char date[40];              /* Date of this second */
static int epoll_fd;

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    free(conn);
}

static void refresh_date(void)
{
    static time_t shown;
    time_t now = time(NULL);
    struct tm tm;

    if (now != shown) {
        shown = now;
        gmtime_r(&now, &tm);
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
}

/* The number at the end of the path, as the size of the body; 0 when there is none. */
static size_t size_of_path(const char *path, size_t len)
{
    size_t at = len;
    size_t size = 0;

    while (at > 0 && path[at - 1] >= '0' && path[at - 1] <= '9') {
        at--;
    }
    for (; at < len && size <= BODY_MAX; at++) {
        size = size * 10 + (size_t)(path[at] - '0');
    }
    return size <= BODY_MAX ? size : BODY_MAX;
}

static void answer_init(struct conn *conn, const char *method, const char *path, size_t len)
{
    bool cacheable = strncmp(method, "POST ", 5) != 0;
    const char *type = "application/json";

    conn->sent = 0;
    conn->body = digits;
    conn->body_len = cacheable ? size_of_path(path, len) : 2;
    if (len == 7 && memcmp(path, "/_count", 7) == 0) {
        cacheable = false;
        conn->body = conn->count;
        conn->body_len =
            (size_t)snprintf(conn->count, COUNT_MAX, "{\"requests\":%llu}", counted);
    } else {
        counted++;
    }
    if (len > 5 && memcmp(path, "/bin/", 5) == 0) {
        type = "application/octet-stream";
    }
    refresh_date();
    conn->head_len = (size_t)snprintf(conn->head, HEAD_MAX,
                                      "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: %s\r\n"
                                      "Content-Length: %zu\r\nETag: \"%zu\"\r\n"
                                      "Cache-Control: %s\r\n\r\n",
                                      date, type, conn->body_len, conn->body_len,
                                      cacheable ? "public, max-age=3600" : "no-store");
    if (strncmp(method, "HEAD ", 5) == 0) {
        conn->body_len = 0;
    }
}

/* Sends what is left of the answer; false when the connection is gone (and freed). */
static bool conn_send(struct conn *conn)
{
    size_t total = conn->head_len + conn->body_len;

    while (conn->sent < total) {
        size_t in_head = conn->sent < conn->head_len ? conn->head_len - conn->sent : 0;
        size_t in_body = conn->sent > conn->head_len ? conn->sent - conn->head_len : 0;
        struct iovec parts[2] = {
            {conn->head + conn->head_len - in_head, in_head},
            {(char *)(uintptr_t)(conn->body + in_body), conn->body_len - in_body}};
        ssize_t n = writev(conn->fd, parts, 2);

        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            conn_close(conn);
            return false;
        }
        conn->sent += (size_t)n;
    }
    if ((conn->sent < total) != conn->writing) {
        conn->writing = !conn->writing;
        net_watch(epoll_fd, conn->fd, conn->writing ? EPOLLOUT : EPOLLIN, conn, 1);
    }
    return true;
}

/* The value of Content-Length in the head [line, end), 0 without one. */
static size_t content_length(const char *line, const char *end)
{
    static const char NAME[] = "\r\nContent-Length:";
    const size_t name_len = sizeof NAME - 1;

    for (; line + name_len < end; line++) {
        line = memchr(line, '\r', (size_t)(end - line));
        if (line == NULL || line + name_len >= end) {
            break;
        }
        if (strncasecmp(line, NAME, name_len) == 0) {
            return (size_t)strtoull(line + name_len, NULL, 10);
        }
    }
    return 0;
}

/* Takes one request off the front of `in`. Returns its bytes, 0 for more input, -1 for garbage.
 */
static ssize_t take_request(struct conn *conn)
{
    const char *end = memmem(conn->in, conn->have, "\r\n\r\n", 4);
    const char *path;
    const char *stop;

    if (end == NULL) {
        return conn->have == IN_MAX ? -1 : 0;
    }
    path = memchr(conn->in, ' ', (size_t)(end - conn->in));
    stop = path == NULL ? NULL : memchr(path + 1, ' ', (size_t)(end - path - 1));
    if (stop == NULL) {
        return -1;
    }
    answer_init(conn, conn->in, path + 1, (size_t)(stop - path - 1));
    conn->skip = content_length(stop, end + 2);
    return end + 4 - conn->in;
}

/* Drops body bytes that belong to the last request from the front of `in`. */
static void drop_body(struct conn *conn)
{
    size_t n = conn->skip < conn->have ? conn->skip : conn->have;

    conn->skip -= n;
    conn->have -= n;
    memmove(conn->in, conn->in + n, conn->have);
}

/* Answers whole requests in `in` until one cannot be sent at once or input runs out. */
static void conn_serve(struct conn *conn)
{
    while (conn->have > 0 && !conn->writing) {
        ssize_t used;

        if (conn->skip > 0) {
            drop_body(conn);
            continue;
        }
        used = take_request(conn);
        if (used == 0) {
            return;
        }
        if (used < 0) {
            conn_close(conn);
            return;
        }
        conn->have -= (size_t)used;
        memmove(conn->in, conn->in + used, conn->have);
        if (!conn_send(conn)) {
            return;
        }
    }
}

static void conn_read(struct conn *conn)
{
    ssize_t n = read(conn->fd, conn->in + conn->have, IN_MAX - conn->have);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        conn_close(conn);
        return;
    }
    conn->have += (size_t)n;
    conn_serve(conn);
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = net_accept(listener)) >= 0) {
        struct conn *conn = calloc(1, sizeof *conn);

        if (conn == NULL) {
            net_die("no memory");
        }
        conn->fd = fd;
        net_watch(epoll_fd, fd, EPOLLIN, conn, 0);
    }
}

static void on_event(int listener, struct conn *conn)
{
    if (conn == NULL) {
        accept_all(listener);
    } else if (!conn->writing) {
        conn_read(conn);
    } else if (conn_send(conn)) {
        conn_serve(conn);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[NET_EVENTS];
    int listener;

    if (argc != 2) {
        net_die("usage: origin PORT");
    }
    listener = net_listen((uint16_t)net_number("PORT", argv[1], 1, 65535));
    digits = malloc(BODY_MAX);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (digits == NULL || epoll_fd < 0) {
        net_die("set-up");
    }
    for (size_t i = 0; i < BODY_MAX; i++) {
        digits[i] = (char)('1' + i % 9);
    }
    signal(SIGPIPE, SIG_IGN);
    net_watch(epoll_fd, listener, EPOLLIN, NULL, 0);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, NET_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            on_event(listener, events[i].data.ptr);
        }
    }
}
