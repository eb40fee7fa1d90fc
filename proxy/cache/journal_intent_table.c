/* See the header. New ones go in from the end: with deadlines that are much alike they belong
 * there. */
#include "cache/journal_intent_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/hash.h"

void intents_init(struct intents *t, uint64_t seed)
{
    *t = (struct intents){.seed = seed};
}

void intents_fini(struct intents *t)
{
    while (t->first != NULL) {
        intents_drop(t, t->first);
    }
    if (t->ready) {
        jtable_fini(&t->by_mid);
    }
}

/* ---- in order ---------------------------------------------------------------------------- */

static void link_in(struct intents *t, struct open_intent *it)
{
    struct open_intent *before = t->last;
    while (before != NULL && before->due > it->due) {
        before = before->prev;
    }
    it->prev = before;
    it->next = before != NULL ? before->next : t->first;
    *(before != NULL ? &before->next : &t->first) = it;
    *(it->next != NULL ? &it->next->prev : &t->last) = it;
}

static void link_out(struct intents *t, struct open_intent *it)
{
    *(it->prev != NULL ? &it->prev->next : &t->first) = it->next;
    *(it->next != NULL ? &it->next->prev : &t->last) = it->prev;
}

/* ---- by mid ------------------------------------------------------------------------------ */

static struct open_intent *find(const struct intents *t, struct str mid)
{
    struct jnode *n = t->ready ? jtable_first(&t->by_mid, hash_str(mid, t->seed)) : NULL;
    for (; n != NULL; n = jtable_next(n)) {
        struct open_intent *it = (struct open_intent *)n;
        if (str_eq(open_intent_mid(it), mid)) {
            return it;
        }
    }
    return NULL;
}

static void add(struct intents *t, const struct journal_intent *intent, msec_t due)
{
    struct str records = intent->records;
    if (t->bytes + records.n > INTENTS_BYTES) {
        records = STR("ah0:"); /* of everything */
    }
    struct open_intent *it = xcalloc(1, sizeof(*it) + intent->mid.n + records.n);
    it->node.key = hash_str(intent->mid, t->seed);
    it->due = due;
    it->deadline = intent->deadline;
    it->mid_n = (uint32_t)intent->mid.n;
    it->records_n = (uint32_t)records.n;
    memcpy(it->text, intent->mid.p, intent->mid.n);
    if (records.n > 0) {
        memcpy(it->text + it->mid_n, records.p, records.n);
    }
    jtable_add(&t->by_mid, &it->node);
    link_in(t, it);
    t->n++;
    t->bytes += records.n;
}

void intents_put(struct intents *t, const struct journal_intent *intent, msec_t due)
{
    if (!t->ready) {
        jtable_init(&t->by_mid);
        t->ready = true;
    }
    (void)intents_close(t, intent->mid);
    if (t->n < INTENTS_MAX) {
        add(t, intent, due);
        return;
    }
    if (t->all_due == 0) {
        t->all_due = due;
        t->all_deadline = 0;
    } else if (due > t->all_due && due > t->all_again) {
        t->all_again = due;
    }
    t->all_deadline = intent->deadline > t->all_deadline ? intent->deadline : t->all_deadline;
}

bool intents_close(struct intents *t, struct str mid)
{
    struct open_intent *it = find(t, mid);
    if (it != NULL) {
        intents_drop(t, it);
    }
    return it != NULL;
}

void intents_drop(struct intents *t, struct open_intent *it)
{
    jtable_remove(&t->by_mid, &it->node);
    link_out(t, it);
    t->n--;
    t->bytes -= it->records_n;
    free(it);
}

/* ---- what is due ------------------------------------------------------------------------- */

msec_t intents_due(const struct intents *t)
{
    msec_t due = t->first != NULL ? t->first->due : MSEC_MAX;
    return t->all_due != 0 && t->all_due < due ? t->all_due : due;
}

bool intents_take_all(struct intents *t, msec_t now)
{
    if (t->all_due == 0 || t->all_due > now) {
        return false;
    }
    t->all_due = t->all_again;
    t->all_again = 0;
    return true;
}

void intents_postpone(struct intents *t, struct open_intent *it, msec_t due)
{
    link_out(t, it);
    it->due = due;
    link_in(t, it);
}

void intents_rebase(struct intents *t, msec_t now)
{
    struct open_intent *it = t->first;
    t->first = t->last = NULL;
    while (it != NULL) {
        struct open_intent *next = it->next;
        it->due = now + it->deadline;
        link_in(t, it);
        it = next;
    }
    if (t->all_due != 0) {
        t->all_due = now + t->all_deadline;
        t->all_again = 0;
    }
}
