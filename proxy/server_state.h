/*
 * What the control thread knows. Shared by server.c and server_reload.c, used by nobody else;
 * everything on the control thread.
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/plane.h"
#include "base/loop.h"
#include "flow/listen_socket.h"
#include "flow/node.h"
#include "flow/worker.h"

struct health;
struct refresh;
struct resolver;

/* Who waits for a reload. */
struct reload_asker {
    struct reload_asker *next;
    admin_reloaded_fn *done;
    void *ctx;
};

struct server {
    const char *path; /* configuration file; NULL: arguments */
    struct loop *loop;
    struct resolver *resolver;
    struct node *node;
    struct runtime *runtime; /* the current one: a reference */
    struct plane *plane;     /* admin; listens where the runtime says */
    struct refresh *refresh; /* scheduled fetches */
    struct health *health;   /* checks on the runtime's upstreams */
    struct worker **workers;
    size_t n_workers;
    size_t n_running; /* worker threads that have not ended */
    struct listen_inherited inherited;
    int signal_fd;
    struct event signal_event;
    struct deadline trim;     /* forgets old invalidations */
    struct deadline watchdog; /* tells the service manager that we live */
    msec_t longest;           /* how old an entry can get, of all configurations so far */

    struct runtime *next;        /* a reload under way: the workers change over to it */
    size_t n_waiting;            /* workers that have not yet */
    struct strbuf notes;         /* warnings of its file */
    bool reload_again;           /* SIGHUP came meanwhile */
    struct reload_asker *asking; /* for the reload that begins next */
    struct reload_asker *asked;  /* for the one under way */
    bool draining;
};

/* server_reload.c: SIGHUP. Returns at once; the change is complete, and logged, once every
 * worker has made it. */
void server_reload(struct server *s);

/* server_reload.c: the same for the admin plane (server is a struct server); done is called
 * once, when the new configuration serves everywhere or was refused. */
void server_reload_asked(void *server, admin_reloaded_fn *done, void *ctx);

/* server_reload.c: tells all who wait; errors as in admin_reloaded_fn. */
void server_reload_answer(struct reload_asker **list, const char *errors);

/* server_reload.c: opens the sockets of `listens` that old (may be NULL) does not have.
 * fds[worker * n_listens + i]; -1 where old has it. False with a message, nothing left open. */
bool server_open_listens(struct server *s, const struct settings *settings,
                         const struct settings *old, int *fds, char *error, size_t cap);

/* server.c: how long an entry of these settings can be of use. */
msec_t server_longest_lifetime(const struct settings *settings);

/* server.c: "2 workers, 12 routes, listening on …" for the log. */
void server_describe(const struct server *s, const struct settings *settings,
                     struct strbuf *out);

#endif
