/*
 * Real Redis servers for tests: started on free loopback ports in a folder of their own, killed
 * with the test. Needs Debian's redis-server (scripts/install-deps test).
 */
#ifndef TESTS_UNIT_REAL_REDIS_H
#define TESTS_UNIT_REAL_REDIS_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define REAL_MAX_ARGS 48

/* A server, and how to start it again as it was. */
struct real_redis {
    pid_t pid; /* 0: not running */
    uint16_t port;
    char dir[64];  /* its folder: dump.rdb, log, socket */
    char sock[80]; /* "DIR/s" */
    const char *args[REAL_MAX_ARGS];
};

static inline bool real_available(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0;
}

/* Below 50000, because a cluster's bus is at the port + 10000. */
static inline uint16_t real_free_port(void)
{
    for (;;) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(to);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fd, (struct sockaddr *)&to, len) != 0 ||
            getsockname(fd, (struct sockaddr *)&to, &len) != 0) {
            abort();
        }
        close(fd);
        if (ntohs(to.sin_port) < 50000) {
            return ntohs(to.sin_port);
        }
    }
}

/* Blocking, for the test's own orders; -1 when nobody listens. */
static inline int real_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* An inline command; what comes back within a second goes to `out` (NUL-terminated). False when
 * there is no answer. */
static inline bool real_say(uint16_t port, const char *line, char *out, size_t cap)
{
    int fd = real_connect(port);
    out[0] = '\0';
    if (fd < 0) {
        return false;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = -1;
    if (write(fd, line, strlen(line)) > 0 && write(fd, "\r\n", 2) == 2 &&
        poll(&p, 1, 1000) == 1) {
        n = read(fd, out, cap - 1);
    }
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Says it and expects the answer to begin so. */
static inline void real_order(uint16_t port, const char *line, const char *expected)
{
    char out[4096];
    if (!real_say(port, line, out, sizeof(out)) || strstr(out, expected) == NULL) {
        fail_msg("%u: %s: %s", port, line, out);
    }
}

/* Runs what args say until it answers (`ready` is in its answer to PING); false if it ends. */
static inline bool real_try(struct real_redis *r, const char *ready)
{
    char out[256];
    pid_t parent = getpid();
    r->pid = fork();
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv("/usr/bin/redis-server", (char *const *)(uintptr_t)r->args);
        _exit(127);
    }
    msec_t until = clock_monotonic() + 15000;
    while (!real_say(r->port, "PING", out, sizeof(out)) || strstr(out, ready) == NULL) {
        if (waitpid(r->pid, NULL, WNOHANG) == r->pid) {
            r->pid = 0;
            return false;
        }
        if (clock_monotonic() > until) {
            fail_msg("redis-server does not answer: see %s/log", r->dir);
        }
        usleep(5000);
    }
    return true;
}

/* The same; it must not end. */
static inline void real_run(struct real_redis *r, const char *ready)
{
    if (!real_try(r, ready)) {
        fail_msg("redis-server does not start: see %s/log", r->dir);
    }
}

/* Starts a server with these further arguments (NULL-terminated, they must live on); `ready` as
 * in real_run. */
static inline void real_start(struct real_redis *r, const char *const *more, const char *ready)
{
    static char texts[16][3][96];
    static unsigned next;
    char(*text)[96] = texts[next++ % 16];
    *r = (struct real_redis){.port = real_free_port()};
    snprintf(r->dir, sizeof(r->dir), "/tmp/larder-redis.XXXXXX");
    if (mkdtemp(r->dir) == NULL) {
        abort();
    }
    snprintf(r->sock, sizeof(r->sock), "%s/s", r->dir);
    snprintf(text[0], sizeof(text[0]), "%u", r->port);
    snprintf(text[1], sizeof(text[1]), "%s", r->sock);
    snprintf(text[2], sizeof(text[2]), "%s", r->dir);
    const char *const first[] = {
        "redis-server", "--bind",      "127.0.0.1", "--port",
        text[0],        "--save",      "",          "--dir",
        text[2],        "--logfile",   "log",       "--unixsocket",
        text[1],        "--databases", "16",
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        r->args[n++] = first[i];
    }
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        r->args[n++] = more[i];
    }
    r->args[n] = NULL;
    for (unsigned i = 0; i < 5 && !real_try(r, ready); i++) { /* the port may be taken */
        r->port = real_free_port();
        snprintf(text[0], sizeof(text[0]), "%u", r->port);
    }
    if (r->pid == 0) {
        fail_msg("redis-server does not start: see %s/log", r->dir);
    }
}

static inline void real_kill(struct real_redis *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGCONT);
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        r->pid = 0;
    }
}

/* Kills it and removes its folder. */
static inline void real_end(struct real_redis *r)
{
    real_kill(r);
    DIR *dir = r->dir[0] != '\0' ? opendir(r->dir) : NULL;
    if (dir == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
    rmdir(r->dir);
    r->dir[0] = '\0';
}

/* A self-signed certificate for 127.0.0.1, NAME.crt and NAME.key in the folder. */
static inline void real_make_cert(const char *dir, const char *name)
{
    char command[512];
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
             "-subj /CN=%s -addext subjectAltName=IP:127.0.0.1 -keyout %s/%s.key "
             "-out %s/%s.crt >/dev/null 2>&1",
             name, dir, name, dir, name);
    if (system(command) != 0) {
        fail_msg("openssl cannot make a certificate");
    }
}

#endif
