/*
 * Accepts connections of one listening socket on one worker's loop: connection limits, the
 * PROXY protocol's trust, and what to do when file descriptors run out (pause, never spin).
 *
 * A socket is either this worker's own (SO_REUSEPORT) or shared with the other workers (Unix
 * sockets, sockets inherited from systemd); then all are woken for a connection and those that
 * come late find nothing. On the worker's thread.
 */
#ifndef FLOW_LISTENER_H
#define FLOW_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/loop.h"

struct worker;

#define LISTENER_REFUSED 32 /* refused connections whose peers may still read the answer */

struct listener {
    struct worker *worker;
    struct addr addr; /* as configured; finds it again at a reload */
    int fd;
    unsigned index; /* position in the listens of the worker's current settings */
    bool armed;
    struct event event;
    struct deadline pause;         /* end of a pause after EMFILE */
    int refused[LISTENER_REFUSED]; /* ring of fds, -1: free */
    unsigned refused_at;
    struct deadline refused_end; /* they are closed then */
};

/* Starts accepting on fd, which the listener owns, for settings->listens[index]. */
struct listener *listener_new(struct worker *worker, int fd, unsigned index);

/* Stops for good. What waits in the queue of a socket of our own is accepted first: closing it
 * would reset those connections. */
void listener_free(struct listener *l);

#endif
