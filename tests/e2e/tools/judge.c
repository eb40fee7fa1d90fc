/*
 * The judge. A read through a node never shows less than what was written and answered through
 * the same node before it began; nor, unless it is marked, less than what was answered anywhere
 * longer ago than max_lag. A write whose answer says `pending` counts only on its own node.
 * Keeps the last events of each resource, for the text of a violation.
 */
#include "racer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY = 24 };

/* A write that was answered. */
struct answered {
    int64_t when;
    unsigned version;
};

/* A line of a resource's history. */
struct event {
    int64_t began, ended;
    const char *what; /* static; NULL: no event yet */
    unsigned node, version;
};

/* Of one resource. */
static struct ledger {
    pthread_mutex_t lock;
    unsigned here[NODES_MAX];
    struct answered *list; /* in order of time; from `settled_to` on younger than max_lag */
    size_t n, cap, settled_to;
    unsigned settled;             /* newest version of those before */
    unsigned newest;              /* of all, also those that are pending */
    bool lost;                    /* a write had no answer */
    struct event events[HISTORY]; /* a ring */
    size_t n_events;              /* ever */
} ledgers[RESOURCES_MAX];

static void note(struct ledger *l, const char *what, unsigned node, unsigned version,
                 int64_t began)
{
    l->events[l->n_events++ % HISTORY] = (struct event){
        .began = began, .ended = now_ns(), .what = what, .node = node, .version = version};
}

/* The history as text, newest event last, in milliseconds before now. */
static void tell(const struct ledger *l, char *out, size_t cap)
{
    int64_t now = now_ns();
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < HISTORY && n < cap; i++) {
        const struct event *e = &l->events[(l->n_events + i) % HISTORY];
        if (e->what != NULL) {
            n += (size_t)snprintf(out + n, cap - n, " [-%.1f..-%.1f ms node %u: %s %u]",
                                  (double)(now - e->began) / 1e6,
                                  (double)(now - e->ended) / 1e6, e->node, e->what, e->version);
        }
    }
}

void judge_begin(unsigned resource, unsigned node, struct floor *f)
{
    struct ledger *l = &ledgers[resource];

    pthread_mutex_lock(&l->lock);
    f->began = now_ns();
    while (l->settled_to < l->n &&
           l->list[l->settled_to].when < f->began - race.options.max_lag) {
        unsigned version = l->list[l->settled_to++].version;
        l->settled = version > l->settled ? version : l->settled;
    }
    f->here = l->here[node];
    f->everywhere = l->settled;
    pthread_mutex_unlock(&l->lock);
}

static void remember(struct ledger *l, unsigned version)
{
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 64;
        l->list = realloc(l->list, l->cap * sizeof l->list[0]);
        if (l->list == NULL) {
            abort();
        }
    }
    l->list[l->n++] = (struct answered){.when = now_ns(), .version = version};
}

void judge_write(unsigned resource, unsigned node, unsigned version, int64_t began,
                 bool pending)
{
    struct ledger *l = &ledgers[resource];

    pthread_mutex_lock(&l->lock);
    l->here[node] = version > l->here[node] ? version : l->here[node];
    l->newest = version > l->newest ? version : l->newest;
    if (!pending) {
        remember(l, version);
    }
    note(l, pending ? "write pending" : "write", node, version, began);
    pthread_mutex_unlock(&l->lock);
}

void judge_lost(unsigned resource, unsigned node, bool write, int64_t began)
{
    struct ledger *l = &ledgers[resource];

    pthread_mutex_lock(&l->lock);
    l->lost = l->lost || write;
    note(l, write ? "write without an answer" : "read without an answer", node, 0, began);
    pthread_mutex_unlock(&l->lock);
}

bool judge_final(unsigned resource, unsigned version, unsigned at_origin)
{
    struct ledger *l = &ledgers[resource];

    pthread_mutex_lock(&l->lock);
    bool excused = l->lost && !race.options.announced;
    bool good = version == at_origin || (excused && version >= l->newest);
    pthread_mutex_unlock(&l->lock);
    return good;
}

bool judge_read(unsigned resource, unsigned node, unsigned version, const struct floor *f,
                bool marked, const char *head)
{
    struct ledger *l = &ledgers[resource];
    unsigned floor = marked || f->here > f->everywhere ? f->here : f->everywhere;
    char history[HISTORY * 80];

    if (floor > 0) {
        count(PAIRS);
    }
    if (floor > f->here) {
        count(CROSS);
    }
    pthread_mutex_lock(&l->lock);
    note(l, marked ? "read marked" : "read", node, version, f->began);
    if (version < floor) {
        tell(l, history, sizeof history);
    }
    pthread_mutex_unlock(&l->lock);
    if (version >= floor) {
        return true;
    }
    count(VIOLATIONS);
    complain("seed %llu: node %u: k%u shows %u%s, but %u was %s; history:%s; answer: %s",
             (unsigned long long)race.options.seed, node, resource, version,
             marked ? " marked" : "", floor,
             version < f->here ? "written and answered through this node before"
                               : "answered more than max_lag before",
             history, head);
    return false;
}
