/*
 * Invalidations of this node on their way into the stream: in order, from the moment they are
 * asked for until their own mark was read back. With a state_dir what waits longer than its
 * budget is in a file too, fsynced, and is sent after a restart.
 *
 * Belongs to the link's thread, but for the request and the answer that travel by mail.
 */
#ifndef CACHE_JOURNAL_OUTBOX_H
#define CACHE_JOURNAL_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/str.h"
#include "cache/journal_link.h"

/* One append on its way. Made by the asker, the link's from the moment its mail is delivered.
 */
struct outbox_item {
    struct mail mail; /* brings it to the link */
    struct journal_link *link;
    struct outbox_item *prev, *next;
    struct journal_append *asker; /* to be answered; NULL: has been, or nobody asked */
    struct strbuf wire;           /* the records */
    uint64_t mark;                /* its number on this node; read back from the stream */
    struct deadline deadline;     /* end of the asker's budget */
    bool in_flight;               /* sent, no answer of Redis yet */
    bool sent;                    /* Redis has taken it; its mark was not read back yet */
    bool waiting;                 /* the asker was told that it is pending */
};

struct outbox {
    struct outbox_item *first, *last;
    size_t n;       /* all */
    size_t waiting; /* told */
    char *path;     /* NULL: no file */
    int fd;
};

/* Opens (and reads) the file in dir, if dir is not empty; a file that cannot be used is logged
 * and done without. Appends read from it are put into the outbox, told. */
void outbox_init(struct outbox *o, struct str dir, struct str prefix);
void outbox_fini(struct outbox *o);

void outbox_add(struct outbox *o, struct outbox_item *it);
/* Takes it off and frees it; the file is emptied when nothing waits any more. */
void outbox_remove(struct outbox *o, struct outbox_item *it);
/* It waits from now on: written to the file, synced. */
void outbox_keep(struct outbox *o, struct outbox_item *it);
/* The item with this mark, or NULL. */
struct outbox_item *outbox_find(struct outbox *o, uint64_t mark);

#endif
