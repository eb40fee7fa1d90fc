/*
 * Arguments of `larder run`: a file, or a service to stand in front of without any file.
 */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "settings.h"

/* What to run. */
struct run_options {
    const char *path;          /* read again at a reload; NULL: there is no file */
    struct settings *settings; /* a reference */
};

/* Reads the arguments and the configuration; warnings are printed. False with the exit code in
 * *code after help or errors were printed. */
bool run_options_read(int argc, char **argv, struct run_options *out, int *code);

#endif
