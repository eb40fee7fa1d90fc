/*
 * Connections whose answer is out and whose sender may not be done: closing them at once would
 * make the kernel answer with RST, which takes the answer away from a client that has not read
 * it. What they send is read and dropped for a moment. Private to admin/; control thread.
 */
#ifndef ADMIN_LINGER_H
#define ADMIN_LINGER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/loop.h"

struct lingering;

/* All that linger; zero but for the loop. */
struct lingers {
    struct loop *loop;
    struct lingering *list;
    size_t n;
};

/* Keeps the socket of fd open by a descriptor of its own; the caller closes its own, after
 * shutting down the way to the client. Without a free descriptor nothing is done. */
void lingers_add(struct lingers *all, int fd);

/* Closes all. */
void lingers_end(struct lingers *all);

#endif
