/*
 * Command line of the load generator, as plain data. Wrong usage ends the process with 2.
 */
#ifndef BENCH_LOAD_ARGS_H
#define BENCH_LOAD_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { REQUEST_MAX = 4096, PIDS_MAX = 64 };

struct load_args {
    uint16_t port;
    const char *path;          /* "{n}" in it becomes the request's number */
    size_t connections;        /* kept open at once */
    uint64_t warmup_ms;        /* before counting */
    uint64_t measure_ms;       /* counted time; 0 in the other modes */
    uint64_t count;            /* requests to send in all; 0 = no limit */
    uint64_t first;            /* number of the first request */
    uint64_t names;            /* numbers repeat after so many; 0 = never */
    bool hold;                 /* one request each, then idle */
    long body_bytes;           /* wanted Content-Length; -1 = any */
    const char *expect_name;   /* header that each answer must have … */
    const char *expect_value;  /* … beginning with this value */
    char headers[REQUEST_MAX]; /* extra request fields, each with its CRLF */
    pid_t pids[PIDS_MAX];      /* whose CPU time is reported */
    size_t pid_count;
};

/* Fills args (which must be zero) from the command line. Strings point into argv. */
void load_args_parse(struct load_args *args, int argc, char **argv);

#endif
