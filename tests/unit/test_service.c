/*
 * What the service manager hears, read from a notification socket of our own.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "flow/service.h"

static int manager = -1;

static int setup(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    /* Abstract: "@name" in the environment. */
    int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "larder-test-%d", (int)getpid());
    char name[120];
    snprintf(name, sizeof(name), "@%s", un.sun_path + 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(manager, (struct sockaddr *)&un, len) != 0) {
        return -1;
    }
    return setenv("NOTIFY_SOCKET", name, 1);
}

static int teardown(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    return close(manager);
}

static const char *heard(void)
{
    static char text[600];
    ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_words(void **state)
{
    (void)state;
    service_ready();
    assert_string_equal(heard(), "READY=1");
    service_stopping();
    assert_string_equal(heard(), "STOPPING=1");
    service_alive();
    assert_string_equal(heard(), "WATCHDOG=1");
    service_status("serving %d routes\nREADY=1", 12);
    assert_string_equal(heard(), "STATUS=serving 12 routes READY=1");
    char big[1000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    service_status("%s", big);
    assert_int_equal(strlen(heard()), 7 + 255);
}

static void test_reloading(void **state)
{
    (void)state;
    msec_t before = clock_monotonic();
    service_reloading();
    unsigned long long usec = 0;
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
    assert_in_range(usec / 1000, before, clock_monotonic());
}

static void test_watchdog(void **state)
{
    (void)state;
    char pid[20];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(service_watchdog_interval(), -1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(service_watchdog_interval(), 1500);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(service_watchdog_interval(), -1);
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    service_ready();
    service_reloading();
    service_stopping();
    service_status("alone");
    service_alive();
    assert_int_equal(service_watchdog_interval(), -1);
    assert_string_equal(heard(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reloading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watchdog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
