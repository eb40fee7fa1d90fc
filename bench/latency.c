/*
 * How long one client waits: sends a request, reads the whole answer, notes the time, asks
 * again; nothing overlaps. Either a POST through a proxy (2xx, Content-Length) or a command to
 * Redis, so that both are timed by the same code on the same kind of connection.
 *
 * usage: latency --port N --count N [--first N] (--post PATH | --redis -- COMMAND ARG …)
 *
 * "{n}" in PATH or an ARG becomes the request's number. Prints one JSON line with nanoseconds;
 * exit status 2 at the first wrong answer. Called by bench/run.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 8192 };

static struct {
    uint16_t port;
    size_t count;
    unsigned long long first;
    const char *path; /* POST; NULL: Redis */
    char **argv;      /* the command */
    int argc;
} options;

static char request[TEXT_MAX], answer[TEXT_MAX];
static int fd;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* text with its {n} replaced, to out; the length. */
static size_t numbered(char *out, size_t cap, const char *text, unsigned long long number)
{
    const char *mark = strstr(text, "{n}");
    int len = mark == NULL ? snprintf(out, cap, "%s", text)
                           : snprintf(out, cap, "%.*s%llu%s", (int)(mark - text), text, number,
                                      mark + 3);

    if (len < 0 || (size_t)len >= cap) {
        errno = 0;
        net_die("latency: the request is too long");
    }
    return (size_t)len;
}

static size_t request_make(unsigned long long number)
{
    char text[TEXT_MAX / 2];
    size_t n;

    if (options.path != NULL) {
        numbered(text, sizeof text, options.path, number);
        return (size_t)snprintf(request, sizeof request,
                                "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                                "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                                text, options.port);
    }
    n = (size_t)snprintf(request, sizeof request, "*%d\r\n", options.argc);
    for (int i = 0; i < options.argc; i++) {
        size_t len = numbered(text, sizeof text, options.argv[i], number);

        if (n + len + 32 > sizeof request) {
            errno = 0;
            net_die("latency: the command is too long");
        }
        n += (size_t)snprintf(request + n, sizeof request - n, "$%zu\r\n%s\r\n", len, text);
    }
    return n;
}

/* Is the answer complete? A wrong one ends the process. answer is NUL-terminated. */
static bool is_whole(size_t have)
{
    const char *end, *length;

    if (options.path == NULL) {
        if (have > 0 && answer[0] == '-') {
            errno = 0;
            net_die("latency: redis says %.*s", (int)strcspn(answer, "\r\n"), answer);
        }
        end = strstr(answer, "\r\n");
        return end != NULL && (answer[0] != '$' || strstr(end + 2, "\r\n") != NULL);
    }
    end = strstr(answer, "\r\n\r\n");
    if (end == NULL) {
        return false;
    }
    length = strcasestr(answer, "\r\nContent-Length:");
    if (strncmp(answer, "HTTP/1.1 2", 10) != 0 || length == NULL || length > end) {
        errno = 0;
        net_die("latency: not a 2xx with a length: %.*s", (int)strcspn(answer, "\r\n"), answer);
    }
    if (strcasestr(answer, "\r\nCache-Invalidation:") != NULL) {
        errno = 0;
        net_die("latency: the answer came before its invalidation was in the journal");
    }
    return have >= (size_t)(end + 4 - answer) + strtoull(length + 17, NULL, 10);
}

static uint64_t round_trip(unsigned long long number)
{
    size_t len = request_make(number), have = 0;
    uint64_t began = now_ns();

    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) {
        net_die("latency: write");
    }
    do {
        ssize_t n = read(fd, answer + have, sizeof answer - 1 - have);

        if (n <= 0) {
            net_die("latency: the server closed the connection");
        }
        have += (size_t)n;
        answer[have] = '\0';
    } while (!is_whole(have));
    return now_ns() - began;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},  {"count", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'}, {"post", required_argument, NULL, 'u'},
        {"redis", no_argument, NULL, 'r'},       {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p': options.port = (uint16_t)net_number("--port", optarg, 1, 65535); break;
        case 'n': options.count = (size_t)net_number("--count", optarg, 1, 10000000); break;
        case 'f':
            options.first = (unsigned long long)net_number("--first", optarg, 0, 1000000000);
            break;
        case 'u': options.path = optarg; break;
        case 'r': break;
        default: exit(2);
        }
    }
    options.argv = argv + optind;
    options.argc = argc - optind;
    if (options.port == 0 || options.count == 0 ||
        (options.path != NULL) == (options.argc > 0)) {
        errno = 0;
        net_die("latency: --port, --count and one of --post, --redis are needed");
    }
}

int main(int argc, char **argv)
{
    uint64_t *times, sum = 0;

    parse(argc, argv);
    fd = net_connect(options.port);
    if (fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) != 0) {
        net_die("latency: connection to port %u", options.port);
    }
    times = calloc(options.count, sizeof *times);
    if (times == NULL) {
        net_die("no memory");
    }
    for (size_t i = 0; i < options.count; i++) {
        times[i] = round_trip(options.first + i);
        sum += times[i];
    }
    qsort(times, options.count, sizeof *times, by_value);
    printf(
        "{\"count\":%zu,\"mean\":%llu,\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu}\n",
        options.count, (unsigned long long)(sum / options.count),
        (unsigned long long)times[options.count / 2],
        (unsigned long long)times[options.count * 9 / 10],
        (unsigned long long)times[options.count * 99 / 100],
        (unsigned long long)times[options.count - 1]);
    free(times);
    return 0;
}
