/*
 * `larder version`: the version of this program and of the libraries it runs with.
 */
#ifndef CLI_VERSION_H
#define CLI_VERSION_H

int cli_version(int argc, char **argv);

#endif
