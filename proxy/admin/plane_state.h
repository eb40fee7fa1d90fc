/*
 * The plane from the inside, shared by admin/plane (life), admin/http (connections) and the
 * checks. Private to admin/.
 */
#ifndef ADMIN_PLANE_STATE_H
#define ADMIN_PLANE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/admin.h"
#include "admin/call.h"
#include "base/addr.h"
#include "base/loop.h"
#include "flow/listen_socket.h"

struct alert;
struct http;

#define TOKEN_DIGEST 32

struct plane {
    struct admin_context context;
    struct admin_call *calls; /* list of those not answered */
    struct http *http;        /* listening; NULL: no `admin` directive */
    struct http *draining;    /* list of those of addresses before */
    struct addr addr;         /* where; len 0: nowhere */
    struct listen_inherited *inherited;
    struct alert *alert; /* the alerts of the configuration */

    bool token_needed;           /* `admin … token=` */
    uint8_t token[TOKEN_DIGEST]; /* its SHA-256 */

    int next_fd; /* prepared for the next configuration; -1: none */
    struct addr next_addr;
};

#endif
