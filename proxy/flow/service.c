/*
 * The service manager. Failures to notify are ignored on purpose: sd_notify() says 0 where
 * there is no manager, and a manager that cannot be reached is not the clients' concern.
 */
#include "flow/service.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <systemd/sd-daemon.h>

void service_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_reloading(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t usec = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec);
}

void service_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void service_status(const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            *p = ' '; /* a newline would begin another assignment */
        }
    }
    sd_notifyf(0, "STATUS=%s", text);
}

msec_t service_watchdog_interval(void)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0) {
        return -1;
    }
    msec_t half = (msec_t)(usec / 2000);
    return half > 0 ? half : 1;
}

void service_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}
