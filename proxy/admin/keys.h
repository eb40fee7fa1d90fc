/*
 * A page of GET /keys on its way, shared by keys.c (memory) and keys_scan.c (Redis), and how
 * values are read for it and for key.c. Private to admin/key*.c; control thread only.
 */
#ifndef ADMIN_KEYS_H
#define ADMIN_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "cache/l1.h"
#include "cache/redis.h"

struct admin_call;
struct cJSON;
struct node;
struct scan;

/* Where a scan of Redis goes on. */
struct keys_scan_place {
    uint64_t slot;       /* of a cluster: the first one of the master that is scanned */
    uint64_t connection; /* that gave the cursor: it means nothing to another server … */
    uint64_t cursor;     /* … and this is it */
    uint64_t after;      /* hash of the name in its answer behind which it goes on; 0: all */
};

struct keys_page {
    struct mail mail;
    struct admin_call *call; /* NULL: gone */
    struct node *node;
    struct loop *loop;     /* the control thread's */
    char *pattern;         /* NULL: all names */
    uint64_t limit, n;     /* names wanted, and found so far */
    bool l1, l2_too;       /* tiers that are to be walked from here on */
    bool l2_only;          /* asked for; then a Redis that does not answer is an error */
    struct l1_place place; /* in memory */
    struct keys_scan_place scan;
    struct scan *scanning; /* NULL: not in Redis */
    msec_t until;          /* monotonic: then the page ends as it is */
    char missing[160];     /* what is not in the list, and why; empty: nothing is known of it */
    struct cJSON *tree, *keys;
};

/* Ends the call and frees the page. cursor: of the next one; NULL: there is none. */
void keys_page_end(struct keys_page *page, const char *cursor);
void keys_page_fail(struct keys_page *page, int status, const char *why);

#define KEYS_ANSWER_MS 2000 /* for one command */

/* keys_scan.c: reads the first bytes of a value, on the connections for what people look at.
 * NULL: refused at once, and done is not called. */
struct redis_command *keys_read(struct redis *redis, struct str key, size_t bytes,
                                redis_done_fn *done, void *ctx);

/* keys_scan.c: fills the page from Redis, and ends it. */
void keys_scan(struct keys_page *page);
/* keys_scan.c: it does not, after all. */
void keys_scan_stop(struct keys_page *page);

#endif
