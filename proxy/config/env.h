/*
 * ${NAME} and ${NAME:-default}: replaced once, within one argument, after lexing.
 */
#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

#include "config/diag.h"

/* The text with every reference replaced, in `keep`. False with a message when a variable is
 * unset or empty and has no default, or a reference is malformed. */
bool conf_env_expand(struct conf_diags *d, struct conf_span at, struct str text,
                     struct arena *keep, struct str *out);

#endif
