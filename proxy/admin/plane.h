/*
 * The admin plane's life (design section 9): an evhttp server on the control thread's loop, on
 * the address of the `admin` directive. Made by the server at the start, told of reloads, freed
 * at the end. Control thread.
 */
#ifndef ADMIN_PLANE_H
#define ADMIN_PLANE_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/admin.h"
#include "flow/listen_socket.h"
#include "settings.h"

struct plane;

/* context is copied; what it points to must outlive the plane. Does not listen yet. */
struct plane *plane_new(const struct admin_context *context)
    __attribute__((warn_unused_result));

/*
 * Opens what `settings` want listened on, unless the plane does already, and keeps it aside.
 * False with a message; nothing has changed then. inherited as in flow/listen_socket.
 */
bool plane_prepare(struct plane *p, const struct settings *settings,
                   struct listen_inherited *inherited, char *error, size_t cap);

/* The settings are in force now: token and address are theirs. After plane_prepare(). */
void plane_commit(struct plane *p, const struct settings *settings);

/* They will not be: what was opened is closed. */
void plane_abandon(struct plane *p);

/* Stops listening and drops calls that are not answered; their handlers are told. */
void plane_free(struct plane *p);

/* Removes the file of a Unix socket, so that a successor may have the name. */
void plane_unlink(struct plane *p);

#endif
