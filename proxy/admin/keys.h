/*
 * A page of GET /keys on its way, shared by keys.c (memory) and keys_scan.c (Redis). Private to
 * admin/keys*.c.
 */
#ifndef ADMIN_KEYS_H
#define ADMIN_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "cache/l1.h"

struct admin_call;
struct cJSON;
struct node;
struct worker;

struct keys_page {
    struct mail mail;
    struct admin_call *call; /* NULL: gone; control thread only */
    struct node *node;
    struct loop *loop; /* the control thread's */
    struct worker *worker;
    char *pattern;         /* NULL: all names */
    uint64_t limit, n;     /* names wanted, and found so far */
    bool l1, l2_too;       /* tiers that are to be walked from here on */
    struct l1_place place; /* in memory */
    uint64_t scan;         /* Redis's own cursor … */
    uint64_t scan_skip;    /* … and the names of its answer that were given out before */
    msec_t until;          /* monotonic: then the page ends as it is */
    struct cJSON *tree, *keys;
};

/* Ends the call and frees the page. cursor: of the next one; NULL: there is none. */
void keys_page_end(struct keys_page *page, const char *cursor);
void keys_page_fail(struct keys_page *page, int status, const char *why);

/* keys_scan.c: can Redis be scanned, and if not, why? */
bool keys_scan_possible(const struct keys_page *page);
const char *keys_scan_why_not(const struct keys_page *page);
/* keys_scan.c: fills the page from Redis, and ends it. */
void keys_scan(struct keys_page *page);

#endif
