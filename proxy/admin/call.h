/*
 * A call of the admin plane from the inside: what the transport (admin/http)
 * fills in, the checks, and the answer on its way back. Private to admin/; control thread.
 */
#ifndef ADMIN_CALL_H
#define ADMIN_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "admin/admin.h"
#include "admin/table.h"
#include "base/arena.h"
#include "base/loop.h"
#include "base/str.h"

struct addr;
struct plane;

#define CALL_PARAMS_MAX 16
#define CALL_FIELDS_MAX 8 /* of an answer, beside those that every answer has */

/* name: value */
struct call_field {
    struct str name;
    struct str value;
};

struct admin_call {
    struct plane *plane;
    struct admin_call *prev, *next; /* list of all that are not answered */
    struct arena arena;

    /* The request, filled in by the transport; slices live in the arena or with the transport.
     */
    struct str method_name;
    unsigned method; /* enum admin_method, 0: one that no endpoint takes */
    bool head;       /* HEAD: the body is left out */
    struct str target;
    struct call_field *fields;
    size_t n_fields;
    struct str body;
    struct str peer;          /* who, for the audit log: "127.0.0.1", "uid 1000" */
    const struct addr *local; /* the address that it came to */
    bool guarded;             /* it came to an address that is given up and had a token */
    bool unix_peer;           /* through a Unix socket: any Host will do */
    bool routed;       /* through a route of the data port: token always, Host is its own */
    struct str prefix; /* routed: the part of the route's path before its `*` */
    bool secure;       /* routed: over TLS */

    /* Found by the dispatcher. */
    const struct endpoint *row;
    struct str path;
    struct str rest;
    struct call_field params[CALL_PARAMS_MAX]; /* decoded, NUL-terminated */
    size_t n_params;
    struct cJSON *tree; /* of the body */
    struct str note;    /* for the audit log */

    /* The answer. */
    struct call_field out[CALL_FIELDS_MAX];
    size_t n_out;
    bool answered;
    bool close; /* the connection ends with the answer */
    bool kept;
    admin_gone_fn *gone;
    void *gone_ctx;
    struct deadline limit; /* kept: the longest time */
    /* Sends the answer and ends the transport's part; type NULL: no body. */
    void (*send)(struct admin_call *call, int status, const char *type, struct str body);
    /* Kept: the transport watches for the client's leaving from now on. */
    void (*watch)(struct admin_call *call);
    /* There will be no answer: the transport gives up what it holds for one. */
    void (*forget)(struct admin_call *call);
    void *transport;
};

/* call.c: begins a call with its arena; the transport fills in the request. */
struct admin_call *call_new(struct plane *plane) __attribute__((warn_unused_result));

/* call.c: the transport cannot answer any more: gone(), and the call is over. */
void call_lost(struct admin_call *call);

/* call.c: the reason phrase of a status. */
const char *call_title(int status);

/* dispatch.c: checks the request and runs its handler. */
void call_dispatch(struct admin_call *call);

/* call.c: the value of a request field that occurs once. False when it occurs more than once;
 * STR_NULL when it does not. */
bool call_single(const struct admin_call *call, const char *name, struct str *value);

/* check.c: each answers with a problem and returns false when the call is refused. */
bool check_host(struct admin_call *call);
bool check_token(struct admin_call *call);
bool check_origin(struct admin_call *call);

/* params.c: splits and decodes the query for the row; as above. */
bool params_read(struct admin_call *call, struct str query);
/* params.c: percent-decodes into the arena, NUL-terminated; p == NULL for bad bytes, %00. */
struct str params_decode(struct admin_call *call, struct str text);

/* audit.c: one line about a change. */
void audit_write(const struct admin_call *call, int status);

#endif
