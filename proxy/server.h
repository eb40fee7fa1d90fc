/*
 * The process: builds everything from one configuration, runs it, replaces the configuration on
 * SIGHUP, drains on SIGTERM. Called by main only.
 */
#ifndef SERVER_H
#define SERVER_H

#include "settings.h"

/*
 * Serves until SIGTERM or SIGINT; returns the process's exit code (0 after a drain, 1 when the
 * start failed, said in one log line). path: the file to read at a reload, NULL when the
 * settings came from arguments. The settings' reference stays the caller's.
 */
int server_run(struct settings *settings, const char *path);

#endif
