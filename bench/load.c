/*
 * Closed-loop load generator: N keep-alive connections, each sends the next request as soon as
 * its answer is complete. Every answer is checked (status 200, Content-Length, a wanted
 * header), because a fast wrong answer is worth nothing; a connection with a wrong answer is
 * dropped.
 *
 * The CPU clocks of the server's processes (--cpu-pid) are read here, at the very moments
 * between which requests are counted: clock_getcpuclockid(3) has ns resolution and includes
 * threads that have ended.
 *
 * Three modes: --seconds (after --warmup) measures; --count sends that many; --hold sends
 * one request on each connection, prints, keeps them idle until stdin ends, then asks once
 * more. SIGTERM ends a measure early. Prints one JSON line per result; exit status 1 if there
 * was any error. Called by bench/run and by tests.
 */
#include "load_args.h"
#include "net.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_MAX = 8192,   /* longest answer head we accept */
    READ_MAX = 262144, /* bytes taken from a socket at once */
    BEHIND_MAX = 64,   /* connections opened ahead of their first answer */
    STALL_MS = 20000,  /* no event for so long is an error */
};

struct conn {
    int fd;             /* -1 once dropped */
    bool waiting;       /* asked, not yet answered in full */
    bool in_body;       /* the head has been seen */
    size_t have;        /* bytes of an unfinished head in `head` */
    size_t body_left;   /* bytes of the body still to come */
    char *head;         /* HEAD_MAX bytes, allocated when a head comes in pieces */
    struct conn *_next; /* all connections, to ask them again after --hold */
};

/* Counters of the whole run; reset when the measure begins. */
static struct totals {
    uint64_t done;  /* complete, right answers */
    uint64_t bytes; /* received, heads included */
} totals;

static struct load_args options;
static char request[REQUEST_MAX]; /* ready to send when the path holds no {n} */
static size_t request_len;
static char input[HEAD_MAX + READ_MAX];
static struct conn *all_conns;
static uint64_t sent;         /* requests so far, for --count and {n} */
static uint64_t awaited;      /* of these, not yet answered */
static uint64_t errors;       /* connections dropped */
static char first_error[160]; /* why the first one was */
static int epoll_fd;
static volatile sig_atomic_t ended; /* SIGTERM has come */

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* CPU time of all server processes, in ns; a process that has ended ends the run. */
static uint64_t server_cpu_ns(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < options.pid_count; i++) {
        clockid_t clock;

        if (clock_getcpuclockid(options.pids[i], &clock) != 0) {
            errno = 0;
            net_die("process %d of the server has ended", (int)options.pids[i]);
        }
        sum += now_ns(clock);
    }
    return sum;
}

static size_t request_make(char *out, uint64_t number)
{
    const char *mark = strstr(options.path, "{n}");
    int len;

    if (mark == NULL) {
        len = snprintf(out, REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                       options.path, options.port, options.headers);
    } else {
        len = snprintf(out, REQUEST_MAX,
                       "GET %.*s%llu%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                       (int)(mark - options.path), options.path, (unsigned long long)number,
                       mark + 3, options.port, options.headers);
    }
    if (len < 0 || len >= REQUEST_MAX) {
        errno = 0;
        net_die("the request is longer than %d bytes", REQUEST_MAX);
    }
    return (size_t)len;
}

static void conn_drop(struct conn *conn, const char *reason)
{
    if (errors++ == 0) {
        snprintf(first_error, sizeof first_error, "%s", reason);
    }
    awaited -= conn->waiting;
    close(conn->fd);
    conn->fd = -1;
}

/* Sends the next request, unless --count has been reached. */
static void conn_ask(struct conn *conn)
{
    ssize_t n;

    if (options.count > 0 && sent >= options.count) {
        return;
    }
    if (strstr(options.path, "{n}") != NULL) {
        uint64_t turn_number = options.first + sent;

        if (options.names > 0) {
            turn_number %= options.names;
        }
        request_len = request_make(request, turn_number);
    }
    sent++;
    awaited++;
    conn->waiting = true;
    conn->in_body = false;
    conn->have = 0;
    n = send(conn->fd, request, request_len, MSG_NOSIGNAL);
    if (n != (ssize_t)request_len) {
        conn_drop(conn, "the server closed a kept-alive connection (write)");
    }
}

/* The value of field `name` in a head, NULL without one; ends at the next CR. */
static const char *head_field(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    const char *line = memchr(head, '\n', (size_t)(end - head));

    while (line != NULL && line + len + 2 < end) {
        line++;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            return line + strspn(line, " \t");
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

/* Checks a whole head; the body's length goes to *body. Returns what is wrong, or NULL. */
static const char *head_check(const char *head, const char *end, size_t *body)
{
    static char text[160];
    const char *length = head_field(head, end, "Content-Length");

    if (strncmp(head, "HTTP/1.1 200", 12) != 0) {
        snprintf(text, sizeof text, "not a 200: %.*s", (int)strcspn(head, "\r\n"), head);
        return text;
    }
    if (length == NULL) {
        return "no Content-Length in the answer";
    }
    *body = (size_t)strtoull(length, NULL, 10);
    if (options.body_bytes >= 0 && *body != (size_t)options.body_bytes) {
        snprintf(text, sizeof text, "Content-Length %zu, not %ld", *body, options.body_bytes);
        return text;
    }
    if (options.expect_name != NULL) {
        const char *value = head_field(head, end, options.expect_name);
        size_t shown = value == NULL ? 0 : strcspn(value, "\r\n");

        if (value == NULL ||
            strncmp(value, options.expect_value, strlen(options.expect_value)) != 0) {
            snprintf(text, sizeof text, "%s is '%.*s', not '%s'", options.expect_name,
                     (int)shown, value == NULL ? "" : value, options.expect_value);
            return text;
        }
    }
    return NULL;
}

/* Keeps the bytes of an unfinished head; false when it is too long. */
static bool head_keep(struct conn *conn, const char *data, size_t len)
{
    if (len >= HEAD_MAX) {
        return false;
    }
    if (conn->head == NULL) {
        conn->head = malloc(HEAD_MAX);
        if (conn->head == NULL) {
            net_die("no memory");
        }
    }
    memcpy(conn->head, data, len);
    conn->have = len;
    return true;
}

/* Consumes `len` bytes at data (NUL-terminated): head, then body, then the next request. */
static void conn_consume(struct conn *conn, const char *data, size_t len)
{
    if (!conn->in_body) {
        const char *end = memmem(data, len, "\r\n\r\n", 4);
        const char *wrong;

        if (end == NULL) {
            if (!head_keep(conn, data, len)) {
                conn_drop(conn, "the head is too long");
            }
            return;
        }
        wrong = head_check(data, end + 2, &conn->body_left);
        if (wrong != NULL) {
            conn_drop(conn, wrong);
            return;
        }
        conn->in_body = true;
        conn->have = 0;
        len -= (size_t)(end + 4 - data);
    }
    if (len > conn->body_left) {
        conn_drop(conn, "more bytes than Content-Length");
        return;
    }
    conn->body_left -= len;
    if (conn->body_left == 0) {
        totals.done++;
        awaited--;
        conn->waiting = false;
        conn->in_body = false;
        if (!options.hold) {
            conn_ask(conn);
        }
    }
}

static void conn_read(struct conn *conn)
{
    ssize_t n;

    if (conn->have > 0) {
        memcpy(input, conn->head, conn->have);
    }
    n = read(conn->fd, input + conn->have, READ_MAX - 1);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        conn_drop(conn, n < 0 ? "connection reset" : "the server closed the connection");
        return;
    }
    totals.bytes += (uint64_t)n;
    input[conn->have + (size_t)n] = '\0';
    conn_consume(conn, input, conn->have + (size_t)n);
}

/* One turn of the loop. A server that says nothing for STALL_MS is an error of all that wait.
 */
static void turn(int wait_ms)
{
    struct epoll_event events[NET_EVENTS];
    int n = epoll_wait(epoll_fd, events, NET_EVENTS, wait_ms);

    if (n == 0 && wait_ms == STALL_MS && !ended) {
        errno = 0;
        net_die("no answer for %d s", STALL_MS / 1000);
    }
    for (int i = 0; i < n; i++) {
        struct conn *conn = events[i].data.ptr;

        if (conn->fd >= 0) {
            conn_read(conn);
        }
    }
}

/* Opens all connections; with --hold each asks at once, a few ahead of their answers. */
static void open_all(void)
{
    for (size_t i = 0; i < options.connections; i++) {
        struct conn *conn = calloc(1, sizeof *conn);

        if (conn == NULL) {
            net_die("no memory");
        }
        conn->fd = net_connect(options.port);
        if (conn->fd < 0) {
            net_die("connection %zu to port %u", i + 1, options.port);
        }
        conn->_next = all_conns;
        all_conns = conn;
        net_watch(epoll_fd, conn->fd, EPOLLIN, conn, 0);
        if (options.hold) {
            conn_ask(conn);
            turn(0);
        }
        while (awaited > BEHIND_MAX) {
            turn(STALL_MS);
        }
    }
}

static void ask_all(void)
{
    for (struct conn *conn = all_conns; conn != NULL; conn = conn->_next) {
        if (conn->fd >= 0) {
            conn_ask(conn);
        }
        while (options.hold && awaited > BEHIND_MAX) {
            turn(STALL_MS);
        }
    }
}

/* Prints a text of ours or the server's as a JSON string. */
static void print_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text >= ' ' && *text <= '~' ? *text : '?');
    }
    putchar('"');
}

static void print_result(uint64_t wall_ns, uint64_t server_ns, uint64_t own_ns)
{
    printf("{\"requests\":%llu,\"bytes\":%llu,\"errors\":%llu,\"wall_ns\":%llu,"
           "\"server_cpu_ns\":%llu,\"load_cpu_ns\":%llu,\"sent\":%llu,\"first_error\":",
           (unsigned long long)totals.done, (unsigned long long)totals.bytes,
           (unsigned long long)errors, (unsigned long long)wall_ns,
           (unsigned long long)server_ns, (unsigned long long)own_ns, (unsigned long long)sent);
    print_string(first_error);
    puts("}");
    fflush(stdout);
}

/* Runs the loop for ms, or while requests are under way if ms is 0; stops when all are dropped.
 */
static void run_for(uint64_t ms)
{
    uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * 1000000u;

    while (awaited > 0 && !ended && (ms == 0 || now_ns(CLOCK_MONOTONIC) < end)) {
        turn(STALL_MS);
    }
}

/* --ms and --count: asks on all connections and prints what came of it. */
static void measure(void)
{
    uint64_t wall;
    uint64_t own;
    uint64_t server;

    if (options.count == 0) {
        ask_all();
        if (options.warmup_ms > 0) {
            run_for(options.warmup_ms);
        }
    }
    wall = now_ns(CLOCK_MONOTONIC);
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    server = server_cpu_ns();
    totals = (struct totals){0, 0};
    if (options.count > 0) {
        ask_all();
    }
    run_for(options.measure_ms);
    server = server_cpu_ns() - server;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    print_result(now_ns(CLOCK_MONOTONIC) - wall, server, own);
}

/* --hold: the connections idle while the caller looks at the server; then all must still work.
 */
static void hold_idle(void)
{
    char byte;

    run_for(0);
    print_result(0, 0, 0);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    totals = (struct totals){0, 0};
    ask_all();
    run_for(0);
    print_result(0, 0, 0);
}

static void on_term(int number)
{
    (void)number;
    ended = 1;
}

int main(int argc, char **argv)
{
    load_args_parse(&options, argc, argv);
    request_len = request_make(request, 0);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        net_die("epoll_create1");
    }
    open_all();
    if (options.hold) {
        hold_idle();
    } else {
        signal(SIGTERM, on_term);
        measure();
    }
    return errors == 0 ? 0 : 1;
}
