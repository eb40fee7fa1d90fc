/*
 * Listening sockets for the `listen` directives: made here, or inherited from systemd (socket
 * activation) and shared by all workers. Called by the server at start and reload; accepting is
 * the listener's work.
 */
#ifndef FLOW_LISTEN_SOCKET_H
#define FLOW_LISTEN_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "settings.h"

#define LISTEN_INHERITED_MAX 64

/* Sockets that the service manager passed to us (sd_listen_fds(3)); those not taken stay here.
 */
struct listen_inherited {
    struct {
        int fd;           /* -1: closed */
        struct addr addr; /* where it is bound */
        bool taken;       /* belongs to a `listen` of the running configuration */
    } list[LISTEN_INHERITED_MAX];
    size_t n;
};

/* Takes the inherited sockets over (once, at start, before threads) and clears the environment
 * variables. Descriptors that are no listening stream sockets are closed with a warning.
 * Without systemd the set is empty. */
void listen_inherited_init(struct listen_inherited *inherited);

/* Warns of those that no `listen` named and closes them. After the first configuration. */
void listen_inherited_close_rest(struct listen_inherited *inherited);

/* Closes all. The workers' descriptors are their own and stay open. */
void listen_inherited_fini(struct listen_inherited *inherited);

/*
 * Opens `s` for n workers: fds[i] is the i-th worker's own descriptor, non-blocking, which it
 * closes when it stops listening. TCP: one socket each (SO_REUSEPORT; the kernel spreads the
 * connections). Unix and inherited sockets: n descriptors of one socket, mode 0660 for Unix.
 * TCP sockets are tuned for streams, which accepted ones inherit.
 * *bound (may be NULL) is the actual address, with the port that a 0 became. False with a
 * message for the user in error; nothing is left open then. A stale Unix socket file is
 * replaced, one that somebody listens on is not.
 */
bool listen_socket_open(const struct listen_settings *s, struct listen_inherited *inherited,
                        int *fds, size_t n, struct addr *bound, char *error, size_t cap)
    __attribute__((warn_unused_result));

/* Removes the file of a Unix socket that we created; nothing for others. At exit. */
void listen_socket_remove(const struct listen_settings *s,
                          const struct listen_inherited *inherited);

#endif
