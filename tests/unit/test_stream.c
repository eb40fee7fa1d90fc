/*
 * The plain stream over socketpairs and loopback connections: partial writes, zero-copy
 * segments, back-pressure, ends and errors. TLS is in test_tls.
 */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/stream.h"

static struct loop *l;

/* One end of a connection, noting all that happens to it. */
struct end {
    struct stream s;
    struct strbuf in;
    size_t read_cap; /* bytes for each stream_read; 0: 4096 */
    unsigned connected, readable, written, failed;
    enum stream_error error;
    enum io_result last; /* of the last stream_read */
    bool eof;
    bool pause_after_read;
    bool close_in_readable, close_in_failed;
};

static void on_connected(struct stream *s)
{
    container_of(s, struct end, s)->connected++;
}

static void on_readable(struct stream *s)
{
    struct end *e = container_of(s, struct end, s);
    e->readable++;
    char buf[4096];
    size_t cap = e->read_cap != 0 ? e->read_cap : sizeof(buf);
    size_t n = 0;
    e->last = stream_read(s, buf, cap, &n);
    if (e->last == IO_OK) {
        assert_in_range(n, 1, cap);
        strbuf_add(&e->in, buf, n);
    } else if (e->last == IO_EOF) {
        e->eof = true;
        stream_want_read(s, false);
    }
    if (e->pause_after_read) {
        stream_want_read(s, false);
    }
    if (e->close_in_readable) {
        stream_close(s, false);
    }
}

static void on_written(struct stream *s)
{
    container_of(s, struct end, s)->written++;
}

static void on_failed(struct stream *s, enum stream_error error)
{
    struct end *e = container_of(s, struct end, s);
    e->failed++;
    e->error = error;
    if (e->close_in_failed) {
        stream_close(s, false);
    }
}

static const struct stream_ops ops = {
    .connected = on_connected,
    .readable = on_readable,
    .written = on_written,
    .failed = on_failed,
};

/* Ends that a failed test may leave open: static, so that teardown can close them. */
static struct end *opened[16];
static size_t n_opened;

static void note_end(struct end *e)
{
    assert_true(n_opened < sizeof(opened) / sizeof(opened[0]));
    opened[n_opened++] = e;
}

static struct deadline tick;

static void on_tick(struct deadline *d)
{
    deadline_set(l, d, 20);
}

static int setup(void **state)
{
    (void)state;
    l = loop_new();
    deadline_init(&tick, on_tick);
    deadline_set(l, &tick, 20);
    return l == NULL;
}

static int teardown(void **state)
{
    (void)state;
    while (n_opened > 0) {
        stream_close(&opened[--n_opened]->s, false);
    }
    deadline_cancel(&tick);
    loop_free(l);
    return 0;
}

#define RUN_UNTIL(condition)                                                       \
    do {                                                                           \
        msec_t limit = clock_monotonic() + 10000;                                  \
        while (!(condition)) {                                                     \
            loop_turn(l, true);                                                    \
            if (clock_monotonic() > limit) {                                       \
                fail_msg("%s:%d: never came: %s", __FILE__, __LINE__, #condition); \
            }                                                                      \
        }                                                                          \
    } while (0)

/* Everything that is there already. */
static void settle(void)
{
    for (unsigned i = 0; i < 10; i++) {
        loop_turn(l, false);
    }
}

static void open_pair(struct end *a, struct end *b, int buffer)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    for (unsigned i = 0; i < 2 && buffer > 0; i++) {
        setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    }
    *a = (struct end){0};
    *b = (struct end){0};
    stream_open(&a->s, l, &ops, fd[0], NULL);
    stream_open(&b->s, l, &ops, fd[1], NULL);
    note_end(a);
    note_end(b);
}

static void end_fini(struct end *e)
{
    stream_close(&e->s, false);
    strbuf_free(&e->in);
}

/* A listening loopback socket; its address goes to *addr. */
static int listen_loopback(struct addr *addr)
{
    const char *why;
    assert_true(addr_parse(STR("127.0.0.1:0"), addr, &why));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &addr->u.sa, addr->len), 0);
    assert_int_equal(listen(fd, 8), 0);
    addr->len = sizeof(addr->u.ss);
    assert_int_equal(getsockname(fd, &addr->u.sa, &addr->len), 0);
    return fd;
}

static unsigned releases[16];

static void on_release(void *owner)
{
    releases[(uintptr_t)owner]++;
}

static struct segment owned(const char *p, size_t n, uintptr_t owner)
{
    return (struct segment){p, n, on_release, (void *)owner};
}

static struct segment copied(const char *text)
{
    return (struct segment){.p = text, .n = strlen(text)};
}

static void test_echo(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 0);
    memset(releases, 0, sizeof(releases));
    struct segment segs[4] = {copied("head "), owned("body ", 5, 1), copied(""),
                              owned("tail", 4, 2)};
    stream_send(&a.s, segs, 4);
    assert_int_equal(a.s.pending, 0);
    assert_int_equal(releases[1], 1);
    assert_int_equal(releases[2], 1);
    assert_int_equal(b.readable, 0); /* callbacks come from the loop only */
    RUN_UNTIL(b.in.n == 14);
    assert_memory_equal(b.in.p, "head body tail", 14);
    assert_int_equal(a.s.bytes_out, 14);
    assert_int_equal(b.s.bytes_in, 14);
    stream_send(&a.s, segs, 0);
    end_fini(&a);
    end_fini(&b);
    assert_int_equal(a.failed + b.failed, 0);
}

static char *pattern(size_t n)
{
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)((i * 31 + i / 251) & 0xff);
    }
    return p;
}

/* A reader that reads little, a small send buffer: every byte arrives, in order, and each
 * owned segment is released once, only when it has been sent. */
static void test_partial_writes(void **state)
{
    (void)state;
    enum { PIECE = 70000, PIECES = 8 };
    static struct end a, b;
    open_pair(&a, &b, 4096);
    b.read_cap = 777;
    char *data = pattern(PIECE * PIECES);
    memset(releases, 0, sizeof(releases));
    struct segment segs[PIECES];
    for (uintptr_t i = 0; i < PIECES; i++) {
        segs[i] = owned(data + i * PIECE, PIECE, i);
        if (i % 3 == 2) {
            segs[i].release = NULL; /* copied where it has to wait */
        }
    }
    stream_send(&a.s, segs, 3);
    assert_true(a.s.pending > 0);
    assert_int_equal(releases[1], 0);
    stream_send(&a.s, segs + 3, PIECES - 3);
    assert_int_equal(a.s.pending + a.s.bytes_out, (size_t)PIECE * PIECES);
    settle();
    assert_int_equal(releases[PIECES - 1], 0);
    RUN_UNTIL(b.in.n == (size_t)PIECE * PIECES);
    assert_memory_equal(b.in.p, data, (size_t)PIECE * PIECES);
    assert_int_equal(a.s.pending, 0);
    assert_true(a.written > 1);
    for (unsigned i = 0; i < PIECES; i++) {
        assert_int_equal(releases[i], i % 3 == 2 ? 0 : 1);
    }
    assert_int_equal(a.s.armed & EV_WRITE, 0);
    free(data);
    end_fini(&a);
    end_fini(&b);
}

/* A reader that does not read stops the writer; nothing spins, nothing is lost. */
static void test_back_pressure(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 4096);
    stream_want_read(&b.s, false);
    char *data = pattern(1 << 20);
    struct segment seg = {.p = data, .n = 1 << 20};
    stream_send(&a.s, &seg, 1);
    settle();
    size_t stuck = a.s.pending;
    assert_true(stuck > 900000);
    settle();
    assert_int_equal(a.s.pending, stuck);
    assert_int_equal(b.readable, 0);
    b.pause_after_read = true;
    stream_want_read(&b.s, true);
    RUN_UNTIL(b.readable == 1);
    settle();
    assert_int_equal(b.readable, 1);
    b.pause_after_read = false;
    stream_want_read(&b.s, true);
    RUN_UNTIL(b.in.n == 1 << 20);
    assert_memory_equal(b.in.p, data, 1 << 20);
    free(data);
    end_fini(&a);
    end_fini(&b);
}

/* Output that cannot be sent any more is released by the close, once. */
static void test_close_releases(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 4096);
    char *data = pattern(200000);
    memset(releases, 0, sizeof(releases));
    struct segment segs[2] = {owned(data, 100000, 1), owned(data + 100000, 100000, 2)};
    stream_send(&a.s, segs, 2);
    assert_int_equal(releases[1] + releases[2], 0);
    stream_close(&a.s, false);
    assert_int_equal(releases[1], 1);
    assert_int_equal(releases[2], 1);
    stream_close(&a.s, true);
    assert_false(stream_is_open(&a.s));
    stream_send(&a.s, segs, 1); /* sending on a closed stream still takes over the owner */
    assert_int_equal(releases[1], 2);
    RUN_UNTIL(b.eof);
    assert_int_equal(a.failed, 0);
    free(data);
    end_fini(&a);
    end_fini(&b);
}

static void test_shutdown_after_queue(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 4096);
    char *data = pattern(300000);
    struct segment seg = {.p = data, .n = 300000};
    stream_send(&a.s, &seg, 1);
    stream_shutdown(&a.s);
    stream_shutdown(&a.s);
    seg.n = 10;
    stream_send(&a.s, &seg, 1); /* after the shutdown: dropped */
    RUN_UNTIL(b.eof);
    assert_int_equal(b.in.n, 300000);
    assert_memory_equal(b.in.p, data, 300000);
    /* The other direction is still open. */
    struct segment reply = copied("bye");
    stream_send(&b.s, &reply, 1);
    RUN_UNTIL(a.in.n == 3);
    stream_shutdown(&b.s);
    RUN_UNTIL(a.eof);
    settle();
    assert_int_equal(a.failed + b.failed, 0);
    free(data);
    end_fini(&a);
    end_fini(&b);
}

static void test_connect(void **state)
{
    (void)state;
    struct addr addr;
    int listener = listen_loopback(&addr);
    static struct end a = {0}, b = {0};
    note_end(&a);
    stream_connect(&a.s, l, &ops, &addr, NULL, NULL);
    assert_int_equal(a.connected, 0);
    struct segment seg = copied("early"); /* queued until the connection is there */
    stream_send(&a.s, &seg, 1);
    assert_int_equal(a.s.pending, 5);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    note_end(&b);
    stream_open(&b.s, l, &ops, fd, NULL);
    RUN_UNTIL(a.connected == 1 && b.in.n == 5);
    assert_int_equal(b.connected, 0);
    close(listener);
    end_fini(&a);
    end_fini(&b);
}

/* The end asked for before the connection exists comes right after it. */
static void test_shutdown_while_connecting(void **state)
{
    (void)state;
    struct addr addr;
    int listener = listen_loopback(&addr);
    static struct end a = {0}, b = {0};
    note_end(&a);
    stream_connect(&a.s, l, &ops, &addr, NULL, NULL);
    stream_shutdown(&a.s);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    note_end(&b);
    stream_open(&b.s, l, &ops, fd, NULL);
    RUN_UNTIL(b.eof);
    assert_int_equal(a.connected, 1);
    close(listener);
    end_fini(&a);
    end_fini(&b);
}

static void test_connect_refused(void **state)
{
    (void)state;
    struct addr addr;
    close(listen_loopback(&addr));
    static struct end a = {.close_in_failed = true};
    memset(releases, 0, sizeof(releases));
    note_end(&a);
    stream_connect(&a.s, l, &ops, &addr, NULL, NULL);
    struct segment seg = owned("x", 1, 3);
    stream_send(&a.s, &seg, 1);
    assert_int_equal(a.failed, 0);
    RUN_UNTIL(a.failed == 1);
    assert_int_equal(a.error, STREAM_REFUSED);
    assert_int_equal(a.s.error_number, ECONNREFUSED);
    assert_int_equal(a.connected, 0);
    assert_int_equal(releases[3], 1);
    settle();
    assert_int_equal(a.failed, 1);
    end_fini(&a);
}

static void test_connect_unix(void **state)
{
    (void)state;
    char text[100];
    snprintf(text, sizeof(text), "unix:/tmp/larder-test-stream.%d", (int)getpid());
    struct addr addr;
    const char *why;
    assert_true(addr_parse(str_from(text), &addr, &why));
    static struct end none = {0};
    note_end(&none);
    stream_connect(&none.s, l, &ops, &addr, NULL, NULL);
    RUN_UNTIL(none.failed == 1);
    assert_int_equal(none.error, STREAM_REFUSED);
    assert_int_equal(none.s.error_number, ENOENT);
    end_fini(&none);

    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, &addr.u.sa, addr.len), 0);
    assert_int_equal(listen(listener, 0), 0);
    /* One fits the backlog; for the others connect(2) says EAGAIN and nothing is under way. */
    static struct end many[4];
    for (unsigned i = 0; i < 4; i++) {
        many[i] = (struct end){0};
        note_end(&many[i]);
        stream_connect(&many[i].s, l, &ops, &addr, NULL, NULL);
    }
    RUN_UNTIL(many[0].connected == 1 && many[3].failed == 1);
    assert_int_equal(many[3].connected, 0);
    assert_int_equal(many[3].error, STREAM_REFUSED);
    assert_int_equal(many[3].s.error_number, EAGAIN);
    for (unsigned i = 0; i < 4; i++) {
        end_fini(&many[i]);
    }
    close(listener);
    unlink(addr.u.un.sun_path);
}

static void test_reset(void **state)
{
    (void)state;
    struct addr addr;
    int listener = listen_loopback(&addr);
    static struct end a = {0}, b = {0};
    note_end(&a);
    stream_connect(&a.s, l, &ops, &addr, NULL, NULL);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    note_end(&b);
    stream_open(&b.s, l, &ops, fd, NULL);
    RUN_UNTIL(a.connected == 1);
    stream_close(&b.s, true);
    RUN_UNTIL(a.failed == 1);
    assert_int_equal(a.error, STREAM_RESET);
    assert_int_equal(a.s.error_number, ECONNRESET);
    assert_false(a.eof);
    assert_false(stream_is_open(&a.s));
    char byte;
    size_t n;
    assert_int_equal(stream_read(&a.s, &byte, 1, &n), IO_ERROR);
    settle();
    assert_int_equal(a.failed, 1);
    close(listener);
    end_fini(&a);
    end_fini(&b);
}

/* A peer that answers and closes while we still send: its answer is read before the failure. */
static void test_answer_before_write_error(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 4096);
    struct segment answer = copied("413");
    stream_send(&b.s, &answer, 1);
    stream_close(&b.s, false);
    memset(releases, 0, sizeof(releases));
    struct segment seg = owned("more", 4, 4);
    stream_send(&a.s, &seg, 1); /* EPIPE */
    assert_int_equal(releases[4], 1);
    assert_int_equal(a.failed, 0);
    RUN_UNTIL(a.failed == 1 || a.eof);
    assert_int_equal(a.in.n, 3);
    RUN_UNTIL(a.failed == 1);
    assert_int_equal(a.error, STREAM_RESET);
    end_fini(&a);
    end_fini(&b);
}

/* A closed stream's memory may go away at once, even with an error still to be delivered. */
static void test_close_with_failure_pending(void **state)
{
    (void)state;
    struct end *a = calloc(1, sizeof(*a));
    static struct end b;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    b = (struct end){0};
    stream_open(&a->s, l, &ops, fd[0], NULL);
    stream_open(&b.s, l, &ops, fd[1], NULL);
    end_fini(&b);
    struct segment seg = copied("x");
    stream_send(&a->s, &seg, 1);
    stream_close(&a->s, false);
    free(a);
    settle();
}

/* The same struct opened anew while the old failure was queued: only the new life counts. */
static void test_reopen_with_failure_pending(void **state)
{
    (void)state;
    static struct end a, b, c;
    open_pair(&a, &b, 0);
    end_fini(&b);
    struct segment seg = copied("x");
    stream_send(&a.s, &seg, 1);
    stream_close(&a.s, false);
    open_pair(&a, &c, 0);
    stream_send(&a.s, &seg, 1);
    RUN_UNTIL(c.in.n == 1);
    assert_int_equal(a.failed, 0);
    end_fini(&c);
    stream_send(&a.s, &seg, 1);
    RUN_UNTIL(a.failed == 1);
    end_fini(&a);
}

static void test_close_in_callback(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 0);
    b.close_in_readable = true;
    struct segment seg = copied("x");
    stream_send(&a.s, &seg, 1);
    RUN_UNTIL(a.eof);
    assert_int_equal(b.readable, 1);
    assert_int_equal(b.failed, 0);
    end_fini(&a);
    end_fini(&b);
}

/* Input that nobody wants: what arrives is left there, wakes the loop once and no more; none of
 * it is lost. As long as nothing arrives the registration is not touched. */
static void test_unwanted_input(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 0);
    stream_want_read(&b.s, false);
    assert_int_equal(b.s.armed, EV_READ);
    settle();
    assert_int_equal(b.s.armed, EV_READ);
    struct segment seg = copied("early");
    stream_send(&a.s, &seg, 1);
    RUN_UNTIL(b.s.armed == 0);
    assert_int_equal(b.readable, 0);
    stream_want_read(&b.s, true);
    assert_int_equal(b.s.armed, EV_READ);
    RUN_UNTIL(b.in.n == 5);
    stream_want_read(&b.s, false);
    stream_close(&a.s, false);
    RUN_UNTIL(b.s.armed == 0);
    assert_false(b.eof);
    stream_want_read(&b.s, true);
    RUN_UNTIL(b.eof);
    end_fini(&a);
    end_fini(&b);
}

/* What is sent while corked leaves as one, at the end of the turn in which that ends. */
static void test_cork(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 0);
    memset(releases, 0, sizeof(releases));
    stream_cork(&a.s);
    struct segment segs[2] = {copied("head "), owned("body", 4, 1)};
    stream_send(&a.s, segs, 1);
    settle();
    assert_int_equal(a.s.bytes_out, 0);
    assert_int_equal(a.s.armed, EV_READ); /* a writable socket does not wake us for it */
    stream_uncork(&a.s);
    stream_send(&a.s, segs + 1, 1);
    assert_int_equal(a.s.bytes_out, 0);
    assert_int_equal(a.s.pending, 9);
    RUN_UNTIL(b.in.n > 0);
    assert_int_equal(b.in.n, 9);
    assert_int_equal(b.readable, 1);
    assert_int_equal(a.s.pending, 0);
    assert_int_equal(a.written, 1);
    assert_int_equal(a.readable, 0);
    assert_int_equal(releases[1], 1);
    stream_send(&a.s, segs, 1); /* and at once from then on */
    assert_int_equal(a.s.pending, 0);
    end_fini(&a);
    end_fini(&b);
}

/* Corked output larger than the kernel takes, the end behind it, and a peer that has left. */
static void test_cork_ends(void **state)
{
    (void)state;
    static struct end a, b, c, d;
    open_pair(&a, &b, 4096);
    char *data = pattern(200000);
    struct segment seg = {.p = data, .n = 200000};
    stream_cork(&a.s);
    stream_send(&a.s, &seg, 1);
    stream_shutdown(&a.s);
    stream_uncork(&a.s);
    RUN_UNTIL(b.eof);
    assert_int_equal(b.in.n, 200000);
    assert_memory_equal(b.in.p, data, 200000);
    open_pair(&c, &d, 0);
    stream_cork(&c.s);
    stream_send(&c.s, &seg, 1);
    stream_close(&d.s, false);
    stream_want_read(&c.s, false);
    stream_uncork(&c.s);
    RUN_UNTIL(c.failed == 1);
    assert_int_equal(c.s.pending, 0);
    assert_int_equal(c.written, 0);
    free(data);
    end_fini(&a);
    end_fini(&b);
    end_fini(&c);
    end_fini(&d);
}

static void test_peek_dirty(void **state)
{
    (void)state;
    static struct end a, b;
    open_pair(&a, &b, 0);
    assert_false(stream_peek_dirty(&a.s));
    struct segment seg = copied("x");
    stream_send(&b.s, &seg, 1);
    assert_true(stream_peek_dirty(&a.s));
    RUN_UNTIL(a.in.n == 1);
    assert_false(stream_peek_dirty(&a.s));
    stream_close(&b.s, false);
    assert_true(stream_peek_dirty(&a.s));
    stream_close(&a.s, false);
    assert_true(stream_peek_dirty(&a.s));
    end_fini(&a);
    end_fini(&b);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the server does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partial_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_pressure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shutdown_after_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shutdown_while_connecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connect_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answer_before_write_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_with_failure_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_with_failure_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_in_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peek_dirty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwanted_input, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cork, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cork_ends, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
