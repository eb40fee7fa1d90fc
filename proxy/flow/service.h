/*
 * What Larder tells the service manager (sd_notify(3)): ready, reloading, stopping, a line of
 * status, and that it is alive. Every call does nothing where no manager listens. Any thread.
 */
#ifndef FLOW_SERVICE_H
#define FLOW_SERVICE_H

#include "base/clock.h"

/* READY=1: after start, and again after each reload (also a failed one). */
void service_ready(void);

/* RELOADING=1 with its MONOTONIC_USEC, before a reload; service_ready() must follow. */
void service_reloading(void);

/* STOPPING=1: the drain begins. */
void service_stopping(void);

/* STATUS=…: one line for `systemctl status`. */
void service_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often to call service_alive(): half of WatchdogSec=; -1 when no watchdog waits for us. */
msec_t service_watchdog_interval(void);

/* WATCHDOG=1. */
void service_alive(void);

#endif
