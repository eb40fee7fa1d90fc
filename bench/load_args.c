/*
 * Command line of the load generator; contract in load_args.h. Called once by load.c.
 */
#include "load_args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static void add_header(struct load_args *args, const char *field)
{
    size_t used = strlen(args->headers);
    int n = snprintf(args->headers + used, REQUEST_MAX - used, "%s\r\n", field);

    if (n < 0 || (size_t)n >= REQUEST_MAX - used) {
        errno = 0;
        net_die("too many headers");
    }
}

static void set_expected(struct load_args *args, char *field)
{
    char *colon = strchr(field, ':');

    if (colon == NULL) {
        errno = 0;
        net_die("--expect-header: want 'Name: value'");
    }
    *colon = '\0';
    args->expect_name = field;
    args->expect_value = colon + 1 + strspn(colon + 1, " ");
}

static void set_option(struct load_args *args, int option, char *value)
{
    switch (option) {
    case 'p': args->port = (uint16_t)net_number("--port", value, 1, 65535); break;
    case 'u': args->path = value; break;
    case 'c': args->connections = (size_t)net_number("--connections", value, 1, 60000); break;
    case 'w': args->warmup_ms = (uint64_t)net_number("--warmup-ms", value, 0, 60000); break;
    case 's': args->measure_ms = (uint64_t)net_number("--ms", value, 1, 600000); break;
    case 'n': args->count = (uint64_t)net_number("--count", value, 1, 100000000); break;
    case 'f': args->first = (uint64_t)net_number("--first", value, 0, 1000000000); break;
    case 'm': args->names = (uint64_t)net_number("--names", value, 1, 1000000000); break;
    case 'b': args->body_bytes = net_number("--body-bytes", value, 0, 1 << 30); break;
    case 'i': args->hold = true; break;
    case 'H': add_header(args, value); break;
    case 'e': set_expected(args, value); break;
    case 'P':
        if (args->pid_count == PIDS_MAX) {
            errno = 0;
            net_die("more than %d processes", PIDS_MAX);
        }
        args->pids[args->pid_count++] = (pid_t)net_number("--cpu-pid", value, 1, 1 << 30);
        break;
    default: exit(2);
    }
}

void load_args_parse(struct load_args *args, int argc, char **argv)
{
    static const struct option names[] = {{"port", required_argument, NULL, 'p'},
                                          {"path", required_argument, NULL, 'u'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"warmup-ms", required_argument, NULL, 'w'},
                                          {"ms", required_argument, NULL, 's'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"names", required_argument, NULL, 'm'},
                                          {"body-bytes", required_argument, NULL, 'b'},
                                          {"hold", no_argument, NULL, 'i'},
                                          {"header", required_argument, NULL, 'H'},
                                          {"expect-header", required_argument, NULL, 'e'},
                                          {"cpu-pid", required_argument, NULL, 'P'},
                                          {NULL, 0, NULL, 0}};
    int option;

    args->connections = 32;
    args->body_bytes = -1;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        set_option(args, option, optarg);
    }
    if (args->port == 0 || args->path == NULL ||
        (args->measure_ms > 0) + (args->count > 0) + args->hold != 1) {
        errno = 0;
        net_die("load: --port, --path and one of --ms, --count, --hold are needed");
    }
}
