/*
 * The origin: a thread for each connection, as slow as it is told. GET /r/KEY answers with the
 * version at a random moment within its delay; any other method makes a new version, also at a
 * random moment. With If-None-Match it says 304 when the version is still the same.
 */
#include "racer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192 };

static atomic_uint versions[RESOURCES_MAX];

unsigned origin_version(unsigned resource)
{
    return atomic_load(&versions[resource]);
}

static void pause_us(uint64_t us)
{
    struct timespec ts = {.tv_sec = (time_t)(us / 1000000),
                          .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&ts, NULL);
}

/* Mostly short, sometimes long. */
static uint64_t pick_delay(uint64_t *random)
{
    uint64_t longest = race.options.delay_us, dice = random_next(random) % 1000;

    if (dice < 900) {
        longest /= 200;
    } else if (dice < 995) {
        longest /= 20;
    }
    return longest > 0 ? random_next(random) % longest : 0;
}

static bool send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        data += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool answer(int fd, char *head, uint64_t *random)
{
    char out[HEAD_MAX + BODY_MAX], body[BODY_MAX], etag[40];
    char *path = strstr(head, " /r/k");
    unsigned long resource = path != NULL ? strtoul(path + 5, NULL, 10) : RESOURCES_MAX;

    if (resource >= RESOURCES_MAX) {
        complain("the origin was asked for %.60s", head);
        return false;
    }
    uint64_t delay = pick_delay(random), before = random_next(random) % (delay + 1);
    bool read = strncmp(head, "GET ", 4) == 0;
    pause_us(before);
    unsigned version =
        read ? atomic_load(&versions[resource]) : atomic_fetch_add(&versions[resource], 1) + 1;
    pause_us(delay - before);
    atomic_fetch_add(&race.at_origin, 1);
    snprintf(etag, sizeof etag, "\"%lu-%u\"", resource, version);
    if (read && strstr(head, etag) != NULL &&
        random_next(random) % 100 < race.options.confirm) {
        int n =
            snprintf(out, sizeof out, "HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n", etag);
        return send_all(fd, out, (size_t)n);
    }
    size_t body_n = make_body((unsigned)resource, version, body);
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: %s\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     etag, body_n);
    memcpy(out + n, body, body_n);
    return send_all(fd, out, (size_t)n + body_n);
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint64_t random = race.options.seed * 31 + (uint64_t)fd + 1;
    char in[HEAD_MAX + 1];
    size_t have = 0;
    bool open = true;

    while (open) {
        ssize_t got = recv(fd, in + have, HEAD_MAX - have, 0);
        if (got <= 0) {
            break;
        }
        have += (size_t)got;
        in[have] = '\0';
        char *end;
        while (open && (end = strstr(in, "\r\n\r\n")) != NULL) {
            *end = '\0';
            open = answer(fd, in, &random);
            size_t used = (size_t)(end + 4 - in);
            memmove(in, in + used, have - used + 1);
            have -= used;
        }
        open = open && have < HEAD_MAX;
    }
    close(fd);
    return NULL;
}

static void *accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg;

    for (;;) {
        pthread_t thread;
        int on = 1, fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
            close(fd);
            continue;
        }
        pthread_detach(thread);
    }
    return NULL;
}

void origin_start(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0 ||
        pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)fd) != 0) {
        perror("racer: origin");
        exit(2);
    }
    pthread_detach(thread);
}
