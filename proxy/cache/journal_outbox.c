/*
 * The outbox and its file: one record per append, `LENGTH "\n" BYTES "\n"`. A torn end (a crash
 * in the middle of a write) means that one more record was meant than can be read: `all` is
 * sent.
 */
#include "cache/journal_outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/journal_append.h"
#include "cache/journal_wire.h"

#define OUTBOX_FILE_MAX (16u * 1024u * 1024u) /* more becomes `all` */
#define OUTBOX_MAX      10000u                /* appends waiting; more become `all` */

static void replay(struct outbox *o, struct str wire)
{
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    strbuf_add_str(&it->wire, wire);
    it->waiting = true;
    o->waiting++;
    outbox_add(o, it);
}

static void replay_all(struct outbox *o)
{
    const struct record all = {.kind = RECORD_ALL};
    struct strbuf wire = {0};
    journal_wire_encode(&all, 1, &wire);
    replay(o, strbuf_str(&wire));
    strbuf_free(&wire);
}

static void replay_file(struct outbox *o, struct str text)
{
    while (text.n > 0) {
        size_t eol = str_index(text, '\n');
        uint64_t n;
        if (!str_to_u64(str_make(text.p, eol), OUTBOX_FILE_MAX, &n) ||
            n + 1 > text.n - (eol < text.n ? eol + 1 : text.n)) {
            replay_all(o);
            return;
        }
        replay(o, str_make(text.p + eol + 1, (size_t)n));
        text = str_skip(text, eol + 1 + (size_t)n + 1);
    }
}

static void read_file(struct outbox *o)
{
    struct stat st;
    if (fstat(o->fd, &st) != 0 || st.st_size == 0) {
        return;
    }
    if (st.st_size > (off_t)OUTBOX_FILE_MAX) {
        replay_all(o);
        return;
    }
    struct strbuf text = {0};
    strbuf_reserve(&text, (size_t)st.st_size);
    ssize_t got = pread(o->fd, text.p, (size_t)st.st_size, 0);
    if (got != (ssize_t)st.st_size) {
        replay_all(o);
    } else {
        text.n = (size_t)got;
        replay_file(o, strbuf_str(&text));
    }
    strbuf_free(&text);
    log_info("journal: %zu invalidations of the last run wait to be sent", o->n);
}

void outbox_init(struct outbox *o, struct str dir, struct str prefix)
{
    *o = (struct outbox){.fd = -1};
    if (dir.n == 0) {
        return;
    }
    struct strbuf path = {0};
    strbuf_addf(&path, "%.*s/outbox-%.*s", STR_ARG(dir), STR_ARG(prefix));
    o->path = str_dup(strbuf_str(&path));
    strbuf_free(&path);
    o->fd = open(o->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (o->fd < 0) {
        log_error("journal: %s: %s; what waits for Redis will not survive a restart", o->path,
                  strerror(errno));
        return;
    }
    read_file(o);
}

static void item_free(struct outbox_item *it)
{
    deadline_cancel(&it->deadline);
    if (it->asker != NULL) {
        append_free(it->asker);
    }
    strbuf_free(&it->wire);
    free(it);
}

void outbox_fini(struct outbox *o)
{
    while (o->first != NULL) {
        struct outbox_item *it = o->first;
        o->first = it->next;
        item_free(it);
    }
    if (o->fd >= 0) {
        close(o->fd);
    }
    free(o->path);
}

void outbox_add(struct outbox *o, struct outbox_item *it)
{
    it->prev = o->last;
    it->next = NULL;
    *(o->last != NULL ? &o->last->next : &o->first) = it;
    o->last = it;
    o->n++;
}

void outbox_remove(struct outbox *o, struct outbox_item *it)
{
    *(it->prev != NULL ? &it->prev->next : &o->first) = it->next;
    *(it->next != NULL ? &it->next->prev : &o->last) = it->prev;
    it->prev = it->next = NULL;
    o->n--;
    o->waiting -= it->waiting;
    if (it->waiting && o->waiting == 0 && o->fd >= 0 && ftruncate(o->fd, 0) != 0) {
        log_error("journal: %s: %s", o->path, strerror(errno));
    }
    item_free(it);
}

/* Too many wait: the newest one stands for all, the older ones go. */
static void collapse(struct outbox *o, struct outbox_item *keep)
{
    const struct record all = {.kind = RECORD_ALL};
    keep->wire.n = 0;
    journal_wire_encode(&all, 1, &keep->wire);
    struct outbox_item *it = o->first;
    while (it != NULL) {
        struct outbox_item *next = it->next;
        if (it != keep && it->waiting && !it->in_flight) {
            outbox_remove(o, it);
        }
        it = next;
    }
    log_warn("journal: more than %u invalidations wait for Redis; they become one of all",
             OUTBOX_MAX);
}

void outbox_keep(struct outbox *o, struct outbox_item *it)
{
    it->waiting = true;
    o->waiting++;
    if (o->waiting > OUTBOX_MAX) {
        collapse(o, it);
    }
    if (o->fd < 0) {
        return;
    }
    struct strbuf text = {0};
    strbuf_addf(&text, "%zu\n", it->wire.n);
    strbuf_add_str(&text, strbuf_str(&it->wire));
    strbuf_add_char(&text, '\n');
    if (write(o->fd, text.p, text.n) != (ssize_t)text.n || fdatasync(o->fd) != 0) {
        static struct log_limit limit;
        if (log_allowed(&limit)) {
            log_error("journal: %s: %s", o->path, strerror(errno));
        }
    }
    strbuf_free(&text);
}

struct outbox_item *outbox_find(struct outbox *o, uint64_t mark)
{
    for (struct outbox_item *it = o->first; it != NULL; it = it->next) {
        if (it->mark == mark) {
            return it;
        }
    }
    return NULL;
}
