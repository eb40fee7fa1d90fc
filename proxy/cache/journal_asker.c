/*
 * Handles of appends. One lock for all of them: it is held for a moment once per append, and it
 * outlives every loop and every link.
 */
#include "cache/journal_asker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct journal_append {
    struct mail mail; /* the answer on its way */
    struct loop *loop;
    journal_append_fn *done;
    void *ctx;
    enum append_outcome outcome;
    struct append_place place;
    bool cancelled; /* under the lock: nobody waits any more, and the loop may be gone */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct journal_append *asker_new(struct loop *loop, journal_append_fn *done, void *ctx)
{
    struct journal_append *a = xcalloc(1, sizeof(*a));
    a->loop = loop;
    a->done = done;
    a->ctx = ctx;
    return a;
}

/* On the asker's loop, as is every cancelling: what was posted is this thread's alone. */
static void on_answer(struct mail *m)
{
    struct journal_append *a = container_of(m, struct journal_append, mail);
    pthread_mutex_lock(&lock);
    bool cancelled = a->cancelled;
    pthread_mutex_unlock(&lock);
    if (!cancelled) {
        a->done(a->ctx, a->outcome);
    }
    free(a);
}

void asker_answer(struct journal_append *a, enum append_outcome outcome,
                  const struct append_place *place)
{
    pthread_mutex_lock(&lock);
    bool cancelled = a->cancelled;
    if (!cancelled) {
        a->outcome = outcome;
        a->place = *place;
        a->mail.fn = on_answer;
        loop_post(a->loop, &a->mail);
    }
    pthread_mutex_unlock(&lock);
    if (cancelled) {
        free(a);
    }
}

void journal_append_place(const struct journal_append *a, struct append_place *out)
{
    *out = a->place;
}

void asker_drop(struct journal_append *a)
{
    free(a);
}

void journal_append_cancel(struct journal_append *a)
{
    pthread_mutex_lock(&lock);
    a->cancelled = true;
    pthread_mutex_unlock(&lock);
}
