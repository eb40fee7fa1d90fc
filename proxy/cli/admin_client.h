/*
 * The client side of the admin plane: asks one endpoint at a time over TCP or a Unix socket and
 * gives JSON. Used by every command that talks to a running larder. Blocking, but never longer
 * than its time, and given up at once when a descriptor (of signals) says so.
 *
 * Where: `--admin ADDRESS`, else the `admin` directive of the configuration. Token:
 * `--token-file`, else LARDER_TOKEN, else, without --admin, the directive's.
 */
#ifndef CLI_ADMIN_CLIENT_H
#define CLI_ADMIN_CLIENT_H

#include "base/str.h"
#include "cli/options.h"

struct admin_client;
struct cJSON;

/* Values of the options that every such command has (ADMIN_OPTIONS in tbl/commands.def). */
struct admin_options {
    const char *config;     /* --config */
    const char *admin;      /* --admin: HOST:PORT, unix:/PATH, or a URL with a path */
    const char *token_file; /* --token-file */
    const char *timeout;    /* --timeout */
};

/* The rows of a command's list of struct option_spec that fill one. */
/* clang-format off */
#define ADMIN_OPTION_SPECS(o)                              \
    {.name = "--config", .value = &(o)->config},           \
    {.name = "--admin", .value = &(o)->admin},             \
    {.name = "--token-file", .value = &(o)->token_file},   \
    {.name = "--timeout", .value = &(o)->timeout}
/* clang-format on */

/* Finds address and token; asks nothing yet. NULL with the exit code in *code after an error
 * was printed. */
struct admin_client *admin_client_new(const struct admin_options *o, enum exit_code *code)
    __attribute__((warn_unused_result));
void admin_client_free(struct admin_client *c);

/* A request is given up (EXIT_UNREACHABLE) as soon as fd is readable; -1: never. */
void admin_client_stop_on(struct admin_client *c, int fd);

/* One question. */
struct admin_ask {
    const char *method;
    struct str target;  /* path with query, below the plane's root: "/stats" */
    struct str body;    /* JSON; STR_NULL: none */
    const char *expect; /* member that an answer has: else it is not the admin plane's */
};

/* One answer, owned by the client until it is asked again. */
struct admin_reply {
    long status;              /* HTTP status; 0: no answer */
    struct str text;          /* the body as it came */
    const struct cJSON *json; /* parsed; NULL: it is no JSON */
};

/*
 * EXIT_OK: a 2xx answer in JSON with the member expected. EXIT_FAILED: the plane said no.
 * EXIT_UNREACHABLE: no connection, no answer in time, not the admin plane, or the token was
 * refused. *reply is filled as far as there was an answer in every case.
 */
enum exit_code admin_client_ask(struct admin_client *c, const struct admin_ask *ask,
                                struct admin_reply *reply);

/* Why the last question failed and what to do: one line, safe for a terminal. */
const char *admin_client_why(const struct admin_client *c);

/*
 * A command that asks one thing: finds the plane, GETs the target and gives the answer to
 * show(), which says the exit code. An answer is what has the member expected, also with the
 * status of a failure; without one that failure's exit code, after it was printed.
 */
int admin_client_show(const struct admin_options *o, const char *target, const char *expect,
                      int (*show)(const struct admin_reply *reply, void *arg), void *arg);

/* admin_client_ask(); prints "larder: why" on stderr unless it is EXIT_OK. */
enum exit_code admin_client_fetch(struct admin_client *c, const struct admin_ask *ask,
                                  struct admin_reply *reply);

/* The address asked, for messages. */
const char *admin_client_address(const struct admin_client *c);

/* Appends name=value to a target, percent-encoded, with `?` or `&` before it. */
void admin_target_add(struct strbuf *target, const char *name, struct str value);

/* Appends one path segment, percent-encoded (`/` too). */
void admin_target_segment(struct strbuf *target, struct str value);

#endif
