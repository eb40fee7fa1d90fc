/*
 * Where the admin plane is and which token it wants: from the options of a command, the
 * environment and the `admin` directive of the configuration.
 */
#ifndef CLI_ADMIN_WHERE_H
#define CLI_ADMIN_WHERE_H

#include "cli/options.h"

struct admin_options;

/* Owned strings. */
struct admin_where {
    char *shown;  /* the address as messages name it */
    char *base;   /* URL before the endpoint's path, without a slash at its end */
    char *socket; /* path of a Unix socket; NULL: TCP */
    char *token;  /* NULL: none */
};

/* EXIT_OK, or another code after an error was printed; then *out needs no freeing. */
enum exit_code admin_where_find(const struct admin_options *o, struct admin_where *out);
void admin_where_fini(struct admin_where *w);

/* "HOST:PORT", "PORT", "unix:PATH", "http[s]://HOST[:PORT][/PATH]": base, socket and shown. An
 * address that stands for all interfaces means this machine. False when it is none of these. */
bool admin_where_parse(const char *text, struct admin_where *out);

#endif
