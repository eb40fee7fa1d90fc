/*
 * Views that are drawn again and again: `stats --watch`, `top`, `log`. On a terminal they take
 * the screen until Ctrl-C (exit 0) and go on asking when larder is restarted; elsewhere they
 * are shown once, without any escape code.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/admin_client.h"

struct cJSON;

/* The end that the user asks for (SIGINT, SIGTERM, SIGHUP), or a pause (SIGTSTP), as a
 * descriptor. */
struct live {
    int signal_fd;
    bool screen; /* the alternate screen is on */
    bool over;   /* the end was asked for */
};

/* From here on those signals end nothing by themselves. */
void live_init(struct live *l);
/* Gives the terminal back as it was. */
void live_fini(struct live *l);

/* Waits; false when the end was asked for, before or meanwhile. After Ctrl-Z the terminal is
 * the shell's until the process is continued; then there is no more waiting. */
bool live_wait(struct live *l, msec_t time);

/* Is standard output a terminal that can be drawn on? */
bool live_is_terminal(void);

/* Takes the screen and shows `head` and then `text`, as much as there is room for. */
void live_show(struct live *l, struct str head, struct str text);

/* A view made of one answer. */
struct live_view {
    struct admin_ask ask;
    void (*draw)(const struct cJSON *json, FILE *out, void *arg);
    void *arg;       /* of draw */
    bool repeat;     /* again each interval, on a terminal */
    bool json;       /* the answer itself, on one line each time */
    msec_t interval; /* between two questions */
};

/* Shows it. Returns the exit code; errors are printed. */
int live_run(struct admin_client *c, const struct live_view *view);

/* `--interval`: 2 s without. False after an error was printed. */
bool live_read_interval(const char *text, msec_t *out);

#endif
