/*
 * The floor: the least a single-threaded epoll server can spend on a keep-alive request.
 * It reads until the empty line, parses nothing, and sends one prepared answer with one write.
 * Usage: canned PORT BODY_BYTES. Started by bench/run; ends by SIGTERM.
 * The head is about as long as a cache's, so that both sides move the same number of bytes.
 */
#include "net.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IN_MAX = 4096, HEAD_MAX = 512, BODY_MAX = 16 << 20 };

struct conn {
    int fd;          /* client socket */
    size_t have;     /* bytes of an unfinished request in `in` */
    size_t owed;     /* answers still to be sent, the current one included */
    size_t sent;     /* bytes of the current answer already sent */
    bool writing;    /* EPOLLOUT is armed */
    char in[IN_MAX]; /* request bytes; filled from the front */
};

static char *answer;      /* head and body, ready to send */
static size_t answer_len; /* its length */
static int epoll_fd;

static void make_answer(size_t body_bytes)
{
    int head_len;

    answer = malloc(HEAD_MAX + body_bytes);
    if (answer == NULL) {
        net_die("no memory");
    }
    head_len = snprintf(answer, HEAD_MAX,
                        "HTTP/1.1 200 OK\r\n"
                        "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                        "Content-Type: application/json\r\n"
                        "Content-Length: %zu\r\n"
                        "ETag: \"%zu\"\r\n"
                        "Cache-Control: public, max-age=3600\r\n"
                        "Age: 1\r\n"
                        "X-Cache: HIT\r\n"
                        "Cache-Status: canned; hit; ttl=3599\r\n\r\n",
                        body_bytes, body_bytes);
    memset(answer + head_len, '1', body_bytes);
    answer_len = (size_t)head_len + body_bytes;
}

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    free(conn);
}

/* Sends what is owed; false when the connection is gone (and freed). */
static bool conn_send(struct conn *conn)
{
    while (conn->owed > 0) {
        ssize_t n = write(conn->fd, answer + conn->sent, answer_len - conn->sent);

        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            conn_close(conn);
            return false;
        }
        conn->sent += (size_t)n;
        if (conn->sent == answer_len) {
            conn->sent = 0;
            conn->owed--;
        }
    }
    if ((conn->owed > 0) != conn->writing) {
        conn->writing = !conn->writing;
        net_watch(epoll_fd, conn->fd, conn->writing ? EPOLLOUT : EPOLLIN, conn, 1);
    }
    return true;
}

static void conn_read(struct conn *conn)
{
    ssize_t n = read(conn->fd, conn->in + conn->have, IN_MAX - conn->have);
    const char *at = conn->in;
    const char *end;

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        conn_close(conn);
        return;
    }
    conn->have += (size_t)n;
    while ((end = memmem(at, (size_t)(conn->in + conn->have - at), "\r\n\r\n", 4)) != NULL) {
        conn->owed++;
        at = end + 4;
    }
    conn->have -= (size_t)(at - conn->in);
    if (conn->have == IN_MAX) {
        conn_close(conn);
        return;
    }
    if (conn->have > 0) {
        memmove(conn->in, at, conn->have);
    }
    conn_send(conn);
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

int main(int argc, char **argv)
{
    struct epoll_event events[NET_EVENTS];
    int listener;

    if (argc != 3) {
        net_die("usage: canned PORT BODY_BYTES");
    }
    listener = net_listen((uint16_t)net_number("PORT", argv[1], 1, 65535));
    make_answer((size_t)net_number("BODY_BYTES", argv[2], 0, BODY_MAX));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        net_die("epoll_create1");
    }
    signal(SIGPIPE, SIG_IGN);
    net_watch(epoll_fd, listener, EPOLLIN, NULL, 0);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, NET_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;

            if (conn == NULL) {
                accept_all(listener);
            } else if (conn->writing) {
                conn_send(conn);
            } else {
                conn_read(conn);
            }
        }
    }
}
