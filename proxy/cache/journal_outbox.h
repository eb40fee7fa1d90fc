/*
 * Invalidations of this node on their way into the stream, in the order in which they were
 * asked for, until their own mark was read back and a bit longer. What waits longer than its
 * asker is in a file too, if there is a directory for it (journal_outbox_file).
 *
 * Bounded: above OUTBOX_MAX appends or OUTBOX_BYTES of records, those that wait become one of
 * `all`, which swallows whatever comes after it until it is sent.
 *
 * Pure bookkeeping, private to cache/journal_link and its parts; belongs to the link's thread,
 * but for the request and the answer that travel by mail.
 */
#ifndef CACHE_JOURNAL_OUTBOX_H
#define CACHE_JOURNAL_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "cache/journal_outbox_file.h"

#define OUTBOX_MAX   10000u
#define OUTBOX_BYTES (16u * 1024u * 1024u)

struct journal_append;
struct journal_link;

enum outbox_state {
    OUTBOX_QUEUED,    /* to be sent */
    OUTBOX_IN_FLIGHT, /* sent, Redis has not answered yet */
    OUTBOX_SENT,      /* Redis has taken it; its mark was not read back yet */
    OUTBOX_LISTED,    /* read back: in the stream that this node follows */
};

/* One append on its way. Made by the asker, the link's from the moment its mail is delivered.
 */
struct outbox_item {
    struct mail mail;          /* brings it to the link */
    struct journal_link *link; /* from then on, or from when it is sent */
    struct outbox_item *prev, *next;
    struct journal_append *asker; /* to be answered; NULL: has been, or nobody asked */
    struct strbuf wire;           /* the records */
    uint64_t mark;                /* its number on this node; read back from the stream */
    struct deadline deadline;     /* end of the asker's budget */
    enum outbox_state state;
    bool returned;        /* IN_FLIGHT: its mark came back before Redis's own answer */
    bool waiting;         /* applied here, and not certain to be known to the others */
    uint64_t epoch;       /* number of the epoch in which it was sent */
    uint64_t behind;      /* the last record that had been read by then: its number is larger */
    uint64_t seq;         /* SENT, LISTED: its number in the stream */
    bool watched;         /* who applies it is asked to say so at once */
    uint64_t intent;      /* of this node, that it ends; 0: none … */
    msec_t spent;         /* … and what of the budget its announcement took */
    struct strbuf closes; /* mid of the intent that it ends; empty: none */
    msec_t listed;        /* LISTED: monotonic time at which it was read back */
};

struct outbox_list {
    struct outbox_item *first, *last;
    size_t n;
};

struct outbox {
    struct outbox_list going;  /* not read back yet; marks rise */
    struct outbox_list listed; /* LISTED, oldest first */
    uint64_t marks;            /* the last one given */
    size_t waiting;            /* items in either list that wait */
    size_t bytes;              /* of their records */
    struct outbox_item *all;   /* in `going`: stands for all that waited; NULL: none */
    struct outbox_file file;
};

/* Takes over what earlier processes left in dir (may be empty): such items wait, QUEUED. Node
 * is this process's id. */
void outbox_init(struct outbox *o, struct str dir, struct str prefix, const char *node);
/* What has not been told to the others stays in the file; the number of those that are lost
 * because there is none is returned. Their askers are not answered. */
size_t outbox_fini(struct outbox *o);

/* Appends it to `going`, with a mark. */
void outbox_add(struct outbox *o, struct outbox_item *it);
/* The item in `going` with this mark, or NULL. */
struct outbox_item *outbox_find(const struct outbox *o, uint64_t mark);
/* It waits from now on; in the file at the next outbox_sync(). */
void outbox_wait(struct outbox *o, struct outbox_item *it);
/* Its mark was read back: it moves to `listed`. */
void outbox_list(struct outbox *o, struct outbox_item *it, msec_t now);
/* It is known to the others: it does not wait any more. */
void outbox_unwait(struct outbox *o, struct outbox_item *it);
/* Takes it off its list and frees it. */
void outbox_remove(struct outbox *o, struct outbox_item *it);
/* Frees one that is on no list. */
void outbox_drop(struct outbox_item *it);

/* Are later invalidations covered by one of `all` that has not been sent yet? */
bool outbox_covers(const struct outbox *o);

/* Another epoch: what was sent is to be sent again, and, if `listed`, what was read back in the
 * old one too, as waiting; otherwise that is forgotten, unless somebody still waits to hear of
 * it. */
void outbox_again(struct outbox *o, bool listed);
/* Forgets what was read back at `until` or before. */
void outbox_settle(struct outbox *o, msec_t until);

/* Writes to the file what began to wait. Blocks for the disk. */
void outbox_sync(struct outbox *o);
/* Keeps the bounds. Nobody must be waiting for an answer of an item that waits. */
void outbox_bound(struct outbox *o);

#endif
