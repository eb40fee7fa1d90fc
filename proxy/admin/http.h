/*
 * The admin address: an evhttp server with what libevent 2.1 does not bound itself: the number
 * of connections, the time for a request, a descriptor shortage. Private to admin/.
 */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

struct http;
struct plane;

/* Listens on fd, which is taken; NULL when libevent refuses. */
struct http *http_new(struct plane *plane, int fd) __attribute__((warn_unused_result));

/* Closes the listener and all connections. No call of it may be open any more. */
void http_free(struct http *h);

#endif
