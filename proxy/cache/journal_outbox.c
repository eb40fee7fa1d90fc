/* See the header: two lists, a count of what waits, and the file that mirrors it. */
#include "cache/journal_outbox.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/journal_asker.h"
#include "cache/journal_wire.h"

#define FILE_SLACK (4u * 1024u * 1024u) /* what the file may hold beside what still waits */

/* ---- lists ------------------------------------------------------------------------------- */

static void list_append(struct outbox_list *l, struct outbox_item *it)
{
    it->prev = l->last;
    it->next = NULL;
    *(l->last != NULL ? &l->last->next : &l->first) = it;
    l->last = it;
    l->n++;
}

static void list_remove(struct outbox_list *l, struct outbox_item *it)
{
    *(it->prev != NULL ? &it->prev->next : &l->first) = it->next;
    *(it->next != NULL ? &it->next->prev : &l->last) = it->prev;
    it->prev = it->next = NULL;
    l->n--;
}

static struct outbox_list *list_of(struct outbox *o, const struct outbox_item *it)
{
    return it->state == OUTBOX_LISTED ? &o->listed : &o->going;
}

void outbox_add(struct outbox *o, struct outbox_item *it)
{
    it->mark = ++o->marks;
    list_append(&o->going, it);
}

struct outbox_item *outbox_find(const struct outbox *o, uint64_t mark)
{
    struct outbox_item *it = o->going.first;
    while (it != NULL && it->mark < mark) {
        it = it->next;
    }
    return it != NULL && it->mark == mark ? it : NULL;
}

/* ---- what waits -------------------------------------------------------------------------- */

/* Counts it as waiting, without the file. */
static void count_waiting(struct outbox *o, struct outbox_item *it)
{
    it->waiting = true;
    o->waiting++;
    o->bytes += it->wire.n;
}

static void uncount_waiting(struct outbox *o, struct outbox_item *it)
{
    if (it->waiting) {
        it->waiting = false;
        o->waiting--;
        o->bytes -= it->wire.n;
    }
}

void outbox_wait(struct outbox *o, struct outbox_item *it)
{
    if (!it->waiting) {
        count_waiting(o, it);
        outbox_file_add(&o->file, strbuf_str(&it->wire));
    }
}

void outbox_drop(struct outbox_item *it)
{
    deadline_cancel(&it->deadline);
    if (it->asker != NULL) {
        asker_drop(it->asker);
    }
    strbuf_free(&it->wire);
    strbuf_free(&it->closes);
    free(it);
}

/* Takes it off without a look at the file. */
static void forget(struct outbox *o, struct outbox_item *it)
{
    uncount_waiting(o, it);
    list_remove(list_of(o, it), it);
    if (it == o->all) {
        o->all = NULL;
    }
    outbox_drop(it);
}

void outbox_unwait(struct outbox *o, struct outbox_item *it)
{
    if (it->waiting) {
        uncount_waiting(o, it);
        if (o->waiting == 0) {
            outbox_file_remove(&o->file);
        }
    }
}

void outbox_remove(struct outbox *o, struct outbox_item *it)
{
    outbox_unwait(o, it);
    forget(o, it);
}

void outbox_list(struct outbox *o, struct outbox_item *it, msec_t now)
{
    list_remove(&o->going, it);
    it->state = OUTBOX_LISTED;
    it->listed = now;
    list_append(&o->listed, it);
    if (it == o->all) {
        o->all = NULL;
    }
}

void outbox_settle(struct outbox *o, msec_t until)
{
    while (o->listed.first != NULL && o->listed.first->listed <= until) {
        outbox_remove(o, o->listed.first);
    }
}

void outbox_again(struct outbox *o, bool listed)
{
    for (struct outbox_item *it = o->going.first; it != NULL; it = it->next) {
        if (it->state == OUTBOX_SENT) {
            it->state = OUTBOX_QUEUED;
        }
    }
    while (o->listed.first != NULL) {
        struct outbox_item *it = o->listed.first;
        if (!listed && !it->waiting && it->asker == NULL) {
            outbox_remove(o, it);
            continue;
        }
        list_remove(&o->listed, it);
        it->state = OUTBOX_QUEUED;
        outbox_add(o, it);
        outbox_wait(o, it);
    }
}

/* ---- bounds ------------------------------------------------------------------------------ */

bool outbox_covers(const struct outbox *o)
{
    return o->all != NULL && o->all->state == OUTBOX_QUEUED;
}

static struct outbox_item *item_of_all(void)
{
    const struct record all = {.kind = RECORD_ALL};
    struct outbox_item *it = xcalloc(1, sizeof(*it));
    journal_wire_encode(&all, 1, &it->wire);
    return it;
}

static void save_list(struct outbox *o, const struct outbox_list *l)
{
    for (const struct outbox_item *it = l->first; it != NULL; it = it->next) {
        if (it->waiting) {
            outbox_file_add(&o->file, strbuf_str(&it->wire));
        }
    }
}

/* A new file with just what waits. */
static void rewrite(struct outbox *o)
{
    save_list(o, &o->listed);
    save_list(o, &o->going);
    outbox_file_replace(&o->file);
}

/* One of all for those that wait and are not on their way. */
static void collapse_going(struct outbox *o)
{
    struct outbox_item *all = item_of_all(), *next;
    for (struct outbox_item *it = o->going.first; it != NULL; it = next) {
        next = it->next;
        if (it->waiting && it->state == OUTBOX_QUEUED) {
            forget(o, it);
        }
    }
    outbox_add(o, all);
    count_waiting(o, all);
    o->all = all;
    log_warn("journal: too many invalidations wait for Redis; they become one of everything");
}

/* The same for those that are kept in case they have to be repeated. */
static void collapse_listed(struct outbox *o)
{
    bool waiting = false;
    msec_t newest = o->listed.last->listed;
    while (o->listed.first != NULL) {
        waiting = waiting || o->listed.first->waiting;
        forget(o, o->listed.first);
    }
    struct outbox_item *all = item_of_all();
    all->state = OUTBOX_LISTED;
    all->listed = newest;
    list_append(&o->listed, all);
    if (waiting) {
        count_waiting(o, all);
    }
}

void outbox_bound(struct outbox *o)
{
    bool changed = false;
    if (o->listed.n > OUTBOX_MAX) {
        collapse_listed(o);
        changed = true;
    }
    if (o->waiting > OUTBOX_MAX || o->bytes > OUTBOX_BYTES) {
        collapse_going(o);
        changed = true;
    }
    if (changed || o->file.size > o->bytes * 2 + FILE_SLACK) {
        rewrite(o);
    }
}

/* ---- the file ---------------------------------------------------------------------------- */

static void on_replayed(void *ctx, struct str record, bool damaged)
{
    struct outbox *o = ctx;
    struct outbox_item *it = damaged ? item_of_all() : xcalloc(1, sizeof(*it));
    if (!damaged) {
        strbuf_add_str(&it->wire, record);
    }
    outbox_add(o, it);
    outbox_wait(o, it);
}

void outbox_init(struct outbox *o, struct str dir, struct str prefix, const char *node)
{
    *o = (struct outbox){0};
    outbox_file_init(&o->file, dir, prefix, node);
    outbox_file_read_others(&o->file, on_replayed, o);
    if (o->waiting > 0) {
        log_info("journal: %zu invalidations of an earlier run wait to be sent", o->waiting);
    }
    if (outbox_file_sync(&o->file)) {
        outbox_file_adopted(&o->file);
    }
    outbox_bound(o);
}

void outbox_sync(struct outbox *o)
{
    outbox_file_sync(&o->file);
}

size_t outbox_fini(struct outbox *o)
{
    size_t untold = 0;
    for (struct outbox_item *it = o->going.first; it != NULL; it = it->next) {
        outbox_wait(o, it);
        untold++;
    }
    bool safe = outbox_file_sync(&o->file) && o->file.dir != NULL;
    outbox_file_fini(&o->file);
    while (o->going.first != NULL) {
        forget(o, o->going.first);
    }
    while (o->listed.first != NULL) {
        forget(o, o->listed.first);
    }
    return safe ? 0 : untold;
}
