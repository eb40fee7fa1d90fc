/*
 * What a handler of the admin plane sees of a request, and how it answers (design section 9).
 * A handler is a row of admin/endpoints.def and a function; the dispatcher has checked the
 * token, Host and Origin, the method, the parameters' names and the body's size and type before
 * it is called.
 *
 * Everything runs on the control thread and must not block it: what takes longer than a
 * millisecond is cut into turns or done elsewhere, with admin_keep(). A call is answered once.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct admin_call;
struct alert;
struct cJSON;
struct health_view;
struct loop;
struct node;
struct refresh;
struct runtime;
struct worker;

/* How a reload ended: `errors` holds what was wrong (lines of text), NULL when it is done. */
typedef void admin_reloaded_fn(void *ctx, const char *errors);

/* What the server lends to the admin plane. Control thread only. */
struct admin_context {
    struct loop *loop;              /* the control thread's */
    struct node *node;              /* tiers, journal, flights */
    struct runtime *const *runtime; /* the current configuration; changes at a reload */
    struct worker *const *workers; /* threads of their own: read what is atomic, or send mail */
    size_t n_workers;
    msec_t started;          /* wall time */
    msec_t started_mono;     /* the same on loop->now's clock */
    struct refresh *refresh; /* scheduled fetches */
    /* Starts a reload as SIGHUP does; done is called on the control thread, maybe at once. */
    void (*reload)(void *server, admin_reloaded_fn *done, void *ctx);
    void *server;
    struct health_view *health; /* set by the plane */
    struct alert *alert;        /* the same */
};

enum admin_method {
    ADMIN_GET = 1 << 0, /* HEAD too: the body is left out by the plane */
    ADMIN_POST = 1 << 1,
    ADMIN_DELETE = 1 << 2,
};

/* ---- the request. Slices and texts live as long as the call. ------------------------------
 */

const struct admin_context *admin_context(const struct admin_call *call);
enum admin_method admin_method(const struct admin_call *call);

/* The path that matched the table ("/stats", "/api/cache/stats"), decoded. */
struct str admin_path(const struct admin_call *call);

/* What the `*` at the end of the row's path stands for, percent-decoded once. */
struct str admin_rest(const struct admin_call *call);

/* The decoded value of a parameter that the row names; NULL when it was not given. Never empty.
 */
const char *admin_query(const struct admin_call *call, const char *name);

/* A parameter as a number up to max. False (and the call is answered with 400) when it is none;
 * *value stays as it is when the parameter was not given. */
bool admin_query_number(struct admin_call *call, const char *name, uint64_t max,
                        uint64_t *value);

/* A parameter that may be "on" or "off" (else 400 and false); as above when not given. */
bool admin_query_flag(struct admin_call *call, const char *name, bool *value);

/* A request field, trimmed; STR_NULL when it is not there. */
struct str admin_field(const struct admin_call *call, const char *name);

/* The body as a JSON object, freed with the call. NULL when it is none: the call is answered
 * with 400 then. Without a body: NULL and not answered if `optional`. */
const struct cJSON *admin_body_object(struct admin_call *call, bool optional);

/* ---- the answer. Each of these ends the call: it must not be touched afterwards. ----------
 */

/* The tree is taken. */
void admin_json(struct admin_call *call, int status, struct cJSON *tree);

/* `body` is copied. type is a media type with its charset. */
void admin_text(struct admin_call *call, int status, const char *type, struct str body);

/* application/problem+json (RFC 9457): type about:blank, the status, its title and the detail.
 */
void admin_problem(struct admin_call *call, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Before one of these: a field of the answer, beside those that the plane sets (Cache-Control:
 * no-store, X-Content-Type-Options: nosniff). name is a constant; the value is copied. */
void admin_add_field(struct admin_call *call, const char *name, const char *value);

/* A member of an answer: a time of the wall clock in seconds ("2026-01-31T12:00:00Z"); null for
 * 0, which is never. */
void admin_put_time(struct cJSON *to, const char *name, msec_t wall);

/* ---- answering later ----------------------------------------------------------------------
 */

typedef void admin_gone_fn(void *ctx);

/*
 * The handler returns without an answer; whoever works on it answers the call later, on the
 * control thread. gone(ctx) is called when that is not possible any more (the client has left,
 * the plane ends): the call must not be touched after it. A call that is kept longer than
 * ADMIN_KEEP_MS is answered with 504 by the plane, after gone().
 */
#define ADMIN_KEEP_MS 30000
void admin_keep(struct admin_call *call, admin_gone_fn *gone, void *ctx);

/* Words for the audit log's line of this call beside method, path and result: what was changed.
 * Never secrets. */
void admin_audit(struct admin_call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
