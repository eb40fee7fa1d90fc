/*
 * Command line, commands on stdin, figures on stdout.
 *
 *   racer key=value…
 *
 * with origin= node= (repeated) resources= clients= writes= (percent of the hot ones) max_lag=
 * (ms) delay= (ms) pace= (us) confirm= (percent) seed= planted= (percent) announced= (0 or 1).
 * The commands: `start`, clients begin; `figures` prints the figures as one line of JSON;
 * `stop`, clients end, and the figures; `check` prints how many resources are behind on any
 * node. The end of stdin ends it. The origin answers from the start to the end.
 *
 *   racer selftest            does the judge find what it has to find?
 */
#include "racer.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct race race = {
    .options = {.resources = 40, .clients = 24, .write_percent = 5, .confirm = 100, .seed = 1},
    .first_lock = PTHREAD_MUTEX_INITIALIZER,
};

int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t random_next(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void count(enum figure f)
{
    atomic_fetch_add_explicit(&race.figures[f], 1, memory_order_relaxed);
}

void complain(const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&race.first_lock);
    if (race.n_first < FIRST_MAX) {
        va_start(args, format);
        vsnprintf(race.first[race.n_first++], sizeof race.first[0], format, args);
        va_end(args);
    }
    pthread_mutex_unlock(&race.first_lock);
}

size_t make_body(unsigned resource, unsigned version, char out[BODY_MAX])
{
    size_t n = 0, want = 20 + (resource * 97 + version * 31) % (BODY_MAX / 2);

    while (n < want) {
        n += (size_t)snprintf(out + n, BODY_MAX - n, "k%u %u;", resource, version);
    }
    return n;
}

long body_version(unsigned resource, const char *body, size_t n)
{
    char expected[BODY_MAX];
    unsigned r, version;

    if (sscanf(body, "k%u %u;", &r, &version) != 2 || r != resource ||
        make_body(resource, version, expected) != n || memcmp(body, expected, n) != 0) {
        return -1;
    }
    return (long)version;
}

static void print_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
}

static void print_figures(void)
{
    static const char *const names[FIGURES] = {
        "reads",  "writes", "pairs",       "cross",  "pending", "marked", "hits",
        "misses", "stales", "revalidated", "others", "errors",  "lost",   "violations"};

    putchar('{');
    for (unsigned i = 0; i < FIGURES; i++) {
        printf("\"%s\": %lu, ", names[i], (unsigned long)atomic_load(&race.figures[i]));
    }
    printf("\"slowest_ms\": %.1f, \"origin\": %lu, \"first\": [",
           (double)atomic_load(&race.slowest) / 1e6,
           (unsigned long)atomic_load(&race.at_origin));
    pthread_mutex_lock(&race.first_lock);
    for (unsigned i = 0; i < race.n_first; i++) {
        printf("%s\"", i > 0 ? ", " : "");
        print_text(race.first[i]);
        putchar('"');
    }
    pthread_mutex_unlock(&race.first_lock);
    puts("]}");
    fflush(stdout);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value > max) {
        fprintf(stderr, "racer: '%s' is not a number up to %lu\n", text, max);
        exit(2);
    }
    return value;
}

static bool take_option(const char *name, const char *value)
{
    struct options *o = &race.options;

    if (strcmp(name, "origin") == 0) {
        o->origin_port = (uint16_t)number(value, 65535);
    } else if (strcmp(name, "node") == 0 && o->n_nodes < NODES_MAX) {
        o->nodes[o->n_nodes++] = (uint16_t)number(value, 65535);
    } else if (strcmp(name, "resources") == 0) {
        o->resources = (unsigned)number(value, RESOURCES_MAX);
    } else if (strcmp(name, "clients") == 0) {
        o->clients = (unsigned)number(value, CLIENTS_MAX);
    } else if (strcmp(name, "writes") == 0) {
        o->write_percent = (unsigned)number(value, 100);
    } else if (strcmp(name, "max_lag") == 0) {
        o->max_lag = (int64_t)number(value, 3600000) * 1000000;
    } else if (strcmp(name, "delay") == 0) {
        o->delay_us = (unsigned)number(value, 60000) * 1000;
    } else if (strcmp(name, "pace") == 0) {
        o->pace_us = (unsigned)number(value, 900000);
    } else if (strcmp(name, "confirm") == 0) {
        o->confirm = (unsigned)number(value, 100);
    } else if (strcmp(name, "planted") == 0) {
        o->planted = (unsigned)number(value, 100);
    } else if (strcmp(name, "announced") == 0) {
        o->announced = number(value, 1) == 1;
    } else if (strcmp(name, "seed") == 0) {
        o->seed = number(value, UINT32_MAX);
    } else {
        return false;
    }
    return true;
}

static void take_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        if (value == NULL || !take_option(argv[i], value)) {
            fprintf(stderr, "racer: unknown option '%s'\n", argv[i]);
            exit(2);
        }
    }
    if (race.options.n_nodes == 0 || race.options.origin_port == 0) {
        fputs("racer: origin= and node= are wanted\n", stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    char line[64];

    signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && strcmp(argv[1], "selftest") == 0) {
        return judge_selftest() == 0 ? 0 : 1;
    }
    take_arguments(argc, argv);
    origin_start(race.options.origin_port);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "start\n") == 0) {
            clients_start();
            puts("started");
        } else if (strcmp(line, "figures\n") == 0) {
            print_figures();
        } else if (strcmp(line, "stop\n") == 0) {
            clients_stop();
            print_figures();
        } else if (strcmp(line, "check\n") == 0) {
            printf("%u\n", clients_check());
        }
        fflush(stdout);
    }
    return 0;
}
