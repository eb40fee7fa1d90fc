/*
 * One line of the access log: the format, compiled, and its rendering. Used by flow/accesslog
 * only. No I/O, no allocation while rendering.
 */
#ifndef FLOW_ACCESSLOG_LINE_H
#define FLOW_ACCESSLOG_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "flow/accesslog.h"

/* The longest line with its newline; not above PIPE_BUF, so that a pipe takes it whole. */
#define ACCESS_LINE_MAX 4096

#define ACCESS_PIECES_MAX   64
#define ACCESS_TEMPLATE_MAX 1024

/* Literal text, then a field (or none). */
struct access_piece {
    struct str literal; /* into the template; may be empty */
    int field;          /* -1: none */
};

struct access_format {
    bool json;
    char template[ACCESS_TEMPLATE_MAX]; /* the copy that literals point into */
    struct access_piece pieces[ACCESS_PIECES_MAX];
    size_t n;
};

/* The time of the last line, formatted to the second. Zero-initialised is valid. */
struct access_clock {
    int64_t second; /* since 1970; 0: none */
    char text[20];  /* 2026-01-31T12:00:00 */
};

/* Compiles a template. False with a reason in *why. */
bool access_format_compile(struct access_format *f, struct str template, const char **why);

/* Renders one line with its newline into out (ACCESS_LINE_MAX bytes); returns its length. */
size_t access_line_render(const struct access_format *f, struct access_clock *clock,
                          const struct access_record *r, char *out);

#endif
