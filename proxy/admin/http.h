/*
 * The admin address: an evhttp server behind admin/conn, whose calls go to the dispatcher.
 * Private to admin/; control thread.
 */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include <stdbool.h>

struct addr;
struct http;
struct plane;

/* Answers on fd, which is taken: a socket that listens on addr, or is about to. */
struct http *http_new(struct plane *plane, const struct addr *addr, int fd)
    __attribute__((warn_unused_result));

/* Listens no more; answers the calls that are open, and those that have begun to arrive, and
 * frees itself when the last connection is gone. Until then it is in plane->draining.
 * guarded: the token was needed, and still is there, whatever the new file says. */
void http_drain(struct http *h, bool guarded);

/* Closes the listener and all connections. No call of it may be open any more. */
void http_free(struct http *h);

#endif
