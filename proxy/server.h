/*
 * The process: builds everything from one configuration, runs it, replaces the configuration on
 * SIGHUP, drains on SIGTERM. Called by main only.
 */
#ifndef SERVER_H
#define SERVER_H

#include "settings.h"

/* From now on a SIGHUP or SIGUSR1 waits until server_run() is ready for it: before the start is
 * complete neither ends the process. The first thing of all. */
void server_hold_reloads(void);

/*
 * Serves until SIGTERM or SIGINT; returns the process's exit code (0 after a drain, 1 when the
 * start failed, said in one log line). path: the file to read at a reload, NULL when the
 * settings came from arguments. The settings' reference stays the caller's.
 */
int server_run(struct settings *settings, const char *path);

#endif
