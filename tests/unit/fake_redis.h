/*
 * A scripted Redis for tests: a thread on a free loopback port that parses commands and answers
 * as the test's function says, in pieces, late, cut off or not at all. Its default answers are
 * those of a healthy master that holds "value of KEY" under every KEY.
 */
#ifndef TESTS_UNIT_FAKE_REDIS_H
#define TESTS_UNIT_FAKE_REDIS_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define FAKE_MAX_CONNS 64
#define FAKE_MAX_ARGS  16

struct fake_redis;

struct fake_command {
    struct fake_redis *server;
    unsigned connection; /* counts from 0 over the server's life */
    size_t argc;
    struct str argv[FAKE_MAX_ARGS];
};

/* What to do after `out` was filled. */
enum fake_action {
    FAKE_DEFAULT, /* answer as a healthy server does */
    FAKE_SEND,    /* send what is in out */
    FAKE_SILENT,  /* nothing */
    FAKE_CLOSE,   /* send, then close */
    FAKE_RESET,   /* send, then RST */
};

typedef enum fake_action fake_script_fn(const struct fake_command *c, struct strbuf *out);

struct fake_conn {
    int fd;
    unsigned number;
    struct strbuf in;
    struct strbuf out;
    size_t sent; /* bytes sent on this connection */
    bool closing, resetting;
};

struct fake_redis {
    fake_script_fn *script; /* NULL: default answers */
    void *user;
    atomic_size_t piece;    /* bytes of each write; 0: all at once */
    atomic_size_t cut;      /* RST after so many bytes of a connection; 0: never */
    atomic_bool frozen;     /* reads nothing and sends nothing, as if stopped */
    atomic_bool refuse;     /* closes at accept */
    atomic_uint accepted;   /* connections so far */
    atomic_uint commands;   /* commands so far, handshakes included */
    atomic_size_t bytes_in; /* read so far */
    atomic_uint live;       /* connections now */
    uint16_t port;
    int listen_fd;
    int wake[2];
    pthread_t thread;
    struct fake_conn conns[FAKE_MAX_CONNS];
    size_t n_conns;
};

static inline bool fake_is(const struct fake_command *c, const char *name)
{
    return c->argc > 0 && str_ieq(c->argv[0], str_from(name));
}

static inline void fake_bulk(struct strbuf *out, const char *prefix, struct str s)
{
    strbuf_addf(out, "$%zu\r\n%s", strlen(prefix) + s.n, prefix);
    strbuf_add_str(out, s);
    strbuf_add(out, "\r\n", 2);
}

static inline void fake_default(const struct fake_command *c, struct strbuf *out)
{
    if (fake_is(c, "PING")) {
        strbuf_addf(out, "+PONG\r\n");
    } else if (fake_is(c, "ROLE")) {
        strbuf_addf(out, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    } else if (fake_is(c, "GET") && c->argc > 1) {
        fake_bulk(out, "value of ", c->argv[1]);
    } else {
        strbuf_addf(out, "+OK\r\n");
    }
}

/* "*N\r\n$L\r\n…": the bytes used, 0 when there are too few. Trusts its peer. */
static inline size_t fake_parse(struct str in, struct fake_command *c)
{
    size_t at = 0;
    c->argc = 0;
    size_t n = 0;
    for (size_t i = 0; i <= n; i++) {
        struct str rest = str_skip(in, at);
        size_t cr = str_index(rest, '\r');
        if (cr + 2 > rest.n) {
            return 0;
        }
        uint64_t value = 0;
        if (!str_to_u64(str_make(rest.p + 1, cr - 1), UINT32_MAX, &value)) {
            abort();
        }
        at += cr + 2;
        if (i == 0) {
            n = (size_t)value;
            continue;
        }
        if (in.n - at < value + 2) {
            return 0;
        }
        if (c->argc < FAKE_MAX_ARGS) {
            c->argv[c->argc++] = str_make(in.p + at, (size_t)value);
        }
        at += (size_t)value + 2;
    }
    return at;
}

static inline void fake_answer(struct fake_redis *f, struct fake_conn *c)
{
    struct fake_command command = {.server = f, .connection = c->number};
    size_t used;
    while (!c->closing && (used = fake_parse(strbuf_str(&c->in), &command)) > 0) {
        atomic_fetch_add(&f->commands, 1);
        enum fake_action what = f->script != NULL ? f->script(&command, &c->out) : FAKE_DEFAULT;
        if (what == FAKE_DEFAULT) {
            fake_default(&command, &c->out);
        }
        c->closing = what == FAKE_CLOSE || what == FAKE_RESET;
        c->resetting = what == FAKE_RESET;
        strbuf_consume(&c->in, used);
    }
}

static inline void fake_drop(struct fake_redis *f, struct fake_conn *c, bool reset)
{
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(c->fd);
    strbuf_free(&c->in);
    strbuf_free(&c->out);
    *c = f->conns[--f->n_conns];
    atomic_fetch_sub(&f->live, 1);
}

/* True while the connection lives. */
static inline bool fake_write(struct fake_redis *f, struct fake_conn *c)
{
    while (c->out.n > 0) {
        size_t n = c->out.n;
        size_t piece = atomic_load(&f->piece), cut = atomic_load(&f->cut);
        if (piece > 0 && n > piece) {
            n = piece;
        }
        if (cut > 0 && n > cut - c->sent) {
            n = cut - c->sent;
        }
        ssize_t sent = n > 0 ? send(c->fd, c->out.p, n, MSG_NOSIGNAL) : 0;
        if (sent < 0) {
            if (errno == EAGAIN) {
                return true;
            }
            fake_drop(f, c, false);
            return false;
        }
        c->sent += (size_t)sent;
        strbuf_consume(&c->out, (size_t)sent);
        if (cut > 0 && c->sent >= cut) {
            fake_drop(f, c, true);
            return false;
        }
    }
    if (c->closing) {
        fake_drop(f, c, c->resetting);
        return false;
    }
    return true;
}

static inline void fake_read(struct fake_redis *f, struct fake_conn *c)
{
    static __thread char buf[65536];
    ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        fake_drop(f, c, false);
        return;
    }
    if (n > 0) {
        atomic_fetch_add(&f->bytes_in, (size_t)n);
        strbuf_add(&c->in, buf, (size_t)n);
        fake_answer(f, c);
        fake_write(f, c);
    }
}

static inline void fake_accept(struct fake_redis *f)
{
    int fd = accept4(f->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    unsigned number = atomic_fetch_add(&f->accepted, 1);
    if (atomic_load(&f->refuse) || f->n_conns == FAKE_MAX_CONNS) {
        close(fd);
        return;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    f->conns[f->n_conns++] = (struct fake_conn){.fd = fd, .number = number};
    atomic_fetch_add(&f->live, 1);
}

static inline void *fake_main(void *arg)
{
    struct fake_redis *f = arg;
    for (;;) {
        struct pollfd fds[FAKE_MAX_CONNS + 2] = {{.fd = f->wake[0], .events = POLLIN},
                                                 {.fd = f->listen_fd, .events = POLLIN}};
        bool frozen = atomic_load(&f->frozen);
        size_t n = f->n_conns;
        for (size_t i = 0; i < n && !frozen; i++) {
            fds[i + 2].fd = f->conns[i].fd;
            fds[i + 2].events = POLLIN | (f->conns[i].out.n > 0 ? POLLOUT : 0);
        }
        poll(fds, frozen ? 1 : n + 2, -1);
        if (fds[0].revents & POLLIN) {
            char c;
            if (read(f->wake[0], &c, 1) == 1 && c == 'q') {
                return NULL;
            }
            while (c == 'd' && f->n_conns > 0) {
                fake_drop(f, &f->conns[0], false);
            }
            continue;
        }
        for (size_t i = n; i-- > 0;) { /* backwards: a dropped one is replaced by the last */
            if ((fds[i + 2].revents & POLLOUT) && !fake_write(f, &f->conns[i])) {
                continue;
            }
            if (fds[i + 2].revents & (POLLIN | POLLHUP | POLLERR)) {
                fake_read(f, &f->conns[i]);
            }
        }
        if (fds[1].revents & POLLIN) {
            fake_accept(f);
        }
    }
}

static inline void fake_wake(struct fake_redis *f, char what)
{
    if (write(f->wake[1], &what, 1) != 1) {
        abort();
    }
}

static inline void fake_freeze(struct fake_redis *f, bool frozen)
{
    atomic_store(&f->frozen, frozen);
    fake_wake(f, 'w');
}

/* Closes every connection, as a restart does. */
static inline void fake_drop_all(struct fake_redis *f)
{
    fake_wake(f, 'd');
}

/* port 0: any. False when the port is taken. */
static inline bool fake_start(struct fake_redis *f, fake_script_fn *script, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    int one = 1;
    f->script = script;
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(f->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(f->listen_fd, (struct sockaddr *)&to, len) != 0 || listen(f->listen_fd, 64) != 0) {
        close(f->listen_fd);
        return false;
    }
    getsockname(f->listen_fd, (struct sockaddr *)&to, &len);
    f->port = ntohs(to.sin_port);
    if (pipe2(f->wake, O_CLOEXEC) != 0 || pthread_create(&f->thread, NULL, fake_main, f) != 0) {
        abort();
    }
    return true;
}

static inline void fake_stop(struct fake_redis *f)
{
    fake_wake(f, 'q');
    pthread_join(f->thread, NULL);
    while (f->n_conns > 0) {
        fake_drop(f, &f->conns[0], false);
    }
    close(f->listen_fd);
    close(f->wake[0]);
    close(f->wake[1]);
}

/* So many of one script, on the heap; false when one does not start. */
static inline bool fake_start_all(struct fake_redis **list, size_t n, fake_script_fn *script)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        list[i] = xcalloc(1, sizeof(*list[i]));
        ok = fake_start(list[i], script, 0);
    }
    return ok;
}

static inline void fake_stop_all(struct fake_redis **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fake_stop(list[i]);
        free(list[i]);
    }
}

#endif
