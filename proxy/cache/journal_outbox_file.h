/*
 * The outbox's file: what waits for Redis, in state_dir, so that it survives this process. Its
 * name is of this process alone (PREFIX~NODE~N.outbox), it is locked while it is in use, and it
 * is gone when nothing waits. At start the files of processes that are gone are taken over.
 *
 * Each record is `LENGTH HASH\n` BYTES `\n`. Whatever does not check out (a crash in the middle
 * of a write, a lost block) stands for records that nobody can know any more.
 *
 * Private to cache/journal_outbox; belongs to the link's thread.
 */
#ifndef CACHE_JOURNAL_OUTBOX_FILE_H
#define CACHE_JOURNAL_OUTBOX_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct outbox_file {
    char *dir;           /* NULL: there is no file */
    char *stem;          /* PREFIX */
    char *node;          /* this process */
    char *path;          /* of the file in use; NULL: none */
    int fd;              /* -1: none */
    unsigned serial;     /* of the next file */
    size_t size;         /* bytes in it */
    struct strbuf batch; /* added, not written yet */
    struct strbuf taken; /* paths that were read, each with its NUL */
};

/* One record read back; damaged: what follows in its file cannot be read. */
typedef void outbox_file_fn(void *ctx, struct str record, bool damaged);

/* dir may be empty: then every call does nothing. */
void outbox_file_init(struct outbox_file *f, struct str dir, struct str prefix,
                      const char *node);
/* Closes it. What is in it stays for the next process. */
void outbox_file_fini(struct outbox_file *f);

/* Reads the files that processes left which are gone. They stay until outbox_file_adopted(). */
void outbox_file_read_others(struct outbox_file *f, outbox_file_fn *fn, void *ctx);
/* What was read has been written to this process's own file: removes those it came from. */
void outbox_file_adopted(struct outbox_file *f);

/* Adds a record to the next batch. */
void outbox_file_add(struct outbox_file *f, struct str record);
/* Writes the batch and waits for the disk. A failure is logged, once a second; true: it is
 * safe, or there is no file to write to. */
bool outbox_file_sync(struct outbox_file *f);
/* Writes the batch to a new file, which takes the old one's place. */
bool outbox_file_replace(struct outbox_file *f);
/* Nothing waits any more. */
void outbox_file_remove(struct outbox_file *f);

#endif
