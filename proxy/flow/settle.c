/*
 * Repeated invalidations: a list of copies with a deadline each. Bounded, because an hour's
 * writes can wait at once: beyond the bound one `all` stands for every further one.
 */
#include "flow/settle.h"

#include <stdlib.h>

#include "base/mem.h"
#include "flow/node.h"
#include "flow/redis_tier.h"
#include "flow/worker.h"

#define SETTLING_MAX 4096 /* of one worker */

/* The records of one write, waiting. */
struct settling {
    struct settling *prev, *next; /* the worker's list */
    struct worker *worker;
    struct deadline due;
    msec_t again; /* another `all` is wanted so long after this one; -1: none */
    size_t n;
    struct record records[]; /* texts owned */
};

static void apply_and_free(struct settling *s)
{
    struct worker *w = s->worker;
    deadline_cancel(&s->due);
    *(s->prev != NULL ? &s->prev->next : &w->settling) = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    w->n_settling--;
    if (w->settling_all == s) {
        w->settling_all = NULL;
    }
    struct journal_link *link = redis_tier_link(w->node->redis);
    if (link != NULL) {
        journal_append_cancel(journal_link_append(link, w->loop, s->records, s->n, NULL, NULL));
    } else {
        journal_apply(w->node->journal, s->records, s->n);
    }
    for (size_t i = 0; i < s->n; i++) {
        free((void *)(uintptr_t)s->records[i].text.p);
    }
    free(s);
}

static void add_all(struct worker *w, msec_t after);

static void on_due(struct deadline *d)
{
    struct settling *s = container_of(d, struct settling, due);
    struct worker *w = s->worker;
    msec_t again = s->again;
    apply_and_free(s);
    if (again >= 0) {
        add_all(w, again);
    }
}

static struct settling *add(struct worker *w, const struct record *records, size_t n,
                            msec_t after)
{
    struct settling *s = xcalloc(1, sizeof(*s) + n * sizeof(s->records[0]));
    s->worker = w;
    s->again = -1;
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->records[i] = records[i];
        s->records[i].text = str_make(str_dup(records[i].text), records[i].text.n);
    }
    s->next = w->settling;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    w->settling = s;
    w->n_settling++;
    deadline_init(&s->due, on_due);
    deadline_set(w->loop, &s->due, after);
    return s;
}

static void add_all(struct worker *w, msec_t after)
{
    static const struct record all = {.kind = RECORD_ALL};
    w->settling_all = add(w, &all, 1, after);
}

void settle_later(struct worker *w, const struct record *records, size_t n, msec_t after)
{
    if (w->n_settling < SETTLING_MAX) {
        (void)add(w, records, n, after);
        return;
    }
    struct settling *all = w->settling_all;
    if (all == NULL) {
        add_all(w, after);
    } else if (w->loop->now + after > all->due.when) {
        /* It is too early for this write: one more follows. */
        all->again = after > all->again ? after : all->again;
    }
}

void settle_finish(struct worker *w)
{
    while (w->settling != NULL) {
        apply_and_free(w->settling);
    }
}
