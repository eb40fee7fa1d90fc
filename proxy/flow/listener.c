/*
 * The accept loop. Each wake-up accepts a bounded number, so that a burst of connections does
 * not stop requests under way.
 */
#include "flow/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "flow/client.h"
#include "flow/ip_count.h"
#include "flow/stats.h"
#include "flow/worker.h"
#include "http/date.h"

#define ACCEPTS_PER_WAKE  32
#define ACCEPTS_AT_CLOSE  4096 /* more than a backlog holds */
#define PAUSE_MS          80   /* after EMFILE */
#define REFUSED_LINGER_MS 1000

static void arm(struct listener *l)
{
    if (!l->armed) {
        event_add(&l->event, NULL);
        l->armed = true;
    }
}

static void disarm(struct listener *l)
{
    if (l->armed) {
        event_del(&l->event);
        l->armed = false;
    }
}

static const struct listen_settings *settings_of(const struct listener *l)
{
    return &config_settings(l->worker->config)->listens[l->index];
}

/* ---- refusals --------------------------------------------------------------------------- */

static void close_refused(struct listener *l)
{
    for (unsigned i = 0; i < LISTENER_REFUSED; i++) {
        if (l->refused[i] >= 0) {
            close(l->refused[i]);
            l->refused[i] = -1;
        }
    }
}

static void on_refused_end(struct deadline *d)
{
    close_refused(container_of(d, struct listener, refused_end));
}

#define REFUSAL_MAX 512

/* The answer, as flow/reply_problem makes it; there is no request to make one for. Returns its
 * length. */
static size_t write_refusal(struct listener *l, char out[REFUSAL_MAX])
{
    char id[WORKER_ID_LENGTH], date[HTTP_DATE_LEN], body[REFUSAL_MAX / 2];
    worker_draw_id(l->worker, id);
    http_date_format(l->worker->loop->wall, date);
    int n = snprintf(body, sizeof(body),
                     "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
                     "\"status\":503,\"detail\":\"too many open connections\","
                     "\"instance\":\"urn:request:%.*s\"}\n",
                     (int)sizeof(id), id);
    return (size_t)snprintf(out, REFUSAL_MAX,
                            "HTTP/1.1 503 Service Unavailable\r\n"
                            "Content-Type: application/problem+json\r\n"
                            "Retry-After: 1\r\n"
                            "Date: %.*s\r\n"
                            "Cache-Control: no-store\r\n"
                            "Content-Length: %d\r\n"
                            "Connection: close\r\n\r\n%s",
                            (int)sizeof(date), date, n, body);
}

/* Says why before closing, where the peer can read it. Closing at once with a request unread
 * would send RST and may take the answer with it, so the last few stay open for a moment. */
static void refuse(struct listener *l, int fd)
{
    if (settings_of(l)->tls) {
        close(fd);
        return;
    }
    char answer[REFUSAL_MAX];
    size_t n = write_refusal(l, answer);
    ssize_t sent = send(fd, answer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || shutdown(fd, SHUT_WR) != 0) {
        close(fd);
        return;
    }
    int *slot = &l->refused[l->refused_at++ % LISTENER_REFUSED];
    if (*slot >= 0) {
        close(*slot);
    }
    *slot = fd;
    deadline_set(l->worker->loop, &l->refused_end, REFUSED_LINGER_MS);
}

static void log_refusal(const struct addr *peer, const char *why)
{
    static struct log_limit limit;
    if (log_allowed(&limit)) {
        char ip[ADDR_TEXT_MAX];
        addr_ip_text(peer, ip);
        log_warn("connection of %s refused: %s", ip, why);
    }
}

/* ---- accepting -------------------------------------------------------------------------- */

/* Counts the connection; false (and nothing counted) when a limit is reached. Behind the PROXY
 * protocol the peer is a balancer: the client's address is counted once it is known. */
static bool count_connection(struct listener *l, const struct addr *peer)
{
    struct node *node = l->worker->node;
    const struct limit_settings *limits = &config_settings(l->worker->config)->limits;
    size_t before = atomic_fetch_add_explicit(&node->connections, 1, memory_order_relaxed);
    if (before >= limits->connections) {
        log_refusal(peer, "limits connections= is reached");
    } else if (limits->connections_per_ip > 0 && !settings_of(l)->proxy_protocol &&
               !ip_count_take(node->peers, peer, limits->connections_per_ip)) {
        log_refusal(peer, "limits connections_per_ip= is reached");
    } else {
        return true;
    }
    atomic_fetch_sub_explicit(&node->connections, 1, memory_order_relaxed);
    return false;
}

static void start_client(struct listener *l, int fd, const struct addr *peer)
{
    const struct listen_settings *ls = settings_of(l);
    struct runtime *runtime = l->worker->config->runtime;
    SSL *ssl = NULL;
    if (ls->proxy_protocol && !cidr_match(&ls->proxy_trusted, peer)) {
        log_refusal(peer, "it is not in proxy_protocol_from");
        counter_add(&l->worker->stats->counts[STATS_WORKER_REFUSED], 1);
        close(fd);
        return;
    }
    if (ls->tls && (ssl = tls_server_session(runtime->tls, fd)) == NULL) {
        close(fd);
        return;
    }
    if (!count_connection(l, peer)) {
        SSL_free(ssl);
        refuse(l, fd);
        counter_add(&l->worker->stats->counts[STATS_WORKER_REFUSED], 1);
        return;
    }
    counter_add(&l->worker->stats->counts[STATS_WORKER_ACCEPTED], 1);
    client_new(l->worker, fd, ssl, peer, ls->proxy_protocol);
}

static void on_pause_end(struct deadline *d)
{
    arm(container_of(d, struct listener, pause));
}

/* No descriptor or memory for another connection: it stays in the queue while others end.
 * Polling on would spin, since the queue stays readable. */
static void pause_accepting(struct listener *l, int why)
{
    static struct log_limit limit;
    if (log_allowed(&limit)) {
        log_warn("cannot accept connections for the moment: %s; raise the limit of open files "
                 "(LimitNOFILE, ulimit -n) or lower `limits connections=`",
                 strerror(why));
    }
    disarm(l);
    deadline_set(l->worker->loop, &l->pause, PAUSE_MS);
    worker_free_fds(l->worker);
}

/* One connection; false when there is no more for now. */
static bool accept_one(struct listener *l)
{
    struct addr peer = {.len = sizeof(peer.u)};
    int fd = accept4(l->fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        start_client(l, fd, &peer);
        return true;
    }
    switch (errno) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EFAULT: pause_accepting(l, errno); return false;
    default: return true; /* what befell this one connection; accept(2) names them all */
    }
}

static void accept_some(struct listener *l, unsigned max)
{
    for (unsigned i = 0; i < max; i++) {
        if (!accept_one(l)) {
            return;
        }
    }
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct listener *l = arg;
    loop_touch(l->worker->loop);
    accept_some(l, ACCEPTS_PER_WAKE);
}

struct listener *listener_new(struct worker *worker, int fd, unsigned index)
{
    struct listener *l = xcalloc(1, sizeof(*l));
    l->worker = worker;
    l->fd = fd;
    l->index = index;
    l->addr = settings_of(l)->addr;
    for (unsigned i = 0; i < LISTENER_REFUSED; i++) {
        l->refused[i] = -1;
    }
    deadline_init(&l->pause, on_pause_end);
    deadline_init(&l->refused_end, on_refused_end);
    event_assign(&l->event, worker->loop->base, fd, EV_READ | EV_PERSIST, on_accept, l);
    arm(l);
    return l;
}

void listener_free(struct listener *l)
{
    disarm(l);
    accept_some(l, ACCEPTS_AT_CLOSE);
    deadline_cancel(&l->pause);
    deadline_cancel(&l->refused_end);
    close_refused(l);
    close(l->fd);
    free(l);
}
