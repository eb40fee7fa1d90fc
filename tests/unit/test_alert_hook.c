/*
 * admin/alert_hook against receivers on loopback that fail in the ways receivers fail: order
 * and attempts, statuses that are final, redirects, full queues, one that never answers beside
 * one that does, and the end while something waits.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/alert_event.h"
#include "admin/alert_hook.h"
#include "base/log.h"

#define MAX_SEEN   64
#define SECRET     "0123456789abcdef"
#define WAIT_TURNS 3000 /* of 10 ms */

static const struct alert_hook_timing quick = {
    .connect_timeout = 2000,
    .total_timeout = 20000,
    .retry_min = 5,
    .retry_max = 20,
    .attempts = 4,
    .queue = 3,
};

/* A receiver: answers each request with the next status of its script, the last one again and
 * again; 0: never answers. */
struct receiver {
    int fd;
    int port;
    const int *script;
    size_t n_script;
    pthread_t thread;
    atomic_bool stop;
    atomic_size_t n;
    char seen[MAX_SEEN][1024]; /* whole requests */
};

static size_t read_request(int fd, char *out, size_t cap)
{
    size_t n = 0;
    while (n + 1 < cap) {
        ssize_t got = read(fd, out + n, cap - n - 1);
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        out[n] = '\0';
        const char *length = strstr(out, "Content-Length: ");
        const char *end = strstr(out, "\r\n\r\n");
        if (end != NULL && length != NULL &&
            (size_t)(out + n - end - 4) >= strtoul(length + 16, NULL, 10)) {
            break;
        }
    }
    return n;
}

static void serve_one(struct receiver *r, int fd)
{
    size_t i = atomic_load(&r->n);
    int status = r->script[i < r->n_script ? i : r->n_script - 1];
    char answer[256];
    char spare[1024];
    (void)read_request(fd, i < MAX_SEEN ? r->seen[i] : spare, sizeof(spare));
    atomic_fetch_add(&r->n, 1);
    if (status == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN}; /* until the sender gives up */
        while (!atomic_load(&r->stop) && poll(&p, 1, 10) == 0) {
        }
        return;
    }
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:%d/other\r\n"
                     "Content-Length: 2\r\n\r\nok",
                     status, r->port);
    assert_int_equal(write(fd, answer, (size_t)n), n);
}

static void *receiver_thread(void *arg)
{
    struct receiver *r = arg;
    while (!atomic_load(&r->stop)) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        if (poll(&p, 1, 10) > 0) {
            int fd = accept(r->fd, NULL, NULL);
            serve_one(r, fd);
            close(fd);
        }
    }
    return NULL;
}

static void receiver_start(struct receiver *r, const int *script, size_t n)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    memset(r, 0, sizeof(*r));
    r->script = script;
    r->n_script = n;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(r->fd, 64), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&sin, &len), 0);
    r->port = ntohs(sin.sin_port);
    assert_int_equal(pthread_create(&r->thread, NULL, receiver_thread, r), 0);
}

static void receiver_stop(struct receiver *r)
{
    atomic_store(&r->stop, true);
    pthread_join(r->thread, NULL);
    close(r->fd);
}

static void post(struct alert_hook *h, int port, const char *id)
{
    char url[64];
    char body[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/hook?x=1", port);
    snprintf(body, sizeof(body), "{\"id\":\"%s\"}", id);
    alert_hook_post(h, str_from(url), STR(SECRET), STR("redis down for 10s"), id,
                    str_from(body));
}

struct counts {
    uint64_t sent, failed, dropped;
};

static struct counts counts_of(const struct alert_hook *h)
{
    return (struct counts){alert_hook_count(h, ALERT_HOOK_SENT),
                           alert_hook_count(h, ALERT_HOOK_FAILED),
                           alert_hook_count(h, ALERT_HOOK_DROPPED)};
}

/* Waits until this many events have come to an end. */
static struct counts wait_done(const struct alert_hook *h, uint64_t done)
{
    struct counts c = {0};
    for (int i = 0; i < WAIT_TURNS; i++) {
        c = counts_of(h);
        if (c.sent + c.dropped >= done) {
            break;
        }
        usleep(10000);
    }
    assert_int_equal(c.sent + c.dropped, done);
    return c;
}

static void wait_seen(const struct receiver *r, size_t n)
{
    for (int i = 0; i < WAIT_TURNS && atomic_load(&r->n) < n; i++) {
        usleep(10000);
    }
    assert_true(atomic_load(&r->n) >= n);
}

/* The value of a field of a recorded request. */
static const char *field_of(const char *request, const char *name)
{
    static char value[128];
    const char *at = strstr(request, name);
    assert_non_null(at);
    at += strlen(name) + 2;
    snprintf(value, sizeof(value), "%.*s", (int)(strstr(at, "\r\n") - at), at);
    return value;
}

static void test_request(void **state)
{
    static const int script[] = {204};
    struct receiver r;
    char signature[ALERT_SIGNATURE_MAX];
    char stamp[24];

    (void)state;
    receiver_start(&r, script, 1);
    struct alert_hook *h = alert_hook_new(&quick);
    post(h, r.port, "a-1");
    struct counts c = wait_done(h, 1);
    assert_int_equal(c.sent, 1);
    assert_int_equal(c.failed, 0);
    const char *request = r.seen[0];
    assert_non_null(strstr(request, "POST /hook?x=1 HTTP/1.1\r\n"));
    assert_string_equal(field_of(request, "Content-Type"), "application/json");
    assert_string_equal(field_of(request, "Larder-Event-Id"), "a-1");
    assert_string_equal(strstr(request, "\r\n\r\n") + 4, "{\"id\":\"a-1\"}");
    snprintf(stamp, sizeof(stamp), "%s", field_of(request, "Larder-Timestamp"));
    alert_event_sign(STR(SECRET), str_from(stamp), STR("{\"id\":\"a-1\"}"), signature);
    assert_string_equal(field_of(request, "Larder-Signature"), signature);
    assert_true(llabs(strtoll(stamp, NULL, 10) * 1000 - (long long)clock_wall()) < 60000);
    alert_hook_free(h);
    receiver_stop(&r);
}

static void test_unsigned(void **state)
{
    static const int script[] = {200};
    struct receiver r;
    char url[64];

    (void)state;
    receiver_start(&r, script, 1);
    struct alert_hook *h = alert_hook_new(&quick);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", r.port);
    alert_hook_post(h, str_from(url), STR_NULL, STR("errors>10"), "1", STR("{}"));
    (void)wait_done(h, 1);
    assert_null(strstr(r.seen[0], "Larder-Signature"));
    alert_hook_free(h);
    receiver_stop(&r);
}

static void test_attempts_in_order(void **state)
{
    static const int script[] = {500, 429, 503, 200, 408, 200};
    struct receiver r;

    (void)state;
    receiver_start(&r, script, 6);
    struct alert_hook *h = alert_hook_new(&quick);
    post(h, r.port, "first");
    post(h, r.port, "second");
    struct counts c = wait_done(h, 2);
    assert_int_equal(c.sent, 2);
    assert_int_equal(c.failed, 4);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(field_of(r.seen[i], "Larder-Event-Id"), i < 4 ? "first" : "second");
    }
    alert_hook_free(h);
    receiver_stop(&r);
}

/* What the receiver does not want is not sent again; a redirect is not followed. */
static void test_final(void **state)
{
    static const int script[] = {400, 302, 404, 200};
    struct receiver r;

    (void)state;
    receiver_start(&r, script, 4);
    struct alert_hook *h = alert_hook_new(&quick);
    for (unsigned i = 0; i < 4; i++) {
        post(h, r.port, "x");
        struct counts c = wait_done(h, i + 1);
        assert_int_equal(c.dropped, i < 3 ? i + 1 : 3);
    }
    assert_int_equal(atomic_load(&r.n), 4);
    assert_int_equal(counts_of(h).sent, 1);
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(strstr(r.seen[i], "POST /hook?x=1 "));
    }
    alert_hook_free(h);
    receiver_stop(&r);
}

static void test_given_up(void **state)
{
    static const int script[] = {503, 503, 503, 503, 200};
    struct receiver r;

    (void)state;
    receiver_start(&r, script, 5);
    struct alert_hook *h = alert_hook_new(&quick);
    post(h, r.port, "never");
    post(h, r.port, "then");
    struct counts c = wait_done(h, 2);
    assert_int_equal(c.dropped, 1);
    assert_int_equal(c.sent, 1);
    assert_int_equal(c.failed, 4);
    assert_string_equal(field_of(r.seen[4], "Larder-Event-Id"), "then");
    alert_hook_free(h);
    receiver_stop(&r);
}

static void test_nobody_there(void **state)
{
    static const int script[] = {200};
    struct receiver r;

    (void)state;
    receiver_start(&r, script, 1);
    receiver_stop(&r); /* its port refuses connections now */
    struct alert_hook *h = alert_hook_new(&quick);
    post(h, r.port, "x");
    struct counts c = wait_done(h, 1);
    assert_int_equal(c.dropped, 1);
    assert_int_equal(c.failed, 4);
    alert_hook_free(h);
}

/* One hangs: its queue is bounded and loses the oldest that waits; another gets its own. */
static void test_hanging(void **state)
{
    static const int never[] = {0};
    static const int good[] = {200};
    struct receiver r[2];

    (void)state;
    receiver_start(&r[0], never, 1);
    receiver_start(&r[1], good, 1);
    struct alert_hook *h = alert_hook_new(&quick);
    post(h, r[0].port, "hangs");
    wait_seen(&r[0], 1);
    for (unsigned i = 0; i < 5; i++) {
        post(h, r[0].port, "waits");
    }
    post(h, r[1].port, "passes");
    struct counts c = wait_done(h, 4);
    assert_int_equal(c.dropped, 3); /* 6 for a queue of 3 */
    assert_int_equal(c.sent, 1);
    assert_string_equal(field_of(r[1].seen[0], "Larder-Event-Id"), "passes");
    msec_t before = clock_monotonic();
    alert_hook_free(h); /* does not wait for the transfer's 20 s */
    assert_true(clock_monotonic() - before < 15000);
    receiver_stop(&r[0]);
    receiver_stop(&r[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),  cmocka_unit_test(test_unsigned),
        cmocka_unit_test(test_final),    cmocka_unit_test(test_attempts_in_order),
        cmocka_unit_test(test_given_up), cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_hanging),
    };
    log_setup(LOG_ERROR + 1, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
