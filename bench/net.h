/*
 * What the three bench tools (load, canned, origin) share: a listening or connected
 * loopback socket, one epoll wrapper, and an end with a message. Each tool is one
 * process with one thread, so nothing here is thread-safe and every failure of the set-up
 * ends the process: a benchmark that goes on half-configured measures something else.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdint.h>

/* Events taken from the kernel in one turn, in every tool, so that batching is alike. */
enum { NET_EVENTS = 256 };

/* Prints "bench: …" and errno's text (if errno is set) to stderr and exits with 2. */
__attribute__((noreturn, format(printf, 1, 2))) void net_die(const char *format, ...);

/* Listens on 127.0.0.1:port, non-blocking; returns the socket. */
int net_listen(uint16_t port);

/* Connects to 127.0.0.1:port (blocking until accepted into the backlog), then makes the socket
 * non-blocking with TCP_NODELAY. Returns the socket, or -1 with errno set. */
int net_connect(uint16_t port);

/* Accepts one connection as non-blocking with TCP_NODELAY; -1 when none waits. */
int net_accept(int listener);

/* Adds (or, with mod, changes) fd in the epoll set; events as epoll_ctl(2), ptr is handed back.
 */
void net_watch(int epoll_fd, int fd, uint32_t events, void *ptr, int mod);

/* Parses a decimal number in [min, max]; anything else ends the process naming what. */
long net_number(const char *what, const char *text, long min, long max);

#endif
