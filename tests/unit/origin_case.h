/*
 * Helpers of test_origin, test_pool and test_fetch: an upstream of one's own. It listens on a
 * free loopback port; each connection it accepts follows a script of steps in a thread, and
 * what it receives is kept. And settings for it, by way of the real parser.
 */
#ifndef TESTS_UNIT_ORIGIN_CASE_H
#define TESTS_UNIT_ORIGIN_CASE_H

#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/str.h"
#include "config.h"
#include "upstream/origin.h"

enum deed {
    DEED_END,   /* of the script: FIN, then read until the peer leaves */
    DEED_SEND,  /* text, or n bytes of it */
    DEED_HEAD,  /* read one request head */
    DEED_READ,  /* read n bytes */
    DEED_CLOSE, /* close with what is unread still unread: RST if there is any */
    DEED_RESET, /* RST */
    DEED_HANG,  /* say nothing until the peer leaves */
    DEED_PACED, /* text in pieces of n bytes, each in a segment of its own */
    DEED_GATE,  /* wait until the test opens the gate */
    DEED_FLOOD, /* send n bytes of 'x', as far as the peer takes them */
};

struct step {
    enum deed deed;
    const char *text;
    size_t n;
};

#define CONNS_MAX   64
#define SCRIPTS_MAX 8

/* One accepted connection. */
struct scripted_conn {
    struct scripted *origin;
    const struct step *script;
    int fd;
    struct strbuf in; /* received; read by the test after scripted_stop() */
    size_t used;      /* of in, by steps so far */
    pthread_t thread;
};

struct scripted {
    const struct step *scripts[SCRIPTS_MAX];
    size_t n_scripts;
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    struct scripted_conn conns[CONNS_MAX];
    _Atomic size_t n_conns;
    _Atomic size_t flooded; /* bytes that DEED_FLOOD got rid of */
    atomic_bool gate;
    atomic_bool stop;
};

static inline bool scripted_recv(struct scripted_conn *c)
{
    char buf[65536];
    ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
    if (n <= 0) {
        return false;
    }
    strbuf_add(&c->in, buf, (size_t)n);
    return true;
}

static inline bool scripted_read_head(struct scripted_conn *c)
{
    size_t from = c->used;
    for (;;) {
        const char *end =
            c->in.n > from ? memmem(c->in.p + from, c->in.n - from, "\r\n\r\n", 4) : NULL;
        if (end != NULL) {
            c->used = (size_t)(end - c->in.p) + 4;
            return true;
        }
        from = c->in.n > c->used + 3 ? c->in.n - 3 : c->used;
        if (!scripted_recv(c)) {
            return false;
        }
    }
}

static inline bool scripted_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool scripted_paced(int fd, const char *p, size_t n, size_t piece)
{
    for (size_t i = 0; i < n; i += piece) {
        if (!scripted_send(fd, p + i, n - i < piece ? n - i : piece)) {
            return false;
        }
        usleep(200); /* lets the reader see the pieces one by one; nothing depends on it */
    }
    return true;
}

static inline bool scripted_flood(struct scripted_conn *c, size_t n)
{
    char buf[16384];
    memset(buf, 'x', sizeof(buf));
    while (n > 0) {
        ssize_t sent = send(c->fd, buf, n < sizeof(buf) ? n : sizeof(buf), MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        n -= (size_t)sent;
        atomic_fetch_add(&c->origin->flooded, (size_t)sent);
    }
    return true;
}

static inline void scripted_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* One step; false when the connection is over. */
static inline bool scripted_do(struct scripted_conn *c, const struct step *s)
{
    size_t length = s->text != NULL ? (s->n > 0 ? s->n : strlen(s->text)) : 0;
    switch (s->deed) {
    case DEED_SEND: return scripted_send(c->fd, s->text, length);
    case DEED_PACED: return scripted_paced(c->fd, s->text, strlen(s->text), s->n);
    case DEED_FLOOD: return scripted_flood(c, s->n);
    case DEED_HEAD: return scripted_read_head(c);
    case DEED_READ:
        while (c->in.n - c->used < s->n) {
            if (!scripted_recv(c)) {
                return false;
            }
        }
        c->used += s->n;
        return true;
    case DEED_GATE:
        while (!atomic_load(&c->origin->gate) && !atomic_load(&c->origin->stop)) {
            usleep(1000);
        }
        return true;
    case DEED_RESET: scripted_reset(c->fd); return false;
    case DEED_CLOSE: return false;
    case DEED_HANG:
    case DEED_END: break;
    }
    if (s->deed == DEED_END) {
        shutdown(c->fd, SHUT_WR);
    }
    while (scripted_recv(c)) {
    }
    return false;
}

static inline void *scripted_serve(void *arg)
{
    struct scripted_conn *c = arg;
    for (const struct step *s = c->script; scripted_do(c, s); s++) {
    }
    close(c->fd);
    return NULL;
}

static inline void *scripted_accept(void *arg)
{
    struct scripted *o = arg;
    for (;;) {
        int fd = accept(o->listen_fd, NULL, NULL);
        size_t i = atomic_load(&o->n_conns);
        if (fd < 0 || i == CONNS_MAX) {
            return NULL;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct scripted_conn *c = &o->conns[i];
        c->origin = o;
        c->fd = fd;
        c->script = o->scripts[i < o->n_scripts ? i : o->n_scripts - 1];
        if (pthread_create(&c->thread, NULL, scripted_serve, c) != 0) {
            abort();
        }
        atomic_store(&o->n_conns, i + 1);
    }
}

static inline struct scripted *scripted_start(const struct step *const *scripts, size_t n)
{
    struct scripted *o = calloc(1, sizeof(*o));
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    assert_non_null(o);
    signal(SIGPIPE, SIG_IGN);
    assert_in_range(n, 1, SCRIPTS_MAX);
    memcpy(o->scripts, scripts, n * sizeof(scripts[0]));
    o->n_scripts = n;
    o->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(o->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(o->listen_fd, 64), 0);
    assert_int_equal(getsockname(o->listen_fd, (struct sockaddr *)&addr, &len), 0);
    o->port = ntohs(addr.sin_port);
    assert_int_equal(pthread_create(&o->thread, NULL, scripted_accept, o), 0);
    return o;
}

/* Ends all threads, once the peers have left; what was received can be read then. Idempotent.
 */
static inline void scripted_stop(struct scripted *o)
{
    if (atomic_exchange(&o->stop, true)) {
        return;
    }
    shutdown(o->listen_fd, SHUT_RDWR);
    pthread_join(o->thread, NULL);
    close(o->listen_fd);
    for (size_t i = 0; i < o->n_conns; i++) {
        pthread_join(o->conns[i].thread, NULL);
    }
}

static inline void scripted_free(struct scripted *o)
{
    for (size_t i = 0; i < o->n_conns; i++) {
        strbuf_free(&o->conns[i].in);
    }
    free(o);
}

/* A port on which nobody listens. */
static inline uint16_t closed_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

/* Settings from a text; shows the report when it is wrong. One reference to the caller. */
static inline struct settings *parse_settings(const char *text)
{
    struct config_report report = {0};
    struct settings *s = config_parse("t.conf", str_from(text), &report);
    if (s == NULL) {
        fail_msg("%.*s", (int)report.text.n, report.text.p);
    }
    strbuf_free(&report.text);
    return s;
}

/* The origins of `upstream main URL… options` for these ports. */
static inline struct origins *make_origins(const uint16_t *ports, size_t n, const char *options)
{
    struct strbuf text = {0};
    char error[256];
    strbuf_add_str(&text, STR("upstream main"));
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&text, " http://127.0.0.1:%u", ports[i]);
    }
    strbuf_addf(&text, " %s\n", options);
    strbuf_add_char(&text, '\0');
    struct settings *s = parse_settings(text.p);
    struct origins *o = origins_new(s, NULL, error, sizeof(error));
    assert_non_null(o);
    settings_unref(s);
    strbuf_free(&text);
    return o;
}

/* Turns the loop until the condition holds; fails after ten seconds. */
#define RUN_UNTIL(loop, condition)                                                 \
    do {                                                                           \
        msec_t limit_ = clock_monotonic() + 10000;                                 \
        while (!(condition)) {                                                     \
            loop_turn(loop, false);                                                \
            usleep(200);                                                           \
            if (clock_monotonic() > limit_) {                                      \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition); \
            }                                                                      \
        }                                                                          \
    } while (0)

#endif
