/*
 * The clients: a thread each, with a connection to each node, asking for one thing after the
 * other. Every byte of a body is compared with what the resource's version looks like.
 */
#include "racer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 16384, TIMEOUT_S = 20, HOT = 10 };

struct client {
    pthread_t thread;
    uint64_t random;
    int fds[NODES_MAX + 1]; /* to each node, and behind them to the origin; -1: none */
    char asked[200];        /* the request under way */
    char in[ANSWER_MAX + 1];
    char *body;
    size_t body_n;
};

static struct client clients[CLIENTS_MAX];

static int dial(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = TIMEOUT_S};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Reads one answer into c->in; false when the connection ended before. A silence of TIMEOUT_S
 * is a violation. */
static bool read_answer(struct client *c, int fd)
{
    size_t have = 0, want = 0;

    c->body = NULL;
    while (c->body == NULL || have < want) {
        ssize_t got = have < ANSWER_MAX ? recv(fd, c->in + have, ANSWER_MAX - have, 0) : 0;
        if (got <= 0) {
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
                count(VIOLATIONS);
                complain("seed %llu: no answer within %d s: %s",
                         (unsigned long long)race.options.seed, TIMEOUT_S, c->asked);
            }
            return false;
        }
        have += (size_t)got;
        c->in[have] = '\0';
        char *end = c->body == NULL ? strstr(c->in, "\r\n\r\n") : NULL;
        if (end != NULL) {
            char *length = strcasestr(c->in, "\r\ncontent-length:");
            if (length == NULL || length > end) {
                complain("an answer without Content-Length: %.200s", c->in);
                return false;
            }
            *end = '\0';
            c->body = end + 4;
            c->body_n = strtoul(length + 17, NULL, 10);
            want = (size_t)(c->body - c->in) + c->body_n;
        }
    }
    return true;
}

static void hang_up(struct client *c, unsigned node)
{
    if (c->fds[node] >= 0) {
        close(c->fds[node]);
        c->fds[node] = -1;
    }
}

static uint16_t port_of(unsigned node)
{
    return node < race.options.n_nodes ? race.options.nodes[node] : race.options.origin_port;
}

/* One request through a node; the version in its answer, or -1. */
static long ask(struct client *c, unsigned node, const char *method, unsigned resource)
{
    int n =
        snprintf(c->asked, sizeof c->asked, "%s /r/k%u HTTP/1.1\r\nHost: race\r\n%s\r\n",
                 method, resource, strcmp(method, "GET") == 0 ? "" : "Content-Length: 0\r\n");
    int64_t began = now_ns();

    if (c->fds[node] < 0) {
        c->fds[node] = dial(port_of(node));
    }
    if (c->fds[node] < 0 || send(c->fds[node], c->asked, (size_t)n, MSG_NOSIGNAL) != n ||
        !read_answer(c, c->fds[node])) {
        count(LOST);
        hang_up(c, node);
        return -1;
    }
    uint64_t took = (uint64_t)(now_ns() - began), slowest = atomic_load(&race.slowest);
    while (took > slowest && !atomic_compare_exchange_weak(&race.slowest, &slowest, took)) {
    }
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0) {
        count(ERRORS);
        complain("%s k%u through node %u: %.160s", method, resource, node, c->in);
        return -1;
    }
    long version = body_version(resource, c->body, c->body_n);
    if (version < 0) {
        count(VIOLATIONS);
        complain("%s k%u through node %u: this is not its body: %.80s", method, resource, node,
                 c->body);
    }
    return version;
}

static bool says(const struct client *c, const char *what)
{
    return strcasestr(c->in, what) != NULL;
}

static void count_result(const struct client *c)
{
    static const struct {
        const char *word;
        enum figure figure;
    } results[] = {{"X-Cache: HIT", HITS},
                   {"X-Cache: MISS", MISSES},
                   {"X-Cache: STALE", STALES},
                   {"X-Cache: REVALIDATED", REVALIDATED}};

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        if (says(c, results[i].word)) {
            count(results[i].figure);
            return;
        }
    }
    count(OTHERS);
}

static void read_one(struct client *c, unsigned node, unsigned resource)
{
    struct floor floor;

    judge_begin(resource, node, &floor);
    long version = ask(c, node, "GET", resource);
    if (version >= 0) {
        bool marked = says(c, "detail=uncertain");
        count(READS);
        count_result(c);
        if (marked) {
            count(MARKED);
        }
        (void)judge_read(resource, node, (unsigned)version, &floor, marked, c->in);
    } else {
        judge_lost(resource, node, false, floor.began);
    }
}

static void write_one(struct client *c, unsigned node, unsigned resource)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH"};
    const char *method = methods[random_next(&c->random) % 4];
    bool planted = random_next(&c->random) % 100 < race.options.planted;
    int64_t began = now_ns();
    /* The mistake to be found: the node never hears of the write. */
    long version = ask(c, planted ? race.options.n_nodes : node, method, resource);

    if (version < 0) {
        judge_lost(resource, node, true, began);
    } else {
        bool pending = says(c, "Cache-Invalidation: pending");
        judge_write(resource, node, (unsigned)version, began, pending);
        count(WRITES);
        if (pending) {
            count(PENDING);
        }
    }
}

/* Half of all requests go to a few resources. */
static unsigned pick_resource(struct client *c)
{
    unsigned of = race.options.resources;

    if (of > HOT && random_next(&c->random) % 2 == 0) {
        of = HOT;
    }
    return (unsigned)(random_next(&c->random) % of);
}

/* The others are written far less often: nothing is older than max_lag anywhere when each node
 * invalidates everything all the time by itself. */
static bool pick_write(struct client *c, unsigned resource)
{
    unsigned per_mille = race.options.write_percent * 10;

    if (resource >= HOT) {
        per_mille /= 20;
    }
    return random_next(&c->random) % 1000 < per_mille;
}

static void rest(struct client *c)
{
    if (race.options.pace_us > 0) {
        struct timespec ts = {
            .tv_nsec = (long)(random_next(&c->random) % race.options.pace_us) * 1000};
        nanosleep(&ts, NULL);
    }
}

static void *run(void *arg)
{
    struct client *c = arg;

    while (atomic_load(&race.running)) {
        unsigned node = (unsigned)(random_next(&c->random) % race.options.n_nodes);
        unsigned resource = pick_resource(c);
        if (pick_write(c, resource)) {
            write_one(c, node, resource);
        } else {
            read_one(c, node, resource);
        }
        if (c->fds[node] < 0) {
            struct timespec ts = {.tv_nsec = 20000000};
            nanosleep(&ts, NULL); /* the node is away */
        }
        rest(c);
    }
    for (unsigned i = 0; i <= NODES_MAX; i++) {
        hang_up(c, i);
    }
    return NULL;
}

static void client_init(struct client *c, uint64_t number)
{
    c->random = race.options.seed * 1000003 + number + 1;
    for (unsigned i = 0; i <= NODES_MAX; i++) {
        c->fds[i] = -1;
    }
}

void clients_start(void)
{
    atomic_store(&race.running, true);
    for (unsigned i = 0; i < race.options.clients; i++) {
        client_init(&clients[i], i);
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0) {
            perror("racer: thread");
            exit(2);
        }
    }
}

void clients_stop(void)
{
    atomic_store(&race.running, false);
    for (unsigned i = 0; i < race.options.clients; i++) {
        pthread_join(clients[i].thread, NULL);
    }
}

unsigned clients_check(void)
{
    struct client *c = &clients[0];
    unsigned behind = 0;

    client_init(c, 99);
    for (unsigned node = 0; node < race.options.n_nodes; node++) {
        for (unsigned i = 0; i < race.options.resources; i++) {
            long version = ask(c, node, "GET", i);
            if (version < 0 || !judge_final(i, (unsigned)version, origin_version(i))) {
                behind++;
                fprintf(stderr, "node %u: k%u shows %ld of %u: %s\n", node, i, version,
                        origin_version(i), c->in);
            }
        }
        hang_up(c, node);
    }
    return behind;
}
