/*
 * `larder check`: reads a configuration as `run` would, prints every error and warning on
 * stderr and the resolved route table on stdout.
 */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

int cli_check(int argc, char **argv);

#endif
