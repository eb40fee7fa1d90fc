/*
 * Senders that the admin address has waited for long enough: 408 for those who stopped in the
 * middle of a request, a plain close for those who sent nothing. The clock is ours.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/http.h"
#include "admin/plane_state.h"
#include "base/clock.h"
#include "case_loop.h"
#include "http/field.h"

#define CLIENTS 6
#define LATER   31000 /* more than the plane waits for a request */

static msec_t ahead;

static msec_t shifted(void)
{
    return clock_monotonic() + ahead;
}

struct client {
    int fd;
    struct strbuf got;
    bool ended;
};

struct state {
    struct loop *loop;
    struct case_tick tick;
    struct plane plane;
    struct addr addr;
    struct http *http;
    struct client clients[CLIENTS];
};

static int setup(void **state)
{
    struct state *s = test_calloc(1, sizeof(*s));
    field_table_init();
    s->loop = case_loop_new(&s->tick);
    s->loop->clock = shifted;
    s->plane.context.loop = s->loop;
    assert_true(addr_from_ip(STR("127.0.0.1"), &s->addr));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, &s->addr.u.sa, s->addr.len), 0);
    assert_int_equal(getsockname(fd, &s->addr.u.sa, &s->addr.len), 0);
    s->http = http_new(&s->plane, &s->addr, fd);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct state *s = *state;
    for (size_t i = 0; i < CLIENTS; i++) {
        close(s->clients[i].fd);
        strbuf_free(&s->clients[i].got);
    }
    http_free(s->http);
    assert_null(s->plane.calls);
    case_loop_free(&s->tick);
    test_free(s);
    return 0;
}

static void dial(struct state *s, struct client *c, const char *text)
{
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(c->fd, &s->addr.u.sa, s->addr.len), 0);
    size_t n = strlen(text);
    assert_int_equal(send(c->fd, text, n, MSG_NOSIGNAL), n);
}

/* Reads what there is; true at the end. */
static bool read_some(struct client *c)
{
    char buffer[4096];
    ssize_t n;
    while (!c->ended && (n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0) {
        strbuf_add(&c->got, buffer, (size_t)n);
        c->ended = n == 0;
    }
    assert_true(c->ended || errno == EAGAIN || errno == EINTR);
    return c->ended;
}

static bool all_ended(struct state *s)
{
    bool all = true;
    for (size_t i = 0; i < CLIENTS; i++) {
        all = read_some(&s->clients[i]) && all;
    }
    return all;
}

static bool has(const struct client *c, const char *text)
{
    return c->got.n > 0 && memmem(c->got.p, c->got.n, text, strlen(text)) != NULL;
}

/* A request with an answer shows that what was sent before it was read, too. */
static void answered(struct state *s, struct client *c)
{
    dial(s, c, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    RUN_UNTIL(s, (read_some(c), has(c, "there is no such endpoint")));
    for (int i = 0; i < 20; i++) {
        loop_turn(s->loop, false);
    }
    c->got.n = 0;
}

static void test_too_slow(void **state)
{
    static const char *const begun[] = {
        "GET /live",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n",
        "POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        "POST /explain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    };
    enum { SILENT = sizeof(begun) / sizeof(begun[0]), IDLE };
    struct state *s = *state;
    for (size_t i = 0; i < SILENT; i++) {
        dial(s, &s->clients[i], begun[i]);
    }
    dial(s, &s->clients[SILENT], "");
    answered(s, &s->clients[IDLE]);
    assert_false(all_ended(s));
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_false(s->clients[i].ended);
        assert_int_equal(s->clients[i].got.n, 0);
    }
    ahead = LATER;
    RUN_UNTIL(s, all_ended(s));
    for (size_t i = 0; i < SILENT; i++) {
        const struct client *c = &s->clients[i];
        assert_true(str_starts(strbuf_str(&c->got), STR("HTTP/1.1 408 Request Timeout\r\n")));
        assert_true(has(c, "\r\nConnection: close\r\n"));
        assert_true(has(c, "\r\nContent-Type: application/problem+json\r\n"));
        assert_true(has(c, "\"detail\":\"the request did not arrive in time\""));
    }
    assert_int_equal(s->clients[SILENT].got.n, 0);
    assert_int_equal(s->clients[IDLE].got.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_too_slow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
