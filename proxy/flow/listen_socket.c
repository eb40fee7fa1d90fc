/*
 * Listening sockets. SO_REUSEPORT would let a second Larder of the same user bind beside a
 * running one and silently take half of its connections; so a TCP address is first bound
 * without it, which fails while anybody listens there.
 */
#include "flow/listen_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "base/stream.h"

#define LISTEN_BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */
#define UNIX_MODE      0660

/* ---- inherited --------------------------------------------------------------------------- */

static void set_flags(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void inherited_add(struct listen_inherited *inherited, int fd)
{
    struct addr addr = {.len = sizeof(addr.u.ss)};
    if (inherited->n == LISTEN_INHERITED_MAX ||
        sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
        getsockname(fd, &addr.u.sa, &addr.len) != 0) {
        log_warn("inherited descriptor %d is not used: not a listening stream socket", fd);
        close(fd);
        return;
    }
    set_flags(fd);
    inherited->list[inherited->n].fd = fd;
    inherited->list[inherited->n].addr = addr;
    inherited->list[inherited->n++].taken = false;
}

void listen_inherited_init(struct listen_inherited *inherited)
{
    inherited->n = 0;
    int count = sd_listen_fds(1);
    for (int i = 0; i < count; i++) {
        inherited_add(inherited, SD_LISTEN_FDS_START + i);
    }
}

static bool is_wildcard(const struct addr *a)
{
    if (a->u.sa.sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&a->u.ss;
        return in4->sin_addr.s_addr == htonl(INADDR_ANY);
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->u.ss;
    return a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

/* ListenStream=8080 binds [::]:8080 for both families: it serves 0.0.0.0:8080 as well. */
static bool addr_serves(const struct addr *bound, const struct addr *wanted)
{
    return addr_eq(bound, wanted) ||
           (is_wildcard(bound) && is_wildcard(wanted) && addr_port(bound) == addr_port(wanted));
}

/* Index of the inherited socket for this address; inherited->n when there is none. */
static size_t inherited_find(const struct listen_inherited *inherited,
                             const struct addr *wanted)
{
    size_t loose = inherited->n;
    for (size_t i = 0; i < inherited->n; i++) {
        const struct addr *bound = &inherited->list[i].addr;
        if (inherited->list[i].fd < 0) {
            continue;
        }
        if (addr_eq(bound, wanted)) {
            return i;
        }
        if (addr_serves(bound, wanted)) {
            loose = i;
        }
    }
    return loose;
}

void listen_inherited_close_rest(struct listen_inherited *inherited)
{
    for (size_t i = 0; i < inherited->n; i++) {
        if (inherited->list[i].fd >= 0 && !inherited->list[i].taken) {
            char text[ADDR_TEXT_MAX];
            addr_text(&inherited->list[i].addr, text);
            log_warn("the inherited socket %s is closed: no listen directive names it", text);
            close(inherited->list[i].fd);
            inherited->list[i].fd = -1;
        }
    }
}

void listen_inherited_fini(struct listen_inherited *inherited)
{
    for (size_t i = 0; i < inherited->n; i++) {
        if (inherited->list[i].fd >= 0) {
            close(inherited->list[i].fd);
        }
    }
    inherited->n = 0;
}

/* ---- errors ------------------------------------------------------------------------------ */

static void explain(const struct listen_settings *s, int number, char *error, size_t cap)
{
    char text[ADDR_TEXT_MAX];
    addr_text(&s->addr, text);
    const char *why = strerror(number);
    const char *hint = "";
    uint16_t port = s->addr.u.sa.sa_family != AF_UNIX ? addr_port(&s->addr) : 0;
    if (number == EADDRINUSE) {
        why = "address in use";
        hint = ": another process listens there";
    } else if (number == EACCES && port > 0 && port < 1024) {
        why = "permission denied for a port below 1024";
        hint = ": start as a service with CAP_NET_BIND_SERVICE, or choose a higher port";
    } else if (number == EADDRNOTAVAIL) {
        why = "this machine does not have that address";
    } else if (number == ENOENT && s->addr.u.sa.sa_family == AF_UNIX) {
        why = "the directory does not exist";
    } else if (number == ENOTSOCK) {
        why = "a file of that name exists and is not a socket";
    } else if (number == EMFILE || number == ENFILE) {
        hint = ": raise the limit of open files (LimitNOFILE=, ulimit -n)";
    }
    snprintf(error, cap, "cannot listen on %s: %s%s", text, why, hint);
}

/* ---- TCP --------------------------------------------------------------------------------- */

/* A bound TCP socket, or -1 with errno. */
static int tcp_bind(const struct addr *addr, bool reuse_port)
{
    int family = addr->u.sa.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    stream_tune(fd);
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if ((reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
        bind(fd, &addr->u.sa, addr->len) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* Does anybody listen there? 0: no; else errno. */
static int tcp_probe(const struct addr *addr)
{
    int fd = tcp_bind(addr, false);
    if (fd < 0) {
        return errno;
    }
    close(fd);
    return 0;
}

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(fds[i]);
        fds[i] = -1;
    }
}

/* All workers' sockets; 0 or errno. *addr gets the port that a 0 became. */
static int tcp_open(struct addr *addr, int *fds, size_t n)
{
    int number = addr_port(addr) != 0 ? tcp_probe(addr) : 0;
    for (size_t i = 0; i < n && number == 0; i++) {
        fds[i] = tcp_bind(addr, true);
        if (fds[i] < 0) {
            number = errno;
            close_all(fds, i);
        } else if (listen(fds[i], LISTEN_BACKLOG) != 0 ||
                   getsockname(fds[i], &addr->u.sa, &addr->len) != 0) {
            number = errno;
            close_all(fds, i + 1);
        }
    }
    return number;
}

/* ---- Unix -------------------------------------------------------------------------------- */

/* A file is in the way of bind: 0 when it was a stale socket and is gone, else errno. */
static int unix_clear(const struct addr *addr)
{
    struct stat st;
    if (lstat(addr->u.un.sun_path, &st) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return ENOTSOCK;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    bool refused = connect(fd, &addr->u.sa, addr->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!refused) {
        return EADDRINUSE; /* answered, or its backlog is full: somebody lives there */
    }
    return unlink(addr->u.un.sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

/* The one socket; 0 or errno. */
static int unix_open(const struct addr *addr, int *out)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    fchmod(fd, UNIX_MODE); /* the file is born with it: never open to all, not for a moment */
    int number = 0;
    if (bind(fd, &addr->u.sa, addr->len) != 0) {
        number = errno == EADDRINUSE ? unix_clear(addr) : errno;
        if (number == 0 && bind(fd, &addr->u.sa, addr->len) != 0) {
            number = errno;
        }
    }
    /* Once more by name, because the umask has taken bits away. */
    if (number == 0 &&
        (chmod(addr->u.un.sun_path, UNIX_MODE) != 0 || listen(fd, LISTEN_BACKLOG) != 0)) {
        number = errno;
    }
    if (number != 0) {
        close(fd);
        return number;
    }
    *out = fd;
    return 0;
}

/* ------------------------------------------------------------------------------------------ */

/* n descriptors of one socket; 0 or errno. */
static int share(int fd, int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0) {
            int number = errno;
            close_all(fds, i);
            return number;
        }
    }
    return 0;
}

bool listen_socket_open(const struct listen_settings *s, struct listen_inherited *inherited,
                        int *fds, size_t n, struct addr *bound, char *error, size_t cap)
{
    struct addr addr = s->addr;
    int number;
    size_t at = inherited != NULL ? inherited_find(inherited, &addr) : 0;
    if (inherited != NULL && at < inherited->n) {
        inherited->list[at].taken = true;
        addr = inherited->list[at].addr;
        stream_tune(inherited->list[at].fd);
        number = share(inherited->list[at].fd, fds, n);
    } else if (addr.u.sa.sa_family == AF_UNIX) {
        int fd = -1;
        number = unix_open(&addr, &fd);
        if (number == 0) {
            number = share(fd, fds, n);
            close(fd);
        }
    } else {
        number = tcp_open(&addr, fds, n);
    }
    if (number != 0) {
        explain(s, number, error, cap);
        return false;
    }
    if (bound != NULL) {
        *bound = addr;
    }
    return true;
}

void listen_socket_remove(const struct listen_settings *s,
                          const struct listen_inherited *inherited)
{
    bool ours = inherited == NULL || inherited_find(inherited, &s->addr) == inherited->n;
    if (s->addr.u.sa.sa_family == AF_UNIX && ours) {
        unlink(s->addr.u.un.sun_path);
    }
}
