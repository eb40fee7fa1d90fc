/*
 * racer: an origin whose resources have versions, many clients that read and write them through
 * several proxies, and the judge of what they were given (hardening.md 4.7). One process, so
 * that every moment is measured by one clock. lib/racer.py starts it, makes the faults and
 * reads the figures.
 */
#ifndef TOOLS_RACER_H
#define TOOLS_RACER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NODES_MAX = 8,
    RESOURCES_MAX = 512,
    CLIENTS_MAX = 128,
    BODY_MAX = 4096,
    FIRST_MAX = 8,
    COMPLAINT_MAX = 4096
};

/* What is asked for on the command line. */
struct options {
    uint16_t origin_port;
    uint16_t nodes[NODES_MAX]; /* ports of the proxies */
    unsigned n_nodes;
    unsigned resources, clients;
    unsigned write_percent;
    int64_t max_lag;   /* ns */
    unsigned delay_us; /* longest delay of the origin; most are far shorter */
    unsigned pace_us;  /* longest pause of a client between two requests */
    unsigned confirm;  /* percent of 304 among conditional requests that allow it */
    unsigned planted;  /* percent of writes that a mistake hides from the proxy */
    bool announced;    /* writes are, so that a lost one is known in the end all the same */
    uint64_t seed;
};

/* What has happened. */
enum figure {
    READS,   /* answered reads */
    WRITES,  /* answered writes */
    PAIRS,   /* reads that had to show an answered write */
    CROSS,   /* of these, because of a write through another node only */
    PENDING, /* writes answered with Cache-Invalidation: pending */
    MARKED,  /* reads marked as uncertain */
    HITS,    /* X-Cache of reads … */
    MISSES,
    STALES,
    REVALIDATED,
    OTHERS,     /* BYPASS, PASS */
    ERRORS,     /* answers other than 200 */
    LOST,       /* connections that ended without an answer */
    VIOLATIONS, /* too old, or not what was asked for */
    FIGURES
};

struct race {
    struct options options;
    atomic_bool running;
    atomic_uint_fast64_t figures[FIGURES];
    atomic_uint_fast64_t slowest; /* ns; longest wait for an answer */
    atomic_uint_fast64_t at_origin;
    pthread_mutex_t first_lock;
    char first[FIRST_MAX][COMPLAINT_MAX]; /* the first violations and errors, as text */
    unsigned n_first;
};

extern struct race race;

/* ---- racer.c: what all parts use */

int64_t now_ns(void);
/* A pseudo-random number; *state must not be 0. */
uint64_t random_next(uint64_t *state);
void count(enum figure f);
/* Remembers one of the first few complaints. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);
/* The body of a resource's version: never the same for two. Returns its length. */
size_t make_body(unsigned resource, unsigned version, char out[BODY_MAX]);
/* The version in a body that is exactly that of the resource, or -1. */
long body_version(unsigned resource, const char *body, size_t n);

/* ---- judge.c: what a read may show */

/* What a read that begins now has to show at least. */
struct floor {
    int64_t began;
    unsigned here;       /* written and answered through the same node */
    unsigned everywhere; /* answered anywhere, longer ago than max_lag */
};
void judge_begin(unsigned resource, unsigned node, struct floor *f);
/* A write that began at `began` was answered just now. */
void judge_write(unsigned resource, unsigned node, unsigned version, int64_t began,
                 bool pending);
/* An answer to a read; head is only for the complaint. False: it is too old. */
bool judge_read(unsigned resource, unsigned node, unsigned version, const struct floor *f,
                bool marked, const char *head);
/* A request got no answer, or an error. */
void judge_lost(unsigned resource, unsigned node, bool write, int64_t began);
/* What every node must show when all is well again: the newest version that was answered, and
 * the origin's unless a write was lost (a node was killed between the origin and Redis) that
 * had not been announced. */
bool judge_final(unsigned resource, unsigned version, unsigned at_origin);

/* ---- selftest.c */

/* Gives the judge stories whose verdict is known. Returns how many it got wrong. */
unsigned judge_selftest(void);

/* ---- origin.c */

void origin_start(uint16_t port);
/* The version that the origin has now. */
unsigned origin_version(unsigned resource);

/* ---- clients.c */

void clients_start(void);
/* Ends them and waits for that; all that were begun are answered. */
void clients_stop(void);
/* Reads every resource through every node: how many do not show the newest version. */
unsigned clients_check(void);

#endif
