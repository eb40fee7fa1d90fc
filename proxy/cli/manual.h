/*
 * larder(1), printed from tbl/commands.def. scripts/check-generated makes docs/man/larder.1 of
 * it.
 */
#ifndef CLI_MANUAL_H
#define CLI_MANUAL_H

#include <stdio.h>

void manual_print(FILE *out);

#endif
