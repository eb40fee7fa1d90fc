/*
 * The access log: one line for each finished request, as JSON or by a format of one's own, to
 * stdout or a file. One `struct accesslog` for the process, one writer for each worker, which
 * gathers lines and writes them in one go: at 32 KiB, after a second, or at accesslog_flush().
 *
 * No peer can forge a line or a terminal sequence: control bytes and everything beyond ASCII
 * are escaped. Credentials are not in the record at all; values of query parameters that are
 * named like a secret (token, api_key, password, …) are replaced by ***. Lines that cannot be
 * written are counted and dropped; a reader that stops reading never stops a worker.
 */
#ifndef FLOW_ACCESSLOG_H
#define FLOW_ACCESSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "settings.h"

/* What is known of a finished request. Empty strings and negative upstream times are logged as
 * absent (null, or "-" in a format). */
struct access_record {
    msec_t time;            /* wall time of the request's first byte */
    struct str id;          /* request id */
    struct str client;      /* client's IP, after trusted proxies */
    struct str method;      /* as received */
    struct str host;        /* as received */
    struct str path;        /* target in origin form, with its query, as received */
    struct str route;       /* route label */
    struct str cache;       /* word of X-Cache */
    struct str reason;      /* word of tbl/reasons.def, or no-IDENTITY */
    struct str tier;        /* "l1", "l2"; empty when nothing stored was used */
    int status;             /* as sent; 0: nothing was */
    uint64_t bytes;         /* sent to the client, heads included */
    uint64_t request_bytes; /* read from the client for this request */
    int64_t total_us;       /* first byte received to last byte sent */
    int64_t upstream_us;    /* request sent to end of the answer; -1: no upstream */
    struct str upstream;    /* address of the server asked last */
    struct str protocol;    /* HTTP/1.1 */
    struct str agent;       /* User-Agent; capped */
    bool tls;               /* the client's connection */
};

struct accesslog;
struct accesslog_writer;

/* Is this a usable format (`{status} {path} "{agent}"`; {{ is a brace)? False with a reason. */
bool accesslog_format_check(struct str template, const char **why);

/* Opens the log; file empty or "-": stdout. NULL with a message for the user. */
struct accesslog *accesslog_new(struct str file, enum log_format format, struct str template,
                                char *error, size_t cap) __attribute__((warn_unused_result));
struct accesslog *accesslog_ref(struct accesslog *a);
void accesslog_unref(struct accesslog *a);

/* Opens the file anew under its name (after logrotate moved it). Any thread. On failure the
 * old file stays in use and the error log says why. */
void accesslog_reopen(struct accesslog *a);

/* Lines dropped since the start. Any thread. */
uint64_t accesslog_lost(const struct accesslog *a);

/* A worker's writer; holds a reference to the log. */
struct accesslog_writer *accesslog_writer_new(struct accesslog *a, struct loop *l);
/* Flushes; what cannot be written within 200 ms is lost. */
void accesslog_writer_free(struct accesslog_writer *w);

/* Formats one line and perhaps writes what has been gathered. */
void accesslog_write(struct accesslog_writer *w, const struct access_record *r);

/* Writes what has been gathered, as far as it can be without waiting. At drain. */
void accesslog_flush(struct accesslog_writer *w);

#endif
