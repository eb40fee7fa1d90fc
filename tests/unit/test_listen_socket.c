/*
 * Listening sockets: one for each worker, Unix socket files, inherited descriptors, the words
 * of errors.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flow/listen_socket.h"

static char dir[64];
static char error[300];

static struct listen_settings settings_for(const char *text)
{
    struct listen_settings s = {.text = str_from(text)};
    const char *why;
    if (!addr_parse(s.text, &s.addr, &why)) {
        fail_msg("%s: %s", text, why);
    }
    return s;
}

static const char *unix_text(const char *name)
{
    static char text[120];
    snprintf(text, sizeof(text), "unix:%s/%s", dir, name);
    return text;
}

static int connect_to(const struct addr *to)
{
    int fd = socket(to->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, &to->u.sa, to->len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Accepts on whichever of the descriptors has a connection. */
static int accept_any(const int *fds, size_t n)
{
    struct pollfd polls[8];
    for (size_t i = 0; i < n; i++) {
        polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    assert_true(poll(polls, n, 5000) > 0);
    for (size_t i = 0; i < n; i++) {
        int fd = polls[i].revents != 0 ? accept(fds[i], NULL, NULL) : -1;
        if (fd >= 0) {
            return fd;
        }
    }
    return -1;
}

static void close_fds(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(fds[i]);
    }
}

static void open_ok(const struct listen_settings *s, int *fds, size_t n, struct addr *bound)
{
    error[0] = '\0';
    if (!listen_socket_open(s, NULL, fds, n, bound, error, sizeof(error))) {
        fail_msg("%s", error);
    }
}

static void test_tcp_workers(void **state)
{
    (void)state;
    struct listen_settings s = settings_for("127.0.0.1:0");
    int fds[4];
    struct addr bound;
    open_ok(&s, fds, 4, &bound);
    assert_true(addr_port(&bound) != 0);
    for (unsigned i = 0; i < 4; i++) {
        struct addr own = {.len = sizeof(own.u.ss)};
        assert_int_equal(getsockname(fds[i], &own.u.sa, &own.len), 0);
        assert_true(addr_eq(&own, &bound)); /* port 0 is the same port for all */
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    int client = connect_to(&bound);
    assert_true(client >= 0);
    int accepted = accept_any(fds, 4);
    assert_true(accepted >= 0);
    int nodelay = 0;
    socklen_t len = sizeof(nodelay);
    getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len);
    assert_int_equal(nodelay, 1);
    close(client);
    close(accepted);

    /* Not even another Larder, which sets SO_REUSEPORT as well. */
    char text[ADDR_TEXT_MAX];
    addr_text(&bound, text);
    struct listen_settings again = settings_for(text);
    int other[2] = {-2, -2};
    assert_false(listen_socket_open(&again, NULL, other, 2, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, "address in use"));
    assert_non_null(strstr(error, text));
    close_fds(fds, 4);
    open_ok(&again, other, 2, NULL); /* at once after the close */
    close_fds(other, 2);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct listen_settings v6 = settings_for("[::]:0");
    int six, four;
    struct addr bound;
    if (!listen_socket_open(&v6, NULL, &six, 1, &bound, error, sizeof(error))) {
        skip(); /* a machine without IPv6 */
    }
    int v6only = 0;
    socklen_t len = sizeof(v6only);
    getsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len);
    assert_int_equal(v6only, 1);
    struct listen_settings v4 = settings_for("0.0.0.0:0");
    addr_set_port(&v4.addr, addr_port(&bound));
    open_ok(&v4, &four, 1, NULL); /* both families on one port */
    close(six);
    close(four);
}

static void test_errors(void **state)
{
    (void)state;
    int fd = -2;
    struct listen_settings s = settings_for("192.0.2.1:8080");
    assert_false(listen_socket_open(&s, NULL, &fd, 1, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, "192.0.2.1:8080: this machine does not have that address"));
    s = settings_for(unix_text("none/a.sock"));
    assert_false(listen_socket_open(&s, NULL, &fd, 1, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, "the directory does not exist"));
}

/* As an ordinary user, in a child because there is no way back. */
static void test_low_port(void **state)
{
    (void)state;
    char limit[16] = "1024";
    int f = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY);
    if (f >= 0) {
        ssize_t n = read(f, limit, sizeof(limit) - 1);
        limit[n > 0 ? n : 0] = '\0';
        close(f);
    }
    if (strtol(limit, NULL, 10) < 1024) {
        skip(); /* every port is open to all here */
    }
    pid_t child = fork();
    if (child == 0) {
        int fd;
        struct listen_settings s = settings_for("127.0.0.1:1");
        bool user = geteuid() != 0 || setuid(65534) == 0;
        bool refused =
            !listen_socket_open(&s, NULL, &fd, 1, NULL, error, sizeof(error)) &&
            strstr(error, "127.0.0.1:1: permission denied for a port below 1024") != NULL;
        _exit(user && refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_unix(void **state)
{
    (void)state;
    struct listen_settings s = settings_for(unix_text("a.sock"));
    int fds[3];
    struct addr bound;
    mode_t old = umask(077);
    open_ok(&s, fds, 3, &bound);
    umask(old);
    struct stat st;
    assert_int_equal(stat(s.addr.u.un.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    for (unsigned i = 0; i < 3; i++) {
        int client = connect_to(&bound);
        assert_true(client >= 0);
        int accepted = accept(fds[i], NULL, NULL); /* one socket, shared */
        assert_true(accepted >= 0);
        close(accepted);
        close(client);
    }

    int other = -2;
    assert_false(listen_socket_open(&s, NULL, &other, 1, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, "address in use"));
    int client = connect_to(&bound); /* the living one was not touched */
    assert_true(client >= 0);
    close(client);

    close_fds(fds, 3); /* now the file is stale */
    assert_int_equal(connect_to(&bound), -1);
    open_ok(&s, fds, 1, NULL);
    client = connect_to(&bound);
    assert_true(client >= 0);
    close(client);
    close(fds[0]);
    listen_socket_remove(&s, NULL);
    assert_int_equal(stat(s.addr.u.un.sun_path, &st), -1);
    listen_socket_remove(&s, NULL);
}

static void test_unix_other_file(void **state)
{
    (void)state;
    struct listen_settings s = settings_for(unix_text("precious"));
    int f = open(s.addr.u.un.sun_path, O_CREAT | O_WRONLY, 0600);
    assert_true(f >= 0);
    close(f);
    int fd = -2;
    assert_false(listen_socket_open(&s, NULL, &fd, 1, NULL, error, sizeof(error)));
    assert_non_null(strstr(error, "is not a socket"));
    assert_int_equal(access(s.addr.u.un.sun_path, F_OK), 0);
    unlink(s.addr.u.un.sun_path);
}

static void test_no_manager(void **state)
{
    (void)state;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    struct listen_inherited inherited;
    listen_inherited_init(&inherited);
    assert_int_equal(inherited.n, 0);
    listen_inherited_close_rest(&inherited);
    listen_inherited_fini(&inherited);
}

#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition)) {                                           \
            fprintf(stderr, "child: line %d: %s\n", __LINE__, error); \
            return false;                                             \
        }                                                             \
    } while (0)

/* A plain listening socket as the service manager makes one. */
static int manager_socket(const char *text, struct addr *bound)
{
    struct listen_settings s = settings_for(text);
    int fd = socket(s.addr.u.sa.sa_family, SOCK_STREAM, 0);
    *bound = s.addr;
    bound->len = s.addr.len;
    if (bind(fd, &bound->u.sa, bound->len) != 0 || listen(fd, 16) != 0) {
        return -1;
    }
    bound->len = sizeof(bound->u.ss);
    return getsockname(fd, &bound->u.sa, &bound->len) == 0 ? fd : -1;
}

/* In a child, because the descriptors must be 3, 4, … */
static bool child_inherits(void)
{
    struct addr tcp, any, local, spare;
    int fds[5] = {manager_socket("127.0.0.1:0", &tcp), manager_socket("0.0.0.0:0", &any),
                  manager_socket(unix_text("inherited.sock"), &local),
                  open("/dev/null", O_RDWR), manager_socket("127.0.0.1:0", &spare)};
    for (int i = 0; i < 5; i++) {
        int high = fcntl(fds[i], F_DUPFD, 50);
        close(fds[i]);
        fds[i] = high;
    }
    for (int i = 0; i < 5; i++) {
        CHECK(dup2(fds[i], 3 + i) == 3 + i);
        close(fds[i]);
    }
    char pid[20];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "5", 1);
    static struct listen_inherited inherited;
    listen_inherited_init(&inherited);
    CHECK(inherited.n == 4); /* /dev/null is no socket */
    CHECK(getenv("LISTEN_FDS") == NULL);
    CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC);

    struct listen_settings s = {.addr = tcp};
    int workers[2];
    struct addr bound;
    CHECK(listen_socket_open(&s, &inherited, workers, 2, &bound, error, sizeof(error)));
    CHECK(addr_eq(&bound, &tcp));
    CHECK(fcntl(workers[1], F_GETFL) & O_NONBLOCK);
    int client = connect_to(&tcp);
    CHECK(client >= 0 && accept(workers[1], NULL, NULL) >= 0);
    close_fds(workers, 2);

    s = settings_for("[::]:0"); /* a wildcard of either family, by its port */
    addr_set_port(&s.addr, addr_port(&any));
    CHECK(listen_socket_open(&s, &inherited, workers, 1, &bound, error, sizeof(error)));
    CHECK(addr_eq(&bound, &any));
    s = settings_for(unix_text("inherited.sock"));
    CHECK(listen_socket_open(&s, &inherited, workers, 1, NULL, error, sizeof(error)));
    listen_socket_remove(&s, &inherited); /* the manager's file, not ours */
    CHECK(access(s.addr.u.un.sun_path, F_OK) == 0);

    s = settings_for("127.0.0.1:0"); /* not inherited: made as ever */
    CHECK(listen_socket_open(&s, &inherited, workers, 1, &bound, error, sizeof(error)));
    CHECK(!addr_eq(&bound, &tcp));
    listen_inherited_close_rest(&inherited);
    CHECK(fcntl(7, F_GETFD) < 0);  /* named by nobody */
    CHECK(fcntl(3, F_GETFD) >= 0); /* kept for the next reload */
    s = (struct listen_settings){.addr = tcp};
    CHECK(listen_socket_open(&s, &inherited, workers, 2, NULL, error, sizeof(error)));
    listen_inherited_fini(&inherited);
    return true;
}

static void test_inherited(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        _exit(child_inherits() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    struct listen_settings s = settings_for(unix_text("inherited.sock"));
    unlink(s.addr.u.un.sun_path);
    assert_int_equal(status, 0);
}

static int group_setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/larder-test-listen.XXXXXX");
    char *made = mkdtemp(dir);
    return made != NULL ? chmod(made, 0755) : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_workers), cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_low_port),
        cmocka_unit_test(test_unix),        cmocka_unit_test(test_unix_other_file),
        cmocka_unit_test(test_no_manager),  cmocka_unit_test(test_inherited),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
